"""A Python function is a tool: name, description and parameters come from what is written anyway."""

from __future__ import annotations

import datetime
import enum
import functools
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional, TypedDict

import pytest
from pydantic import BaseModel, Field

from engine.call.normalize import normalize
from engine.call.tools import docstring, tool_from_function
from engine.errors import ConfigError


class Unit(enum.Enum):
    celsius = "c"
    fahrenheit = "f"


@dataclass
class Place:
    """Where it is."""

    city: str
    country: str = "FR"


class Range(TypedDict, total=False):
    start: int


class Box(BaseModel):
    width: int = Field(description="in cm", ge=1)
    inner: Box | None = None


def parameters(function: Any) -> dict[str, Any]:
    found: dict[str, Any] = tool_from_function(function)["parameters"]
    return found


def test_hints_become_a_schema() -> None:
    def weather(
        place: Place,
        unit: Literal["c", "f"] = "c",
        scale: Unit = Unit.celsius,
        days: int | None = None,
        tags: list[str] = [],  # noqa: B006
        extra: Optional[dict[str, float]] = None,  # noqa: UP045
        when: datetime.date | str = "today",
        depth: Annotated[float, "metres below the surface"] = 0.0,
        pair: tuple[int, int] = (1, 2),
        span: Range | None = None,
        anything: Any = None,
        *rest: int,
        **more: str,
    ) -> str:
        return ""

    schema = parameters(weather)
    assert schema["required"] == ["place"]
    assert schema["properties"] == {
        "place": {
            "type": "object",
            "description": "Where it is.",
            "properties": {"city": {"type": "string"}, "country": {"type": "string", "default": "FR"}},
            "required": ["city"],
        },
        "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
        "scale": {"type": "string", "enum": ["c", "f"], "default": "c"},
        "days": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "extra": {"anyOf": [{"type": "object", "additionalProperties": {"type": "number"}}, {"type": "null"}]},
        "when": {"anyOf": [{"type": "string", "format": "date"}, {"type": "string"}], "default": "today"},
        "depth": {"type": "number", "description": "metres below the surface", "default": 0.0},
        "pair": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        "span": {"anyOf": [{"type": "object", "properties": {"start": {"type": "integer"}}}, {"type": "null"}]},
        "anything": {},
    }


def test_models_as_parameters_keep_their_definitions() -> None:
    def pack(box: Box) -> None: ...

    schema = parameters(pack)
    assert schema["properties"]["box"]["$ref"] == "#/$defs/Box"
    assert schema["$defs"]["Box"]["properties"]["width"] == {
        "description": "in cm",
        "minimum": 1,
        "title": "Width",
        "type": "integer",
    }


def test_a_model_or_dataclass_is_a_tool_of_its_fields() -> None:
    tool = tool_from_function(Place)
    assert (tool["name"], tool["description"]) == ("Place", "Where it is.")
    assert tool["parameters"]["required"] == ["city"]
    assert tool_from_function(Box)["name"] == "Box"


GOOGLE = """Get the weather.

Works everywhere.

Args:
    city (str): The city,
        with its country.
    unit: c or f

Returns:
    city: not a parameter
"""
NUMPY = """Get the weather.

Works everywhere.

Parameters
----------
city : str
    The city,
    with its country.
unit : {'c', 'f'}, optional
    c or f

Returns
-------
text : str
    not a parameter
"""
SPHINX = """Get the weather.

Works everywhere.

:param str city: The city,
    with its country.
:param unit: c or f
:type unit: str
:returns: text
"""


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_docstrings_describe_tool_and_parameters(text: str) -> None:
    assert docstring(text) == ("Get the weather.\n\nWorks everywhere.", {"city": "The city, with its country.", "unit": "c or f"})


def test_annotated_texts_win_over_the_docstring() -> None:
    def f(a: Annotated[int, "from the hint"], b: int) -> None:
        """F.

        Args:
            a: from the docstring
            b: from the docstring
        """

    found = parameters(f)["properties"]
    assert (found["a"]["description"], found["b"]["description"]) == ("from the hint", "from the docstring")


def test_methods_partials_and_callables() -> None:
    class Shop:
        def sell(self, item: str) -> None:
            """Sell it."""

        def __call__(self, item: str) -> None:
            """Call it."""

    def f(a: int, b: int) -> None:
        """F."""

    assert tool_from_function(Shop().sell)["parameters"]["required"] == ["item"]
    assert tool_from_function(functools.partial(f, b=1))["parameters"]["required"] == ["a"]
    assert tool_from_function(Shop())["name"] == "Shop"
    assert tool_from_function(lambda x: x)["name"] == "_lambda_"


def test_no_parameters() -> None:
    assert tool_from_function(lambda: None)["parameters"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize("hint", ["NoSuchName", object.__init__, "list[Nope]"])
def test_unreadable_hints_are_our_errors(hint: Any) -> None:
    def f(a: int) -> None: ...

    f.__annotations__["a"] = hint
    with pytest.raises(ConfigError):
        tool_from_function(f)
    with pytest.raises(ConfigError):
        tool_from_function(int)


def test_functions_among_the_tools_of_a_request() -> None:
    def f(a: int) -> None:
        """F."""

    out = normalize("chat", {"messages": "x", "tools": [f, {"name": "g"}], "tool_choice": "f"})
    assert [t["name"] for t in out["tools"]] == ["f", "g"] and out["tool_choice"] == {"mode": "tool", "name": "f"}
