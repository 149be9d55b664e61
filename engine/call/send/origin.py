"""Where connections may go and how: TLS contexts, environment proxies, public addresses (RELIABILITY A7, P6)."""

from __future__ import annotations

import ipaddress
import os
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from engine.call.send import Route, SendFailure

if TYPE_CHECKING:
    import ssl

    from engine.call.content import Content

__all__ = ["added", "proxy_for", "public_address", "sized", "ssl_context", "wire_headers"]

QUERY = 16  # a URL with a longer query may hold a key and is no key of a cache (RELIABILITY S5)
_contexts: dict[str | None, Any] = {}
_lock = threading.Lock()


def ssl_context(ca_file: str | None = None) -> ssl.SSLContext:
    """The verifying TLS context of a CA bundle, made once per process and shared: loading a bundle costs 21 ms."""
    context = _contexts.get(ca_file)
    if context is None:
        with _lock:
            context = _contexts.get(ca_file)
            if context is None:
                import ssl

                path = ca_file or os.environ.get("SSL_CERT_FILE")
                if path is None and not os.environ.get("SSL_CERT_DIR"):
                    import certifi

                    path = certifi.where()
                try:
                    context = ssl.create_default_context(cafile=path)
                except (OSError, ValueError):
                    raise SendFailure("config", "the CA file cannot be read", unsent=True) from None
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                _contexts[ca_file] = context
    return context


def proxy_for(route: Route, scheme: str, host: str) -> str | None:
    """URL of the proxy to use: the caller's, else the environment's unless it is excluded there or switched off."""
    if route.proxy and route.public:
        # A proxy would look the name up again, so that the address that was checked is not the one connected to.
        raise SendFailure("config", "what may go to public addresses only cannot go through a proxy", unsent=True)
    if route.proxy is not None:
        return route.proxy or None
    if not route.trust_env or route.public or not any(map(_names_proxy, os.environ)):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    found = proxies.get(scheme) or proxies.get("all")
    if not found or proxy_bypass(host):
        return None
    return found if "://" in found else "http://" + found


def _names_proxy(name: str) -> bool:
    """Whether an environment variable names a proxy; `no_proxy` alone names none, and what reads them is slow to load."""
    return name[-6:].lower() == "_proxy" and name.lower() != "no_proxy"


def public_address(host: str, port: int) -> str:
    """An address of the host to connect to, all of whose addresses are public. SendFailure `config` otherwise.

    The caller connects to the returned address, so that a second lookup cannot give another one.
    """
    import socket

    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SendFailure("connection", "the host name cannot be resolved", unsent=True) from None
    return checked([str(entry[4][0]) for entry in found])


def checked(addresses: list[str]) -> str:
    """The first address, if every one is public."""
    for text in addresses:
        if not is_public(text):
            raise SendFailure("config", "the host of this URL does not have a public address", unsent=True)
    if not addresses:
        raise SendFailure("connection", "the host name cannot be resolved", unsent=True)
    return addresses[0]


def is_public(text: str) -> bool:
    """Is this address one of the open internet: not loopback, private, link-local, carrier, multicast, metadata, nor such an
    address mapped or translated into IPv6?"""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if int(address) < 1 << 32 or address in _LOCAL_NAT64:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_link_local or address.is_loopback)


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_ACCEPT = ("Accept", "*/*")
_STREAMED, _WHOLE = ("Accept-Encoding", "identity"), ("Accept-Encoding", "gzip, deflate")
_AGENT = ("User-Agent", "llmkit-engine")
_SIZED = frozenset(("POST", "PUT", "PATCH"))  # methods that say how long their body is, even if there is none


def wire_headers(headers: dict[str, str], body: bytes | Content | None, method: str, stream: bool) -> list[tuple[str, str]]:
    """The request's headers and those the engine itself adds: offered encodings, agent, length."""
    out = [*headers.items(), *added(tuple(headers), stream)]
    if sized(body, method):
        out.append(("Content-Length", str(len(body or b""))))
    return out


def sized(body: bytes | Content | None, method: str) -> bool:
    """Does a request say how long its body is?"""
    return body is not None or method in _SIZED


@lru_cache(maxsize=256)  # most calls repeat one of few sets of names
def added(names: tuple[str, ...], stream: bool) -> tuple[tuple[str, str], ...]:
    """What the engine itself adds to headers of these names, whatever their values.

    Streams are asked for uncompressed, because a compressor on the way holds events back.
    """
    given = {name.lower() for name in names}
    ours = (_ACCEPT, _STREAMED if stream else _WHOLE, _AGENT)
    return tuple([pair for pair in ours if pair[0].lower() not in given])
