"""What stands in headers, queries and forms cannot become something else (RELIABILITY A8)."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import httpx
import pytest

import engine
from engine.check import check
from engine.errors import ConfigError, Error
from tests.security.strangers import BARE, CHAT, HEAD, KEY, client, leaks, local, stranger

LINE_ENDS = [
    "a\r\nX-Injected: 1",
    "a\nX-Injected: 1",
    "a\rX-Injected: 1",
    "a\x00b",
    "a\x0bb",
    "a\x1fb",
    "a\x7fb",
    "\r\n\r\nGET / HTTP/1.1",
]
ODD = [*LINE_ENDS, "\u010a\u010dX-Injected: 1", "\u2028X-Injected: 1", "\u0085X-Injected: 1", "\ud800", "é", "日本"]
FORBIDDEN = [
    "Host",
    "host",
    "Content-Length",
    "CONTENT-LENGTH",
    "Transfer-Encoding",
    "Connection",
    "Upgrade",
    "TE",
    "Trailer",
    "Keep-Alive",
]
FORBIDDEN += ["Proxy-Authorization", "proxy-connection", "Proxy-X"]
NAMES = ["", " ", "a b", "a:b", "a\r\nX-Injected", "a\n", "é", "a\x00", "a(b)", ":path", "a,b", "X-A:", "\tX", "X-A ", 7]


class Wire:
    """A raw server on loopback that keeps the bytes it gets and answers each request once."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                data = b""
                try:
                    while b"\r\n\r\n" not in data:
                        data += connection.recv(65536)
                    head, _, body = data.partition(b"\r\n\r\n")
                    size = next((int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0)
                    while len(body) < size:
                        body += connection.recv(65536)
                    self.got.append(head + b"\r\n\r\n" + body)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\nConnection: close\r\n\r\n" + b'{"text":"hello"}')
                except (OSError, ValueError):
                    continue

    def close(self) -> None:
        self.server.close()


def wired(wire: Wire, text: str, awaited: bool, fields: dict[str, Any], settings: dict[str, Any] | None = None) -> Error | None:
    options: dict[str, Any] = {
        "catalog": [local(text)],
        "providers": {"stranger": {"api_key": KEY, "base_url": f"http://127.0.0.1:{wire.port}", **(settings or {})}},
        "attempts": 1,
        "timeout": 5,
    }
    fields = {"messages": [{"role": "user", "content": "hi"}], **fields}

    async def run() -> None:
        async with engine.AsyncClient(**options) as made:
            await made.call("chat", "stranger/m", **fields)

    try:
        if awaited:
            asyncio.run(run())
        else:
            with engine.Client(**options) as made:
                made.call("chat", "stranger/m", **fields)
    except Error as error:
        return error
    return None


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("place", ["extra", "spec", "variable", "query", "user", "key", "model"])
def test_a8_nothing_is_injected_on_the_wire(place: str, awaited: bool) -> None:
    """The bytes that reach a raw server, for every way a caller's text gets near a header."""
    wire = Wire()
    text = HEAD + "variables: {v: {about: x}}\nchat:\n  post: /x/{{ model }}\n  body: {a: b}\n" + BARE
    text += '  headers: {X-V: "{{ v }}", X-U: "{{ user }}"}\n  query: {q: "{{ v }}"}\n'
    try:
        for value in ODD:
            fields: dict[str, Any] = {}
            settings: dict[str, Any] = {}
            if place == "extra":
                fields["extra_headers"] = {"X-Extra": value}
            elif place == "spec":
                fields["extra_body"] = {"k": value}
            elif place == "variable":
                settings["v"] = value
            elif place == "query":
                fields["extra_query"] = {"k": value, value: "k"}
            elif place == "user":
                fields["user"] = value
            elif place == "key":
                settings["api_key"] = value
            elif place == "model":
                fields["extra_headers"] = {"X-Model": value}
            error = wired(wire, text, awaited, fields, settings)
            assert error is None or (error.kind == "config" and not leaks(str(error))), (value, error)
            for request in wire.got:
                head = request.partition(b"\r\n\r\n")[0]
                names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
                assert b"x-injected" not in names and len(names) == len(set(names)), (value, head)
                assert head.count(b"\n") == head.count(b"\r") == len(names), (value, head)
                assert b"\x00" not in head
            wire.got.clear()
    finally:
        wire.close()


@pytest.mark.parametrize("name", FORBIDDEN)
@pytest.mark.parametrize("place", ["chat", "provider", "auth", "extra", "variant"])
def test_a8_headers_of_the_transport_belong_to_it(name: str, place: str, tmp_path: Any) -> None:
    """A spec that sets one is refused by the check, and one that was never checked is refused when it is used."""
    table = f"{{{name}: evil.test}}"
    text = {
        "chat": HEAD + "chat:\n  post: /x\n" + BARE + f"  headers: {table}\n",
        "provider": HEAD + f"headers: {table}\n" + CHAT,
        "auth": HEAD.replace("{bearer:", f"{{header: {{{name}:").replace('}}"}', '}}"}}') + CHAT,
        "variant": HEAD + CHAT + f"variants: {{v: {{headers: {table}}}}}\n",
        "extra": HEAD + CHAT,
    }[place]
    for source in (local(text), stranger(text)):
        made, seen = client(source)
        fields: dict[str, Any] = {"extra_headers": {name: "evil.test"}} if place == "extra" else {}
        with pytest.raises(ConfigError):
            made.chat("stranger:v/m" if place == "variant" else "stranger/m", "hi", **fields)
        assert not seen
    if place in ("chat", "provider", "auth"):
        path = tmp_path / "stranger.yaml"
        path.write_text(text)
        assert "forbidden-header" in {p.rule for p in check(engine.Catalog([path]), [("providers", "stranger")]).problems}


@pytest.mark.parametrize("name", NAMES)
def test_a8_header_names_are_tokens(name: Any) -> None:
    made, seen = client(local(HEAD + CHAT))
    with pytest.raises(ConfigError):
        made.chat("stranger/m", "hi", extra_headers={name: "x"})
    assert not seen


def test_a8_extra_headers_cannot_take_the_key_elsewhere() -> None:
    """The credential is written last, over whatever the caller's table says."""
    made, seen = client(local(HEAD + CHAT))
    made.chat("stranger/m", "hi", extra_headers={"authorization": "Bearer other", "X-A": "b"})
    assert seen[0].headers.get_list("authorization") == [f"Bearer {KEY}"] and seen[0].headers["x-a"] == "b"


@pytest.mark.parametrize("value", [["a", "b"], {"a": 1}, object(), b"\r\n", 1.5, float("nan"), True, None, b"\xff"])
def test_a8_header_values_are_text_or_refused(value: Any) -> None:
    made, seen = client(local(HEAD + CHAT))
    try:
        made.chat("stranger/m", "hi", extra_headers={"X-A": value})
    except Error as error:
        assert error.kind == "config" and not seen
    else:
        assert all(c >= " " for c in seen[0].headers.get("x-a", ""))


@pytest.mark.parametrize("part", ["name", "filename", "media_type"])
def test_a8_multipart_parts_cannot_be_split(part: str) -> None:
    evil = 'x"\r\nContent-Type: text/html\r\n\r\n--llmkit'
    given = {"data": "aGk=", "filename": "f.txt", "media_type": "text/plain"}
    if part != "name":
        given[part] = evil
    text = (
        HEAD
        + 'variables: {v: {about: x}}\nchat:\n  post: /x\n  multipart: {file: "{{ messages[0].parts[0] }}", k: "{{ user }}"}\n'
        + BARE
    )
    made, seen = client(local(text))
    try:
        made.chat("stranger/m", [{"role": "user", "content": [{"type": "document", **given}]}], user=evil)
    except Error as error:
        assert error.kind in ("config", "unsupported")
        return
    body = seen[0].content
    boundary = seen[0].headers["content-type"].partition("boundary=")[2].encode()
    for piece in body.split(b"--" + boundary)[1:-1]:
        head = piece.partition(b"\r\n\r\n")[0]
        assert head.count(b"Content-Type") <= 1 and b"text/html\r\n" not in head.replace(b"\r\nContent-Type: text/plain", b""), head


def test_a8_reply_headers_with_line_ends_are_no_answer() -> None:
    made, _ = client(local(HEAD + CHAT), reply=lambda r: httpx.Response(500, headers={"x-request-id": "a\x1b[31mb\x07"}, text="no"))
    with pytest.raises(Error) as caught:
        made.chat("stranger/m", "hi")
    assert str(caught.value).isprintable()
