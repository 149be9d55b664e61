"""Transports the caller hands in: anything of httpx's transport interface, its mock transport above all.

Addresses that must be public are checked before httpx's own network transports get the request, which then goes to the
checked address. A transport of the caller's making resolves names its own way; from it only addresses that are written as
such can be kept.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

from engine.call.content import Content
from engine.call.send import Route, SendFailure, Timing, lower
from engine.call.send.origin import is_public, public_address, wire_headers
from engine.call.send.sending import Pieces
from engine.types import HttpRequest

__all__ = ["AsyncGivenTransport", "GivenTransport"]


def _request(request: HttpRequest, timing: Timing, loop: bool = False) -> httpx.Request:
    left = max(0.001, timing.timer.left())
    timeout = {"connect": timing.connect, "read": left, "write": timing.send, "pool": timing.connect}
    headers = wire_headers(request.headers, request.body, request.method, request.stream)
    body: Any = request.body
    if isinstance(body, Content):
        pieces = Pieces(body, timing)
        body = aiter(pieces) if loop else iter(pieces)
    try:
        return httpx.Request(request.method, request.url, headers=headers, content=body, extensions={"timeout": timeout})
    except (httpx.InvalidURL, ValueError, TypeError):
        raise SendFailure("config", "the request is not valid HTTP", unsent=True) from None


def _failure(error: Exception) -> SendFailure:
    if isinstance(error, (httpx.ConnectTimeout, httpx.PoolTimeout)):
        return SendFailure("timeout", "no connection within the time limit", unsent=True)
    if isinstance(error, httpx.TimeoutException):
        return SendFailure("timeout", "no answer within the time limit")
    if isinstance(error, (httpx.ConnectError, httpx.ProxyError)):
        return SendFailure("connection", "no connection to the server", unsent=True)
    if isinstance(error, (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL)):
        return SendFailure("config", "the request cannot be sent", unsent=True)
    if isinstance(error, (httpx.NetworkError, httpx.RemoteProtocolError)):
        return SendFailure("connection", "the connection broke")
    return SendFailure("connection", f"the transport failed with {type(error).__name__}")


def _timely(timing: Timing) -> None:
    """A transport without a clock of its own is bounded between its chunks."""
    if timing.timer.left() <= 0:
        raise SendFailure("timeout", "no answer within the time limit")


class GivenReply:
    def __init__(self, response: httpx.Response, timing: Timing) -> None:
        self._response = response
        self._timing = timing
        self.status = response.status_code
        self.headers = lower(response.headers.raw, timing.header_bytes)
        self._chunks: Iterator[bytes] = iter(response.stream)  # type: ignore[arg-type]

    def read(self) -> bytes:
        try:
            while True:
                data = next(self._chunks, None)
                _timely(self._timing)
                if data is None:
                    return b""
                if data:
                    return data
        except SendFailure:
            raise
        except Exception as error:
            raise _failure(error) from None

    def close(self) -> None:
        try:
            self._response.close()
        except Exception:
            pass


def _refuse_private(request: httpx.Request) -> None:
    """SendFailure for a host that is written as an address or as this machine, and is not public."""
    host = request.url.host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        written = host.lower().rstrip(".").endswith("localhost") or host.replace(".", "").isdigit() or host.lower().startswith("0x")
    else:
        written = not is_public(host)
    if written:
        raise SendFailure("config", "the host of this URL does not have a public address", unsent=True)


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    """The request, sent to this address in the name of its host."""
    request.extensions = {**request.extensions, "sni_hostname": request.url.host}
    request.url = request.url.copy_with(host=address)  # the Host header stays as it was
    return request


class GivenTransport:
    """A sync httpx transport behind our interface. Proxies and certificates are its owner's business."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def open(self, request: HttpRequest, route: Route, timing: Timing) -> GivenReply:
        ready = _request(request, timing)
        if route.public:
            _refuse_private(ready)
            if isinstance(self._inner, httpx.HTTPTransport):
                ready = _pinned(ready, public_address(ready.url.host, ready.url.port or 443))
        if timing.sent is not None:
            timing.sent()  # as near to it as anybody can tell
        try:
            return GivenReply(self._inner.handle_request(ready), timing)
        except SendFailure:
            raise
        except Exception as error:
            raise _failure(error) from None

    def close(self) -> None:
        self._inner.close()


class AsyncGivenReply:
    def __init__(self, response: httpx.Response, timing: Timing) -> None:
        self._response = response
        self._timing = timing
        self.status = response.status_code
        self.headers = lower(response.headers.raw, timing.header_bytes)
        self._chunks: AsyncIterator[bytes] = response.stream.__aiter__()  # type: ignore[union-attr]

    async def read(self) -> bytes:
        try:
            while True:
                data: Any = await anext(self._chunks, None)
                _timely(self._timing)
                if data is None:
                    return b""
                if data:
                    return data
        except SendFailure:
            raise
        except Exception as error:
            raise _failure(error) from None

    async def close(self) -> None:
        try:
            await self._response.aclose()
        except Exception:
            pass


class AsyncGivenTransport:
    """An async httpx transport behind our interface."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def open(self, request: HttpRequest, route: Route, timing: Timing) -> AsyncGivenReply:
        ready = _request(request, timing, loop=True)
        if route.public:
            _refuse_private(ready)
            if isinstance(self._inner, httpx.AsyncHTTPTransport):
                look_up = asyncio.get_running_loop().run_in_executor
                ready = _pinned(ready, await look_up(None, public_address, ready.url.host, ready.url.port or 443))
        if timing.sent is not None:
            timing.sent()
        try:
            return AsyncGivenReply(await self._inner.handle_async_request(ready), timing)
        except SendFailure:
            raise
        except Exception as error:
            raise _failure(error) from None

    async def close(self) -> None:
        await self._inner.aclose()
