"""The async transport on aiohttp: taken when the extra [fast] is installed, because its pool costs the same at any load."""

from __future__ import annotations

import asyncio
import base64
import math
import re
import socket
import ssl
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from engine.call.content import Content
from engine.call.send import Route, SendFailure, Timing, lower
from engine.call.send.origin import QUERY, added, checked, is_public, proxy_for, sized, ssl_context
from engine.call.send.sending import Pieces
from engine.types import HttpRequest

__all__ = ["AiohttpTransport"]

KEEPALIVE = 60.0
READ = 65536  # bytes of one read of a socket; asyncio asks for four times that, which glibc maps and unmaps for every read
HEADER = 65536  # bytes of a line of a reply's head; all of it together is bounded by the call's limits
PLACES = 256  # URLs that are remembered
SHAPES = 64  # kinds of heads that are remembered of one URL
_REPEATED = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))  # idempotent (RFC 9110)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class _PublicResolver(AbstractResolver):
    """Name lookup that refuses a host with any address that is not public; the connection goes to what was checked."""

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_UNSPEC) -> list[Any]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        checked([str(entry[4][0]) for entry in found])
        return [
            {"hostname": host, "host": str(e[4][0]), "port": port, "family": e[0], "proto": e[2], "flags": socket.AI_NUMERICHOST}
            for e in found
        ]

    async def close(self) -> None:
        return None


def _failure(error: BaseException) -> SendFailure:
    if isinstance(error, SendFailure):
        return error
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError)):
        return SendFailure("tls", "the server's certificate or the TLS handshake was refused", unsent=True)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return SendFailure("timeout", "no connection within the time limit", unsent=True)
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return SendFailure("timeout", "no answer within the time limit")
    if isinstance(error, aiohttp.ClientConnectorError):
        return SendFailure("connection", "no connection to the server", unsent=True)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return SendFailure("connection", "the proxy refused the connection", unsent=True)
    if isinstance(error, aiohttp.InvalidURL):
        return SendFailure("config", "the request's URL is malformed", unsent=True)
    if isinstance(error, aiohttp.ClientPayloadError):
        return SendFailure("connection", "the server closed the connection before the answer was complete")
    if isinstance(error, (aiohttp.ClientResponseError, aiohttp.http_exceptions.HttpProcessingError)):
        text = str(error).lower()
        if (
            "more than" in text
            or "too many" in text
            or "too long" in text
            or isinstance(error, aiohttp.http_exceptions.LineTooLong)
        ):
            return SendFailure("limit", "the reply's headers are too long")
        return SendFailure("protocol", "the reply is not valid HTTP")
    if isinstance(error, ValueError):
        return SendFailure("config", "the request is not valid HTTP", unsent=True)
    return SendFailure("connection", "the connection broke")


_ERRORS = (
    aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, aiohttp.EofStream,
    OSError, ValueError, RuntimeError, SendFailure,
)  # fmt: skip


class AiohttpReply:
    __slots__ = ("_alarm", "_connection", "_content", "_held", "_timer", "headers", "status", "whole")

    def __init__(self, connection: Any, message: Any, content: Any, timing: Timing, alarm: _Alarm, held: set[Any]) -> None:
        self._connection = connection
        self._held = held
        self._content = content
        self._timer = timing.timer
        self._alarm = alarm
        self.status: int = message.code
        self.headers = lower(message.raw_headers, timing.header_bytes)
        self.whole: bytes | None = None
        if content.is_eof() and content.exception() is None:  # the body came with the head: so do most of whole answers
            self.whole = content.read_nowait(-1)
            self._free()
        else:
            held.add(connection)

    async def read(self) -> bytes:
        if self.whole is not None:
            data, self.whole = self.whole, b""
            return data
        content = self._content
        try:
            if content.at_eof():
                return b""
            data = content.read_nowait(-1) if content.exception() is None else _left(content)
            if data:  # what is there already needs no clock
                return data
            self._alarm.set(content, self._timer.left())
            try:
                return await content.readany()
            finally:
                self._alarm.until.pop(content, None)
        except _ERRORS as error:
            raise _failure(error) from None

    async def close(self) -> None:
        if self.whole is None:
            self._held.discard(self._connection)
            self._free()

    def _free(self) -> None:
        """Give the connection back to the pool, if it can be used again."""
        connection, content = self._connection, self._content
        transport = connection.transport
        if content.at_eof() and content.exception() is None and transport is not None and not transport.get_write_buffer_size():
            connection.release()  # back to the pool
        else:
            connection.close()


class _Alarm:
    """One timer of the loop for all who wait: it is set for the soonest, and mostly rings when that one is long served.

    With a timer each, and a cancellation each, the clock took a twentieth of a call. Who waits is a protocol (for the head of a
    reply) or its body; it is told by an exception, not by cancelling a task, which could be taken for the caller's.
    """

    __slots__ = ("_at", "_handle", "_loop", "until")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._at = math.inf  # when it rings
        self._handle: asyncio.TimerHandle | None = None
        self.until: dict[Any, float] = {}  # who waits -> how long, on the loop's clock

    def set(self, waiting: Any, seconds: float) -> None:
        """Let it wait so long; whoever is served leaves `until`."""
        until = self.until[waiting] = self._loop.time() + seconds
        if until < self._at:
            self._ring_at(until)

    def _ring_at(self, at: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._at, self._handle = at, self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        now = max(self._at, self._loop.time())
        self._at, self._handle = math.inf, None
        for waiting in [one for one, until in self.until.items() if until <= now]:
            del self.until[waiting]
            waiting.set_exception(aiohttp.SocketTimeoutError())
        if self.until:
            self._ring_at(min(self.until.values()))


def _left(content: Any) -> bytes:
    """What had arrived when the connection broke and nobody has read yet. The library's own readers would drop it, but it was
    sent: the caller sees it before the error (RELIABILITY T3)."""
    take = getattr(content, "_read_nowait", None)
    data: bytes = take(-1) if take is not None else b""
    return data


class _First(aiohttp.ClientRequest):
    """What the pool knows a connection by; never sent itself. Its key is made once, not with every call."""

    connection_key: Any = None

    def __init__(self, url: URL, context: ssl.SSLContext | None, through: URL | None, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__("GET", url, loop=loop, ssl=context or True, proxy=through)
        self.connection_key = super().connection_key


class _Place:
    """Where the requests to one URL go: what finds them a connection, and how they name the URL."""

    __slots__ = ("first", "heads", "lines", "route", "target")

    def __init__(
        self, url: URL, route: Route, context: ssl.SSLContext | None, proxy: str | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        through = URL(proxy) if proxy else None
        self.route = route
        self.first = _First(url, context, through, loop)
        self.target = url.raw_path_qs
        self.lines = [f"Host: {self.first.headers['Host']}"]
        self.heads: dict[tuple[Any, ...], str] = {}
        if through is not None and context is None:  # a proxy is told the whole URL; with TLS there is a tunnel instead
            self.target = str(url)
            if through.user or through.password:
                known = base64.b64encode(f"{through.user or ''}:{through.password or ''}".encode()).decode()
                self.lines.append(f"Proxy-Authorization: Basic {known}")

    def head(self, request: HttpRequest) -> bytes:
        """The head of a request. Raises ValueError for what could end a line before its end.

        Requests to one URL differ in the values of their headers: all else of the text is put together once.
        """
        headers, body = request.headers, request.body
        shape = (request.method, request.stream, *headers)
        form = self.heads.get(shape) or self._form(shape)
        values = tuple(headers.values())
        if not "".join(values).isprintable() and any(map(_CONTROL.search, values)):
            raise ValueError("a header holds a control character")
        head = form % values
        if sized(body, request.method):
            return f"{head}Content-Length: {len(body or b'')}\r\n\r\n".encode()
        return (head + "\r\n").encode()

    def _form(self, shape: tuple[Any, ...]) -> str:
        """The head of all requests of a shape (method, stream, names of headers), with gaps where their values stand."""
        method, stream, *names = shape
        lines = [f"{method} {self.target} HTTP/1.1", *self.lines]
        lines += [f"{name}: {value}" for name, value in added(tuple(names), stream)]
        if any(map(_CONTROL.search, (*lines, *names))):
            raise ValueError("a header holds a control character")
        form = "".join(f"{line}\r\n" for line in lines).replace("%", "%%")
        form += "".join(f"{name}: ".replace("%", "%%") + "%s\r\n" for name in names)
        if len(self.heads) >= SHAPES:
            self.heads.clear()
        self.heads[shape] = form
        return form


class AiohttpTransport:
    """aiohttp's connection pools and parser, one pool per event loop and address policy, made when first used.

    A session of aiohttp costs twice what its pool and parser do, for cookies, redirects, tracing and timers that no call of
    ours has. So the request is written here, and everything else is left to aiohttp: connections, TLS, proxies, replies.
    """

    def __init__(self) -> None:
        self._pools: dict[bool, aiohttp.TCPConnector] = {}
        self._places: dict[str, _Place] = {}  # most calls repeat one of few URLs
        self._held: set[aiohttp.connector.Connection] = set()  # of replies that nobody has closed yet
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: _Alarm
        self._patience = aiohttp.ClientTimeout(total=None)

    async def open(self, request: HttpRequest, route: Route, timing: Timing) -> AiohttpReply:
        """Send the request and wait for the headers of the reply."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # sockets of a loop that has ended are dead
            await self._forget()
            self._loop, self._alarm = loop, _Alarm(loop)
        again, alarm = request.method in _REPEATED, self._alarm
        try:
            place = self._places.get(request.url)
            if place is None or (place.route is not route and place.route != route):
                place = self._place(request.url, route, loop)
            data = place.head(request)
            body = request.body
            if body and not isinstance(body, Content):
                data += body
            pool = self._pools.get(route.public) or self._pool(route.public)
            left = timing.timer.left()
            connect = timing.connect if timing.connect < left else max(0.001, left)
            if self._patience.connect != connect:
                self._patience = aiohttp.ClientTimeout(None, connect, sock_connect=connect, ceil_threshold=math.inf)
            while True:
                try:
                    connection = await pool.connect(place.first, [], self._patience)
                except TimeoutError:
                    raise SendFailure("timeout", "no connection within the time limit", unsent=True) from None
                try:
                    protocol: Any = connection.protocol
                    transport = protocol.transport
                    if transport is None or transport.is_closing():
                        raise aiohttp.ServerDisconnectedError
                    if getattr(transport, "max_size", READ) != READ:  # a plain socket of asyncio's own loop, when it is new
                        transport.max_size = READ
                    protocol.set_response_params(
                        skip_payload=request.method == "HEAD",
                        read_until_eof=True,
                        auto_decompress=False,
                        max_line_size=HEADER,
                        max_field_size=HEADER,
                    )
                    transport.write(data)
                    if isinstance(body, Content):
                        await _stream(protocol, body, timing)
                    if timing.sent is not None:
                        timing.sent()
                    alarm.set(protocol, timing.timer.left())
                    try:
                        message, content = await protocol.read()
                        while message.code < 200 and message.code != 101:  # what a server says before it answers
                            message, content = await protocol.read()
                    finally:
                        alarm.until.pop(protocol, None)
                    return AiohttpReply(connection, message, content, timing, alarm, self._held)
                except BaseException as error:
                    connection.close()
                    # An idle connection that had just been closed: what can do no harm is sent again at once.
                    if not again or not isinstance(error, (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
                        raise
                    again = False
        except _ERRORS as error:
            raise _failure(error) from None

    def _place(self, url: str, route: Route, loop: asyncio.AbstractEventLoop) -> _Place:
        """Checked and remembered: where a URL leads by this route. The environment's proxies are read once for each."""
        parsed = URL(url, encoded=True)
        host, scheme = parsed.host, parsed.scheme
        if not host or scheme not in ("http", "https"):
            raise SendFailure("config", "the request's URL is not absolute", unsent=True)
        context = ssl_context(route.ca_file) if scheme == "https" else None
        proxy = proxy_for(route, scheme, host)
        if route.public and _is_literal(host) and not is_public(host):
            raise SendFailure("config", "the host of this URL does not have a public address", unsent=True)
        place = _Place(parsed, route, context, proxy, loop)
        if not proxy and len(url.partition("?")[2]) < QUERY:
            if len(self._places) >= PLACES:
                self._places.clear()
            self._places[url] = place
        return place

    async def _forget(self) -> None:
        """Drop the pools of a loop that has ended."""
        ended = self._loop is not None and self._loop.is_closed()
        pools, self._pools = list(self._pools.values()), {}
        self._places, self._held = {}, set()
        for pool in pools if ended else ():
            try:
                await pool.close()
            except RuntimeError:
                pass

    def _pool(self, public: bool) -> aiohttp.TCPConnector:
        resolver = _PublicResolver() if public else None
        pool = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE, resolver=resolver, use_dns_cache=not public)
        self._pools[public] = pool
        return pool

    async def close(self) -> None:
        pools, self._pools = list(self._pools.values()), {}
        while self._held:  # of streams: their pool would forget them, and warn of them later
            try:
                self._held.pop().close()
            except RuntimeError:  # its loop has ended
                pass
        for pool in pools:
            await pool.close()


async def _stream(protocol: Any, body: Content, timing: Timing) -> None:
    """Send a body as it is read. A server that has answered already, or is gone, is not sent the rest: it is asked why."""
    write = timing.timer.sooner(timing.send)
    try:
        async for piece in Pieces(body, timing, write):
            if protocol.transport is None or protocol.transport.is_closing():
                return
            async with asyncio.timeout(max(0.0, write.left())):
                protocol.transport.write(piece)
                await protocol._drain_helper()
    except (aiohttp.ClientConnectionResetError, ConnectionError):
        return


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
