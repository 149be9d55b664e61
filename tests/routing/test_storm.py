"""RELIABILITY R6 with several targets: a dead provider is asked about once per call, whatever a route could do."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import engine
from tests.faults.storm import AsyncDead, Dead, impatient

A, A2, B = "groq/llama-3.3-70b-versatile", "groq/llama-3.1-8b-instant", "openai/gpt-5-mini"
KEYS = {"groq": {"api_key": "k" * 20}, "openai": {"api_key": "k" * 20}}
CALLS = 500  # `python -c "from tests.routing.test_storm import storm; print(storm('sync', [A, A2], 10_000))"` is the whole one


def storm(way: str, targets: list[str], calls: int, kind: str = "connection") -> tuple[int, int]:
    """(requests, calls that failed with one of our errors) of many calls by a route whose targets are all dead."""
    dead: Any = Dead(kind) if way == "sync" else AsyncDead(kind)
    route = engine.Route(targets)
    if way == "sync":
        client = engine.Client(transport=dead, providers=KEYS, clock=impatient())

        def one(_: int) -> int:
            try:
                client.chat(route, "hi")
            except engine.Error:
                return 1
            return 0

        with ThreadPoolExecutor(8) as pool:
            failed = sum(pool.map(one, range(calls)))
        return dead.requests, failed

    async def run() -> int:
        async with engine.AsyncClient(transport=dead, providers=KEYS, clock=impatient()) as client:
            left, failed = iter(range(calls)), 0

            async def worker() -> None:
                nonlocal failed
                for _ in left:
                    try:
                        await client.chat(route, "hi")
                    except engine.Error:
                        failed += 1

            await asyncio.gather(*(worker() for _ in range(50)))
            return failed

    failed = asyncio.run(run())
    return dead.requests, failed


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("targets", [[A], [A, A2], [A, A2, B]], ids=["one", "two", "three"])
def test_a_storm_by_a_route(way: str, targets: list[str]) -> None:
    requests, failed = storm(way, targets, CALLS)
    assert failed == CALLS and requests <= CALLS + 200
