"""Ends what is done for a client that goes away (RELIABILITY G9)."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.serve.gateway.intake import Receive

__all__ = ["Watch", "Watches"]

MOMENT = 0.02  # seconds that a call may last unwatched


class Watch:
    """One call, and who looks whether its client is still there."""

    __slots__ = ("_call", "_receive", "_watcher", "since")

    def __init__(self, receive: Receive, since: float) -> None:
        self._receive = receive
        self._call = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self.since = since

    def begin(self) -> None:
        self._watcher = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._call is not None:
            self._call.cancel()

    def saw_it_leave(self) -> bool:
        """Whether this is why the call was cancelled, which is then over like any other."""
        watcher = self._watcher
        left = watcher is not None and watcher.done() and not watcher.cancelled()
        if left and self._call is not None:
            self._call.uncancel()
        return left

    def stop(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()


class Watches:
    """The calls of a gateway. What is over in a moment needs no watcher, whose own start and end cost; nor a timer of its own: one
    looks after all."""

    __slots__ = ("_loop", "_young")

    def __init__(self) -> None:
        self._young: dict[Watch, None] = {}  # not watched yet, the oldest first
        self._loop: asyncio.AbstractEventLoop | None = None  # whose timer runs

    def begin(self, receive: Receive) -> Watch:
        """A call begins, that of the current task."""
        loop = asyncio.get_running_loop()
        watch = Watch(receive, loop.time())
        self._young[watch] = None
        if self._loop is not loop:
            self._look_again(loop)
        return watch

    def end(self, watch: Watch) -> None:
        """The call is over."""
        if watch in self._young:
            del self._young[watch]
        else:
            watch.stop()

    def _look_again(self, loop: Any) -> None:
        self._loop = loop
        loop.call_later(MOMENT, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        before = loop.time() - MOMENT
        while self._young:
            watch = next(iter(self._young))
            if watch.since > before:
                return self._look_again(loop)
            del self._young[watch]
            watch.begin()
        self._loop = None
        return None
