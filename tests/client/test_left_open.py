"""What a caller leaves open is closed without a word of the libraries beneath (RELIABILITY R8)."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.call.send.aio import AiohttpTransport
from engine.call.send.evented import AsyncPooledTransport
from engine.client import AsyncClient, Client
from engine.serve.encoder import Encoder
from engine.types import Event
from tests.client.fakes import KEY, FakeCatalog, lines
from tests.client.loopback import Exchange, Loopback
from tests.serve.answers import CATALOG


async def _endless(exchange: Exchange) -> None:
    await exchange.chunks()
    while True:
        await exchange.chunk(lines({"t": "x"}))
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("way", ["async", "aiohttp"])
@pytest.mark.parametrize("dropped", ["before its client is closed", "after its client was closed"])
def test_a_stream_that_nobody_closed_ends_without_a_warning(way: str, dropped: str) -> None:
    told: list[Any] = []

    async def run(server: Loopback) -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        transport = AiohttpTransport() if way == "aiohttp" else AsyncPooledTransport()
        providers = {"acme": {"api_key": KEY, "base_url": server.url}}
        async with AsyncClient(catalog=FakeCatalog(), providers=providers, transport=transport) as client:
            stream = client.chat.stream("acme/m1", "hi")
            assert (await anext(aiter(stream))).kind
            if dropped == "before its client is closed":
                del stream
                gc.collect()
                return None
        return stream

    gc.collect()  # what other tests left is not told here
    with Loopback(_endless) as server, warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        kept = asyncio.run(run(server))
        del kept
        gc.collect()
    assert not told and not [str(one.message) for one in heard if issubclass(one.category, ResourceWarning)]


async def _whole_or_streamed(exchange: Exchange) -> None:
    if b'"stream": true' in exchange.body or b'"stream":true' in exchange.body:
        await exchange.chunks()
        await exchange.chunk(lines({"t": "a"}))
        await exchange.chunk(lines({"t": "b"}, {"finish": "stop"}))
        await exchange.send(b"0\r\n\r\n")
    else:
        await exchange.reply(200, b'{"text": "hi", "finish": "stop"}')


def test_calls_and_streams_leave_nothing_of_ours_for_the_collector(left: Callable[[], list[Any]]) -> None:
    """What is over is freed at once: whoever has many calls at a time need not let the collector walk them."""
    with Loopback(_whole_or_streamed) as server:
        providers = {"acme": {"api_key": KEY, "base_url": server.url}}

        async def run() -> list[Any]:
            async with AsyncClient(catalog=FakeCatalog(), providers=providers) as client:
                for turn in range(3):
                    if turn == 1:
                        left()  # the first ones compile and connect
                    assert (await client.chat("acme/m1", "hi")).text == "hi"
                    assert (await client.chat.stream("acme/m1", "hi").finish()).text == "ab"
                return left()

        assert asyncio.run(run()) == []
        with Client(catalog=FakeCatalog(), providers=providers) as client:
            for turn in range(3):
                if turn == 1:
                    left()
                assert client.chat("acme/m1", "hi").text == "hi"
                assert client.chat.stream("acme/m1", "hi").finish().text == "ab"
            assert left() == []


@pytest.mark.parametrize("dialect", ["openai-chat", "anthropic-messages", "gemini"])
def test_a_stream_that_was_written_leaves_nothing_of_ours_for_the_collector(dialect: str, left: Callable[[], list[Any]]) -> None:
    events = [Event("text", {"text": piece}) for piece in ("a", "b", "c")]
    events += [Event("tool_call", {"index": 0, "id": "c1", "name": "f", "arguments": "{}"}), Event("finish", {"reason": "stop"})]
    for turn in range(3):
        if turn == 1:
            left()  # the first one compiles
        encoder = Encoder(CATALOG.served(dialect), {})
        assert encoder.feed(events) + encoder.end()
        del encoder
    assert left() == []


@pytest.fixture
def left() -> Iterator[Callable[[], list[Any]]]:
    """What the collector finds of the engine's own since it was last asked."""

    def found() -> list[Any]:
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        ours = [type(one).__qualname__ for one in gc.garbage if type(one).__module__.startswith("engine")]
        gc.set_debug(0)
        gc.garbage.clear()
        gc.collect()
        return ours

    enabled = gc.isenabled()
    gc.disable()
    try:
        yield found
    finally:
        if enabled:
            gc.enable()
