"""What one read of a socket costs beside its bytes."""

from __future__ import annotations

import asyncio
import time

from engine.call.send import Route, Timing
from engine.call.send.aio import READ, AiohttpTransport
from engine.client import AsyncClient
from engine.reliability.deadline import Timer
from engine.types import HttpRequest
from tests.client.fakes import KEY, FakeCatalog
from tests.client.loopback import Loopback
from tests.client.test_transports import fine


def test_a_read_of_a_socket_asks_for_no_memory_of_its_own() -> None:
    """A quarter of a MiB is more than an allocator keeps: it would be mapped and unmapped with every read."""
    asked: list[int] = []

    async def run() -> None:
        transport = AiohttpTransport()
        async with AsyncClient(
            catalog=FakeCatalog(), providers={"acme": {"api_key": KEY, "base_url": server.url}}, transport=transport
        ) as client:
            await client.chat("acme/m1", "hi")
            for pool in transport._pools.values():
                asked.extend(one.transport.max_size for idle in pool._conns.values() for one, _ in idle)

    with Loopback(fine) as server:
        asyncio.run(run())
    assert asked == [READ]


def test_a_body_that_came_with_its_head_is_there_at_once_and_its_connection_is_free() -> None:
    """Nothing is awaited for it; who reads it like any other gets it once, and then the end."""

    async def run() -> None:
        transport = AiohttpTransport()
        timing = Timing(5, 5, Timer(time.monotonic() + 5))
        try:
            for _ in range(3):
                reply = await transport.open(HttpRequest("POST", f"{server.url}/x", body=b"{}"), Route(), timing)
                while reply.whole is None:  # head and body were two reads: ask again
                    await reply.read()
                    await reply.close()
                    reply = await transport.open(HttpRequest("POST", f"{server.url}/x", body=b"{}"), Route(), timing)
                assert not transport._held
                assert [len(idle) for idle in transport._pools[False]._conns.values()] == [1]
                whole = reply.whole
                assert whole and [await reply.read(), await reply.read()] == [whole, b""]
                await reply.close()
        finally:
            await transport.close()

    with Loopback(fine) as server:
        asyncio.run(run())
    assert server.connections == 1
