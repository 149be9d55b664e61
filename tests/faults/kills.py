"""Killed streams and cancelled calls: what is left of them (RELIABILITY R8)."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine import errors
from engine.ledger.store import SqliteLedger
from engine.reliability.breaker import Breaker
from tests.faults.callers import MESSAGES
from tests.faults.proofs import KEY, client
from tests.faults.server import Case, Exchange, Server
from tests.faults.ticking import WAIT, Ticking
from tests.faults.wires import OPENAI

KILLS = ("client", "server", "cancel", "early", "drop")
PATIENCE = 1.0  # seconds from the kill until nothing is left of it
FURTHER = 10.0  # seconds after which what is left is there for good
MODELS = (OPENAI.model, "openai/gpt-5-mini")
PRICES = {model: {"input": 1, "output": 10} for model in MODELS}


@dataclass
class Left:
    """What was still there a second after `streams` were killed, in so many rounds of all ways; `worst` seconds until all was gone.
    `found` also tells what came of it: a machine that has no time for us is late, a leak never goes."""

    rounds: int = 0
    streams: int = 0
    worst: float = 0.0
    found: list[str] = field(default_factory=list)


class _Killing:
    """Streams by a route, each with money and a turn set aside and a place in the cache, and what is left of them."""

    def __init__(self, way: str, server: Ticking, streams: int) -> None:
        self.server, self.streams = server, streams
        self.ledger = SqliteLedger(":memory:")
        self.made = client(
            way, base_url=server.base_url + "/v1", timeout=60.0, connect=30.0, max_retries=0, rates={"openai": {"concurrency": 10 * streams}},
            budgets=[{"usd": 1_000_000}], ledger=self.ledger, prices=PRICES, cache="memory", routes={"either": list(MODELS)},
        )  # fmt: skip
        self.left = Left()
        self.late = ""  # what was there when it was too late
        self.asked = 0

    def begun(self, how: str) -> list[Any]:
        """New streams, no question like another."""
        self.asked += self.streams
        for target in self.made._targets.values():  # what failed last time shall not count
            target.health.breaker, target.health.calm = Breaker(lambda low, high: low), True
        said = f"{how}{' ' + WAIT if how == 'early' else ''}"
        return [self.made.chat.stream("either", f"{said} {self.left.streams + i}", max_tokens=9) for i in range(self.streams)]

    def all_asked(self) -> bool:
        return self.server.asked >= self.asked

    def baseline(self, tasks: Callable[[], int]) -> None:
        """What is there before streams are killed."""
        self.tasks, self.before, self.own = tasks, _files(), tasks()

    def held(self) -> dict[str, int]:
        """What is there of killed streams now."""
        gate = self.made._gate
        found = {
            "connections": self.server.open,
            "files": _files() - self.before,
            "tasks": self.tasks() - self.own,
            "calls": sum(view["in_flight"] for view in self.made.health(*MODELS).values()),
            "turns": sum(scope.running for scope in gate.limiter._made.values()),
            "reservations": self.ledger.spent("total:all")[1],
            "questions": len(self.made._cache.flights),
        }
        return {what: count for what, count in found.items() if count > 0}

    def look(self, how: str, killed: float) -> bool:
        """Whether nothing is left, or it is too late for that: then it is written down."""
        held, seconds = self.held(), time.monotonic() - killed
        if held and seconds >= PATIENCE and not self.late:
            self.late = f"round {self.left.rounds}, {how}: {held}"
        if held and seconds < PATIENCE + FURTHER:
            return False
        self.left.worst = max(self.left.worst, seconds)
        if self.late:
            self.left.found.append(f"{self.late}, {f'still {held}' if held else 'gone'} after {seconds:.2f} s")
            self.late = ""
        return True

    def strange(self, how: str, ended: list[Any], right: Callable[[Any], bool]) -> None:
        """Note ends that are not the right ones."""
        if wrong := [one for one in ended if not right(one)]:
            self.left.found.append(f"round {self.left.rounds}, {how}: {len(wrong)} ended with {wrong[0]!r}")


def kills(way: str, streams: int = 256, rounds: int = 2) -> Left:
    """Open so many streams, kill them all in one way, look what is left after a second; all ways in each round."""
    with Ticking(b"".join(OPENAI.beginning()), OPENAI.ticking()) as server:
        killing = _Killing(way, server, streams)
        if way == "sync":
            _kills_sync(killing, rounds)
        else:
            asyncio.run(_kills_async(killing, rounds))
        killing.ledger.close()
    return killing.left


def _files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def _kills_async(killing: _Killing, rounds: int) -> None:
    left = killing.left
    async with killing.made as made:
        for model in MODELS:
            made.operation(model)
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.01) for _ in range(64)))  # the loop's own threads
        killing.baseline(lambda: len(asyncio.all_tasks()))
        for _ in range(rounds):
            for how in KILLS:
                killed = await _killed(killing, how)
                while not killing.look(how, killed):
                    await asyncio.sleep(0.01)
            left.rounds += 1


async def _killed(killing: _Killing, how: str) -> float:
    """Begin streams and end them: when that was."""
    running = killing.begun(how)
    killing.left.streams += len(running)

    async def begin(stream: Any) -> None:
        async for event in stream:
            if event.kind == "text":
                return

    async def go_on(stream: Any) -> None:
        async for _ in stream:
            pass

    if how != "early":
        await asyncio.gather(*(begin(stream) for stream in running))
    if how == "client":
        killed = time.monotonic()
        await asyncio.gather(*(stream.close() for stream in running))
    elif how == "drop":
        killed = time.monotonic()
        running.clear()
    else:
        tasks = [asyncio.ensure_future(go_on(stream)) for stream in running]
        await asyncio.sleep(0.05)
        while not killing.all_asked():
            await asyncio.sleep(0.005)
        killed = time.monotonic()
        if how == "server":
            killing.server.kill()
        for task in tasks if how != "server" else ():
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        wanted = asyncio.CancelledError if how != "server" else errors.Error
        killing.strange(how, ended, lambda end: isinstance(end, wanted))
    return killed


def _kills_sync(killing: _Killing, rounds: int) -> None:
    left = killing.left
    with killing.made as made:
        for model in MODELS:
            made.operation(model)
        killing.baseline(threading.active_count)
        for _ in range(rounds):
            for how in KILLS:
                killed, ended = _killed_sync(killing, how)
                while not killing.look(how, killed):
                    time.sleep(0.01)
                ends = (lambda end: isinstance(end, errors.Error)) if how == "server" else (lambda end: end is None)
                killing.strange(how, ended, ends)
            left.rounds += 1


def _killed_sync(killing: _Killing, how: str) -> tuple[float, list[Any]]:
    """The same for the blocking client; what cancels there is a close by another thread than the one that reads."""
    running = killing.begun(how)
    killing.left.streams += len(running)
    ended: list[BaseException | None] = []
    for stream in running if how != "early" else ():
        next(event for event in stream if event.kind == "text")
    if how == "client":
        killed = time.monotonic()
        for stream in running:
            stream.close()
    elif how == "drop":
        stream = None
        killed = time.monotonic()
        running.clear()
        gc.collect()
    else:

        def go_on(stream: Any) -> None:
            try:
                for _ in stream:
                    pass
                ended.append(None)
            except BaseException as error:
                ended.append(error)

        for stream in running:
            threading.Thread(target=go_on, args=(stream,), daemon=True).start()
        while not killing.all_asked():
            time.sleep(0.005)
        killed = time.monotonic()
        if how == "server":
            killing.server.kill()
        for stream in running if how != "server" else ():
            stream.close()
    return killed, ended


def cancelled_anywhere(way: str, moments: int) -> Left:
    """Cancel a call after each of so many moments of its life, whole and streamed: what is left, and does the next one work?"""
    left = Left()

    async def answer(x: Exchange) -> None:
        for _ in range(3):
            await x.pause(0.002)
        await x.good()

    async def run(server: Server) -> None:
        case = server.open(Case(answer, KEY, wire=OPENAI))
        async with client(way, case, timeout=20.0) as made:
            await made.chat(case.wire.model, MESSAGES)
            own = len(asyncio.all_tasks())
            for moment in range(moments):
                streamed = moment % 2
                call = made.chat.stream(case.wire.model, MESSAGES).finish() if streamed else made.chat(case.wire.model, MESSAGES)
                task = asyncio.ensure_future(call)
                for _ in range(moment // 2 % 40):
                    await asyncio.sleep(0)
                await asyncio.sleep(0.0005 * (moment // 80))
                task.cancel()
                ended = (await asyncio.gather(task, return_exceptions=True))[0]
                if isinstance(ended, Exception):
                    left.found.append(f"moment {moment}: {ended!r}")
                left.streams += 1
            until = time.monotonic() + 1
            while (case.busy or len(asyncio.all_tasks()) > own) and time.monotonic() < until:
                await asyncio.sleep(0.01)
            if case.busy or len(asyncio.all_tasks()) > own:
                left.found.append(f"{case.busy} connections, {len(asyncio.all_tasks()) - own} tasks")
            if (await made.chat(case.wire.model, MESSAGES)).text == "":
                left.found.append("the next call has no answer")
        until = time.monotonic() + PATIENCE
        while case.open and time.monotonic() < until:
            await asyncio.sleep(0.01)
        if case.open:
            left.found.append(f"{case.open} connections after the client was closed")

    with Server() as server:
        asyncio.run(run(server))
    return left
