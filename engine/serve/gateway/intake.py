"""The request of a client as ASGI brings it: read once, within limits (RELIABILITY G3, G6)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from engine.call.json import JsonLimitError, loads
from engine.call.send import lower
from engine.serve.gateway.config import Config, loopback
from engine.serve.gateway.wording import Refused

if TYPE_CHECKING:
    from engine.serve.gateway.watching import Watch

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MOST_QUERY = 8192


class Gone(Exception):
    """The client went away."""


@dataclass(slots=True)
class Intake:
    """Method, path (percent-encoded), query and headers (lower-case names) of a request. Nothing of it is shown by repr."""

    method: str
    path: str = field(repr=False)
    query: dict[str, str] = field(repr=False)
    headers: dict[str, str] = field(repr=False)

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> Intake:
        """What an ASGI scope says."""
        raw = scope.get("raw_path")
        path = raw.partition(b"?")[0].decode("latin-1") if raw else quote(scope["path"], safe="/:@")
        text = scope.get("query_string") or b""
        query = dict(parse_qsl(text.decode("latin-1"), keep_blank_values=True)) if 0 < len(text) <= MOST_QUERY else {}
        headers = lower(scope["headers"], sys.maxsize)  # how long they may be is for the server that read them
        return cls(scope["method"], path, query, headers)

    def from_here(self) -> bool:
        """Whether the request was meant for this machine: a page of a browser that found the port is not."""
        host = urlsplit(f"//{self.headers.get('host', '')}")
        origin = self.headers.get("origin")
        return loopback(host.hostname or "") and (origin is None or loopback(urlsplit(origin).hostname or ""))


async def read_body(intake: Intake, watch: Watch, config: Config) -> bytes:
    """The whole body. Raises Refused past a limit or for one that stands still, Gone if the client goes away before its end."""
    if intake.headers.get("content-encoding", "identity") != "identity":
        raise Refused("invalid_request", "send the body without a content-encoding", status=415)
    length = intake.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 12 or int(length) > config.body):
        raise Refused("too_large", _too_large(config))
    pieces: list[bytes] = []
    size = 0
    receive = watch.receive
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size > config.body:
                raise Refused("too_large", _too_large(config))
            if not message.get("more_body"):
                return b"".join((*pieces, piece)) if pieces else piece
            pieces.append(piece)
            watch.moved()
    except asyncio.CancelledError:
        if not watch.gave_up():
            raise
        raise Refused("invalid_request", "the body of the request did not arrive in time", status=408) from None


def _too_large(config: Config) -> str:
    return f"a request has at most {config.body:,} bytes"


def document(body: bytes) -> dict[str, Any]:
    """The mapping a body holds. Raises Refused for anything else."""
    try:
        value = loads(body)
    except JsonLimitError:
        raise Refused("invalid_request", "the body is nested deeper than 64 levels or holds a number of absurd length") from None
    except ValueError:
        raise Refused("invalid_request", "the body is not JSON") from None
    if not isinstance(value, dict):
        raise Refused("invalid_request", "the body is not a JSON object")
    return value
