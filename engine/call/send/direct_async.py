"""The async transport: HTTP/1.1 on the event loop itself; requests that need a proxy go through a client library.

The pools of the libraries cost as much as the exchange (aiohttp) or grow with the number of open connections (httpx). Here a
call is one write, one wait and one timer; whatever has arrived is there without another turn of the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from engine.call.send import AsyncReply, Route, SendFailure, Timing
from engine.call.send.http1 import Incoming, request_head
from engine.call.send.origin import checked, ssl_context, wire_headers
from engine.call.send.place import Place, Places, place
from engine.reliability.deadline import Timer
from engine.types import HttpRequest

__all__ = ["AsyncDirectTransport"]

KEEPALIVE = 60.0  # seconds an idle connection is kept
HIGH = 1 << 20  # unread bytes of an answer at which reading from the socket pauses
_JOINED = 1 << 16  # a body up to this size is sent together with the head

Key = tuple[str, str, int, str | None, bool]  # scheme, host, port, CA file, public only


class _Connection(asyncio.Protocol):
    """One connection: the bytes of the exchange under way, and whoever waits for them."""

    __slots__ = (
        "_blocked", "_expiry", "_loop", "_paused", "_pieces", "_size", "_timer", "_waiter", "closed", "failure", "idle_since", "incoming",
        "key", "transport",
    )  # fmt: skip

    def __init__(self, key: Key, loop: asyncio.AbstractEventLoop) -> None:
        self.key = key
        self.transport: Any = None
        self.incoming: Incoming | None = None
        self.failure: SendFailure | None = None
        self.closed = False
        self.idle_since = 0.0
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False  # reading, until the reader has caught up
        self._blocked = False  # writing, until the server has read
        self._waiter: asyncio.Future[None] | None = None
        self._timer: Timer | None = None
        self._expiry: asyncio.TimerHandle | None = None

    # --- what the event loop calls ----------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(high=0)  # so that `resume_writing` means that all is sent

    def data_received(self, data: bytes) -> None:
        incoming = self.incoming
        if incoming is None:  # nobody asked: the connection is of no further use
            self.abort()
            return
        try:
            body = incoming.feed(data)
        except SendFailure as failure:
            self._fail(failure)
            return
        if body:
            self._pieces.append(body)
            self._size += len(body)
            if self._size > HIGH and not self._paused:
                self._paused = True
                self.transport.pause_reading()
        elif not incoming.done and not incoming.status:
            return
        if self._waiter is not None:
            self._wake()

    def eof_received(self) -> None:
        self._closing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if exc is not None and self.incoming is not None and not self.incoming.done:
            self._fail(SendFailure("connection", "the connection broke"))
        else:
            self._closing()

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self._wake()

    # --- what the exchange calls ------------------------------------------------------------------------------------

    async def exchange(self, head: bytes, body: bytes | None, method: str, timing: Timing) -> Incoming:
        """Send a request and wait for the header fields of its answer."""
        incoming = self.incoming = Incoming(method, timing.header_bytes)
        self._timer = timing.timer
        write = self.transport.write
        if body and len(body) <= _JOINED:
            write(head + body)
        else:
            write(head)
            if body:
                write(body)
        if self._blocked:
            limit = Timer(time.monotonic() + timing.send)
            while self._blocked and not incoming.status and self.failure is None:
                await self._wait(limit)
        while not incoming.status:
            await self._wait(timing.timer)
        return incoming

    async def read(self) -> bytes:
        """The next bytes of the body, empty at its end."""
        while not self._pieces:
            incoming = self.incoming
            if incoming is None or incoming.done:
                return b""
            assert self._timer is not None
            await self._wait(self._timer)
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        return data

    def finish(self) -> bool:
        """End the exchange: whether the connection can carry another one. It is closed if not."""
        incoming, self.incoming = self.incoming, None
        self._pieces.clear()
        self._size = 0
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        self._timer = None
        if self.closed or self._paused or self._blocked or incoming is None or not incoming.done or not incoming.reusable:
            self.abort()
            return False
        return True

    def abort(self) -> None:
        self.closed = True
        try:
            self.transport.abort()
        except RuntimeError:  # its event loop has ended, and the socket with it
            pass

    # --- waiting ----------------------------------------------------------------------------------------------------

    async def _wait(self, timer: Timer) -> None:
        """Wait for any news, no longer than the timer says. Raises what failed."""
        if self.failure is not None:
            raise self.failure
        left = timer.left()
        if left <= 0:
            raise SendFailure("timeout", "no answer within the time limit")
        self._timer = timer
        when = self._loop.time() + left
        expiry = self._expiry
        if expiry is None or expiry.when() > when + 0.001:  # a later one finds out that the timer was moved
            if expiry is not None:
                expiry.cancel()
            self._expiry = self._loop.call_at(when, self._expire)
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None
        if self.failure is not None and not self._pieces:
            raise self.failure

    def _expire(self) -> None:
        self._expiry = None
        timer = self._timer
        if timer is None or self._waiter is None:
            return
        left = timer.left()
        if left > 0:
            self._expiry = self._loop.call_at(self._loop.time() + left, self._expire)
        else:
            self._fail(SendFailure("timeout", "no answer within the time limit"))

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, failure: SendFailure) -> None:
        if self.failure is None:
            self.failure = failure
        self.abort()
        self._wake()

    def _closing(self) -> None:
        self.closed = True
        incoming = self.incoming
        if incoming is not None and not incoming.done and self.failure is None:
            try:
                incoming.eof()
            except SendFailure as failure:
                self.failure = failure
            self._wake()


class AsyncDirectReply:
    __slots__ = ("_connection", "_transport", "headers", "read", "status")

    def __init__(self, transport: AsyncDirectTransport, connection: _Connection, incoming: Incoming) -> None:
        self._transport = transport
        self._connection: _Connection | None = connection
        self.read = connection.read
        self.status = incoming.status
        self.headers = incoming.headers

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self.read = _nothing
            if connection.finish():
                self._transport.keep(connection)


async def _nothing() -> bytes:
    return b""


class AsyncDirectTransport:
    """Connections by origin, made when first needed and kept for the next exchange of the same event loop."""

    def __init__(self) -> None:
        self._idle: dict[Key, deque[_Connection]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = Places()
        self._proxied: Any = None

    async def open(self, request: HttpRequest, route: Route, timing: Timing) -> AsyncReply:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # sockets of a loop that has ended are dead
            self._drop()
            self._loop = loop
        where = place(request.url)
        if self._places.proxy(route, where) is not None:
            reply: AsyncReply = await self._pools().open(request, route, timing)
            return reply
        headers = wire_headers(request.headers, request.body, request.method, request.stream)
        head = request_head(request.method, where.target, where.shown, headers)
        key = (where.scheme, where.host, where.port, route.ca_file, route.public)
        connection = self._take(key, loop) or await _connected(key, where, timing, loop)
        try:
            incoming = await connection.exchange(head, request.body, request.method, timing)
        except BaseException:
            connection.abort()
            raise
        return AsyncDirectReply(self, connection, incoming)

    def keep(self, connection: _Connection) -> None:
        """Take back a connection whose exchange is complete; those that were idle too long are closed."""
        loop = self._loop
        if loop is None:
            connection.abort()
            return
        now = connection.idle_since = loop.time()
        idle = self._idle.get(connection.key)
        if idle is None:
            idle = self._idle[connection.key] = deque()
        idle.append(connection)
        while idle[0].closed or idle[0].idle_since + KEEPALIVE < now:
            idle.popleft().abort()
            if not idle:
                break

    def _take(self, key: Key, loop: asyncio.AbstractEventLoop) -> _Connection | None:
        """The connection used last that is still open."""
        idle = self._idle.get(key)
        while idle:
            connection = idle.pop()
            if not connection.closed and connection.idle_since + KEEPALIVE >= loop.time():
                return connection
            connection.abort()
        return None

    def _pools(self) -> Any:
        if self._proxied is None:
            try:
                from engine.call.send.aio import AiohttpTransport
            except ImportError:
                from engine.call.send.evented import AsyncPooledTransport

                self._proxied = AsyncPooledTransport()
            else:
                self._proxied = AiohttpTransport()
        return self._proxied

    def _drop(self) -> None:
        idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.abort()

    async def close(self) -> None:
        self._drop()
        self._loop = None
        proxied, self._proxied = self._proxied, None
        if proxied is not None:
            await proxied.close()


async def _connected(key: Key, where: Place, timing: Timing, loop: asyncio.AbstractEventLoop) -> _Connection:
    """A new connection, its TLS handshake done, within the limit for connecting."""
    options: dict[str, Any] = {}
    try:
        if where.scheme == "https":
            context = ssl_context(key[3])
            context.set_alpn_protocols(["http/1.1"])
            options = {"ssl": context, "server_hostname": where.host}
        async with asyncio.timeout(timing.connect):
            host = await _public(where, loop) if key[4] else where.host
            _, connection = await loop.create_connection(lambda: _Connection(key, loop), host, where.port, **options)
            return connection
    except TimeoutError:
        raise SendFailure("timeout", "no connection within the time limit", unsent=True) from None
    except OSError as error:
        if type(error).__module__ == "ssl":
            raise SendFailure("tls", "the server's certificate or the TLS handshake was refused", unsent=True) from None
        raise SendFailure("connection", "no connection to the server", unsent=True) from None
    except (UnicodeError, ValueError):
        raise SendFailure("connection", "no connection to the server", unsent=True) from None


async def _public(where: Place, loop: asyncio.AbstractEventLoop) -> str:
    """An address of the host, all of whose addresses are public; the connection goes to what was checked."""
    import socket

    try:
        found = await loop.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SendFailure("connection", "the host name cannot be resolved", unsent=True) from None
    return checked([str(entry[4][0]) for entry in found])
