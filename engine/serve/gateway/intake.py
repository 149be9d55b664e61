"""The request of a client as ASGI brings it: read once, within limits (RELIABILITY G3, G6)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from engine.call.json import JsonLimitError, loads
from engine.call.send import lower
from engine.serve.gateway.config import Config, loopback
from engine.serve.gateway.wording import Refused

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


class Patience:
    """Ends the wait for bodies that stand still. One clock for all of them: a timer for each would cost more than its body."""

    __slots__ = ("_late", "_looking", "_seconds", "_since")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._looking = False

    async def next(self, receive: Receive) -> Message:
        """The next message. Raises Refused if it does not come in time."""
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        self._since[task] = loop.time()
        if not self._looking:
            self._looking = True
            loop.call_later(self._seconds / 2, self._look, loop)
        try:
            return await receive()
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
        finally:
            del self._since[task]
            self._late.discard(task)
        raise Refused("invalid_request", "the body of the request did not arrive in time", status=408)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        before = loop.time() - self._seconds
        for task, since in self._since.items():
            if since <= before and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._looking = bool(self._since)
        if self._looking:
            loop.call_later(self._seconds / 2, self._look, loop)


async def read_body(intake: Intake, receive: Receive, config: Config, patience: Patience) -> bytes:
    """The whole body. Raises Refused past a limit, Gone if the client goes away before its end."""
    if intake.headers.get("content-encoding", "identity") != "identity":
        raise Refused("invalid_request", "send the body without a content-encoding", status=415)
    length = intake.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 12 or int(length) > config.body):
        raise Refused("too_large", _too_large(config))
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await patience.next(receive)
        if message["type"] == "http.disconnect":
            raise Gone
        piece = message.get("body", b"")
        size += len(piece)
        if size > config.body:
            raise Refused("too_large", _too_large(config))
        if not message.get("more_body"):
            return b"".join((*pieces, piece)) if pieces else piece
        pieces.append(piece)


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
