"""The one door to the network: transports that send an HttpRequest and hand back status, headers and raw bytes.

Nothing outside this package knows which HTTP client runs. A transport offers

    open(request, route, timing) -> Reply        # sends, returns when the headers are there
    close()

and a reply `status`, `headers` (lower-case names), `read() -> bytes` (the next raw bytes, empty at the end) and `close()`;
in the async twin these are coroutines, and a reply may have a `whole`: its body, if all of it came with the head and nothing is
left to close. Failures leave as SendFailure, which the flow turns into a typed error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.reliability.deadline import Timer
from engine.types import Headers, HttpRequest

__all__ = ["AsyncReply", "AsyncTransport", "Headers", "Reply", "Route", "SendFailure", "Stopped", "Timing", "Transport"]


class SendFailure(Exception):
    """An exchange that broke, in our words. `kind` is of RELIABILITY E2; `unsent` proves the provider saw no byte of it.

    Its text names no URL, header or body. It never leaves the engine.
    """

    def __init__(self, kind: str, text: str, unsent: bool = False) -> None:
        super().__init__(text)
        self.kind = kind
        self.unsent = unsent


class Stopped(Exception):
    """Nobody waits for this flow any more. Never leaves the engine."""


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach an origin: the caller's settings for a provider. Connections of different routes are never shared."""

    ca_file: str | None = None
    proxy: str | None = None  # "" uses none, None the environment's
    trust_env: bool = True
    public: bool = False  # only public addresses, checked and then connected to (RELIABILITY A7)


DIRECT = Route()


@dataclass(slots=True)
class Timing:
    """Limits of one exchange: seconds to connect and to send; `timer` bounds the headers and then every read. `sent` is told
    when the request is written: the caller's own limits count from then. A body that is read from disk has `send` seconds for
    each piece, and the answer `answer` seconds after the last."""

    connect: float
    send: float
    timer: Timer
    header_bytes: int = 64 << 10
    sent: Callable[[], None] | None = None
    answer: float = 0.0


class Reply(Protocol):
    status: int
    headers: dict[str, str]

    def read(self) -> bytes: ...
    def close(self) -> None: ...


class Transport(Protocol):
    def open(self, request: HttpRequest, route: Route, timing: Timing) -> Reply: ...
    def close(self) -> None: ...


class AsyncReply(Protocol):
    status: int
    headers: dict[str, str]

    async def read(self) -> bytes: ...
    async def close(self) -> None: ...


class AsyncTransport(Protocol):
    async def open(self, request: HttpRequest, route: Route, timing: Timing) -> AsyncReply: ...
    async def close(self) -> None: ...


_shapes: dict[tuple[bytes, ...], tuple[tuple[str, ...], int]] = {}  # names of headers -> the same in lower case, bytes on the wire
_SHAPES = 512  # servers repeat the same few
_LONGEST = 4096  # bytes of names that are remembered


def _shape(names: tuple[bytes, ...]) -> tuple[tuple[str, ...], int]:
    """The names in lower case, and how long they are with what parts them from values; remembered."""
    shape = tuple(str(name, "latin-1").lower() for name in names), len(b"\r\n: ".join(names))
    if shape[1] <= _LONGEST:
        if len(_shapes) >= _SHAPES:
            _shapes.clear()
        _shapes[names] = shape
    return shape


def lower(pairs: Sequence[tuple[bytes, bytes]], limit: int) -> Headers:
    """Raw header pairs as a mapping with lower-case names; repeated ones are joined by a comma. SendFailure past the limit."""
    if not pairs:
        return Headers()
    names, values = zip(*pairs)
    told = b"\n".join(values)
    keys, size = _shapes.get(names) or _shape(names)
    if len(told) + size > limit:
        raise SendFailure("limit", f"the reply's headers are longer than {limit} bytes")
    texts = str(told, "latin-1").split("\n")
    if len(texts) != len(values):  # no parser lets a value with a line end through; should one, no value takes another's place
        texts = [str(value, "latin-1") for value in values]
    out = Headers(zip(keys, texts))
    if len(out) != len(keys):
        out = Headers()
        for name, text in zip(keys, texts):
            out[name] = f"{out[name]}, {text}" if name in out else text
    return out
