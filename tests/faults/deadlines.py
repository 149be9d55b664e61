"""Deadline: calls against random sequences of faults, and when they were over (RELIABILITY R7)."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from engine import errors
from tests.faults.callers import MESSAGES
from tests.faults.proofs import KEY, WAYS, client
from tests.faults.server import Case, Exchange, Server
from tests.faults.wires import MESSAGE, WIRES

LATE = 0.25  # seconds a call may outlive its deadline (RELIABILITY R7)


@dataclass
class Late:
    """How late each call was over, in seconds past its deadline (negative: earlier), with what it was up against."""

    calls: list[tuple[float, str]] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)

    @property
    def worst(self) -> float:
        return max(late for late, _ in self.calls)

    @property
    def too_late(self) -> list[tuple[float, str]]:
        return [call for call in self.calls if call[0] > LATE]


async def _a_status(x: Exchange, dice: random.Random) -> None:
    status = dice.choice([429, 500, 502, 503, 529])
    stated = [("Retry-After", round(dice.uniform(0.05, 0.6), 2))] if dice.random() < 0.5 else []
    await x.reply(status, x.wire.error(MESSAGE, "x", status), headers=stated)


async def _a_reset(x: Exchange, dice: random.Random) -> None:
    await x.pause(dice.choice([0, 0.05, 0.3]))
    x.reset()


async def _a_silence(x: Exchange, dice: random.Random) -> None:
    await x.hold()


async def _a_header_drip(x: Exchange, dice: random.Random) -> None:
    await x.send(b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nX-Slow: ")
    while True:
        await x.send(b"a")
        await x.pause(0.05)


async def _a_body_drip(x: Exchange, dice: random.Random) -> None:
    await x.head(200, headers=[("Content-Length", 100000)])
    while True:
        await x.send(b" ")
        await x.pause(0.05)


async def _a_late_answer(x: Exchange, dice: random.Random) -> None:
    await x.pause(dice.uniform(0, 0.5))
    await x.good()


async def _a_page(x: Exchange, dice: random.Random) -> None:
    await x.reply(200, b"<html>no</html>", "text/html")


async def _a_redirect(x: Exchange, dice: random.Random) -> None:
    await x.reply(307, b"", headers=[("Location", x.case.elsewhere)])


async def _a_stream_that_fails(x: Exchange, dice: random.Random) -> None:
    """Some pieces with pauses, then silence, pings, more of the same, an end or a break."""
    pieces = x.wire.stream()
    await x.begin()
    for piece in pieces[: dice.randrange(len(pieces))]:
        await x.chunk(piece)
        await x.pause(dice.choice([0, 0, 0.05, 0.2]))
    how = dice.choice(["silence", "pings", "ticks", "end", "reset", "failure", "trickle"])
    if how == "silence":
        await x.hold()
    if how == "end":
        return await x.end()
    if how == "reset":
        x.reset()
    if how == "failure":
        await x.chunk(x.wire.failing(MESSAGE))
        return await x.end()
    while True:
        await x.pause(0.05)
        await x.chunk({"pings": b": ping\n\n", "trickle": b"d"}.get(how) or x.wire.ticking())


_FAULTS = (
    _a_status, _a_status, _a_reset, _a_silence, _a_header_drip, _a_body_drip, _a_late_answer, _a_page, _a_redirect,
    _a_stream_that_fails, _a_stream_that_fails, _a_stream_that_fails,
)  # fmt: skip


def _sequence(seed: int) -> Callable[[Exchange], Any]:
    """What each attempt of one call meets, in turn."""

    async def answer(x: Exchange) -> None:
        dice = random.Random(f"{seed}/{x.number}")
        await dice.choice(_FAULTS)(x, dice)

    return answer


@contextmanager
def _mute() -> Iterator[int]:
    """A port that accepts connections and never says or reads anything."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def deadlines(sequences: int, seed: int = 0, at_once: int = 16) -> Late:
    """Random fault sequences, one call each: sync and async, whole and streamed, on three wires."""
    late = Late()
    with Server() as server, _mute() as port:
        jobs = [_job(server, port, f"{seed}/{n}") for n in range(sequences)]
        _warmed(server)
        parts = [[job for job in jobs if (job.way == "sync") == sync] for sync in (True, False)]
        thread = threading.Thread(target=lambda: asyncio.run(_deadlines_async(parts[1], at_once, late)))
        thread.start()
        with ThreadPoolExecutor(at_once // 2) as pool:
            list(pool.map(lambda job: _deadline_sync(job, late), parts[0]))
        thread.join()
    return late


@dataclass
class _Job:
    way: str
    case: Case
    what: str
    seconds: float
    streamed: bool
    options: dict[str, Any]
    messages: list[Any]


def _job(server: Server, mute: int, seed: str) -> _Job:
    dice = random.Random(seed)
    wire = WIRES[dice.choice(["openai", "anthropic", "gemini"])]
    case = server.open(Case(_sequence(hash(seed) & 0xFFFF), KEY, wire=wire))
    messages, what = MESSAGES, "random"
    special = dice.random()
    if special < 0.03:  # a large request nobody reads
        case.base_url, what = f"http://127.0.0.1:{mute}", "unread request"
        messages = [{"role": "user", "content": "x" * (12 << 20)}]
    elif special < 0.06:  # a handshake nobody answers
        case.base_url, what = f"https://127.0.0.1:{mute}", "handshake"
    limits = {name: round(dice.uniform(0.1, 3), 2) for name in ("headers", "first_event", "idle", "connect", "send")}
    way, streamed = dice.choice(WAYS), dice.random() < 0.6
    seconds = round(dice.uniform(0.3, 2.2), 2)
    return _Job(way, case, f"{what} {seed} {way} {wire.name}", seconds, streamed, limits, messages)


def _warmed(server: Server) -> None:
    """Compile the wires and import the transports before time is measured."""
    for way in WAYS:
        for name in ("openai", "anthropic", "gemini"):
            job = _Job(way, server.open(Case(lambda x: x.good(), KEY, wire=WIRES[name])), "warm", 20, True, {}, MESSAGES)
            if way == "sync":
                _deadline_sync(job, Late())
            else:
                asyncio.run(_deadline_async(job, Late()))


def _note(late: Late, job: _Job, start: float, error: BaseException | None) -> None:
    passed = time.monotonic() - start - job.seconds
    kind = getattr(error, "kind", "ok" if error is None else "foreign")
    late.calls.append((passed, f"{job.what}: {kind}"))
    late.kinds[kind] = late.kinds.get(kind, 0) + 1
    if error is not None and not isinstance(error, errors.Error):
        late.foreign.append(f"{job.what}: {error!r}")


def _deadline_sync(job: _Job, late: Late) -> None:
    with client("sync", job.case, **job.options) as made:
        error: BaseException | None = None
        start = time.monotonic()
        try:
            if job.streamed:
                made.chat.stream(job.case.wire.model, job.messages, timeout=job.seconds).finish()
            else:
                made.chat(job.case.wire.model, job.messages, timeout=job.seconds)
        except Exception as caught:
            error = caught
        _note(late, job, start, error)


async def _deadline_async(job: _Job, late: Late) -> None:
    async with client(job.way, job.case, **job.options) as made:
        error: BaseException | None = None
        start = time.monotonic()
        try:
            if job.streamed:
                await made.chat.stream(job.case.wire.model, job.messages, timeout=job.seconds).finish()
            else:
                await made.chat(job.case.wire.model, job.messages, timeout=job.seconds)
        except Exception as caught:
            error = caught
        _note(late, job, start, error)


async def _deadlines_async(jobs: list[_Job], at_once: int, late: Late) -> None:
    left = iter(jobs)

    async def worker() -> None:
        for job in left:
            await _deadline_async(job, late)

    await asyncio.gather(*(worker() for _ in range(at_once)))
