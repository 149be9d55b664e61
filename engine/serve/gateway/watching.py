"""Ends what is done for a client that goes away (RELIABILITY G9), and the wait for a body that stands still (G3)."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.serve.gateway.intake import Receive

__all__ = ["Watch", "Watches"]

MOMENT = 0.02  # seconds that a call lasts unwatched, and at most twice that
LOOKS = 2  # at bodies on their way, in the time that one may stand still


class Watch:
    """One call, that of the current task: its body is read, then it is answered while somebody looks whether its client is still
    there."""

    __slots__ = ("_task", "_watcher", "late", "looks", "reading", "receive")

    def __init__(self, receive: Receive, task: Any) -> None:
        self.receive = receive
        self._task: asyncio.Task[Any] = task
        self._watcher: asyncio.Task[None] | None = None
        self.reading = True
        self.looks = 0  # that found its body where it was before
        self.late = False  # it stood still for too long

    def moved(self) -> None:
        """A piece of its body came, and more is to come."""
        self.looks = 0

    def gave_up(self) -> bool:
        """Whether its body did not come in time, and that is why its task was cancelled, which is then over."""
        if self.late:
            self._task.uncancel()
        return self.late

    def saw_it_leave(self) -> bool:
        """Whether its client left, and that is why its task was cancelled, which is then over like any other."""
        watcher = self._watcher
        left = watcher is not None and watcher.done() and not watcher.cancelled()
        if left:
            self._task.uncancel()
        return left

    def give_up(self) -> None:
        self.late = True
        self._task.cancel()

    def begin(self) -> None:
        self._watcher = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self._task.cancel()

    def stop(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()


class Watches:
    """The calls of a gateway. What is over in a moment needs no watcher, whose own start and end cost; nor a timer of its own: one
    looks after all. Nor does anybody look at a clock: a call that the timer meets twice is a moment old. `slow` are the seconds
    that a body may stand still."""

    __slots__ = ("_looking", "_loop", "_met", "_reading", "_slow", "_young")

    def __init__(self, slow: float) -> None:
        self._slow = slow
        self._young: dict[Watch, None] = {}  # not met by the timer yet
        self._met: dict[Watch, None] = {}  # met once, and neither watched nor long in reading yet
        self._reading: dict[Watch, None] = {}  # whose body takes longer than a moment
        self._loop: asyncio.AbstractEventLoop | None = None  # whose timer runs
        self._looking = False  # another timer runs, for those who read

    def begin(self, receive: Receive) -> Watch:
        """A call begins, that of the current task."""
        loop = asyncio.get_running_loop()
        watch = Watch(receive, asyncio.current_task(loop))
        self._young[watch] = None
        if self._loop is not loop:
            self._look_again(loop)
        return watch

    def answers(self, watch: Watch) -> None:
        """The call's body is there."""
        watch.reading = False
        if watch in self._reading:
            del self._reading[watch]
            watch.begin()

    def end(self, watch: Watch) -> None:
        """The call is over."""
        if watch in self._young:
            del self._young[watch]
        elif watch in self._met:
            del self._met[watch]
        else:
            self._reading.pop(watch, None)
            watch.stop()

    def _look_again(self, loop: Any) -> None:
        self._loop = loop
        loop.call_later(MOMENT, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        for watch in self._met:
            if not watch.reading:
                watch.begin()
                continue
            self._reading[watch] = None
            if not self._looking:
                self._look_for_late(loop)
        self._met, self._young = self._young, {}
        if self._met:
            self._look_again(loop)
        else:
            self._loop = None

    def _look_for_late(self, loop: asyncio.AbstractEventLoop) -> None:
        for watch in list(self._reading):
            watch.looks += 1
            if watch.looks > LOOKS:
                del self._reading[watch]
                watch.give_up()
        self._looking = bool(self._reading)
        if self._looking:
            loop.call_later(self._slow / LOOKS, self._look_for_late, loop)
