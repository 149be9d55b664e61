"""The sync transport: HTTP/1.1 over sockets of our own; requests that need a proxy go through httpcore's pools.

A client library costs more than the exchange itself and reads one timeout per exchange, which a server that trickles can
stretch for ever. Here every socket read gets what is left of the exchange's timer.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from typing import Any

from engine.call.send import Reply, Route, SendFailure, Timing
from engine.call.send.http1 import Incoming, request_head
from engine.call.send.origin import public_address, ssl_context, wire_headers
from engine.call.send.place import Place, Places, place
from engine.reliability.deadline import Timer
from engine.types import HttpRequest

__all__ = ["DirectTransport"]

KEEPALIVE = 60.0  # seconds an idle connection is kept
PIECE = 1 << 16  # bytes read at once
_JOINED = 1 << 16  # a body up to this size is sent together with the head

Key = tuple[str, str, int, str | None, bool]  # scheme, host, port, CA file, public only


class _Connection:
    """One socket and the pool slot it belongs to."""

    __slots__ = ("_poll", "idle_since", "key", "socket")

    def __init__(self, key: Key, made: socket.socket) -> None:
        self.key = key
        self.socket = made
        self.idle_since = 0.0
        self._poll: Any = None

    def stale(self) -> bool:
        """Whether something arrived while nobody waited: the end, as a rule, and never an answer of ours."""
        if self._poll is None:
            if not hasattr(select, "poll"):  # Windows
                return bool(select.select([self.socket], [], [], 0)[0])
            self._poll = select.poll()
            self._poll.register(self.socket, select.POLLIN)
        return bool(self._poll.poll(0))

    def close(self) -> None:
        try:
            self.socket.close()
        except OSError:
            pass


class DirectReply:
    __slots__ = ("_connection", "_first", "_incoming", "_timer", "_transport", "headers", "status")

    def __init__(
        self, transport: DirectTransport, connection: _Connection, incoming: Incoming, first: bytes, timer: Timer
    ) -> None:
        self._transport = transport
        self._connection: _Connection | None = connection
        self._incoming = incoming
        self._first = first
        self._timer = timer
        self.status = incoming.status
        self.headers = incoming.headers

    def read(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        incoming, connection = self._incoming, self._connection
        while not incoming.done and connection is not None:
            data = _received(connection, self._timer)
            if not data:
                incoming.eof()
            elif body := incoming.feed(data):
                return body
        return b""

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._incoming.done and self._incoming.reusable:
                self._transport.keep(connection)
            else:
                connection.close()


class DirectTransport:
    """Connections by origin, made when first needed and kept for the next exchange. Shareable between threads."""

    def __init__(self) -> None:
        self._idle: dict[Key, list[_Connection]] = {}
        self._lock = threading.Lock()
        self._places = Places()
        self._proxied: Any = None

    def open(self, request: HttpRequest, route: Route, timing: Timing) -> Reply:
        where = place(request.url)
        if self._places.proxy(route, where) is not None:
            return self._pools().open(request, route, timing)
        headers = wire_headers(request.headers, request.body, request.method, request.stream)
        head = request_head(request.method, where.target, where.shown, headers)
        key = (where.scheme, where.host, where.port, route.ca_file, route.public)
        connection = self._take(key) or _connected(key, where, timing)
        try:
            _send(connection.socket, head, request.body, timing)
            incoming = Incoming(request.method, timing.header_bytes)
            first = b""
            while not incoming.status:
                data = _received(connection, timing.timer)
                if not data:
                    incoming.eof()
                first = incoming.feed(data)
        except BaseException:
            connection.close()
            raise
        return DirectReply(self, connection, incoming, first, timing.timer)

    def keep(self, connection: _Connection) -> None:
        """Take back a connection whose exchange is complete; those that were idle too long are closed."""
        now = connection.idle_since = time.monotonic()
        old: list[_Connection] = []
        with self._lock:
            idle = self._idle.setdefault(connection.key, [])
            idle.append(connection)
            while idle[0].idle_since + KEEPALIVE < now:
                old.append(idle.pop(0))
        for unused in old:
            unused.close()

    def _take(self, key: Key) -> _Connection | None:
        """The connection used last that is still open."""
        idle = self._idle.get(key)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread was faster
                return None
            if connection.idle_since + KEEPALIVE >= time.monotonic() and not connection.stale():
                return connection
            connection.close()
        return None

    def _pools(self) -> Any:
        with self._lock:
            if self._proxied is None:
                from engine.call.send.threaded import PooledTransport

                self._proxied = PooledTransport()
            return self._proxied

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, {}
            proxied, self._proxied = self._proxied, None
        for connections in idle.values():
            for connection in connections:
                connection.close()
        if proxied is not None:
            proxied.close()


def _connected(key: Key, where: Place, timing: Timing) -> _Connection:
    """A new connection, its TLS handshake done, within the limit for connecting."""
    until = time.monotonic() + timing.connect
    host = public_address(where.host, where.port) if key[4] else where.host
    made: Any = None
    try:
        made = socket.create_connection((host, where.port), timing.connect)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if where.scheme == "https":
            context = ssl_context(key[3])
            context.set_alpn_protocols(["http/1.1"])
            made.settimeout(max(0.001, until - time.monotonic()))
            made = context.wrap_socket(made, server_hostname=where.host)
    except BaseException as error:
        if made is not None:
            made.close()
        raise _unconnected(error) from None
    return _Connection(key, made)


def _unconnected(error: BaseException) -> BaseException:
    """What kept a connection from being made, in our words."""
    if isinstance(error, TimeoutError):
        return SendFailure("timeout", "no connection within the time limit", unsent=True)
    if isinstance(error, OSError) and type(error).__module__ == "ssl":
        return SendFailure("tls", "the server's certificate or the TLS handshake was refused", unsent=True)
    if isinstance(error, (OSError, UnicodeError)):
        return SendFailure("connection", "no connection to the server", unsent=True)
    return error


def _send(to: socket.socket, head: bytes, body: bytes | None, timing: Timing) -> None:
    """Send it all. A server that answers before it has read everything is heard nevertheless: a broken pipe is no failure yet."""
    try:
        to.settimeout(max(0.001, timing.send))
        if not body:
            to.sendall(head)
        elif len(body) <= _JOINED:
            to.sendall(head + body)
        else:
            to.sendall(head)
            to.sendall(body)
    except TimeoutError:
        raise SendFailure("timeout", "no answer within the time limit") from None
    except OSError:
        pass


def _received(connection: _Connection, timer: Timer) -> bytes:
    """Raw bytes, empty at the end. SendFailure when the timer runs out first."""
    left = timer.left()
    if left <= 0:
        raise SendFailure("timeout", "no answer within the time limit")
    try:
        connection.socket.settimeout(left)
        return connection.socket.recv(PIECE)
    except TimeoutError:
        raise SendFailure("timeout", "no answer within the time limit") from None
    except OSError:
        raise SendFailure("connection", "the connection broke") from None
