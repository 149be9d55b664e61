"""What a stand-in was sent and what it writes: values between the simulator, its faults and the socket."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from engine.types import Event


class Pause(NamedTuple):
    """Nothing is written for so many seconds; before the first chunk not even the headers."""

    seconds: float


class Chunk(NamedTuple):
    """Bytes written at once, which may be none: the first chunk brings the headers.

    `moment` tells content (`delta`) from what ends an answer (`end`) and all else (`other`).
    """

    data: bytes
    moment: str = "delta"
    text: str | None = None  # the piece of prose in it


class Act(Enum):
    """What happens to the connection instead of more bytes."""

    RESET = "reset"  # TCP RST
    CLOSE = "close"  # closed, whatever was promised
    HOLD = "hold"  # open and silent until the client goes away


@dataclass(slots=True)
class Answer:
    """One HTTP answer, written piece by piece: in chunks if `streamed`, else under one Content-Length."""

    status: int
    headers: dict[str, str]
    body: Iterable[Chunk | Pause | Act]
    streamed: bool = False
    length: int | None = None  # declared length, where it is not that of the body
    instead: Act | None = None  # in place of any answer


@dataclass(slots=True)
class Exchange:
    """One request as it was received and understood, and what was answered. Headers, body and key are not shown by repr."""

    method: str
    path: str
    query: dict[str, Any]
    headers: dict[str, str] = field(repr=False)  # lower-case names
    body: bytes = field(repr=False)
    dialect: str | None = None
    provider: str | None = None  # the first path segment, if it named one
    key: str | None = field(default=None, repr=False)
    fields: dict[str, Any] = field(default_factory=dict, repr=False)  # the canonical request as it was accepted
    request: dict[str, Any] = field(default_factory=dict, repr=False)  # the same with every view a template may read
    status: int = 0
    events: list[Event] = field(default_factory=list, repr=False)  # what the scripted model said, as far as it was written
    faults: list[str] = field(default_factory=list)  # names of those that took part
    warnings: list[str] = field(default_factory=list)
    finished: bool = False  # the whole answer was written
    gone: bool = False  # the client went away before

    @property
    def json(self) -> Any:
        """The body, parsed; None if it is not JSON."""
        from engine.call.json import loads

        try:
            return loads(self.body) if self.body else None
        except ValueError:
            return None

    @property
    def model(self) -> str | None:
        """The model that was asked."""
        return self.request.get("model")

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return bool(self.request.get("stream"))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation: `{role, parts, text, …}` each."""
        return list(self.request.get("messages") or ())

    @property
    def text(self) -> str:
        """The last text of the user."""
        return next((m["text"] for m in reversed(self.messages) if m.get("role") == "user" and m.get("text")), "")

    @property
    def said(self) -> str:
        """The text of the answer, as far as it was written."""
        return "".join(e.text for e in self.events if e.kind == "text" and e.text)
