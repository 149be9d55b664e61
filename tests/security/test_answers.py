"""Answers of a broken, hostile or taken-over provider are data within limits (RELIABILITY M1 to M6)."""

from __future__ import annotations

import gzip
import json
import resource
import time
import tracemalloc
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import pytest

import engine
from engine.cli import main
from engine.errors import Error
from tests.security.strangers import ANSWER, CHAT, HEAD, KEY, client, leaks, local, surfaces

MIB = 1 << 20
JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream"}


def asked(body: bytes, headers: dict[str, str] | None = None, status: int = 200, streamed: bool = False, **options: Any) -> Any:
    """The answer, or the typed error it ends in. Anything else fails the test."""
    made, _ = client(
        local(HEAD + CHAT), reply=lambda r: httpx.Response(status, headers=headers or JSON, stream=_Raw(body)), **options
    )
    try:
        return made.chat.stream("stranger/m", "hi").finish() if streamed else made.chat("stranger/m", "hi")
    except Error as error:
        return error


class _Raw(httpx.SyncByteStream):
    """Bytes as they come over the wire, in pieces, undecoded."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __iter__(self) -> Any:
        for at in range(0, len(self.body), 65536):
            yield self.body[at : at + 65536]


@lru_cache
def bomb(size: int, form: str) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, {"gzip": 31, "deflate": 15, "raw": -15}[form])
    block = b"0" * MIB
    return b"".join(packer.compress(block) for _ in range(size // MIB)) + packer.flush()


@pytest.mark.parametrize("form", ["gzip", "deflate", "raw"])
@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("streamed", [False, True])
def test_m1_a_decompression_bomb_is_stopped_while_it_runs(form: str, status: int, streamed: bool) -> None:
    """u_gzip_bomb: 150 MB in 150 KB; memory grows by less than 40 MB."""
    packed = bomb(150 * MIB, form)
    tracemalloc.start()
    try:
        error = asked(
            packed, {**(SSE if streamed else JSON), "content-encoding": "gzip" if form == "gzip" else "deflate"}, status, streamed
        )
        assert tracemalloc.get_traced_memory()[1] < 40 * MIB
    finally:
        tracemalloc.stop()
    assert isinstance(error, Error) and error.kind in ("limit", "server"), error


def test_m1_bombs_in_bombs_and_slow_bombs() -> None:
    for body in (gzip.compress(gzip.compress(b"0" * MIB)), gzip.compress(json.dumps(ANSWER).encode()) * 3, gzip.compress(b"")):
        answer = asked(body, {**JSON, "content-encoding": "gzip"})
        assert isinstance(answer, Error) or answer.text == "hello"
    for encoding in ("br", "zstd", "gzip, gzip", "x", "compress", "gzip;q=1", "identity, gzip"):
        error = asked(gzip.compress(json.dumps(ANSWER).encode()), {**JSON, "content-encoding": encoding})
        assert isinstance(error, Error) and error.kind == "protocol", encoding  # M2


@pytest.mark.parametrize("limit", ["body_bytes", "error_bytes"])
def test_m1_bodies_end_at_their_limits(limit: str) -> None:
    status = 200 if limit == "body_bytes" else 500
    body = json.dumps({"text": "x" * 300_000, "error": {"message": "x" * 300_000}}).encode()
    error = asked(body, status=status, limits={limit: 100_000})
    assert isinstance(error, Error)
    assert error.kind == "limit" or status == 500
    assert len(str(error)) < 2500 and len(str(error.raw)) < 400_000


DEEP = {
    "lists": b"[" * 100_000,
    "closed": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"a":' * 100_000,
    "in an answer": b'{"choices":[{"message":{"content":' + b"[" * 5000 + b"]" * 5000 + b"}}]}",
    "65 levels": b"[" * 65 + b"]" * 65,
    "in arguments": json.dumps(
        {"choices": [{"index": 0, "message": {"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "[" * 90_000}}]}}]}
    ).encode(),
    "numbers": b"9" * 100_000,
    "number": b'{"choices":[{"index":' + b"9" * 5000 + b',"message":{"content":"a"}}]}',
    "exponent": b'{"choices":[{"index":1e999999999,"message":{"content":"a"}}]}',
    "nan": b'{"choices":[{"index":NaN,"message":{"content":"a"}}],"usage":{"prompt_tokens":Infinity}}',
    "bad utf-8": b'{"choices":[{"message":{"content":"\xff\xfe\xc3"}}]}',
    "surrogate": b'{"choices":[{"message":{"content":"\\ud800"}}]}',
    "keys": b"{" + b",".join(b'"k%d":1' % i for i in range(200_000)) + b"}",
    "same key": b'{"choices":1,"choices":[],"choices":{}}',
    "nothing": b"",
    "null": b"null",
    "nul bytes": b"\x00" * 100,
    "no json": b"<html>",
    "cut": b'{"choices":[{"mess',
    "two": b"{}{}",
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("way", ["whole", "stream", "stream of json"])
def test_m1_hostile_json_is_an_answer_or_a_typed_error(name: str, status: int, way: str) -> None:
    """u_deep_json and its kin: no crash, no foreign exception, bounded time."""
    body, headers = DEEP[name], JSON
    if way == "stream":
        body, headers = b"data: " + body.replace(b"\n", b"") + b"\n\ndata: [DONE]\n\n", SSE
    start = time.process_time()
    answer = asked(body, headers, status, way != "whole")
    assert time.process_time() - start < 5
    if isinstance(answer, Error):
        assert answer.kind in ("limit", "protocol", "server", "invalid_request", "stream_interrupted"), answer
        for text in surfaces(answer):
            assert not leaks(text)
        json.dumps(answer.to_dict(), allow_nan=False)
    else:
        assert status == 200
        json.dumps(answer.to_dict(), allow_nan=False)


STREAMS: dict[str, Callable[[], bytes]] = {
    "one line": lambda: b"data: " + b"x" * (17 * MIB),
    "one event": lambda: b"data: " + b"x" * 500 + b"\n" + (b"data: " + b"x" * 500 + b"\n") * 40_000,
    "comments": lambda: b": ping\n\n" * 200_000,
    "blank": lambda: b"\n" * (4 * MIB),
    "empty data": lambda: b"data:\n\n" * 200_000,
    "names": lambda: b"event: " + b"x" * (17 * MIB),
    "retries": lambda: b"retry: 999999999999999999999999\nid: \x00\n\n" * 1000,
    "indexes": lambda: b"".join(b'data: {"choices":[{"index":%d,"delta":{"content":"x"}}]}\n\n' % i for i in range(20_000)),
    "big index": lambda: b'data: {"choices":[{"index":999999999,"delta":{"content":"x"}}]}\n\ndata: [DONE]\n\n',
    "tool indexes": lambda: b"".join(
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":%d,"id":"a","function":{"name":"f"}}]}}]}\n\n' % (i * 7919)
        for i in range(20_000)
    ),
    "arguments": lambda: (
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"[[[["}}]}}]}\n\n' * 20_000
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_m1_hostile_streams_are_bounded(name: str) -> None:
    """s_giant_line, s_giant_event and streams that make state without content."""
    body = STREAMS[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    answer = asked(body, SSE, streamed=True)
    assert time.process_time() - start < 15
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024
    if isinstance(answer, Error):
        assert answer.kind in ("limit", "protocol", "stream_interrupted"), answer
    if name in ("one line", "one event", "names"):
        assert isinstance(answer, Error) and answer.kind == "limit"


COUNTS = [-1, 10**9 + 1, 10**30, 1.5, "12", "many", None, True, [], {}, "9" * 60, 1e300, -0.0, "1e5", "0x10", "１２"]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("streamed", [False, True])
def test_m3_a_nonsense_count_never_breaks_the_answer(count: Any, streamed: bool) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": count}}
    document = {**ANSWER, "usage": usage}
    body = json.dumps(document).encode()
    if streamed:
        piece = {"choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": "stop"}], "usage": usage}
        body = f"data: {json.dumps(piece)}\n\ndata: [DONE]\n\n".encode()
    answer = asked(body, SSE if streamed else JSON, streamed=streamed)
    assert not isinstance(answer, Error) and answer.text == "hello"
    known = answer.usage.input_tokens
    assert known is None or (type(known) is int and 0 <= known <= 10**9)
    if count in (-1, 10**9 + 1, 10**30, "many", 1e300):
        assert known is None and answer.warnings


ESCAPE = "\x1b[31m\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x07\x9b2J\x08\x08\rhidden\x00\u202eevil\u2066\ufeff"


def steers(text: str) -> bool:
    return any(not c.isprintable() and c not in "\n\t" for c in text)


@pytest.mark.parametrize("streamed", [False, True])
def test_m5_errors_and_warnings_of_a_provider_are_clean(streamed: bool) -> None:
    said = {"error": {"message": f"bad {ESCAPE}", "code": ESCAPE, "type": ESCAPE, "param": ESCAPE}}
    for status in (400, 429, 500):
        error = asked(json.dumps(said).encode(), {**JSON, "x-request-id": "r"}, status)
        assert isinstance(error, Error) and not steers(str(error)), repr(str(error))
    body = f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': 'a'}}]})}\n\ndata: {json.dumps(said)}\n\n".encode()
    error = asked(body, SSE, streamed=True)
    assert isinstance(error, Error) and not steers(str(error))
    odd = {**ANSWER, "usage": {"prompt_tokens": ESCAPE}, "model": ESCAPE}
    answer = asked(json.dumps(odd).encode())
    assert not any(steers(w) for w in answer.warnings)


def test_m5_model_output_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """By every way the command line shows an answer."""
    message = {
        "content": f"a{ESCAPE}b",
        "reasoning_content": ESCAPE,
        "tool_calls": [{"id": "1", "function": {"name": f"f{ESCAPE}", "arguments": json.dumps({ESCAPE: ESCAPE})}}],
    }
    whole = {
        "id": ESCAPE,
        "model": ESCAPE,
        "choices": [{"index": 0, "message": message, "finish_reason": ESCAPE}],
        "usage": {"prompt_tokens": ESCAPE},
    }
    message["tool_calls"][0]["index"] = 0  # type: ignore[index]
    piece = {**whole, "choices": [{"index": 0, "delta": message, "finish_reason": "stop"}]}

    def reply(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content).get("stream"):
            return httpx.Response(200, headers=SSE, text=f"data: {json.dumps(piece)}\n\ndata: [DONE]\n\n")
        return httpx.Response(200, json=whole)

    real = engine.Client
    monkeypatch.setattr(engine, "Client", lambda **o: real(**{**o, "transport": httpx.MockTransport(reply)}), raising=False)
    monkeypatch.setenv("STRANGER_API_KEY", KEY)
    path = tmp_path / "stranger.yaml"
    path.write_text(HEAD + CHAT)
    for extra in ([], ["--no-stream"], ["--json"], ["--json", "--no-stream"], ["--explain"]):
        code = main(["chat", "--catalog", str(path), *extra, "stranger/m", f"hi{ESCAPE}"])
        shown = capsys.readouterr()
        assert code == 0, shown
        assert not steers(shown.out) and not steers(shown.err), (extra, shown.out)
        assert not leaks(shown.out + shown.err)


def test_m5_a_spec_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Names, keys and values with escapes, in every command that shows a spec."""
    quoted = json.dumps(ESCAPE)
    path = tmp_path / "stranger.yaml"
    texts = [
        HEAD.replace("name: Stranger", f"name: {quoted}") + CHAT + f"about: {quoted}\nregions: [{quoted}]\n",
        HEAD + CHAT + f"{quoted}: 1\n",
        HEAD + f"chat: {{extends: {quoted}}}\n",
        HEAD + f"chat: {{post: {quoted}, response: {{{quoted}: {quoted}}}}}\n",
        HEAD + CHAT + "x: \u202eevil\u2066 \u0085\n",
        "\x1b[31m",
        "a: \x9b2J",
        HEAD + CHAT + f"models: {{default: {quoted}, {quoted}: {{headers: {{{quoted}: a}}}}}}\n",
    ]
    commands = [["check", str(path)], ["check", str(path), "--format", "json"], ["check", str(path), "--format", "github"]]
    commands += [[c, "--catalog", str(path), *rest] for c, *rest in (
        ("providers",), ("providers", "--json"), ("models", "stranger"), ("show", "stranger"), ("show", "stranger", "--resolved"),
        ("show", "stranger", "--origin"), ("chat", "stranger/m", "--explain", "hi"), ("chat", f"strange{ESCAPE}/m", "hi"),
    )]  # fmt: skip
    for text in texts:
        path.write_text(text, "utf-8")
        for command in commands:
            main(command)
            shown = capsys.readouterr()
            assert not steers(shown.out.replace("\r\x1b[K", "")), (command, text, shown.out)
            assert not steers(shown.err.replace("\r\x1b[K", "")), (command, text, shown.err)


def test_m6_free_text_never_makes_a_failure_retryable() -> None:
    """What a message says decides no retry: only status, code and type do."""
    words = [
        "rate limit exceeded, retry after 1 s",
        "overloaded",
        "temporarily unavailable",
        "timeout",
        "try again",
        "server error",
    ]
    for status in (400, 401, 403, 404, 422):
        for word in words:
            seen: list[int] = []

            def reply(request: httpx.Request, status: int = status, word: str = word, seen: list[int] = seen) -> httpx.Response:
                seen.append(1)
                return httpx.Response(status, json={"error": {"message": word}})

            made, _ = client(local(HEAD + CHAT), reply=reply, attempts=3)
            with pytest.raises(Error) as caught:
                made.chat("stranger/m", "hi")
            assert len(seen) == 1 and not caught.value.retryable, (status, word)


def test_m4_links_in_an_answer_are_not_fetched() -> None:
    said = {
        "choices": [
            {
                "index": 0,
                "message": {
                    "content": "![x](https://evil.test/x.png) https://evil.test",
                    "annotations": [{"type": "url_citation", "url_citation": {"url": "http://169.254.169.254/", "title": "t"}}],
                },
                "finish_reason": "stop",
            }
        ]
    }
    made, seen = client(local(HEAD + CHAT), reply=lambda r: httpx.Response(200, json=said))
    made.chat("stranger/m", "hi")
    assert len(seen) == 1


@pytest.mark.parametrize("size", [70_000, 1_000_000])
@pytest.mark.parametrize("how", ["one", "many", "name"])
def test_m1_giant_headers_are_a_typed_error(size: int, how: str) -> None:
    """u_giant_headers, on a raw socket."""
    import socket
    import threading

    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.settimeout(5)
                    connection.recv(65536)
                    lines = {
                        "one": b"X-A: " + b"a" * size + b"\r\n",
                        "many": b"X-A: b\r\n" * (size // 8),
                        "name": b"X" * size + b": a\r\n",
                    }[how]
                    connection.sendall(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 2\r\n\r\n{}")
                    connection.recv(1)
                except OSError:
                    pass

    threading.Thread(target=serve, daemon=True).start()
    settings = {"stranger": {"api_key": KEY, "base_url": f"http://127.0.0.1:{server.getsockname()[1]}"}}
    try:
        import asyncio

        with (
            engine.Client(catalog=[local(HEAD + CHAT)], providers=settings, attempts=1, timeout=10) as made,
            pytest.raises(Error) as caught,
        ):
            made.chat("stranger/m", "hi")
        assert caught.value.kind in ("limit", "protocol", "connection"), caught.value

        async def run() -> None:
            async with engine.AsyncClient(catalog=[local(HEAD + CHAT)], providers=settings, attempts=1, timeout=10) as later:
                await later.chat("stranger/m", "hi")

        with pytest.raises(Error) as caught:
            asyncio.run(run())
        assert caught.value.kind in ("limit", "protocol", "connection"), caught.value
    finally:
        server.close()
