"""What an SDK adapter gives back, and what all adapters share. Runs in the SDKs' own environment: standard library only."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

#: a PNG of one red pixel
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")
#: the tools every adapter offers, in JSON-schema words; the first is the one that is called
WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
        "required": ["city"],
    },
}
CLOCK: dict[str, Any] = {
    "name": "get_time",
    "description": "The time in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TOOLS = (WEATHER, CLOCK)
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@dataclass
class Seen:
    """One answer, in neutral words. `native` is the SDK's own object, to be sent back in the second turn."""

    text: str = ""
    thinking: str = ""
    signature: str = ""
    calls: list[tuple[str | None, str, dict[str, Any]]] = field(default_factory=list)  # id, name, arguments
    usage: tuple[int | None, int | None] = (None, None)  # all input and output tokens, added up as the API tells them
    cached: int | None = None  # of the input
    finish: Any = None
    native: Any = None


def parsed(text: str | dict[str, Any] | None) -> dict[str, Any]:
    """Arguments as a mapping."""
    return text if isinstance(text, dict) else json.loads(text or "{}")


class Sdk:
    """One client library on one dialect. Adapters fill in `ask` and `again`."""

    dialect = ""
    package = ""
    #: case -> why this library or its API has no such thing
    lacks: dict[str, str] = {}
    #: neutral finish -> what the library says
    finish: dict[str, Any] = {}
    #: kind of error -> exception class the library documents (with the status it must tell, where it tells one)
    raises: dict[str, Any] = {}
    midstream: Any = Exception  # what a failing stream raises

    #: case -> why the dialect behind a gateway has no such thing
    behind: dict[str, str] = {}

    def __init__(self, url: str, key: str = "") -> None:
        """`key`: what a gateway asks for; without one the library gets one that means nothing."""
        self.url = url
        self.key = key or "any"

    def ask(
        self,
        model: str,
        prompt: str,
        *,
        stream: bool = False,
        tools: bool = False,
        choice: str | None = None,
        schema: bool = False,
        image: bool = False,
        thinking: bool = False,
    ) -> Seen:
        """One question. `choice`: auto, none, required, tool."""
        raise NotImplementedError

    def again(self, model: str, prompt: str, seen: Seen, results: list[str], *, stream: bool = False) -> Seen:
        """The second turn: the library's own object of the first answer, and one result for each call."""
        raise NotImplementedError
