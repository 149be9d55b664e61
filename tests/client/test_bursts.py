"""What arrived together is handed on together, and nothing is waited for while something is there (RELIABILITY T1, T3)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from engine.call.send import Route, SendFailure, Timing
from engine.call.send.evented import AsyncPooledTransport
from engine.call.send.threaded import PooledTransport
from engine.reliability.deadline import Timer
from engine.types import HttpRequest
from tests.client.loopback import Exchange, Loopback

PIECES = [b"data: %d\n\n" % n for n in range(500)]


def pieces(way: str, server: Loopback, times: int = 1) -> tuple[list[bytes], Any]:
    """What each read gave, of the last of so many exchanges, and the failure if there was one."""
    got: list[bytes] = []

    def asked() -> tuple[HttpRequest, Route, Timing]:
        return HttpRequest("GET", server.url), Route(), Timing(5, 5, Timer(time.monotonic() + 5))

    async def run() -> None:
        transport = AsyncPooledTransport()
        for _ in range(times):
            got.clear()
            reply = await transport.open(*asked())
            try:
                while data := await reply.read():
                    got.append(data)
            finally:
                await reply.close()
        await transport.close()

    try:
        if way == "async":
            asyncio.run(run())
            return got, None
        transport = PooledTransport()
        for _ in range(times):
            got.clear()
            reply = transport.open(*asked())
            try:
                while data := reply.read():
                    got.append(data)
            finally:
                reply.close()
        transport.close()
    except SendFailure as failure:
        return got, failure
    return got, None


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_burst_is_few_reads_and_its_connection_is_used_again(way: str) -> None:
    async def burst(exchange: Exchange) -> None:
        await exchange.chunks()
        await exchange.send(b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in PIECES) + b"0\r\n\r\n")

    with Loopback(burst) as server:
        got, failure = pieces(way, server, times=3)
        assert failure is None and b"".join(got) == b"".join(PIECES)
        assert len(got) < 20, "httpcore's parser was not found: bursts are read piece by piece"
        assert server.connections == 1


@pytest.mark.parametrize("way", ["sync", "async"])
def test_t3_what_came_before_a_broken_chunk_is_read_before_the_failure(way: str) -> None:
    async def broken(exchange: Exchange) -> None:
        await exchange.chunks()
        await exchange.send(b"5\r\nfirst\r\n6\r\nsecond\r\nzz\r\n")
        await asyncio.sleep(0.2)

    with Loopback(broken) as server:
        got, failure = pieces(way, server)
        assert b"".join(got) == b"firstsecond"
        assert failure is not None and failure.kind == "protocol"


@pytest.mark.parametrize("way", ["sync", "async"])
def test_an_event_is_handed_on_although_nothing_follows_yet(way: str) -> None:
    seen: list[float] = []

    async def slow(exchange: Exchange) -> None:
        await exchange.chunks()
        for piece in PIECES[:3]:
            await exchange.chunk(piece)
            seen.append(time.monotonic())
            await asyncio.sleep(0.1)
        await exchange.send(b"0\r\n\r\n")

    with Loopback(slow) as server:
        got, failure = pieces(way, server)
        assert failure is None and got == PIECES[:3] and len(seen) == 3
