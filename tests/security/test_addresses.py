"""Connections that must be public go to checked public addresses only (RELIABILITY A7)."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

from engine.call.send import Route, SendFailure, Timing
from engine.call.send.aio import AiohttpTransport
from engine.call.send.evented import AsyncPooledTransport
from engine.call.send.origin import checked, is_public, proxy_for
from engine.call.send.threaded import PooledTransport
from engine.reliability.deadline import Timer
from engine.types import HttpRequest

PRIVATE = [
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
    *("255.255.255.255", "198.18.0.1", "192.0.2.1", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1"),
    *("ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::"),
    *("2002:c0a8:101::", "::127.0.0.1", "2001:db8::1", "nonsense"),
]
PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_in_every_disguise_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are(address: str) -> None:
    assert is_public(address)


def test_one_private_address_of_a_host_is_enough_to_refuse_it() -> None:
    assert checked(["1.1.1.1", "8.8.8.8"]) == "1.1.1.1"
    with pytest.raises(SendFailure):
        checked(["1.1.1.1", "10.0.0.1"])
    with pytest.raises(SendFailure):
        checked([])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "metadata.test"])
@pytest.mark.parametrize("way", ["sync", "async", "aiohttp"])
def test_every_transport_refuses_them(way: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def lookup(name: Any, port: Any, *rest: Any, **options: Any) -> Any:
        name = "169.254.169.254" if name in ("metadata.test", b"metadata.test") else name
        return real(name, port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    request = HttpRequest("GET", f"http://{host}:9/latest/meta-data")
    timing = Timing(1.0, 1.0, Timer(time.monotonic() + 2))
    with pytest.raises(SendFailure) as caught:
        if way == "sync":
            PooledTransport().open(request, Route(public=True), timing)
        else:

            async def run() -> None:
                transport: Any = AiohttpTransport() if way == "aiohttp" else AsyncPooledTransport()
                try:
                    await transport.open(request, Route(public=True), timing)
                finally:
                    await transport.close()

            asyncio.run(run())
    assert caught.value.kind == "config" and caught.value.unsent


def test_proxies_of_the_environment_are_used_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "inside.test")
    assert proxy_for(Route(), "https", "api.test") == "http://proxy.test:3128"
    assert proxy_for(Route(), "http", "api.test") is None
    assert proxy_for(Route(), "https", "inside.test") is None
    assert proxy_for(Route(proxy=""), "https", "api.test") is None
    assert proxy_for(Route(trust_env=False), "https", "api.test") is None
    assert proxy_for(Route(public=True), "https", "api.test") is None
    assert proxy_for(Route(proxy="http://mine.test:1"), "http", "api.test") == "http://mine.test:1"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "2130706433", "0x7f000001", "meta.test"])
@pytest.mark.parametrize("awaited", [False, True])
def test_a7_network_transports_of_httpx_are_kept_from_private_addresses_too(
    host: str, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    from engine.call.send.given import AsyncGivenTransport, GivenTransport

    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda name, *rest, **options: real("10.0.0.1" if "meta" in str(name) else name, *rest, **options)
    )
    request = HttpRequest("GET", f"https://{host}:9/latest")
    timing = Timing(1.0, 1.0, Timer(time.monotonic() + 2))

    async def run() -> None:
        await AsyncGivenTransport(httpx.AsyncHTTPTransport()).open(request, Route(public=True), timing)

    with pytest.raises(SendFailure) as caught:
        if awaited:
            asyncio.run(run())
        else:
            GivenTransport(httpx.HTTPTransport()).open(request, Route(public=True), timing)
    assert caught.value.kind == "config" and caught.value.unsent


def test_a7_the_checked_address_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second lookup could give another address: httpx gets the checked one, in the name of the host."""
    import httpx

    from engine.call.send.given import GivenTransport

    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **o: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 443))])
    seen: list[httpx.Request] = []

    class Noting(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return httpx.Response(200, text="{}")

    GivenTransport(Noting()).open(
        HttpRequest("GET", "https://files.test/x"), Route(public=True), Timing(1, 1, Timer(time.monotonic() + 2))
    )
    assert seen[0].url.host == "1.1.1.1" and seen[0].headers["host"] == "files.test"
    assert seen[0].extensions["sni_hostname"] == "files.test"


def test_a7_what_must_be_public_does_not_go_through_a_proxy() -> None:
    with pytest.raises(SendFailure):
        proxy_for(Route(proxy="http://proxy.test:1", public=True), "https", "files.test")


def test_s5_urls_that_hold_keys_are_no_cache_keys() -> None:
    from engine.call.send.pooled import _cache, prepared

    async def opened(transport: AiohttpTransport, url: str) -> None:
        with pytest.raises(SendFailure):
            await transport.open(HttpRequest("GET", url), Route(), Timing(1, 1, Timer(time.monotonic() + 2)))

    async def tried() -> list[str]:
        transport = AiohttpTransport()
        await opened(transport, "http://127.0.0.1:9/x?key=sk-canary-0123456789")
        await opened(transport, "http://127.0.0.1:9/x")
        await transport.close()
        return list(transport._places)

    prepared(HttpRequest("GET", "https://a.test/x?key=sk-canary-0123456789"), Timing(1, 1, Timer(time.monotonic() + 2)))
    assert not any("canary" in url for url in _cache)
    assert asyncio.run(tried()) == ["http://127.0.0.1:9/x"]
