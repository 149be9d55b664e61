"""The vocabulary between a flow and its driver: what a flow may ask for, and what it gets back.

A flow is a generator. It yields one of these, is sent the result or has the failure thrown into it, and returns its value.
The sync and async drivers of `engine.call.send` are the only ones that carry them out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from engine.call.send import Route, Timing
from engine.types import Event, HttpRequest

__all__ = ["Alone", "Answer", "Deliver", "Drain", "Exchange", "Flow", "Open", "Pump", "Read", "Shut", "Wait"]

Flow = Generator[Any, Any, Any]


class Answer:
    """A whole reply: status, lower-case headers, decompressed body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Exchange:
    """Send a request and read the whole reply: Answer. The reply is closed whatever happens."""

    __slots__ = ("body_bytes", "error_bytes", "ratio", "request", "route", "timing")

    def __init__(self, request: HttpRequest, route: Route, timing: Timing, body_bytes: int, error_bytes: int, ratio: int) -> None:
        self.request = request
        self.route = route
        self.timing = timing
        self.body_bytes = body_bytes
        self.error_bytes = error_bytes
        self.ratio = ratio


class Open:
    """Send a request: the reply, whose body is still to come. The driver closes it when the flow ends."""

    __slots__ = ("request", "route", "timing")

    def __init__(self, request: HttpRequest, route: Route, timing: Timing) -> None:
        self.request = request
        self.route = route
        self.timing = timing


class Read:
    """The next raw bytes of a reply; empty at its end."""

    __slots__ = ("reply",)

    def __init__(self, reply: Any) -> None:
        self.reply = reply


class Pump:
    """Read a reply and hand on what `take` makes of its bytes, until `over` is set; the end of the bytes sets it too.

    While a stream runs, the flow is not resumed for every piece of it: this is the hot loop of a stream. `resume` is called
    whenever the caller asks for more, before anything is read.
    """

    __slots__ = ("over", "reply", "resume", "take")

    def __init__(self, reply: Any, take: Callable[[bytes], list[Event]], resume: Callable[[], None]) -> None:
        self.reply = reply
        self.take = take
        self.resume = resume
        self.over = False

    def let_go(self) -> None:
        """It is over, and forgets whom it hands on to: they know it in turn, and all of a stream would wait for the collector."""
        self.over, self.take, self.resume = True, _nothing, _nothing


def _nothing(*given: Any) -> Any:
    return None


class Drain:
    """All that is left of a reply, decompressed, at most `limit` bytes; then it is closed."""

    __slots__ = ("limit", "ratio", "reply")

    def __init__(self, reply: Any, limit: int, ratio: int) -> None:
        self.reply = reply
        self.limit = limit
        self.ratio = ratio


class Shut:
    """Close a reply."""

    __slots__ = ("reply",)

    def __init__(self, reply: Any) -> None:
        self.reply = reply


class Wait:
    """Let that many seconds pass."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Alone:
    """Carry out another flow while no other call of this client is in one with the same key: its value."""

    __slots__ = ("flow", "key", "seconds")

    def __init__(self, key: Any, flow: Flow, seconds: float) -> None:
        self.key = key
        self.flow = flow
        self.seconds = seconds


class Deliver:
    """Hand events to the caller."""

    __slots__ = ("events",)

    def __init__(self, events: list[Event]) -> None:
        self.events = events
