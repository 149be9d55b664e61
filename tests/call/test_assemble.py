"""Tool arguments that stream in pieces with their places (SPEC_LANGUAGE 7.2; RELIABILITY T6, M1: no path harms)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.call.assemble import DEPTH, assemble
from engine.errors import ProtocolError


def test_texts_go_on_and_lists_grow() -> None:
    made: dict[str, Any] = {}
    for at, piece in [
        ("$.items[0].name", "App"),
        ("$.items[0].name", "le"),
        ("$.items[0].price", 0.5),
        ("$.items[1]['odd key']", True),
        ('$["done"]', False),
    ]:
        assemble(made, at, piece)
    assert made == {"items": [{"name": "Apple", "price": 0.5}, {"odd key": True}], "done": False}


@pytest.mark.parametrize(
    "at",
    [
        None,
        5,
        "",
        "name",
        "$",
        "$.",
        "$.a[",
        "$..a",
        "$.*",
        "$[?(@.x)]",
        "$.list[2]",
        "$.text.deeper",
        "$[0]",
        "$" + ".a" * (DEPTH + 1),
    ],
)
def test_a_path_that_cannot_be_is_a_protocol_error(at: Any) -> None:
    with pytest.raises(ProtocolError):
        assemble({"list": [1], "text": "x"}, at, "y")


@given(st.text(max_size=60), st.one_of(st.text(), st.integers(), st.booleans(), st.none()))
def test_any_path_gives_arguments_or_our_error(at: str, piece: Any) -> None:
    try:
        assemble({"a": {"b": [1]}}, at, piece)
    except ProtocolError:
        pass


@given(st.lists(st.sampled_from([".a", ".b", "[0]", "[1]"]), min_size=1, max_size=6).map(lambda steps: "$" + "".join(steps)))
def test_what_is_put_stands_there(at: str) -> None:
    made: dict[str, Any] = {}
    try:
        assemble(made, at, 7)
    except ProtocolError:
        return
    found: Any = made
    for step in at[1:].replace("[", ".").replace("]", "").split(".")[1:]:
        found = found[int(step)] if isinstance(found, list) else found[step]
    assert found == 7
