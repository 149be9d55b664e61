"""The one door to the network: transports that send an HttpRequest and hand back status, headers and raw bytes.

Nothing outside this package knows which HTTP client runs. A transport offers

    open(request, route, timing) -> Reply        # sends, returns when the headers are there
    close()

and a reply `status`, `headers` (lower-case names), `read() -> bytes` (the next raw bytes, empty at the end) and `close()`;
in the async twin these are coroutines. Failures leave as SendFailure, which the flow turns into a typed error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.reliability.deadline import Timer
from engine.types import Headers, HttpRequest

__all__ = ["AsyncReply", "AsyncTransport", "Headers", "Reply", "Route", "SendFailure", "Timing", "Transport"]


class SendFailure(Exception):
    """An exchange that broke, in our words. `kind` is of RELIABILITY E2; `unsent` proves the provider saw no byte of it.

    Its text names no URL, header or body. It never leaves the engine.
    """

    def __init__(self, kind: str, text: str, unsent: bool = False) -> None:
        super().__init__(text)
        self.kind = kind
        self.unsent = unsent


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
    when the request is written: the caller's own limits count from then."""

    connect: float
    send: float
    timer: Timer
    header_bytes: int = 64 << 10
    sent: Callable[[], None] | None = None


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


_names: dict[bytes, str] = {}  # providers repeat the same few


def _name(given: bytes) -> str:
    name = str(given, "latin-1").lower()
    if len(_names) < 512 and len(given) <= 64:
        _names[given] = name
    return name


def lower(pairs: Any, limit: int) -> Headers:
    """Header pairs as a mapping with lower-case names; repeated ones are joined by a comma. SendFailure past the limit."""
    out = Headers()
    size = 0
    known = _names
    for name, value in pairs:
        size += len(name) + len(value) + 4
        if name.__class__ is bytes:
            value = str(value, "latin-1")
            name = known.get(name) or _name(name)
        else:
            name = name.lower()
        out[name] = f"{out[name]}, {value}" if name in out else value
    if size > limit:
        raise SendFailure("limit", f"the reply's headers are longer than {limit} bytes")
    return out
