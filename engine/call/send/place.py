"""Where a request goes: its URL taken apart once, and the connections it may share."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from engine.call.send import Route, SendFailure
from engine.call.send.origin import proxy_for

__all__ = ["Place", "Places", "place"]

KEPT = 256  # URLs and origins remembered; most calls repeat one of few
_TARGET = re.compile(r"[\x21-\x7e]+")
_places: dict[str, Place] = {}


class Place(NamedTuple):
    """An absolute http(s) URL: `shown` is the Host field, `target` what the request line asks for."""

    scheme: str
    host: str
    port: int
    shown: str
    target: str


def place(url: str) -> Place:
    """The place of a URL. SendFailure `config` for one that is not absolute or malformed."""
    found = _places.get(url)
    if found is None:
        found = _parsed(url)
        if len(_places) >= KEPT:
            _places.clear()
        _places[url] = found
    return found


def _parsed(url: str) -> Place:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if parts.scheme not in ("http", "https") or not host:
            raise SendFailure("config", "the request's URL is not absolute", unsent=True)
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        raise SendFailure("config", "the request's URL is malformed", unsent=True) from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _TARGET.fullmatch(target) or not _TARGET.fullmatch(host):
        raise SendFailure("config", "the request's URL is malformed", unsent=True)
    usual = 443 if parts.scheme == "https" else 80
    shown = f"[{host}]" if ":" in host else host
    if port is not None and port != usual:
        shown = f"{shown}:{port}"
    return Place(parts.scheme, host, port or usual, shown, target)


class Places:
    """Which requests of a client need a proxy; the environment is asked once for each origin."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[Route, str, str], str | None] = {}

    def proxy(self, route: Route, where: Place) -> str | None:
        """URL of the proxy to this place, or None."""
        key = (route, where.scheme, where.host)
        try:
            return self._known[key]
        except KeyError:
            if len(self._known) >= KEPT:
                self._known.clear()
            found = self._known[key] = proxy_for(route, where.scheme, where.host)
            return found
