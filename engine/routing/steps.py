"""Steps that carry themselves out: waiting for a turn and doing what may block. The drivers call `block` or `pause`."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

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
        if not self.ticket.granted:
            woken.wait(self.seconds)

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
    leaves the race to the other; if both fail the first's error is raised. The loser is cancelled at once on an event loop; a
    thread cannot be interrupted there: it ends by its own limits, and what it brings is thrown away.
    """

    __slots__ = ("first", "late", "second", "stream")

    def __init__(self, first: Flow, late: float, second: Callable[[], Flow | None], stream: bool) -> None:
        self.first = first
        self.late = late
        self.second = second
        self.stream = stream

    def block(self, driver: Any) -> tuple[int, Any]:
        ended: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
        over = threading.Event()

        def run(place: int, flow: Flow) -> None:
            outcome: Any = None
            failure: BaseException | None = None
            try:
                outcome = self._begun(driver, flow)
            except BaseException as caught:
                failure = caught
            if over.is_set() and failure is None and self.stream:
                outcome[1].close()
            ended.put((place, outcome, failure))

        threading.Thread(target=run, args=(0, self.first), daemon=True).start()
        running = 1
        failures: dict[int, BaseException] = {}
        try:
            found = ended.get(timeout=self.late)
        except queue.Empty:
            other = self.second()
            if other is not None:
                threading.Thread(target=run, args=(1, other), daemon=True).start()
                running = 2
            found = ended.get()
        while found[2] is not None:
            failures[found[0]] = found[2]
            if len(failures) == running:
                raise failures.get(0) or found[2]
            found = ended.get()
        over.set()
        return found[0], found[1]

    def _begun(self, driver: Any, flow: Flow) -> Any:
        if not self.stream:
            return driver.run(flow)
        deliveries = driver.stream(flow)
        return deliveries.advance(), deliveries

    async def pause(self, driver: Any) -> tuple[int, Any]:
        async def begun(flow: Flow) -> Any:
            if not self.stream:
                return await driver.run(flow)
            deliveries = driver.stream(flow)
            return await deliveries.advance(), deliveries

        tasks = [asyncio.ensure_future(begun(self.first))]
        try:
            done, _ = await asyncio.wait(tasks, timeout=self.late)
            if not done:
                other = self.second()
                if other is not None:
                    tasks.append(asyncio.ensure_future(begun(other)))
            while True:
                await asyncio.wait([t for t in tasks if not t.done()] or tasks, return_when=asyncio.FIRST_COMPLETED)
                for place, task in enumerate(tasks):
                    if task.done() and task.exception() is None:
                        return place, task.result()
                if all(task.done() for task in tasks):
                    return 0, tasks[0].result()  # raises
        finally:
            for task in tasks:
                task.cancel()  # without effect on the winner, which is done
            await asyncio.gather(*tasks, return_exceptions=True)


class Relay:
    """The next events of a stream that won a race; None at its end."""

    __slots__ = ("deliveries",)

    def __init__(self, deliveries: Any) -> None:
        self.deliveries = deliveries

    def block(self, driver: Any) -> Any:
        return self.deliveries.advance()

    async def pause(self, driver: Any) -> Any:
        return await self.deliveries.advance()
