"""The sync transport: httpcore's connection pools with our own clock on every read."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore

from engine.call.send import Route, SendFailure, Timing, lower
from engine.call.send.origin import public_address, ssl_context
from engine.call.send.pooled import CALM, KEEPALIVE, Burst, Target, failure, left, prepared, proxy_of, target
from engine.types import HttpRequest

__all__ = ["PooledTransport"]

WRITTEN = 1 << 16  # bytes written at a time: each such write has a clock of its own, which a slow reader could stretch


class _Stream(httpcore.NetworkStream):
    """A socket whose reads, writes and handshake end when the exchange's timer does."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self.close = inner.close  # type: ignore[method-assign]
        self.get_extra_info = inner.get_extra_info  # type: ignore[method-assign]

    def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        self._held(timeout)
        return self._inner.read(max_bytes, left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: Any = None) -> None:
        self._held(timeout)
        if len(buffer) <= WRITTEN:
            return self._inner.write(buffer, left(timeout, httpcore.WriteTimeout))
        for at in range(0, len(buffer), WRITTEN):
            self._inner.write(buffer[at : at + WRITTEN], left(timeout, httpcore.WriteTimeout))
        return None

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: Any = None) -> httpcore.NetworkStream:
        self._held(timeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left(timeout, httpcore.ConnectTimeout)))

    def _held(self, timeout: Any) -> None:
        """Let another thread end what now begins, where one may (engine.call.send.stoppable)."""
        stop = getattr(timeout, "stop", None)
        if stop is not None:
            stop.hold(self._shut)

    def _shut(self) -> None:
        shut(self._inner)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, public: bool) -> None:
        self._inner = httpcore.SyncBackend()
        self._public = public

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Any = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        if self._public:
            host = public_address(host, port)
        seconds, stop = left(timeout, httpcore.ConnectTimeout), getattr(timeout, "stop", None)

        def connected() -> httpcore.NetworkStream:
            return self._inner.connect_tcp(host, port, seconds, local_address, socket_options)

        if stop is None:
            return _Stream(connected())
        from engine.call.send.stoppable import beside

        return _Stream(beside(stop, connected, lambda stream: stream.close()))


def shut(stream: Any) -> None:
    """End whatever a socket is waited on for."""
    try:
        stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    except (OSError, AttributeError):
        pass


class PooledReply:
    __slots__ = ("_burst", "_chunks", "_lock", "_over", "_response", "headers", "status")

    def __init__(self, response: httpcore.Response, header_bytes: int) -> None:
        self._response = response
        self._lock = threading.Lock()
        self._over = False
        self.status = response.status
        self.headers = lower(response.headers, header_bytes)
        self._chunks: Iterator[bytes] = iter(response.stream)  # type: ignore[arg-type]
        self._burst = Burst(response)

    def read(self) -> bytes:
        burst = self._burst
        burst.check()
        if burst.ended:
            return b""
        try:
            data = next(self._chunks, b"")
            return burst.after(data) if data else b""
        except CALM as error:
            raise failure(error) from None
        except (OSError, RuntimeError, ValueError):
            raise SendFailure("connection", "the connection broke") from None

    def interrupt(self) -> None:
        """End the exchange from another thread than the one that reads. The socket itself stays the reader's: closed under its
        feet, its number could be another connection's by the time the reader looks."""
        with self._lock:  # once it is closed, its connection may be another call's
            if not self._over:
                shut(self._response.extensions.get("network_stream"))

    def close(self) -> None:
        with self._lock:
            self._over = True
            try:
                self._response.close()
            except Exception:  # the exchange is over; how its socket dies concerns nobody
                pass


class PooledTransport:
    """Connection pools, one for each way to reach an origin, made when first used."""

    stoppable = True  # what it waits for can be ended (engine.call.send.stoppable)

    def __init__(self) -> None:
        self._pools: dict[Target, httpcore.ConnectionPool] = {}
        self._targets: dict[tuple[Route, str, str], Target] = {}  # the environment is asked once for each origin
        self._lock = threading.Lock()

    def open(self, request: HttpRequest, route: Route, timing: Timing) -> PooledReply:
        ready, scheme, host = prepared(request, timing)
        key = self._targets.get((route, scheme, host)) or self._target(route, scheme, host)
        pool = self._pools.get(key) or self._pool(key)
        try:
            response = pool.handle_request(ready)
        except (*CALM, OSError, SendFailure) as error:
            raise failure(error) from None
        try:
            return PooledReply(response, timing.header_bytes)
        except SendFailure:
            response.close()
            raise

    def _target(self, route: Route, scheme: str, host: str) -> Target:
        found = self._targets[(route, scheme, host)] = target(route, scheme, host)
        return found

    def _pool(self, key: Target) -> httpcore.ConnectionPool:
        secure, ca_file, proxy, public = key
        context = ssl_context(ca_file) if secure else None
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                options: dict[str, Any] = {
                    "max_keepalive_connections": None,
                    "max_connections": None,
                    "keepalive_expiry": KEEPALIVE,
                }
                options.update(ssl_context=context, retries=0, network_backend=_Backend(public))
                if proxy:
                    options["proxy"] = proxy_of(proxy)
                pool = self._pools[key] = httpcore.ConnectionPool(**options)
            return pool

    def close(self) -> None:
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.close()
