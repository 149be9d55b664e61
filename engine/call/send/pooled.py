"""What the sync and async httpcore transports share: pools, requests, and the words for what went wrong.

The connection pools of httpx (package httpcore) are used directly: a client object of httpx costs some 150 µs per call, and
its transports read one timeout per exchange, which a server that trickles can stretch for ever. Here every read, write
and handshake gets what is left of the exchange's timer.
"""

from __future__ import annotations

import ssl
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import h11
import httpcore

from engine.call.content import Content
from engine.call.send import Route, SendFailure, Timing
from engine.call.send.origin import QUERY, proxy_for, wire_headers
from engine.call.send.sending import Pieces
from engine.reliability.deadline import Telling, Timer
from engine.types import HttpRequest

__all__ = ["CALM", "Burst", "Target", "failure", "left", "prepared", "target"]

PIECE = 1 << 16  # bytes handed on at once
KEEPALIVE = 60.0  # seconds an idle connection is kept
CALM = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError, httpcore.UnsupportedProtocol)


class Target(NamedTuple):
    """What connections may be shared by."""

    secure: bool
    ca_file: str | None
    proxy: str | None
    public: bool


def _parsed(url: str) -> tuple[httpcore.URL, str, str, str]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SendFailure("config", "the request's URL is not absolute", unsent=True)
    try:
        host = parts.hostname.encode("ascii") if parts.hostname.isascii() else parts.hostname.encode("idna")
        port = parts.port
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        target = path.encode("ascii")
    except (ValueError, UnicodeError):
        raise SendFailure("config", "the request's URL is malformed", unsent=True) from None
    parsed = httpcore.URL(scheme=parts.scheme.encode(), host=host, port=port, target=target)
    name = host.decode()
    shown = f"[{name}]" if ":" in name else name
    if port is not None and port != (443 if parts.scheme == "https" else 80):
        shown = f"{shown}:{port}"
    return parsed, parts.scheme, name, shown


_cache: dict[str, tuple[httpcore.URL, str, str, str]] = {}  # most calls repeat one of few URLs


def prepared(request: HttpRequest, timing: Timing) -> tuple[httpcore.Request, str, str]:
    """The request as the pool takes it, its scheme and host."""
    found = _cache.get(request.url)
    if found is None:
        found = _parsed(request.url)
        if len(_cache) >= 256:
            _cache.clear()
        if len(request.url.partition("?")[2]) < QUERY:
            _cache[request.url] = found
    url, scheme, host, shown = found
    try:
        headers = [(b"Host", shown.encode("ascii"))]
        headers += [
            (n.encode("ascii"), v.encode("latin-1" if v.isascii() else "utf-8"))
            for n, v in wire_headers(request.headers, request.body, request.method, request.stream)
        ]
    except UnicodeError:
        raise SendFailure("config", "a header name is not ASCII", unsent=True) from None
    timer = timing.timer
    write = timer.sooner(timing.send)
    if timing.sent is not None:
        write = Telling(write, timing.sent)
    body: Any = request.body or b""
    if isinstance(body, Content):
        body = Pieces(body, timing, write)
    limits = {"connect": timer.sooner(timing.connect), "read": timer, "write": write, "pool": timing.connect}
    extensions = {"timeout": limits}
    return httpcore.Request(request.method, url, headers=headers, content=body, extensions=extensions), scheme, host


def left(limit: Any, passed: type[Exception]) -> float | None:
    """Seconds a limit has left, for a socket that wants a number. Raises `passed` when there are none."""
    if not isinstance(limit, Timer):
        return limit  # type: ignore[no-any-return]
    seconds = limit.left()
    if seconds <= 0:
        raise passed()
    return seconds


def target(route: Route, scheme: str, host: str) -> Target:
    """Which pool serves this request."""
    return Target(scheme == "https", route.ca_file, proxy_for(route, scheme, host), route.public)


class Burst:
    """What a reply's parser already holds, so that a burst of small events costs one step and not one for each.

    httpcore hands on every chunk by itself, through four generators. Its parser (h11) can be asked directly for what came
    with the same read of the socket; where it cannot be found, replies are read as httpcore gives them.
    """

    __slots__ = ("_failure", "_parser", "ended")

    def __init__(self, response: httpcore.Response) -> None:
        connection = getattr(getattr(response.stream, "_stream", None), "_connection", None)
        parser = getattr(connection, "_h11_state", None)
        self._parser = parser if isinstance(parser, h11.Connection) else None
        self._failure: SendFailure | None = None
        self.ended = False  # the reply is complete: nothing more may be read

    def after(self, first: bytes) -> bytes:
        """These bytes and what follows them without another read. A failure behind them is raised by the next `check`."""
        parser = self._parser
        if parser is None:
            return first
        pieces = [first]
        size = len(first)
        try:
            while size < PIECE:
                event = parser.next_event()
                if event.__class__ is not h11.Data:
                    self.ended = event.__class__ is h11.EndOfMessage
                    break
                pieces.append(event.data)  # type: ignore[union-attr]
                size += len(event.data)  # type: ignore[union-attr]
        except h11.RemoteProtocolError as error:
            self._failure = failure(error)
        return b"".join(pieces) if len(pieces) > 1 else first

    def check(self) -> None:
        """Raise what broke behind the bytes that were read last."""
        if self._failure is not None:
            raise self._failure


def proxy_of(url: str) -> httpcore.Proxy:
    """A proxy setting, whose user info becomes its credentials."""
    from urllib.parse import unquote

    parts = urlsplit(url)
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username is not None else None
    bare = url if auth is None else url.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2], 1)
    return httpcore.Proxy(bare, auth=auth)


def failure(error: BaseException) -> SendFailure:
    """What broke, without the words of the client library: they may name URLs and headers."""
    if isinstance(error, SendFailure):
        return error
    if isinstance(error, (httpcore.ConnectTimeout, httpcore.PoolTimeout)):
        return SendFailure("timeout", "no connection within the time limit", unsent=True)
    if isinstance(error, httpcore.TimeoutException):
        return SendFailure("timeout", "no answer within the time limit")
    if isinstance(error, httpcore.ConnectError):
        if _is_tls(error):
            return SendFailure("tls", "the server's certificate or the TLS handshake was refused", unsent=True)
        return SendFailure("connection", "no connection to the server", unsent=True)
    if isinstance(error, httpcore.ProxyError):
        return SendFailure("connection", "the proxy refused the connection", unsent=True)
    if isinstance(error, httpcore.UnsupportedProtocol):
        return SendFailure("config", "the proxy's protocol is not supported", unsent=True)
    if isinstance(error, (httpcore.LocalProtocolError, h11.LocalProtocolError)):
        return SendFailure("config", "the request is not valid HTTP", unsent=True)
    if isinstance(error, (httpcore.RemoteProtocolError, h11.RemoteProtocolError)):
        text = str(error)
        if "too long" in text or "too large" in text:
            return SendFailure("limit", "the reply's headers are too long")
        if "disconnected" in text or "closed connection" in text or "without" in text:
            return SendFailure("connection", "the server closed the connection before the answer was complete")
        return SendFailure("protocol", "the reply is not valid HTTP")
    if isinstance(error, ssl.SSLError):
        return SendFailure("tls", "the TLS connection failed")
    return SendFailure("connection", "the connection broke")


def _is_tls(error: BaseException) -> bool:
    inner: Any = error
    for _ in range(4):
        if inner is None:
            return False
        if isinstance(inner, ssl.SSLError):
            return True
        inner = inner.__cause__ or inner.__context__
    return False
