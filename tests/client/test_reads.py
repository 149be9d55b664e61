"""What one read of a socket costs beside its bytes."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.call.send.aio import READ, AiohttpTransport
from engine.client import AsyncClient
from tests.client.fakes import KEY, FakeCatalog
from tests.client.loopback import Loopback
from tests.client.test_transports import fine


def test_a_read_of_a_socket_asks_for_no_memory_of_its_own() -> None:
    """A quarter of a MiB is more than an allocator keeps: it would be mapped and unmapped with every read."""
    asked: list[int] = []

    async def run() -> None:
        transport = AiohttpTransport()
        opened = transport.open

        async def seen(*given: Any) -> Any:
            reply = await opened(*given)
            asked.append(reply._connection.transport.max_size)
            return reply

        transport.open = seen  # type: ignore[method-assign]
        async with AsyncClient(
            catalog=FakeCatalog(), providers={"acme": {"api_key": KEY, "base_url": server.url}}, transport=transport
        ) as client:
            await client.chat("acme/m1", "hi")

    with Loopback(fine) as server:
        asyncio.run(run())
    assert asked == [READ]
