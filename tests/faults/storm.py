"""Retry storm: how often a dead provider is asked (RELIABILITY R6)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine import errors
from engine.call.send import SendFailure
from engine.reliability.deadline import Clock
from tests.faults.callers import MESSAGES
from tests.faults.proofs import KEY, client
from tests.faults.server import Case, Exchange, Server
from tests.faults.wires import OPENAI


class Dead:
    """A transport to a provider that is dead in one way. Counts what would have been sent."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.requests = 0
        self._lock = threading.Lock()

    def _die(self) -> Any:
        with self._lock:
            self.requests += 1
        raise SendFailure(self.kind, "dead", unsent=self.kind == "connection")

    def open(self, *_: Any) -> Any:
        self._die()

    def close(self) -> None:
        pass


class AsyncDead(Dead):
    async def open(self, *_: Any) -> Any:
        self._die()

    async def close(self) -> None:
        pass


def impatient() -> Clock:
    """A clock whose chance always gives the least: retries are not waited for."""
    return Clock(uniform=lambda least, most: least)


def storm(calls: int, way: str, kind: str = "connection", base_url: str | None = None, keys: int = 1) -> tuple[int, int]:
    """(requests, failed calls) of that many calls by one client to a dead provider: a dead transport, or a real dead server."""
    dead = Dead(kind) if way == "sync" else AsyncDead(kind)
    seen: list[str] = []

    providers = {"openai": {"api_key": [f"{KEY}{n}" for n in range(keys)], "base_url": base_url or "http://127.0.0.1:9/v1"}}
    own = {} if base_url else {"transport": dead}
    made = client(way, clock=impatient(), **{"providers": providers, **own})
    made.on("attempt_ended", lambda event: seen.append(event.kind))
    failed = _storm_sync(made, calls) if way == "sync" else asyncio.run(_storm_async(made, calls))
    if base_url is None:
        assert len(seen) == dead.requests
    return len(seen), failed


def storm_on_loopback(calls: int, way: str, answer: Callable[[Exchange], Any]) -> int:
    """Requests that reach a real server which fails every one of them."""
    with Server() as server:
        case = server.open(Case(answer, KEY, wire=OPENAI))
        seen, failed = storm(calls, way, base_url=case.base_url + OPENAI.prefix)
        assert failed == calls and seen >= len(case.requests)  # on a busy machine an attempt may end before it arrives
        return seen


def _storm_sync(made: Any, calls: int) -> int:
    def one(_: int) -> int:
        try:
            made.chat(OPENAI.model, MESSAGES)
        except errors.Error:
            return 1
        return 0

    with made, ThreadPoolExecutor(8) as pool:
        return sum(pool.map(one, range(calls)))


async def _storm_async(made: Any, calls: int, at_once: int = 50) -> int:
    left = iter(range(calls))
    failed = 0

    async def worker() -> None:
        nonlocal failed
        for _ in left:
            try:
                await made.chat(OPENAI.model, MESSAGES)
            except errors.Error:
                failed += 1

    async with made:
        await asyncio.gather(*(worker() for _ in range(at_once)))
    return failed
