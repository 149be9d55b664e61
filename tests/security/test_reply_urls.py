"""Where a reply sends us: redirects are refused, addresses it gives are public ones of known hosts (RELIABILITY A7)."""

from __future__ import annotations

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

import engine
from engine.call.send import Route
from engine.errors import Error
from tests.security.strangers import CHAT, ELSEWHERE, HEAD, HOST, KEY, client, leaks, local, provider, stranger

# --- redirects ----------------------------------------------------------------------------------------------------------


class _Trap:
    """Two origins on loopback: one redirects to the other, which notes whoever comes."""

    def __init__(self, status: int) -> None:
        self.caught: list[str] = []
        outer = self

        class Away(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(status)
                self.send_header("Location", f"http://127.0.0.1:{outer.there.server_port}/taken")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_GET = answer

            def log_message(self, *_: Any) -> None:
                pass

        class There(Away):
            def answer(self) -> None:
                outer.caught.append(f"{self.command} {self.path} {self.headers}")
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_POST = do_GET = answer

        self.here, self.there = ThreadingHTTPServer(("127.0.0.1", 0), Away), ThreadingHTTPServer(("127.0.0.1", 0), There)
        for server in (self.here, self.there):
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        for server in (self.here, self.there):
            server.shutdown()
            server.server_close()


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 399])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("awaited", [False, True])
def test_a7_a_redirect_is_never_followed(status: int, streamed: bool, awaited: bool) -> None:
    """u_redirect_other_origin, s_redirect_other_origin, u_redirect_302_get: neither key nor prompt reaches the other origin."""
    trap = _Trap(status)
    try:
        options: dict[str, Any] = {"providers": {"groq": {"base_url": f"http://127.0.0.1:{trap.here.server_port}", "api_key": KEY}}}
        options["attempts"] = 2
        with pytest.raises(Error) as caught:
            if awaited:
                asyncio.run(_ask(engine.AsyncClient(**options), streamed))
            elif streamed:
                engine.Client(**options).chat.stream("groq/m", "hi").finish()
            else:
                engine.Client(**options).chat("groq/m", "hi")
        assert caught.value.kind == "protocol" and not caught.value.retryable
        assert not trap.caught
    finally:
        trap.close()


async def _ask(client: engine.AsyncClient, streamed: bool) -> None:
    async with client:
        if streamed:
            async with client.chat.stream("groq/m", "hi") as stream:
                await stream.finish()
        else:
            await client.chat("groq/m", "hi")


# --- addresses ----------------------------------------------------------------------------------------------------------

UPLOAD = (
    HEAD
    + """
hosts: ["*.stranger.test", files.other.test]
chat:
  before:
    slot: {get: /slot, value: url}
    file: {post: "{{ slot }}", body: {a: b}, value: id}
  post: /x
  body: {file: "{{ file }}"}
  response: {text: text}
"""
)


class _Watching:
    """A transport that notes by which route each request would go."""

    def __init__(self, inner: Any, routes: list[tuple[str, Route]]) -> None:
        self.inner, self.routes = inner, routes

    def open(self, request: Any, route: Route, timing: Any) -> Any:
        self.routes.append((urlsplit(request.url).hostname or "", route))
        return self.inner.open(request, route, timing)

    def close(self) -> None:
        pass


def routes_of(source: Any, slot: str) -> tuple[list[tuple[str, bool]], Error | None]:
    from engine.call.send.given import GivenTransport

    routes: list[tuple[str, Route]] = []
    transport, _ = provider(lambda r: httpx.Response(200, json={"url": slot, "id": "f1", "text": "ok"}))
    watching = _Watching(GivenTransport(transport), routes)
    made = engine.Client(catalog=[source], providers={"stranger": {"api_key": KEY}}, transport=watching, attempts=1)
    try:
        made.chat("stranger/m", "hi")
    except Error as error:
        return [(host, route.public) for host, route in routes], error
    return [(host, route.public) for host, route in routes], None


def test_a7_a_url_that_a_reply_gives_goes_to_public_addresses_of_known_hosts() -> None:
    """Outside the provider's own host the address must be public, also for a spec the operator trusts."""
    found, error = routes_of(local(UPLOAD), "https://up7.stranger.test/put?sig=1")
    assert error is None
    assert found == [(HOST, False), ("up7.stranger.test", True), (HOST, False)]
    found, error = routes_of(local(UPLOAD), "https://files.other.test/put")
    assert error is None and found[1] == ("files.other.test", True)
    found, error = routes_of(local(UPLOAD), f"https://{HOST}/put")
    assert error is None and found[1] == (HOST, False)


@pytest.mark.parametrize(
    "slot",
    [u.replace("\\\\", "\\") for u in ELSEWHERE if not u.startswith(("//", "x", "https://evilapi"))]
    + ["", None, 7, {}, "/../x", "/a\nb"],
)
def test_a7_other_urls_of_a_reply_are_refused(slot: Any) -> None:
    found, error = routes_of(local(UPLOAD), slot)
    assert all(host == HOST for host, _ in found), found
    assert error is not None or slot in ("/a\nb",)


def test_a7_all_of_a_stranger_goes_to_public_addresses() -> None:
    found, _ = routes_of(stranger(UPLOAD, hosts=["*.stranger.test"]), "https://up7.stranger.test/put")
    assert [public for _, public in found] == [True, True, True]
    found, error = routes_of(stranger(UPLOAD), "https://up7.stranger.test/put")
    assert [host for host, _ in found] == [HOST] and error is not None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "2130706433", "0x7f.1"]
)
@pytest.mark.parametrize("awaited", [False, True])
def test_a7_a_stranger_at_a_private_address_is_refused(host: str, awaited: bool) -> None:
    """Even one that its caller allows by name: what resolves to a private address is not connected to."""
    text = HEAD.replace(HOST, host) + CHAT
    options: dict[str, Any] = {
        "catalog": [stranger(text, hosts=[host])],
        "providers": {"stranger": {"api_key": KEY}},
        "attempts": 1,
        "connect": 1,
    }
    with pytest.raises(Error) as caught:
        if awaited:

            async def run() -> None:
                async with engine.AsyncClient(**options) as client:
                    await client.chat("stranger/m", "hi")

            asyncio.run(run())
        else:
            with engine.Client(**options) as client:
                client.chat("stranger/m", "hi")
    assert caught.value.kind == "config", caught.value


MEDIA = "chat: {extends: openai-chat, inline: [image]}\n"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/x.png",
        "https://127.0.0.1:9/x.png",
        "https://localhost:9/x",
        "https://169.254.169.254/x",
        "https://[::1]:9/x",
        "http://1.1.1.1/x.png",
        "https://u:p@1.1.1.1/x",
        "https://2130706433/x",
        "file:///etc/passwd",
        "ftp://a.test/x",
        "https://a\tb.test/x",
    ],
)
def test_a7_media_is_fetched_from_public_https_addresses_only(url: str) -> None:
    made = engine.Client(catalog=[local(HEAD + MEDIA)], providers={"stranger": {"api_key": KEY}}, attempts=1, connect=1)
    with made, pytest.raises(Error) as caught:
        made.chat("stranger/m", [{"role": "user", "content": [{"type": "image", "url": url}]}])
    assert caught.value.kind == "config", caught.value


def test_a7_media_is_fetched_without_credentials_and_without_following() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": "http://169.254.169.254/"})

    made, seen = client(local(HEAD + MEDIA), reply=reply)
    with pytest.raises(Error):
        made.chat("stranger/m", [{"role": "user", "content": [{"type": "image", "url": "https://pictures.test/x.png"}]}])
    assert [r.url.host for r in seen] == ["pictures.test"]
    assert not leaks(f"{seen[0].headers.raw} {seen[0].url}")
