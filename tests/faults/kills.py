"""Killed streams and cancelled calls: what is left of them (RELIABILITY R8)."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from engine import errors
from tests.faults.callers import MESSAGES
from tests.faults.proofs import KEY, client
from tests.faults.server import Case, Exchange, Server
from tests.faults.wires import OPENAI

KILLS = ("client", "server", "cancel", "drop")


@dataclass
class Left:
    """What was still there a second after streams were killed; `rounds` were run in all."""

    rounds: int = 0
    streams: int = 0
    found: list[str] = field(default_factory=list)


async def _ticking(x: Exchange) -> None:
    await x.stream(x.wire.beginning(), end=False)
    while True:
        await x.pause(0.25)
        await x.chunk(x.wire.ticking())


def kills(way: str, streams: int = 256, rounds: int = 2) -> Left:
    """Open so many streams, kill them all in one way, look what is left after a second; all ways in each round."""
    left = Left()
    with Server() as server:
        case = server.open(Case(_ticking, KEY, wire=OPENAI))
        run = _kills_sync if way == "sync" else _kills_async
        done = run(way, server, case, streams, rounds, left)
        if way != "sync":
            asyncio.run(done)
    return left


def _files() -> int:
    return len(os.listdir("/proc/self/fd"))


def _look(left: Left, case: Case, how: str, before: int, tasks: int = 0) -> None:
    if case.open:
        left.found.append(f"{how}: {case.open} connections")
    if tasks > 0:  # threads of others may have ended meanwhile
        left.found.append(f"{how}: {tasks} tasks")
    if (files := _files() - before) > 0:
        left.found.append(f"{how}: {files} files")
    left.rounds += 1


async def _kills_async(way: str, server: Server, case: Case, streams: int, rounds: int, left: Left) -> None:
    async with client(way, case, timeout=60.0, max_retries=0) as made:
        await _killed(made, server, case, "client", 1, Left())
        await asyncio.sleep(0.2)
        before, own = _files(), len(asyncio.all_tasks())
        for _ in range(rounds):
            for how in KILLS:
                await _killed(made, server, case, how, streams, left)
                await _gone(case, before)
                _look(left, case, how, before, len(asyncio.all_tasks()) - own)


def _held(case: Case, before: int) -> bool:
    """Is a connection or a file of killed streams still there?"""
    return bool(case.open) or _files() > before


async def _gone(case: Case, before: int) -> None:
    until = time.monotonic() + 1
    while _held(case, before) and time.monotonic() < until:
        await asyncio.sleep(0.02)


async def _killed(made: Any, server: Server, case: Case, how: str, streams: int, left: Left) -> None:
    running = [made.chat.stream(case.wire.model, MESSAGES) for _ in range(streams)]

    async def begin(stream: Any) -> None:
        async for event in stream:
            if event.kind == "text":
                return

    async def go_on(stream: Any) -> None:
        async for _ in stream:
            pass

    await asyncio.gather(*(begin(stream) for stream in running))
    left.streams += streams
    if how == "client":
        await asyncio.gather(*(stream.close() for stream in running))
    elif how == "drop":
        running.clear()
    else:
        tasks = [asyncio.ensure_future(go_on(stream)) for stream in running]
        await asyncio.sleep(0.05)
        if how == "server":
            server.kill(case)
        for task in tasks if how == "cancel" else ():
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        wanted = asyncio.CancelledError if how == "cancel" else errors.Error
        if strange := [e for e in ended if not isinstance(e, wanted)]:
            left.found.append(f"{how}: {len(strange)} ended with {strange[0]!r}")


def _kills_sync(way: str, server: Server, case: Case, streams: int, rounds: int, left: Left) -> None:
    with client(way, case, timeout=60.0, max_retries=0) as made:
        _killed_sync(made, server, case, "client", 1, Left())
        server.quiet(case, idle=True)
        before, own = _files(), threading.active_count()
        for _ in range(rounds):
            for how in KILLS:
                _killed_sync(made, server, case, how, streams, left)
                until = time.monotonic() + 1
                while _held(case, before) and time.monotonic() < until:
                    time.sleep(0.02)
                _look(left, case, how, before, threading.active_count() - own)


def _killed_sync(made: Any, server: Server, case: Case, how: str, streams: int, left: Left) -> None:
    """The same for the blocking client; what cancels there is a close by another thread than the one that reads."""
    running = [made.chat.stream(case.wire.model, MESSAGES) for _ in range(streams)]
    for stream in running:
        next(event for event in stream if event.kind == "text")
    left.streams += streams
    if how == "client":
        for stream in running:
            stream.close()
    elif how == "drop":
        stream = None
        running.clear()
        gc.collect()
    else:
        ended: list[BaseException | None] = []

        def go_on(stream: Any) -> None:
            try:
                for _ in stream:
                    pass
                ended.append(None)
            except BaseException as error:
                ended.append(error)

        threads = [threading.Thread(target=go_on, args=(stream,), daemon=True) for stream in running]
        for thread in threads:
            thread.start()
        if how == "server":
            server.kill(case)
        for stream in running if how == "cancel" else ():
            stream.close()
        for thread in threads:
            thread.join(2)
        strange = [e for e in ended if not (e is None if how == "cancel" else isinstance(e, errors.Error))]
        if strange or len(ended) < streams:
            left.found.append(f"{how}: {streams - len(ended)} still read, {len(strange)} ended with {strange[:1]!r}")


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
        await _gone(case, _files())
        if case.open:
            left.found.append(f"{case.open} connections after the client was closed")

    with Server() as server:
        asyncio.run(run(server))
    return left
