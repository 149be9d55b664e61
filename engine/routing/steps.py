"""Steps that carry themselves out: waiting for a turn and doing what may block. The drivers call `block` or `pause`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from engine.reliability.limiter import Ticket

__all__ = ["Turn", "Work"]


class Turn:
    """Wait until a ticket is granted or so many seconds have passed, whichever is first."""

    __slots__ = ("seconds", "ticket")

    def __init__(self, ticket: Ticket, seconds: float) -> None:
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
