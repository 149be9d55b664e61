"""A type is a response format, and the model's text becomes an object of it, or a typed error that names the place."""

from __future__ import annotations

import datetime
import decimal
import enum
import pathlib
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from engine.call.normalize import normalize
from engine.call.schema import parse, response_format, schema_of, strict
from engine.errors import ConfigError, Error, ProtocolError


class Colour(enum.Enum):
    red = "r"
    green = "g"


@dataclass
class Item:
    name: str
    price: float = 1.0
    tags: list[str] = field(default_factory=list)


@dataclass
class Order:
    """What was ordered."""

    items: list[Item]
    colour: Colour
    day: datetime.date
    kind: Literal["now", "later"] = "now"
    note: str | None = None
    sums: dict[str, int] = field(default_factory=dict)


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)


class Row(TypedDict):
    a: int
    b: NotRequired[str]


class Point(NamedTuple):
    x: int
    y: int = 0


class Model(BaseModel):
    name: str
    count: int = 3
    inner: list[Model] = []


ORDER = '{"items": [{"name": "a", "price": 2}], "colour": "r", "day": "2026-11-21", "note": null, "sums": {"x": 1}}'


def test_a_dataclass_there_and_back() -> None:
    assert parse(ORDER, Order) == Order([Item("a", 2.0)], Colour.red, datetime.date(2026, 11, 21), sums={"x": 1})


def test_formats_are_closed_where_they_can_be() -> None:
    found = response_format(Item)
    assert found == {
        "type": "json_schema",
        "name": "Item",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "price": {"type": ["number", "null"]},
                "tags": {"type": ["array", "null"], "items": {"type": "string"}},
            },
            "required": ["name", "price", "tags"],
            "additionalProperties": False,
        },
    }
    free = response_format(Order)
    assert (
        free["strict"] is False
        and free["description"] == "What was ordered."
        and free["schema"]["required"] == ["items", "colour", "day"]
    )


def test_null_stands_for_what_was_not_said() -> None:
    assert parse('{"name": "a", "price": null, "tags": null}', Item) == Item("a")
    assert parse('{"name": "a", "count": null, "inner": [{"name": "b", "count": null}]}', Model) == Model(
        name="a", inner=[Model(name="b")]
    )


def test_types_that_contain_themselves() -> None:
    found = response_format(Tree)["schema"]
    assert found["$defs"]["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert found["properties"]["value"] == {"type": "integer"}
    assert parse('{"value": 1, "children": [{"value": 2}]}', Tree) == Tree(1, [Tree(2)])


@pytest.mark.parametrize(
    ("target", "text", "wanted"),
    [
        (list[int], '{"value": [1, 2]}', [1, 2]),
        (list[int], "[1, 2]", [1, 2]),
        (int, '{"value": 3}', 3),
        (float, "3", 3.0),
        (bool, "true", True),
        (Literal["a", "b"], '{"value": "b"}', "b"),
        (int | None, '{"value": null}', None),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (set[int], "[1, 1]", {1}),
        (dict[str, int], '{"value": 1}', {"value": 1}),
        (Row, '{"a": 1, "b": "x"}', {"a": 1, "b": "x"}),
        (Point, '{"x": 1}', Point(1)),
        (Annotated[int, "n"], '{"value": 1}', 1),
        (decimal.Decimal, "0.1", decimal.Decimal("0.1")),
        (uuid.UUID, '"12345678-1234-5678-1234-567812345678"', uuid.UUID("12345678-1234-5678-1234-567812345678")),
        (pathlib.PurePosixPath, '"/a"', pathlib.PurePosixPath("/a")),
        (bytes, '"aGk="', b"hi"),
        (int | str, '"1"', "1"),
        (Item | Row, '{"a": 1}', {"a": 1}),
        (Model, '```json\n{"name": "a"}\n```', Model(name="a")),
        (Any, "[1]", [1]),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
    ],
)
def test_types_there_and_back(target: Any, text: str, wanted: Any) -> None:
    found = parse(text, target)
    assert found == wanted and type(found) is type(wanted)


@pytest.mark.parametrize(
    ("target", "text", "says"),
    [
        (Order, "not json", "the answer is not JSON"),
        (Order, "[]", "$: an object is needed, not a list"),
        (Order, '{"items": [{"name": 3}]}', "$.items[0].name: text is needed, not a number"),
        (Item, "{}", "$: `name` is missing"),
        (Item, '{"name": "a", "price": "1"}', "$.price: a number is needed, not text"),
        (int, "1.5", "$: a whole number is needed, not 1.5"),
        (int, "true", "$: a number is needed, not a boolean"),
        (Colour, '"x"', "$: one of r, g is needed, not text"),
        (Literal["a"], '"x"', "$: one of a is needed"),
        (datetime.date, '"soon"', "$: Invalid isoformat string"),
        (tuple[int, int], "[1]", "$: 2 items are needed, not 1"),
        (Model, '{"name": "a", "inner": [{"name": 3}]}', "$.inner[0].name: Input should be a valid string"),
        (Item | None, '{"name": "a", "price": "x"}', "$.price: a number is needed"),
    ],
)
def test_what_does_not_fit_names_its_place(target: Any, text: str, says: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(text, target)
    assert says in caught.value.message


def test_types_without_a_schema_are_our_errors() -> None:
    for target in (complex, Item("a"), object.__init__, "text"):
        with pytest.raises(ConfigError):
            response_format(target)
    with pytest.raises(ConfigError):
        parse("{}", complex)


def test_schemas_that_cannot_be_closed() -> None:
    assert strict({"type": "object", "additionalProperties": {"type": "string"}}) is None
    assert strict({"type": "object"}) is None
    assert strict({"type": "array", "items": {}}) is None
    given = {"type": "object", "properties": {"a": {"enum": [1]}}}
    closed = strict(given)
    assert closed is not None and closed["properties"]["a"] == {"anyOf": [{"enum": [1]}, {"type": "null"}]}
    assert given == {"type": "object", "properties": {"a": {"enum": [1]}}}


def test_a_type_in_a_request() -> None:
    out = normalize("chat", {"messages": "x", "response_format": Item})
    assert out["response_format"]["name"] == "Item" and out["response_format"]["strict"] is True
    assert schema_of(Item)["required"] == ["name"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["items", "name", "value", "colour", "day", "sums", "x", "inner", "children"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(JSON, st.sampled_from([Order, Item, Tree, Row, Point, Model, list[Item], dict[str, Point], int | Item]))
def test_any_answer_is_an_object_or_our_error(value: Any, target: Any) -> None:
    import json

    try:
        parse(json.dumps(value), target)
    except Error:
        return
