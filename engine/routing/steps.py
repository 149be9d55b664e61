"""Steps that carry themselves out: waiting for a turn and doing what may block. The drivers call `block` or `pause`."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from engine.call.send import Stopped
from engine.call.step import Flow

__all__ = ["Race", "Relay", "Turn", "Work"]


class Waiting(Protocol):
    """A place in a queue: `wake` is called, from any thread, when it is granted."""

    granted: bool
    wake: Callable[[], None] | None


class Turn:
    """Wait until a place is granted or so many seconds have passed, whichever is first."""

    __slots__ = ("seconds", "ticket")

    def __init__(self, ticket: Waiting, seconds: float) -> None:
        self.ticket = ticket
        self.seconds = seconds

    def block(self, driver: Any) -> None:
        woken = threading.Event()
        self.ticket.wake = woken.set
        if self.ticket.granted:
            return
        if driver.stop is None:
            woken.wait(self.seconds)
        else:
            driver.stop.until(woken, self.seconds)

    async def pause(self, driver: Any) -> None:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        self.ticket.wake = lambda: _tell(loop, woken)
        if not self.ticket.granted:
            try:
                async with asyncio.timeout(self.seconds):
                    await woken.wait()
            except TimeoutError:
                pass


def _tell(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(woken.set)


class Work:
    """Do something that may block for a moment: on another thread where there is an event loop to keep free."""

    __slots__ = ("do",)

    def __init__(self, do: Callable[[], Any]) -> None:
        self.do = do

    def block(self, driver: Any) -> Any:
        return self.do()

    async def pause(self, driver: Any) -> Any:
        return await asyncio.to_thread(self.do)


class Race:
    """Carry out a flow, and another beside it when the first is late: (which one won, its outcome).

    The outcome is the flow's value, or for streams the first events and the deliveries that bring the rest. A flow that fails
    leaves the race to the other; if both fail the first's error is raised. The loser is ended at once, on an event loop as in a
    thread; only the body of a reply through a transport of the caller's own is read to its end.
    """

    __slots__ = ("first", "late", "second", "stream")

    def __init__(self, first: Flow, late: float, second: Callable[[], Flow | None], stream: bool) -> None:
        self.first = first
        self.late = late
        self.second = second
        self.stream = stream

    def block(self, driver: Any) -> tuple[int, Any]:
        from engine.call.send.stoppable import StoppableDriver

        drivers: list[StoppableDriver] = []
        ended: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
        gate = threading.Lock()
        over = False

        def run(place: int, flow: Flow) -> None:
            outcome: Any = None
            failure: BaseException | None = None
            try:
                outcome = self._begun(drivers[place], flow)
            except BaseException as caught:
                failure = caught
            with gate:
                if not over:
                    return ended.put((place, outcome, failure))
            return self._free(outcome)

        def start(flow: Flow) -> None:
            drivers.append(StoppableDriver(driver))
            threading.Thread(target=run, args=(len(drivers) - 1, flow), daemon=True).start()

        winner: int | None = None
        failures: dict[int, BaseException] = {}
        outer = driver.stop
        start(self.first)
        try:
            if outer is not None:
                outer.hold(lambda: ended.put((-1, None, Stopped())))
            try:
                found = ended.get(timeout=self.late)
            except queue.Empty:
                other = self.second()
                if other is not None:
                    start(other)
                found = ended.get()
            while found[2] is not None:
                if found[0] < 0:
                    raise found[2]
                failures[found[0]] = found[2]
                if len(failures) == len(drivers):
                    raise failures.get(0) or found[2]
                found = ended.get()
            winner = found[0]
            return winner, found[1]
        finally:
            with gate:
                over = True
            for place, one in enumerate(drivers):
                if place != winner:
                    one.stop()
            while not ended.empty():  # who came in just behind
                self._free(ended.get()[1])
            if outer is not None:
                outer.release()

    def _free(self, outcome: Any) -> None:
        """Close the stream of one who was not first."""
        if self.stream and outcome is not None:
            outcome[1].close()

    def _begun(self, driver: Any, flow: Flow) -> Any:
        if not self.stream:
            return driver.run(flow)
        deliveries = driver.stream(flow)
        return deliveries.advance(), deliveries

    def free(self, came: tuple[int, Any]) -> None:
        """Give up what the race brought, where it ended too late."""
        self._free(came[1])

    async def pause(self, driver: Any) -> tuple[int, Any]:
        async def begun(flow: Flow) -> Any:
            if not self.stream:
                return await driver.run(flow)
            deliveries = driver.stream(flow)
            return await deliveries.advance(), deliveries

        tasks = [asyncio.ensure_future(begun(self.first))]
        winner: asyncio.Task[Any] | None = None
        try:
            done, _ = await asyncio.wait(tasks, timeout=self.late)
            if not done:
                other = self.second()
                if other is not None:
                    tasks.append(asyncio.ensure_future(begun(other)))
            while True:
                await asyncio.wait([t for t in tasks if not t.done()] or tasks, return_when=asyncio.FIRST_COMPLETED)
                winner = next(filter(_came, tasks), None)
                if winner is not None or all(task.done() for task in tasks):
                    break
        finally:
            for task in tasks:
                task.cancel()  # without effect on those that are done
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            except asyncio.CancelledError:
                winner = None  # nobody waits for it any more
                raise
            finally:
                for task in tasks:
                    if task is not winner and _came(task):
                        await self.free_soon((0, task.result()))  # who came in just behind
        winner = winner or tasks[0]
        return tasks.index(winner), winner.result()  # raises the first's error where both failed

    async def free_soon(self, came: tuple[int, Any]) -> None:
        """The same on an event loop."""
        if self.stream:
            await came[1][1].close()


def _came(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


class Relay:
    """The next events of a stream that won a race; None at its end."""

    __slots__ = ("deliveries",)

    def __init__(self, deliveries: Any) -> None:
        self.deliveries = deliveries

    def block(self, driver: Any) -> Any:
        driver.stop.hold(self.deliveries.close)
        try:
            return self.deliveries.advance()
        finally:
            driver.stop.release()

    async def pause(self, driver: Any) -> Any:
        return await self.deliveries.advance()
