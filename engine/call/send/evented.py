"""The async transport on httpcore's connection pools: the default where aiohttp is not installed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from importlib.util import find_spec
from typing import Any

import httpcore

from engine.call.send import Route, SendFailure, Timing, lower
from engine.call.send.origin import public_address, ssl_context
from engine.call.send.pooled import CALM, KEEPALIVE, Burst, Target, failure, left, prepared, proxy_of, target
from engine.types import HttpRequest

__all__ = ["AsyncPooledTransport"]

if find_spec("sniffio") is None:
    # httpcore asks for it three times a call; what is not there would be looked for on the disk every time.
    sys.modules["sniffio"] = None  # type: ignore[assignment]


class _Stream(httpcore.AsyncNetworkStream):
    """A socket whose reads, writes and handshake end when the exchange's timer does."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self.aclose = inner.aclose  # type: ignore[method-assign]
        self.get_extra_info = inner.get_extra_info  # type: ignore[method-assign]

    async def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        return await self._inner.read(max_bytes, left(timeout, httpcore.ReadTimeout))

    async def write(self, buffer: bytes, timeout: Any = None) -> None:
        await self._inner.write(buffer, left(timeout, httpcore.WriteTimeout))

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: Any = None
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._inner.start_tls(ssl_context, server_hostname, left(timeout, httpcore.ConnectTimeout)))


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, public: bool) -> None:
        self._inner = httpcore.AnyIOBackend()
        self._public = public

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Any = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if self._public:
            import anyio.to_thread

            host = await anyio.to_thread.run_sync(public_address, host, port)
        seconds = left(timeout, httpcore.ConnectTimeout)
        return _Stream(await self._inner.connect_tcp(host, port, seconds, local_address, socket_options))

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class AsyncPooledReply:
    __slots__ = ("_burst", "_chunks", "_response", "headers", "status")

    def __init__(self, response: httpcore.Response, header_bytes: int) -> None:
        self._response = response
        self.status = response.status
        self.headers = lower(response.headers, header_bytes)
        self._chunks: AsyncIterator[bytes] = response.stream.__aiter__()  # type: ignore[union-attr]
        self._burst = Burst(response)

    async def read(self) -> bytes:
        burst = self._burst
        burst.check()
        if burst.ended:
            return b""
        try:
            data = await anext(self._chunks, b"")
            return burst.after(data) if data else b""
        except CALM as error:
            raise failure(error) from None
        except (OSError, RuntimeError, ValueError):
            raise SendFailure("connection", "the connection broke") from None

    async def close(self) -> None:
        try:
            await self._response.aclose()
        except Exception:  # the exchange is over; how its socket dies concerns nobody
            pass


class AsyncPooledTransport:
    """Connection pools, one for each way to reach an origin, made when first used and anew for another event loop."""

    def __init__(self) -> None:
        self._pools: dict[Target, httpcore.AsyncConnectionPool] = {}
        self._targets: dict[tuple[Route, str, str], Target] = {}  # the environment is asked once for each origin
        self._loop: Any = None

    async def open(self, request: HttpRequest, route: Route, timing: Timing) -> AsyncPooledReply:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # sockets of a loop that has ended are dead
            self._loop, self._pools = loop, {}
        ready, scheme, host = prepared(request, timing)
        key = self._targets.get((route, scheme, host)) or self._target(route, scheme, host)
        pool = self._pools.get(key) or self._pool(key)
        try:
            response = await pool.handle_async_request(ready)
        except (*CALM, OSError, SendFailure) as error:
            raise failure(error) from None
        try:
            return AsyncPooledReply(response, timing.header_bytes)
        except SendFailure:
            await response.aclose()
            raise

    def _target(self, route: Route, scheme: str, host: str) -> Target:
        found = self._targets[(route, scheme, host)] = target(route, scheme, host)
        return found

    def _pool(self, key: Target) -> httpcore.AsyncConnectionPool:
        secure, ca_file, proxy, public = key
        options: dict[str, Any] = {"max_keepalive_connections": None, "max_connections": None, "keepalive_expiry": KEEPALIVE}
        options.update(ssl_context=ssl_context(ca_file) if secure else None, retries=0, network_backend=_Backend(public))
        if proxy:
            options["proxy"] = proxy_of(proxy)
        pool = self._pools[key] = httpcore.AsyncConnectionPool(**options)
        return pool

    async def close(self) -> None:
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.aclose()
