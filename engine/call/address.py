"""Where a request may go, and what may stand in its headers (RELIABILITY A7, A8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

from engine.errors import ConfigError

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PLAIN = re.compile(r"[!$&'()*+,;=:@/?%\w.~-]*", re.ASCII)  # what a URL may hold after its host
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
# Servers that decode before they split see a segment's end in more than the slash.
_DOTS = re.compile(r"(?:^|/|%2f|%5c)(?:\.|%2e){1,2}(?=[/;]|%2f|%5c|%3b|$)", re.IGNORECASE)
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9a-f]|7f)", re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SCHEMES = {"https": 443, "http": 80, "wss": 443, "ws": 80}
_PLAIN_TEXT = ("http", "ws")
_LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){3}|\[::1\]|(?:[a-z0-9-]+\.)*localhost")
#: headers that belong to the transport; a spec cannot set them
FORBIDDEN = frozenset(("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive"))


@lru_cache(maxsize=1024)
def origin(url: str) -> tuple[str, str, int]:
    """(scheme, host, port) of an absolute URL. Raises ConfigError unless it is one without user info."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError("a URL cannot be read: its host or port is malformed") from None
    scheme = parts.scheme.lower()
    if scheme not in _SCHEMES:
        raise ConfigError(f"`{scheme or url[:40]}` is not a scheme that requests may use: https, or http for this machine")
    if "@" in parts.netloc:
        raise ConfigError("a URL must not hold user info")
    if port == 0:
        raise ConfigError("a URL cannot be read: there is no port 0")
    if not url.isprintable() or " " in url:  # urlsplit drops some of these without a word
        raise ConfigError("a URL must not hold spaces or control characters")
    host = (f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or "").lower().rstrip(".")
    if not _HOST.fullmatch(host):
        raise ConfigError(f"`{host[:100]}` is not a host name")
    return scheme, host, port or _SCHEMES[scheme]


@lru_cache(maxsize=1024)
def join(base_url: str, path: str) -> str:
    """A call's URL: a path that starts with `/` follows the base URL; an absolute URL stands for itself."""
    if _ABSOLUTE.match(path):
        return path
    if path and path[0] not in "/?":
        raise ConfigError(f"`{path[:100]}` is neither a path that starts with / nor an absolute URL")
    base, question, query = base_url.partition("?")
    joined = base.rstrip("/") + path
    return joined if not question else f"{joined}{'&' if '?' in joined else '?'}{query}"


def above(base_url: str, outside: str) -> str:
    """The base URL without the end `outside` of its path (`/v1`), if it ends so; its origin is never touched."""
    base, question, query = base_url.partition("?")
    start = len(_origin_part(base))
    return base[:start] + base[start:].rstrip("/").removesuffix(outside) + question + query


@lru_cache(maxsize=1024)  # most calls repeat one of few URLs
def check_url(
    url: str,
    base_url: str,
    hosts: tuple[str, ...],
    allow_http: bool,
    servers: tuple[str, ...] = (),
    allowed: tuple[str, ...] | None = None,
) -> str:
    """The URL, if it may be called; what it holds beyond ASCII is percent-encoded.

    Its host is that of the base URL or of one of `servers` (origins the operator chose), or matches `hosts` (`*.x`, with a
    port if not 443). Plain http only goes to this machine, to `servers` as they were given, and to the base URL if
    `allow_http` says that the operator chose it. With `allowed`, the spec comes from a stranger: the host must match one of
    these patterns too, whatever else it matches, and only https is spoken.
    """
    scheme, host, port = origin(_origin_part(url))
    rest = url[len(_origin_part(url)) :]
    if not _PLAIN.fullmatch(rest):
        if "#" in rest:
            raise ConfigError("a URL must not hold a fragment (`#`)")
        if _CONTROL.search(rest) or "\\" in rest or "\t" in rest:
            raise ConfigError("a URL must not hold control characters or backslashes")
        rest = quote(rest, safe="!$&'()*+,;=:@/?%~-._[]|")
        url = _origin_part(url) + rest
    path = rest.partition("?")[0]
    if ("/." in path or "%" in path) and _DOTS.search(path):
        raise ConfigError("a URL must not hold the path segments `.` or `..`")
    if "%" in path and _ENCODED_CONTROL.search(path):
        raise ConfigError("the path of a URL must not hold control characters")
    own = origin(_origin_part(base_url)) if base_url else None
    chosen = [s for s in servers if origin(_origin_part(s))[1:] == (host, port)]
    if own is None or (host, port) != own[1:]:
        if not chosen and not any(_matches(pattern, host, port) for pattern in hosts):
            raise ConfigError(f"the host {_shown(host, port)} is not one this provider may be called at; `hosts` lists the others")
        allow_http = False
    allow_http = allow_http or any(origin(_origin_part(s))[0] == scheme for s in chosen)
    if allowed is not None:
        if scheme in _PLAIN_TEXT:
            raise ConfigError(f"plain http to {host} is refused: a spec from elsewhere speaks https only")
        if not any(_matches(pattern, host, port) for pattern in allowed):
            raise ConfigError(f"the host {_shown(host, port)} is not among the `hosts` you allow this spec to reach")
    if scheme in _PLAIN_TEXT and not allow_http and not _LOOPBACK.fullmatch(host):
        raise ConfigError(f"plain http to {host} is refused: use https")
    return url


@lru_cache(maxsize=1024)
def must_be_public(url: str, base_url: str, hosts: tuple[str, ...], servers: tuple[str, ...], given: bool) -> bool:
    """Must this URL's address be one of the open internet (RELIABILITY A7)?

    Yes outside the provider's own host and the servers the operator chose, unless the spec itself names the host in full;
    a URL that a reply gave (`given`) has no such exception.
    """
    _, host, port = origin(_origin_part(url))
    own = {origin(_origin_part(base_url))[1]} if base_url else set()
    own.update(origin(_origin_part(s))[1] for s in servers)
    return host not in own and (given or not any("*" not in p and _matches(p, host, port) for p in hosts))


def check_media_url(url: str) -> str:
    """The URL of a caller's image or file, if it may be fetched: https, without user info."""
    if origin(_origin_part(url))[0] != "https":
        raise ConfigError("media is fetched over https only")
    if not url.isprintable() or " " in url or "\\" in url:
        raise ConfigError("a URL must not hold spaces, control characters or backslashes")
    return url.partition("#")[0]


def _shown(host: str, port: int) -> str:
    return host if port in (443, 80) else f"{host}:{port}"


def _origin_part(url: str) -> str:
    """Scheme and authority of an absolute URL."""
    at = url.find("://") + 3
    if at < 3:
        raise ConfigError("the base URL is not an absolute URL")
    ends = [i for c in "/?#\\" if (i := url.find(c, at)) >= 0]
    return url[: min(ends)] if ends else url


def _matches(pattern: str, host: str, port: int) -> bool:
    pattern = pattern.lower()
    name, colon, number = pattern.rpartition(":")
    if not colon or not number.isdigit():
        name, number = pattern, "443"
    if port != int(number):
        return False
    return host.endswith(name[1:]) and len(host) > len(name) - 1 if name.startswith("*.") else host == name


def check_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    """Headers that may be sent, white space around their values trimmed. No message quotes a value: it may be a key."""
    out: dict[str, str] = {}
    for name, value in headers.items():
        if value is None:
            continue
        _check_name(name)
        text = (value if value.__class__ is str else header_text(value)).strip()
        out[name] = text if text.isprintable() else clean(text, name)
    return out


def clean(text: str, name: str) -> str:
    """The value of a header, if it may be sent."""
    if not text.isprintable() and _CONTROL.search(text):
        raise ConfigError(f"the value of the header {name} holds a control character (a line end in a key?)")
    return text


@lru_cache(maxsize=1024)
def _check_name(name: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise ConfigError(f"`{name[:60]!s}` is not a header name")
    low = name.lower()
    if low in FORBIDDEN or low.startswith("proxy-"):
        raise ConfigError(f"the header {name} belongs to the transport and cannot be set")


def header_text(value: Any) -> str:
    """A header's value as text."""
    if value.__class__ is str:
        return str(value)
    if value is True or value is False:
        return "true" if value else "false"
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def set_header(headers: dict[str, str], name: str, value: str) -> None:
    """Set a header whatever case it was written in."""
    for known in tuple(headers):
        if len(known) == len(name) and known != name and known.lower() == name.lower():
            del headers[known]
    headers[name] = value
