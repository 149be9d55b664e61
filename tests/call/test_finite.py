"""A request whose numbers are proven finite is not searched for a NaN, and no NaN gets past the proof."""

from __future__ import annotations

from typing import Any

import pytest

from engine.client import Client
from engine.errors import ConfigError

BARE: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
LONG: dict[str, Any] = {"messages": [{"role": "user", "content": f"hi {n}"} for n in range(9)], "max_tokens": 5}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "minimum": 1.0}}}
NAN = float("nan")


def broken(value: Any) -> dict[str, Any]:
    """The tool with a number in its schema that JSON has no word for."""
    return {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "minimum": value}}}


@pytest.fixture(scope="module")
def chats() -> list[Any]:
    names = ("openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "google-gemini/gemini-2.5-flash")
    return [Client().operation(name) for name in names]


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": NAN},
        {"extra_body": {"x": float("inf")}},
        {"tools": [broken(NAN)]},
        {"tools": [broken(float("-inf"))]},
        {"extra_body": {"x": [NAN]}},
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": NAN}}}]}]},
    ],
)  # fmt: skip
def test_a_nan_is_refused_wherever_it_stands(chats: list[Any], fields: dict[str, Any]) -> None:
    for chat in chats:
        for base in (BARE, LONG, LONG):  # short ones are searched, long ones proven; also after the same without it
            chat.render(**{**base, "tools": [TOOL]})
            with pytest.raises(ConfigError):
                chat.render(**{**base, **fields})


def test_the_proof_is_found_for_usual_requests(chats: list[Any]) -> None:
    for chat in chats:
        assert "$finite" in chat.render(**LONG, temperature=0.2, tools=[TOOL]).context
        assert "$finite" not in chat.render(**LONG, extra_body={"x": None}).context
