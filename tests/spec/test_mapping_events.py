"""Events are dispatched by a path or by the frame's own name (SPEC_LANGUAGE 6.1, 7.1)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.spec.test_mapping import compiled, outputs


def run(text: str, document: Any, event: Any = None) -> tuple[list[Any], list[Any]]:
    found: list[Any] = []
    unlisted: list[Any] = []
    compiled(text)(document, lambda kind, choice, fields: found.append(fields), event, unlisted.append)
    return found, unlisted


TEXT = """
match: type
events:
  one: {text: a}
  "two | three": {text: b}
  ping | pong: ~
  "7": {text: "'seven'"}
  true: {text: "'yes'"}
"""


@pytest.mark.parametrize(
    ("kind", "texts", "unlisted"),
    [
        ("one", ["A"], []),
        ("two", ["B"], []),
        ("three", ["B"], []),
        ("ping", [], []),
        ("pong", [], []),
        (7, ["seven"], []),
        ("7", ["seven"], []),
        (True, ["yes"], []),
        ("four", [], ["four"]),
        (8, [], ["8"]),
        (None, [], [None]),
        (7.0, [], [None]),
        ({"a": 1}, [], [None]),
        ([], [], [None]),
    ],
)
def test_match(kind: Any, texts: list[str], unlisted: list[Any]) -> None:
    found, told = run(TEXT, {"type": kind, "a": "A", "b": "B"}, event="one")
    assert ([f["text"] for f in found], told) == (texts, unlisted)


def test_the_frames_own_name_is_used_without_match() -> None:
    text = "events: {delta: {text: a}, stop: {finish: b}, ping: ~}"
    assert run(text, {"a": "x"}, "delta") == ([{"text": "x"}], [])
    assert run(text, {"a": "x"}, "ping") == ([], [])
    assert run(text, {"a": "x"}, "other") == ([], ["other"])
    assert run(text, {"a": "x"}, None) == ([], [None])


def test_nobody_needs_to_listen_to_unlisted_events() -> None:
    assert outputs("events: {a: {text: a}}", {}, event="b") == []


def test_every_one_of_many_events_reaches_its_map() -> None:
    names = [f"event.{n}" for n in range(40)]
    text = "match: t\nevents:\n" + "".join(f"  {name}: {{text: \"'{name}'\"}}\n" for name in names)
    map_ = compiled(text)
    for name in names:
        found: list[Any] = []
        map_({"t": name}, lambda kind, choice, fields, found=found: found.append(fields["text"]))
        assert found == [name]


def test_events_stand_beside_outputs_and_inside_blocks() -> None:
    text = """
start: {id: id}
each:
  from: items
  choice: n
  match: kind
  events:
    a: [{text: t}, {finish: end}]
    b: {match: sub, events: {c: {text: "'deep'"}}}
"""
    document = {"id": 1, "items": [{"kind": "a", "t": "x", "end": "stop", "n": 1}, {"kind": "b", "sub": "c"}, {"kind": "z"}]}
    assert outputs(text, document) == [
        ("start", 0, {"id": 1}),
        ("text", 1, {"text": "x"}),
        ("finish", 1, {"reason": "stop"}),
        ("text", 0, {"text": "deep"}),
    ]


def test_only_known_events() -> None:
    assert run("events: {ping: ~}", {}, "ping") == ([], [])
    assert run("events: {}", {}, "ping") == ([], ["ping"])
