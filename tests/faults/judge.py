"""Runs rows of the table through callers and says what was wrong with each call."""

from __future__ import annotations

import asyncio
import itertools
import logging
import resource
import threading
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from engine import errors
from tests.faults.callers import CarelessError, Outcome, blocking, careless, evented
from tests.faults.server import PROMPT, Case, Server
from tests.faults.table import TABLE, Row
from tests.faults.wires import CALL, WIRES, Wire

WAYS = ("sync", "aiohttp", "httpcore")
MEMORY = 100.0  # MiB one call may grow the process by
AT_ONCE = 16  # calls in flight of each way
#: what a busy machine cannot bring about, so that no second look is taken
UNSAFE = {"hang", "silent", "leak", "leak in the log", "prompt leak", "memory", "connection left", "injected"}
_numbers = itertools.count()


@dataclass(frozen=True)
class Verdict:
    row: Row
    wire: str
    way: str
    complaints: tuple[str, ...]
    seconds: float
    seen: int
    error: BaseException | None

    def __str__(self) -> str:
        told = f" {type(self.error).__name__}: {self.error}" if self.error is not None else ""
        found = ", ".join(self.complaints) or "ok"
        return f"{self.way:8} {self.wire:9} {self.row.id:26} {found:30} n={self.seen} {self.seconds:.2f}s{told[:200]}"


def plan(
    rows: Iterable[Row] = TABLE, wires: Iterable[str] = tuple(WIRES), ways: Iterable[str] = WAYS
) -> list[tuple[Row, str, str]]:
    """The cases of these rows: (row, wire, way)."""
    wires, ways = tuple(wires), tuple(ways)
    return [(row, wire, way) for row in rows for wire in row.wires if wire in wires for way in row.ways if way in ways]


def judge(cases: Iterable[tuple[Row, str, str]], told: Callable[[Verdict], Any] = lambda verdict: None) -> list[Verdict]:
    """Run the cases, many at once, those that measure memory alone. The order of the verdicts is not that of the cases.

    The rows are about a provider's time, not about a busy machine's: a case with complaints, none of them unsafe, is judged
    once more with nothing beside it, and that verdict counts.
    """
    cases = list(cases)
    verdicts: list[Verdict] = []
    twice: list[tuple[Row, str, str]] = []
    with Server() as server, _Log() as log:
        _warm(server, cases)

        def note(case: tuple[Row, str, str], opened: Case, outcome: Outcome, growth: float = 0.0) -> None:
            row, wire, way = case
            found = complaints(row, opened, outcome, growth)
            if opened.key in log:
                found.append("leak in the log")
            verdict = Verdict(row, wire, way, tuple(found), outcome.seconds, len(opened.requests), outcome.error)
            if found and case not in twice and not UNSAFE & set(found) and way in WAYS:
                twice.append(case)
                return
            verdicts.append(verdict)
            told(verdict)

        together = [case for case in cases if not case[0].alone]
        events = threading.Thread(target=lambda: asyncio.run(_async_cases(server, [c for c in together if c[2] in WAYS[1:]], note)))
        events.start()
        _sync_cases(server, [c for c in together if c[2] not in WAYS[1:]], note)
        events.join()
        for case in itertools.chain([case for case in cases if case[0].alone], twice):
            before = _memory(reset=True)
            opened, outcome = _alone(server, case)
            note(case, opened, outcome, _memory() - before)
    return verdicts


def _warm(server: Server, cases: list[tuple[Row, str, str]]) -> None:
    """Compile every wire and import every transport first: the rows are about the provider's time, not about ours."""
    fine = next(row for row in TABLE if row.id == "u_ok")
    for wire, way in sorted({(wire, way) for _, wire, way in cases if way in WAYS}):
        _alone(server, (fine, wire, way))


def _alone(server: Server, case: tuple[Row, str, str]) -> tuple[Case, Outcome]:
    kept: list[tuple[Case, Outcome]] = []

    def note(_: Any, opened: Case, outcome: Outcome) -> None:
        kept.append((opened, outcome))

    if case[2] in WAYS[1:]:
        asyncio.run(_async_cases(server, [case], note))
    else:
        _sync_cases(server, [case], note)
    return kept[0]


def _opened(server: Server, row: Row, wire: Wire) -> Case:
    key = f"sk-canary-{next(_numbers)}-0123456789abcdefXYZ"
    return server.open(Case(row.answer, key, wire=wire, pause=row.options.get("reader pauses", 0.0)))


def _sync_cases(server: Server, cases: list[tuple[Row, str, str]], note: Callable[..., None]) -> None:
    room = threading.Semaphore(AT_ONCE)
    lock = threading.Lock()

    def run(case: tuple[Row, str, str]) -> None:
        row, wire, way = case
        try:
            opened = _opened(server, row, WIRES[wire])
            done: Future[Outcome] = Future()
            call = careless if way == "careless" else blocking
            worker = threading.Thread(
                target=lambda: done.set_result(call(server, row, opened, opened.key + row.suffix)), daemon=True
            )
            worker.start()
            try:
                outcome = done.result(row.cap + 10)
            except TimeoutError:
                outcome = Outcome(hung=True, seconds=row.cap + 10)
            with lock:
                note(case, opened, outcome)
        finally:
            room.release()

    threads = []
    for case in cases:
        room.acquire()
        threads.append(threading.Thread(target=run, args=(case,)))
        threads[-1].start()
    for thread in threads:
        thread.join()


async def _async_cases(server: Server, cases: list[tuple[Row, str, str]], note: Callable[..., None]) -> None:
    room = asyncio.Semaphore(2 * AT_ONCE)

    async def run(case: tuple[Row, str, str]) -> None:
        row, wire, way = case
        async with room:
            opened = _opened(server, row, WIRES[wire])
            call = evented(server, row, opened, opened.key + row.suffix, way)
            try:
                outcome = await asyncio.wait_for(call, row.cap + 10)
            except TimeoutError:
                outcome = Outcome(hung=True, seconds=row.cap + 10)
            note(case, opened, outcome)

    await asyncio.gather(*(run(case) for case in cases))


def complaints(row: Row, case: Case, outcome: Outcome, growth: float = 0.0) -> list[str]:
    """Everything that was wrong, worst first. A case is right only with no complaint."""
    found: list[str] = []
    error, key = outcome.error, case.key
    if outcome.hung:
        found.append("hang")
    if any(key in f"{r.path} {r.headers} {r.body!r}" for r in case.foreign) or (error is not None and _shows(error, key)):
        found.append("leak")
    if any(PROMPT.encode() in r.body for r in case.foreign):
        found.append("prompt leak")
    if any("x-injected" in r.headers for r in case.requests):
        found.append("injected")
    if not outcome.hung:
        found += _wrong_error(row, case, outcome) if error is not None else _wrong_answer(row, case, outcome)
    if outcome.left or outcome.kept:
        found.append("connection left")
    if row.alone and growth > MEMORY:
        found.append("memory")
    found += _wrong_course(row, case, outcome)
    return found


def _wrong_answer(row: Row, case: Case, outcome: Outcome) -> list[str]:
    if row.mode not in ("whole", "stream", "tools"):
        return []
    if row.outcome == "error":
        return ["silent"]
    if row.mode == "tools":
        right = outcome.calls == [CALL] * row.options.get("calls", 1)
    else:
        right = outcome.text == ("" if row.outcome == "empty" else row.text)
        right = right and (row.mode == "whole" or "".join(outcome.pieces) == outcome.text)
    found = [] if right else ["silent"]
    if outcome.ours and len(outcome.response.report.attempts) != len(case.requests):
        found.append("attempts not told")
    return found


def _wrong_error(row: Row, case: Case, outcome: Outcome) -> list[str]:
    error = outcome.error
    if row.mode not in ("whole", "stream", "tools"):
        return [f"{type(error).__name__} on going away"]
    if not isinstance(error, errors.Error):
        return ["wrong error class" if isinstance(error, CarelessError) else "foreign exception"]
    found = []
    if row.outcome == "ok":
        found.append("failed")
    elif error.kind not in row.kinds:
        found.append(f"wrong kind {error.kind}")
    if error.__cause__ is not None or error.__context__ is not None:
        found.append("inner exception attached")
    if row.told and row.told not in str(error):
        found.append("message lost")
    if row.status is not None and error.status != row.status:
        found.append("status lost")
    if row.partial is not None and ("".join(outcome.pieces) != row.partial or error.partial.text != row.partial):
        found.append("partial text lost")
    if len(error.attempts) != len(case.requests) and error.kind != "config":
        found.append("attempts not told")
    return found


def _wrong_course(row: Row, case: Case, outcome: Outcome) -> list[str]:
    found = []
    least, most = row.seen
    times = [request.at for request in case.requests]
    if len(times) > most:
        found.append("too many attempts")
    elif len(times) < least:
        found.append("too few attempts")
    if row.gap and len(times) > 1 and times[1] - times[0] < row.gap:
        found.append("came back early")
    if outcome.seconds > row.cap and not outcome.hung:
        found.append("too slow")
    return found


def _shows(error: BaseException, key: str) -> bool:
    """Does the error give the key away: in its texts, its chain, its data, or the variables of the engine's frames?"""
    texts = [str(error), repr(error), "".join(traceback.format_exception(error))]
    frames = [f for f in traceback.walk_tb(error.__traceback__) if "/engine/" in f[0].f_code.co_filename]
    texts.append("".join(traceback.StackSummary.extract(frames, capture_locals=True).format()))
    if isinstance(error, errors.Error):
        texts.append(repr(error.to_dict()))
    return any(key in text for text in texts)


class _Log(logging.Handler):
    """All log lines of the process at DEBUG that speak of a canary."""

    def __enter__(self) -> _Log:
        self._lines: list[str] = []
        root = logging.getLogger()
        self._level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: Any) -> None:
        root = logging.getLogger()
        root.removeHandler(self)
        root.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if "sk-canary" in line:
            self._lines.append(line)

    def __contains__(self, key: str) -> bool:
        return any(key in line for line in self._lines)


def _memory(reset: bool = False) -> float:
    """MiB of the process: now with `reset`, which also forgets the peak; else the peak since then."""
    try:
        if reset:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        with open("/proc/self/status") as file:
            wanted = "VmRSS:" if reset else "VmHWM:"
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(wanted))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
