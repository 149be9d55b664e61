"""Every transport against a server that misbehaves: typed errors, bounded time and memory, freed connections.

RELIABILITY E1, E2, R7, R8, M1, M2, A7 and the transport, size and going-away rows of the fault table.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from engine import errors
from engine.call.send.aio import AiohttpTransport
from engine.call.send.evented import AsyncPooledTransport
from engine.client import AsyncClient, Client
from tests.client.fakes import KEY, FakeCatalog, every_text, good, lines
from tests.client.loopback import Exchange, Loopback

WAYS = ("sync", "async", "aiohttp")
QUICK = {"connect": 1.0, "headers": 0.6, "first_event": 0.6, "idle": 0.5}
GOOD = json.dumps({"text": "hello"}).encode()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def client_of(way: str, server: Loopback, **options: Any) -> Any:
    settings = {"acme": {"api_key": KEY, "base_url": server.url}}
    common: dict[str, Any] = {"catalog": FakeCatalog(), "providers": settings, **QUICK, **options}
    if way == "sync":
        return Client(**common)
    return AsyncClient(transport=AiohttpTransport() if way == "aiohttp" else AsyncPooledTransport(), **common)


def chat(way: str, server: Loopback, times: int = 1, **options: Any) -> Any:
    """The last answer, or the error."""
    try:
        if way == "sync":
            with client_of(way, server, **options) as client:
                return [client.chat("acme/m1", "hi") for _ in range(times)][-1]

        async def run() -> Any:
            async with client_of(way, server, **options) as client:
                return [await client.chat("acme/m1", "hi") for _ in range(times)][-1]

        return asyncio.run(run())
    except errors.Error as error:
        assert error.__cause__ is None and error.__context__ is None
        assert not any(KEY in text for text in every_text(error))
        return error


def stream(way: str, server: Loopback, **options: Any) -> tuple[str, Any]:
    """The text delivered, and the Response or the error."""
    got: list[str] = []
    try:
        if way == "sync":
            with client_of(way, server, **options) as client, client.chat.stream("acme/m1", "hi") as made:
                got.extend(e.text for e in made if e.kind == "text")
                return "".join(got), made.response

        async def run() -> Any:
            async with client_of(way, server, **options) as client, client.chat.stream("acme/m1", "hi") as made:
                async for event in made:
                    if event.kind == "text":
                        got.append(event.text)
                return made.response

        response = asyncio.run(run())
        return "".join(got), response
    except errors.Error as error:
        return "".join(got), error


async def fine(exchange: Exchange) -> None:
    await exchange.reply(200, GOOD)


def test_answers_come_over_one_kept_connection(way: str) -> None:
    with Loopback(fine) as server:
        assert chat(way, server, times=5).text == "hello"
        assert (len(server.requests), server.connections) == (5, 1)
    head = server.requests[0].head.decode().lower()
    assert f"authorization: bearer {KEY}".lower() in head and f"host: 127.0.0.1:{server.port}" in head
    assert head.count("content-length") == head.count("user-agent") == head.count("content-type") == 1


def test_a_finished_stream_keeps_its_connection(way: str) -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.chunks()
        for piece in good("Hel", "lo").splitlines(True):
            await exchange.chunk(piece)
        await exchange.chunk(b"")

    with Loopback(serve) as server:
        if way == "sync":
            with client_of(way, server) as client:
                assert [client.chat.stream("acme/m1", "hi").finish().text for _ in range(3)] == ["Hello"] * 3
        else:

            async def run() -> list[str]:
                async with client_of(way, server) as client:
                    return [(await client.chat.stream("acme/m1", "hi").finish()).text for _ in range(3)]

            assert asyncio.run(run()) == ["Hello"] * 3
        assert server.connections == 1


def test_a_server_that_lingers_after_the_end_is_not_waited_for(way: str) -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.chunks()
        await exchange.chunk(good("Hello"))
        await asyncio.sleep(30)

    with Loopback(serve) as server:
        start = time.monotonic()
        text, response = stream(way, server)
        assert text == response.text == "Hello" and time.monotonic() - start < 1.5


def test_a_reset_before_the_headers_is_repeated(way: str) -> None:
    async def serve(exchange: Exchange) -> None:
        if exchange.number == 1:
            exchange.reset()
        else:
            await fine(exchange)

    with Loopback(serve) as server:
        assert chat(way, server).text == "hello"
        assert len(server.requests) == 2


def test_a_server_that_is_not_there_is_a_connection_error(way: str) -> None:
    with Loopback(fine) as server:
        pass
    error = chat(way, server, attempts=2)
    assert isinstance(error, errors.ConnectionError)
    assert [a["kind"] for a in error.attempts] == ["connection"] * 2 and error.possibly_billed == 0


def test_a_short_body_is_never_an_answer(way: str) -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n" + GOOD)
        exchange.writer.close()

    with Loopback(serve) as server:
        assert isinstance(chat(way, server, attempts=1), errors.ConnectionError)


@pytest.mark.parametrize("part", ["headers", "drip", "header drip"])
def test_r7_a_server_that_trickles_is_bounded(way: str, part: str) -> None:
    async def serve(exchange: Exchange) -> None:
        if part == "headers":
            await asyncio.sleep(30)
        await exchange.send(b"HTTP/1.1 200 X\r\nContent-Length: 999\r\n" + (b"\r\n" if part == "drip" else b"X-A: "))
        for _ in range(300):
            await exchange.send(b" ")
            await asyncio.sleep(0.1)

    with Loopback(serve) as server:
        start = time.monotonic()
        assert isinstance(chat(way, server, attempts=1), errors.TimeoutError)
        assert 0.5 < time.monotonic() - start < 1.6
        start = time.monotonic()
        assert isinstance(chat(way, server, timeout=0.4), errors.DeadlineError)
        assert time.monotonic() - start < 0.65 + 0.4  # the deadline and at most 250 ms, with room for a busy machine


@pytest.mark.parametrize("silence", ["stall", "pings"])
def test_r7_a_stream_without_progress_is_bounded(way: str, silence: str) -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.chunks()
        await exchange.chunk(lines({"start": 1}, {"t": "Hel"}))
        while True:
            await asyncio.sleep(0.1)
            if silence == "pings":
                await exchange.chunk(b": ping\n")

    with Loopback(serve) as server:
        start = time.monotonic()
        text, error = stream(way, server)
        assert text == "Hel" and isinstance(error, errors.TimeoutError) and error.partial.text == "Hel"
        assert time.monotonic() - start < 2 and len(server.requests) == 1


@pytest.mark.parametrize("how", ["clean", "fin", "reset"])
def test_t2_a_cut_stream_is_an_error_after_its_text(way: str, how: str) -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.chunks()
        await exchange.chunk(lines({"t": "Hel"}))
        await asyncio.sleep(0.1)
        if how == "clean":
            await exchange.chunk(b"")
        elif how == "fin":
            exchange.writer.close()
        else:
            exchange.reset()
        await asyncio.sleep(0.2)

    with Loopback(serve) as server:
        text, error = stream(way, server)
        assert text == "Hel" and isinstance(error, errors.StreamInterruptedError) and error.partial.text == "Hel"
        assert len(server.requests) == 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate", "identity"])
def test_m2_offered_encodings_are_read(way: str, encoding: str) -> None:
    bare = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(GOOD),
        "deflate": zlib.compress(GOOD),
        "raw deflate": bare.compress(GOOD) + bare.flush(),
        "identity": GOOD,
    }[encoding]

    async def serve(exchange: Exchange) -> None:
        await exchange.reply(200, packed, f"Content-Encoding: {encoding.split()[-1]}")

    with Loopback(serve) as server:
        assert chat(way, server).text == "hello"


def test_m2_other_encodings_are_a_protocol_error(way: str) -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.reply(200, b"\x0b\x02\x80hello\x03", "Content-Encoding: br")

    with Loopback(serve) as server:
        assert isinstance(chat(way, server, attempts=1), errors.ProtocolError)


def test_m1_a_bomb_is_stopped_while_it_unpacks(way: str) -> None:
    bomb = gzip.compress(b" " * (40 << 20))

    async def serve(exchange: Exchange) -> None:
        await exchange.reply(200 if exchange.number == 1 else 500, bomb, "Content-Encoding: gzip")

    with Loopback(serve) as server:
        assert isinstance(chat(way, server), errors.LimitError)
        assert isinstance(chat(way, server, limits={"ratio": 100_000}), errors.LimitError)
        assert len(server.requests) == 2


def test_m1_long_bodies_and_headers_pass_no_limit(way: str) -> None:
    async def serve(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.reply(200, b" " * 5000)
        else:
            await exchange.reply(200, GOOD, *[f"X-{i}: {'y' * 4000}" for i in range(20 if exchange.number == 2 else 250)])

    with Loopback(serve) as server:
        for _ in range(3):
            assert isinstance(chat(way, server, limits={"body_bytes": 4000}), errors.LimitError)


def test_a7_a_redirect_reaches_nobody(way: str) -> None:
    with Loopback(fine) as other:

        async def serve(exchange: Exchange) -> None:
            await exchange.reply(307, b"", f"Location: {other.url}/stolen")

        with Loopback(serve) as server:
            assert isinstance(chat(way, server), errors.ProtocolError)
            assert isinstance(stream(way, server)[1], errors.ProtocolError)
        assert other.connections == 0


def test_s4_debug_logs_hold_no_key(way: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), Loopback(fine) as server:
        chat(way, server)
    assert KEY not in caplog.text


def test_r8_closing_a_stream_early_frees_its_connection(way: str) -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.chunks()
        while True:
            await exchange.chunk(lines({"t": "x"}))
            await asyncio.sleep(0.02)

    with Loopback(serve) as server:
        if way == "sync":
            with client_of(way, server).chat.stream("acme/m1", "hi") as made:
                assert next(made).text == "x"
        else:

            async def run() -> None:
                async with client_of(way, server).chat.stream("acme/m1", "hi") as made:
                    assert (await anext(made)).text == "x"
                await asyncio.sleep(0.1)

            asyncio.run(run())
        _wait_for(lambda: server.open == 0)


@pytest.mark.parametrize("kind", ["whole", "stream"])
def test_r8_cancellation_passes_through_and_frees_the_connection(kind: str) -> None:
    async def serve(exchange: Exchange) -> None:
        if kind == "whole":
            await asyncio.sleep(30)
        await exchange.chunks()
        while True:
            await exchange.chunk(lines({"t": "x"}))
            await asyncio.sleep(0.02)

    for way in ("async", "aiohttp"):
        with Loopback(serve) as server:

            async def run(way: str = way, server: Loopback = server) -> None:
                client = client_of(way, server, headers=20.0)

                async def consume() -> None:
                    if kind == "whole":
                        await client.chat("acme/m1", "hi")
                    async for _ in client.chat.stream("acme/m1", "hi"):
                        pass

                task = asyncio.ensure_future(consume())
                await asyncio.sleep(0.3)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await asyncio.sleep(0.2)
                assert server.open == 0
                await client.close()

            asyncio.run(run())


def test_many_calls_at_once(way: str) -> None:
    async def serve(exchange: Exchange) -> None:
        await asyncio.sleep(0.05)
        await fine(exchange)

    with Loopback(serve) as server:
        if way == "sync":
            from concurrent.futures import ThreadPoolExecutor

            with client_of(way, server, headers=5.0) as client, ThreadPoolExecutor(20) as pool:
                answers = list(pool.map(lambda _: client.chat("acme/m1", "hi").text, range(40)))
        else:

            async def run() -> list[str]:
                async with client_of(way, server, headers=5.0) as client:
                    return [r.text for r in await asyncio.gather(*(client.chat("acme/m1", "hi") for _ in range(40)))]

            answers = asyncio.run(run())
        assert answers == ["hello"] * 40


def test_an_async_client_serves_one_loop_after_another() -> None:
    with Loopback(fine) as server:
        for way in ("async", "aiohttp"):
            client = client_of(way, server)
            for _ in range(2):
                assert asyncio.run(client.chat("acme/m1", "hi")).text == "hello"

            async def last(client: Any) -> str:
                async with client:
                    return str((await client.chat("acme/m1", "hi")).text)

            assert asyncio.run(last(client)) == "hello"


def _wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 1
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
