"""What a caller leaves open is closed without a word of the libraries beneath (RELIABILITY R8)."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest

from engine.call.send.aio import AiohttpTransport
from engine.call.send.evented import AsyncPooledTransport
from engine.client import AsyncClient
from tests.client.fakes import KEY, FakeCatalog, lines
from tests.client.loopback import Exchange, Loopback


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
