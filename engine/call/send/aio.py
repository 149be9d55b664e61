"""The async transport on aiohttp: taken when the extra [fast] is installed, because its pool costs the same at any load."""

from __future__ import annotations

import asyncio
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
_SKIP = frozenset({"Accept", "Accept-Encoding", "Content-Type", "User-Agent"})
_urls: dict[str, URL] = {}  # most calls repeat one of few URLs


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


_ERRORS = (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError, ValueError, RuntimeError, SendFailure)


class AiohttpReply:
    __slots__ = ("_content", "_loop", "_response", "_timer", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, timing: Timing, loop: asyncio.AbstractEventLoop) -> None:
        self._response = response
        self._content = response.content
        self._timer = timing.timer
        self._loop = loop
        self.status = response.status
        self.headers = lower(response.raw_headers, timing.header_bytes)

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
        except (*_ERRORS, aiohttp.EofStream) as error:
            raise _failure(error) from None

    async def close(self) -> None:
        response = self._response
        if self._content.at_eof() and self._content.exception() is None:
            response.release()  # back to the pool
        else:
            response.close()


def _left(content: Any) -> bytes:
    """What had arrived when the connection broke and nobody has read yet. The library's own readers would drop it, but it was
    sent: the caller sees it before the error (RELIABILITY T3)."""
    take = getattr(content, "_read_nowait", None)
    data: bytes = take(-1) if take is not None else b""
    return data


class AiohttpTransport:
    """aiohttp sessions, one per event loop, address policy and connect limit, made when first used."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[bool, float], aiohttp.ClientSession] = {}
        self._proxies: dict[tuple[Route, str, str], str | None] = {}  # the environment is asked once for each origin
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, request: HttpRequest, route: Route, timing: Timing) -> AiohttpReply:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # sockets of a loop that has ended are dead
            await self._forget()
            self._loop = loop
        session = self._sessions.get((route.public, timing.connect)) or self._session(route.public, timing.connect)
        options: dict[str, Any] = {}
        try:
            url = _urls.get(request.url)
            if url is None:
                url = URL(request.url, encoded=True)
                if len(_urls) >= 256:
                    _urls.clear()
                if len(request.url.partition("?")[2]) < QUERY:
                    _urls[request.url] = url
            host, scheme = url.host, url.scheme
            if not host or scheme not in ("http", "https"):
                raise SendFailure("config", "the request's URL is not absolute", unsent=True)
            if scheme == "https":
                options["ssl"] = ssl_context(route.ca_file)
            origin = (route, scheme, host)
            proxy = self._proxies[origin] if origin in self._proxies else self._proxy(*origin)
            if proxy:
                options["proxy"] = proxy
            if route.public and _is_literal(host) and not is_public(host):
                raise SendFailure("config", "the host of this URL does not have a public address", unsent=True)
            headers = wire_headers(request.headers, request.body, request.method, request.stream)
            # `timeout_at` raises TimeoutError, of which OSError is the base: caught with the rest.
            async with asyncio.timeout_at(loop.time() + timing.timer.left()):
                response = await session.request(
                    request.method,
                    url,
                    data=request.body,
                    headers=headers,
                    allow_redirects=False,
                    **options,
                )
        except _ERRORS as error:
            raise _failure(error) from None
        try:
            return AiohttpReply(response, timing, loop)
        except SendFailure:
            response.close()
            raise

    def _proxy(self, route: Route, scheme: str, host: str) -> str | None:
        found = self._proxies[(route, scheme, host)] = proxy_for(route, scheme, host)
        return found

    async def _forget(self) -> None:
        """Drop the sessions of a loop that has ended."""
        ended = self._loop is not None and self._loop.is_closed()
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions if ended else ():
            try:
                await session.close()
            except RuntimeError:
                pass

    def _session(self, public: bool, connect: float) -> aiohttp.ClientSession:
        resolver = _PublicResolver() if public else None
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE, resolver=resolver, use_dns_cache=not public)
        session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect),
            trust_env=False,
            skip_auto_headers=_SKIP,
            max_line_size=65536,
            max_field_size=65536,
        )
        self._sessions[(public, connect)] = session
        return session

    async def close(self) -> None:
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
