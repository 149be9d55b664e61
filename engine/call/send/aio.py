"""The async transport on aiohttp: taken when the extra [fast] is installed, because its pool costs the same at any load."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from engine.call.send import Route, SendFailure, Timing, lower
from engine.call.send.origin import QUERY, checked, is_public, proxy_for, ssl_context, wire_headers
from engine.types import HttpRequest

__all__ = ["AiohttpTransport"]

KEEPALIVE = 60.0
HEADER = 65536  # bytes of a line of a reply's head; all of it together is bounded by the call's limits
PLACES = 256  # URLs that are remembered
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
    __slots__ = ("_connection", "_content", "_loop", "_timer", "headers", "status")

    def __init__(self, connection: Any, message: Any, content: Any, timing: Timing, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._content = content
        self._timer = timing.timer
        self._loop = loop
        self.status: int = message.code
        self.headers = lower(message.raw_headers, timing.header_bytes)

    async def read(self) -> bytes:
        content = self._content
        try:
            data = content.read_nowait(-1) if content.exception() is None else _left(content)
            if data:  # what is there already needs no clock
                return data
            if content.at_eof():
                return b""
            async with asyncio.timeout_at(self._loop.time() + self._timer.left()):
                return await content.readany()
        except _ERRORS as error:
            raise _failure(error) from None

    async def close(self) -> None:
        connection, content = self._connection, self._content
        transport = connection.transport
        if content.at_eof() and content.exception() is None and transport is not None and not transport.get_write_buffer_size():
            connection.release()  # back to the pool
        else:
            connection.close()


def _left(content: Any) -> bytes:
    """What had arrived when the connection broke and nobody has read yet. The library's own readers would drop it, but it was
    sent: the caller sees it before the error (RELIABILITY T3)."""
    take = getattr(content, "_read_nowait", None)
    data: bytes = take(-1) if take is not None else b""
    return data


class _Place:
    """Where the requests to one URL go: what finds them a connection, and how they name the URL."""

    __slots__ = ("first", "lines", "target")

    def __init__(self, url: URL, context: ssl.SSLContext | None, proxy: str | None, loop: asyncio.AbstractEventLoop) -> None:
        through = URL(proxy) if proxy else None
        #: what the pool knows a connection by; never sent itself
        self.first = aiohttp.ClientRequest("GET", url, loop=loop, ssl=context or True, proxy=through)
        self.target = url.raw_path_qs
        self.lines = [f"Host: {self.first.headers['Host']}"]
        if through is not None and context is None:  # a proxy is told the whole URL; with TLS there is a tunnel instead
            self.target = str(url)
            if through.user or through.password:
                known = base64.b64encode(f"{through.user or ''}:{through.password or ''}".encode()).decode()
                self.lines.append(f"Proxy-Authorization: Basic {known}")


class AiohttpTransport:
    """aiohttp's connection pools and parser, one pool per event loop and address policy, made when first used.

    A session of aiohttp costs twice what its pool and parser do, for cookies, redirects, tracing and timers that no call of
    ours has. So the request is written here, and everything else is left to aiohttp: connections, TLS, proxies, replies.
    """

    def __init__(self) -> None:
        self._pools: dict[bool, aiohttp.TCPConnector] = {}
        self._places: dict[tuple[str, Route], _Place] = {}  # most calls repeat one of few URLs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._patience = aiohttp.ClientTimeout(total=None)

    async def open(self, request: HttpRequest, route: Route, timing: Timing) -> AiohttpReply:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # sockets of a loop that has ended are dead
            await self._forget()
            self._loop = loop
        again = request.method in _REPEATED
        try:
            place = self._places.get((request.url, route)) or self._place(request.url, route, loop)
            data = _written(request, place)
            # `timeout_at` raises TimeoutError, of which OSError is the base: caught with the rest.
            async with asyncio.timeout_at(loop.time() + timing.timer.left()):
                while True:
                    try:
                        return await self._exchange(request, route, place, data, timing)
                    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
                        # An idle connection that had just been closed: what can do no harm is sent again at once.
                        if not again or isinstance(error, (aiohttp.ClientConnectorError, TimeoutError)):
                            raise
                        again = False
        except _ERRORS as error:
            raise _failure(error) from None

    async def _exchange(self, request: HttpRequest, route: Route, place: _Place, data: bytes, timing: Timing) -> AiohttpReply:
        """Send what is written and wait for the headers of the reply."""
        pool = self._pools.get(route.public) or self._pool(route.public)
        if self._patience.sock_connect != timing.connect:
            self._patience = aiohttp.ClientTimeout(total=None, sock_connect=timing.connect)
        try:
            connection = await pool.connect(place.first, [], self._patience)
        except TimeoutError:
            raise SendFailure("timeout", "no connection within the time limit", unsent=True) from None
        try:
            protocol, transport = connection.protocol, connection.transport
            if protocol is None or transport is None or transport.is_closing():
                raise aiohttp.ServerDisconnectedError
            protocol.set_response_params(
                skip_payload=request.method == "HEAD",
                read_until_eof=True,
                auto_decompress=False,
                max_line_size=HEADER,
                max_field_size=HEADER,
            )
            transport.write(data)
            if timing.sent is not None:
                timing.sent()
            message, content = await protocol.read()
            while message.code < 200 and message.code != 101:  # what a server says before it answers
                message, content = await protocol.read()
            return AiohttpReply(connection, message, content, timing, self._loop)  # type: ignore[arg-type]
        except BaseException:
            connection.close()
            raise

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
        place = _Place(parsed, context, proxy, loop)
        if not proxy and len(url.partition("?")[2]) < QUERY:
            if len(self._places) >= PLACES:
                self._places.clear()
            self._places[(url, route)] = place
        return place

    async def _forget(self) -> None:
        """Drop the pools of a loop that has ended."""
        ended = self._loop is not None and self._loop.is_closed()
        pools, self._pools = list(self._pools.values()), {}
        self._places = {}
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
        for pool in pools:
            await pool.close()


def _written(request: HttpRequest, place: _Place) -> bytes:
    """The request as it goes out. Raises ValueError for what could end a line before its end."""
    body = request.body
    lines = [f"{request.method} {place.target} HTTP/1.1", *place.lines]
    lines += [f"{name}: {value}" for name, value in wire_headers(request.headers, body, request.method, request.stream)]
    text = "".join(lines)
    if not text.isprintable() and _CONTROL.search(text):
        raise ValueError("a header holds a control character")
    lines += ("", "")
    head = "\r\n".join(lines).encode()
    return head + body if body else head


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
