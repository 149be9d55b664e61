"""Four wires as their providers speak them: answers of the dialects' own examples, put into frames by `engine.call.encode`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from engine.call.encode import encode_frame, encode_message
from engine.catalog import Catalog
from engine.examples.cases import dialect_examples
from tests.faults.server import Request

#: the text of the example "a greeting" and of "the tool's result is told", and the pieces the first arrives in
TEXT = "Hello! How can I help you today?"
TOLD = "It is 18 °C and sunny in Rome."
PIECES = ("Hello! ", "How can I help ", "you today?")
PART = PIECES[0] + PIECES[1]  # what a stream that breaks has delivered
CALL = ("get_weather", {"city": "Rome"})
MESSAGE = "UPSTREAM-MSG something is wrong"


@dataclass(frozen=True)
class Wire:
    """One wire: who speaks it here, how it streams, and its own way to say that something failed."""

    name: str
    model: str  # provider/model
    dialect: str
    framing: str
    content_type: str
    secret: Callable[[str], Mapping[str, str]]  # the key as the provider's settings
    error: Callable[[str, str, int], Any]  # (message, native type, status) -> body
    failing: Callable[[str], bytes]  # message -> a frame that says overloaded in mid-stream
    types: Mapping[str, str] = field(default_factory=dict)  # kind -> native type
    prefix: str = ""  # of the path below the origin

    @property
    def provider(self) -> str:
        return self.model.partition("/")[0]

    def settings(self, base_url: str, key: str) -> dict[str, dict[str, Any]]:
        return {self.provider: {**self.secret(key), "base_url": base_url + self.prefix}}

    def asks_stream(self, request: Request) -> bool:
        return b'"stream":true' in request.body.replace(b" ", b"") or "stream" in request.path.lower().rpartition("/")[2]

    def whole(self, name: str = "a greeting") -> Any:
        """The JSON body of a whole answer; the caller may change it."""
        return json.loads(json.dumps(_examples(self.dialect)[name]["reply"]["body"]))

    def frames(self, name: str = "a greeting, streamed") -> list[Any]:
        return list(_examples(self.dialect)[name]["frames"])

    def encoded(self, frames: list[Any]) -> list[bytes]:
        """The frames as bytes; an Anthropic event is named by its type, as its provider does."""
        named = self.name == "anthropic"
        return [encode_frame(self.framing, {"event": f["type"], "data": f} if named else f) for f in frames] + (
            [b"data: [DONE]\n\n"] if self.name == "openai" else []
        )

    def stream(self, name: str = "a greeting, streamed") -> list[bytes]:
        """All pieces of a good stream, its end mark included."""
        return self.encoded(self.frames(name))

    def beginning(self) -> list[bytes]:
        """The stream's pieces up to the second of its three texts."""
        return self.around()[0]

    def around(self) -> tuple[list[bytes], list[bytes]]:
        """The pieces up to the second text, and the rest."""
        frames, pieces = self.frames(), self.stream()
        at = next(i for i, frame in enumerate(frames) if PIECES[1] in json.dumps(frame, ensure_ascii=False))
        return pieces[: at + 1], pieces[at + 1 :]

    def respelled(self, old: str, new: str) -> list[bytes]:
        """The stream with another text in one place."""
        return self.encoded([_respelled(frame, old, new) for frame in self.frames()])

    def ticking(self) -> bytes:
        """A text frame that may come again and again."""
        return self.beginning()[-1]


def _respelled(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {k: _respelled(v, old, new) for k, v in value.items()}
    if isinstance(value, list):
        return [_respelled(v, old, new) for v in value]
    return value.replace(old, new) if isinstance(value, str) else value


@cache
def _examples(dialect: str) -> dict[str, Any]:
    return {str(e.plain()["name"]): e.plain() for e in dialect_examples(_catalog(), dialect)}


@cache
def _catalog() -> Catalog:
    return Catalog()


def _sse(document: Any, event: str | None = None) -> bytes:
    return encode_frame("sse", {"event": event, "data": document} if event else document)


OPENAI = Wire(
    "openai", "openai/gpt-4.1", "openai-chat", "sse", "text/event-stream",
    secret=lambda key: {"api_key": key},
    error=lambda message, type, status: {"error": {"message": message, "type": type, "param": None, "code": type}},
    failing=lambda message: _sse({"error": {"message": message, "type": "overloaded_error", "param": None, "code": None}}),
    types={"rate_limit": "rate_limit_exceeded", "quota": "insufficient_quota", "overloaded": "engine_overloaded"},
    prefix="/v1",
)  # fmt: skip
ANTHROPIC = Wire(
    "anthropic", "anthropic/claude-sonnet-4-5", "anthropic-messages", "sse", "text/event-stream",
    secret=lambda key: {"api_key": key},
    error=lambda message, type, status: {"type": "error", "error": {"type": type, "message": message}},
    failing=lambda message: _sse({"type": "error", "error": {"type": "overloaded_error", "message": message}}, "error"),
    types={"rate_limit": "rate_limit_error", "quota": "billing_error", "overloaded": "overloaded_error"},
)  # fmt: skip
GEMINI = Wire(
    "gemini", "google-gemini/gemini-2.5-flash", "gemini", "sse", "text/event-stream",
    secret=lambda key: {"api_key": key},
    error=lambda message, type, status: {"error": {"code": status, "message": message, "status": type, "details": []}},
    failing=lambda message: _sse({"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}}),
    types={"rate_limit": "RESOURCE_EXHAUSTED", "overloaded": "UNAVAILABLE"},
)  # fmt: skip
BEDROCK = Wire(
    "bedrock", "amazon-bedrock/us.amazon.nova-pro-v1:0", "bedrock-converse", "eventstream", "application/vnd.amazon.eventstream",
    secret=lambda key: {"access_key": "AKIAEXAMPLE", "secret_key": key, "region": "us-east-1"},
    error=lambda message, type, status: {"message": message},
    failing=lambda message: encode_message("serviceUnavailableException", json.dumps({"message": message}).encode()),
)  # fmt: skip
WIRES = {wire.name: wire for wire in (OPENAI, ANTHROPIC, GEMINI, BEDROCK)}
SSE = ("openai", "anthropic", "gemini")
