"""A batch asked row by row: so many calls at a time, with the client's own limits, retries and budgets."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Any

from engine.batch.rows import Row
from engine.batch.run import Done, Run, answered, failed
from engine.errors import AmbiguousError, Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.client import AsyncClient, Client
    from engine.plan import OperationPlan

__all__ = ["ask_all", "ask_all_async", "left_behind"]

#: failures that would meet every further row too: the run stops, and can be resumed when they are mended
STOPS = frozenset(("authentication", "quota", "local_limit", "unavailable"))
#: those that only do before anything was answered
STOPS_AT_FIRST = frozenset(("permission", "not_found"))
_AT_ONCE = 512  # outcomes that are kept in one transaction
_GATHER = 0.02  # seconds in which outcomes come together for one, while there is enough to ask
_IDLE = 1.0  # seconds without an outcome, after which the progress is told all the same


class _Stop:
    """Why a run ends before its rows do: the first of what came."""

    __slots__ = ("error",)

    def __init__(self) -> None:
        self.error: Error | None = None

    def sort(self, run: Run, outcomes: list[Done | Error]) -> list[Done]:
        """The outcomes that count. A row whose failure stops the run has none yet."""
        done = []
        for outcome in outcomes:
            if isinstance(outcome, Done):
                done.append(outcome)
            else:
                self.error = self.error or outcome
                run.running -= 1
        return done


def _outcome(run: Run, row: Row, error: Error) -> Done | Error:
    first = error.kind in STOPS_AT_FIRST and error.status is not None and not run.sums.answered
    stops = first or error.kind in STOPS
    return error if stops else failed(row, error)


def left_behind(client: Any) -> Callable[[Run, Row], Row]:
    """A row that was being asked when its run was killed is asked again, unless that may not happen twice (RELIABILITY R3)."""

    def left(run: Run, row: Row) -> Row:
        if _once(client, row):
            row.error = AmbiguousError("the run was killed while this was being asked, and it may not be asked twice")
        return row

    return left


def _once(client: Any, row: Row) -> bool:
    """Whether a row may not be asked twice."""
    try:
        if row.model in client._routes:
            return False
        plan = _plan(client, row)  # a key within the request is another one in the next run
        return plan.replay == "unsafe" or (plan.replay == "keyed" and plan.idempotency_key is None)
    except Error:
        return False  # nothing can be sent


def _plan(client: Any, row: Row) -> OperationPlan:
    return client._target(row.model, row.operation, row.fields.get("dialect")).operation.plan  # type: ignore[no-any-return]


def _ahead(client: Any, run: Run, concurrency: int) -> int:
    """How many rows are claimed at a time: some more than are asked, but none where a kill makes an error of a claim."""
    rows = run.rows
    return concurrency if _once(client, Row(0, None, rows.operation, rows.model, {})) else 2 * concurrency


def _fields(run: Run, client: Any, row: Row) -> dict[str, Any]:
    """The fields of a row's call. The key by which a provider knows what he did already is the same in every run."""
    fields = dict(row.fields)
    if row.model in client._routes:
        return fields
    plan = _plan(client, row)
    if plan.replay == "keyed" and plan.idempotency_key:
        key = f"{run.token}-{row.number}"
        fields["extra_headers"] = {plan.idempotency_key: key, **(fields.get("extra_headers") or {})}
    return fields


def ask_all(client: Client, run: Run, concurrency: int) -> None:
    """Ask every row from threads, until all are answered or something stops the run: that error is raised."""
    ready: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
    finished: queue.SimpleQueue[Done | Error] = queue.SimpleQueue()
    stop = _Stop()

    def work() -> None:
        while (row := ready.get()) is not None:
            try:
                finished.put(answered(row, client._run(row.operation, row.model or "", (), _fields(run, client, row))))
            except Error as error:
                finished.put(_outcome(run, row, error))
            except Exception as error:
                finished.put(failed(row, _defect(error)))

    ahead = _ahead(client, run, concurrency)
    threads = [threading.Thread(target=work, name=f"batch-{i}", daemon=True) for i in range(concurrency)]
    try:
        for row in run.turn([], ahead):
            ready.put(row)
        for thread in threads:
            thread.start()
        while run.running or not (run.over or stop.error):
            outcomes: list[Done | Error] = []
            try:
                if run.running:
                    outcomes.append(finished.get(timeout=_IDLE))
                    if ready.qsize() >= concurrency:
                        threading.Event().wait(_GATHER)
                while len(outcomes) < _AT_ONCE:
                    outcomes.append(finished.get_nowait())
            except queue.Empty:
                pass
            done = stop.sort(run, outcomes)
            if stop.error is not None:
                run.running -= _emptied(ready)
            for row in run.turn(done, 0 if stop.error else max(0, ahead - run.running + len(done))):
                ready.put(row)
    finally:
        _emptied(ready)
        for _ in threads:
            ready.put(None)
    if stop.error is not None:
        raise stop.error


async def ask_all_async(client: AsyncClient, run: Run, concurrency: int) -> None:
    """The same with tasks of the running event loop."""
    ready: asyncio.Queue[Row] = asyncio.Queue()
    finished: asyncio.Queue[Done | Error] = asyncio.Queue()
    stop = _Stop()

    async def work() -> None:
        while True:
            row = await ready.get()
            try:
                finished.put_nowait(answered(row, await client._run(row.operation, row.model or "", (), _fields(run, client, row))))
            except Error as error:
                finished.put_nowait(_outcome(run, row, error))
            except Exception as error:
                finished.put_nowait(failed(row, _defect(error)))

    ahead = _ahead(client, run, concurrency)
    tasks = [asyncio.ensure_future(work()) for _ in range(concurrency)]
    try:
        for row in run.turn([], ahead):
            ready.put_nowait(row)
        while run.running or not (run.over or stop.error):
            outcomes: list[Done | Error] = []
            if run.running:
                if finished.empty():
                    try:
                        outcomes.append(await asyncio.wait_for(finished.get(), _IDLE))
                    except TimeoutError:
                        pass
                if ready.qsize() >= concurrency:
                    await asyncio.sleep(_GATHER)
            while len(outcomes) < _AT_ONCE and not finished.empty():
                outcomes.append(finished.get_nowait())
            done = stop.sort(run, outcomes)
            if stop.error is not None:
                run.running -= _emptied(ready)
            for row in run.turn(done, 0 if stop.error else max(0, ahead - run.running + len(done))):
                ready.put_nowait(row)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        left = [finished.get_nowait() for _ in range(finished.qsize())]
        run.turn(stop.sort(run, left), 0)
    if stop.error is not None:
        raise stop.error


def _emptied(ready: Any) -> int:
    """Take back what is not asked yet: how many rows that were."""
    count = 0
    try:
        while True:
            ready.get_nowait()
            count += 1
    except (queue.Empty, asyncio.QueueEmpty):
        return count


def _defect(error: Exception) -> Error:
    """A failure nobody foresaw, as an error of its row: one answer that cannot be written down does not end the others."""
    from engine.leaving import foreign

    return foreign(error, sent=True)
