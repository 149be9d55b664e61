"""The driver of flows on an event loop, in a module of its own: whoever only blocks does not load asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from engine.call.send import AsyncReply, AsyncTransport, SendFailure
from engine.call.send.body import Body
from engine.call.step import Alone, Answer, Deliver, Drain, Exchange, Flow, Open, Pump, Read, Shut, Wait
from engine.types import Event

__all__ = ["AsyncDriver"]


class AsyncDriver:
    """Carries out flows on an event loop."""

    def __init__(self, transport: AsyncTransport, sleep: Callable[[float], Any]) -> None:
        self.transport = transport
        self._sleep = sleep
        self._locks: dict[Any, asyncio.Lock] = {}
        self._loop: Any = None

    async def run(self, flow: Flow) -> Any:
        """The value of a flow that delivers nothing."""
        value: Any = None
        try:
            step = next(flow)
            while True:
                try:
                    value = await (self._exchange(step) if step.__class__ is Exchange else self.perform(step))
                except SendFailure as failure:
                    step = flow.throw(failure)
                else:
                    step = flow.send(value)
        except StopIteration as done:
            return done.value
        finally:
            flow.close()

    def perform(self, step: Any) -> Awaitable[Any]:
        """What carries out one step, to be awaited."""
        kind = step.__class__
        if kind is Exchange:
            return self._exchange(step)
        if kind is Read:
            return step.reply.read()  # type: ignore[no-any-return]
        if kind is Open:
            return self.transport.open(step.request, step.route, step.timing)
        if kind is Shut:
            return step.reply.close()  # type: ignore[no-any-return]
        if kind is Wait:
            return self._sleep(step.seconds)  # type: ignore[no-any-return]
        if kind is Drain:
            return self._rest(step.reply, step.limit, step.ratio)
        return self._alone(step) if kind is Alone else step.pause(self)

    async def _exchange(self, step: Exchange) -> Answer:
        reply = await self.transport.open(step.request, step.route, step.timing)
        limit = step.body_bytes if reply.status < 300 else step.error_bytes
        whole: bytes | None = getattr(reply, "whole", None)
        if whole is None or len(whole) > limit or "content-encoding" in reply.headers:
            whole = await self._rest(reply, limit, step.ratio)
        return Answer(reply.status, reply.headers, whole)

    async def _rest(self, reply: AsyncReply, limit: int, ratio: int) -> bytes:
        """All that is left of a reply; then it is closed."""
        try:
            read = reply.read
            data = await read()
            more = await read() if data else data
            if not more and len(data) <= limit and "content-encoding" not in reply.headers:
                return data  # all of it came at once, as most answers do
            body = Body(reply.headers, limit, ratio)
            body.add(data)
            while more:
                body.add(more)
                more = await read()
            return body.whole()
        finally:
            await reply.close()

    async def _alone(self, step: Alone) -> Any:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._locks = loop, {}
        lock = self._locks.setdefault(step.key, asyncio.Lock())
        try:
            async with asyncio.timeout(max(0.0, step.seconds)):
                await lock.acquire()
        except TimeoutError:
            raise SendFailure("timeout", "another call's token exchange did not end in time", unsent=True) from None
        try:
            return await self.run(step.flow)
        finally:
            lock.release()

    def stream(self, flow: Flow) -> AsyncDeliveries:
        """A flow that delivers events, to be advanced by the caller's loop."""
        return AsyncDeliveries(self, flow)


class AsyncDeliveries:
    """The async twin of Deliveries."""

    def __init__(self, driver: AsyncDriver, flow: Flow) -> None:
        self._driver = driver
        self._flow = flow
        self._reply: Any = None
        self._loop: Any = None
        self._pump: Pump | None = None
        self._waiting: asyncio.Task[Any] | None = None  # who waits, but for the bytes of a running stream
        self._woken: asyncio.Task[Any] | None = None  # the same, once `close` has cancelled it
        self.ended = False
        self.value: Any = None

    async def advance(self) -> list[Event] | None:
        if self.ended:
            return None
        flow, perform = self._flow, self._driver.perform
        step: Any = self._pump
        value: Any = None
        try:
            if step is None:
                step = flow.send(None)
            while True:
                kind = step.__class__
                if kind is Deliver:
                    return step.events  # type: ignore[no-any-return]
                try:
                    if kind is Pump:
                        self._pump = step
                        if events := await self._pumped(step):
                            return events
                        value = self._pump = None
                    else:
                        self._waiting = asyncio.current_task()
                        value = await perform(step)
                        self._waiting = None
                        if kind is Open:
                            self._reply = value
                            self._loop = asyncio.get_running_loop()
                except SendFailure as failure:
                    if self.ended:  # closed meanwhile, from another place: that is why the connection broke
                        return None
                    self._pump = None
                    step = flow.throw(failure)
                else:
                    if self.ended:
                        if (free := getattr(step, "free_soon", None)) is not None:  # what its flow shall not see
                            await free(value)
                        return None
                    step = flow.send(value)
        except StopIteration as done:
            self.value = done.value
            self.ended = True
            return None
        except asyncio.CancelledError:
            self.ended = True
            if not self._only_closed():
                raise
            return None
        except BaseException:
            self.ended = True
            raise
        finally:
            self._waiting = None
            if self.ended:
                self._only_closed()
                await self._free()

    def _only_closed(self) -> bool:
        """Whether nobody but `close` has cancelled the task that was waiting. Its cancellation is taken back."""
        task, self._woken = self._woken, None
        return task is not None and not task.uncancel()

    async def _pumped(self, pump: Pump) -> list[Event] | None:
        """The next events of a running stream, None when its flow has to go on."""
        pump.resume()
        read, take = pump.reply.read, pump.take
        while not pump.over:
            data = await read()
            if not data:
                break
            if events := take(data):
                return events
        return None

    async def close(self) -> None:
        """End the flow and free its connection. A task that waits for more than its bytes is woken and frees it as it leaves."""
        self.ended = True
        if self._waiting is None:
            return await self._free()
        if self._woken is None:
            self._woken = self._waiting
            self._woken.cancel()
        return None

    async def _free(self) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            await reply.close()
        self._flow.close()

    def abandon(self) -> None:
        """Free the connection of a stream nobody holds any more, from wherever the collector runs."""
        reply, self._reply = self._reply, None
        loop = self._loop
        if reply is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(_close_soon, loop, reply)


_closing: set[asyncio.Task[None]] = set()  # the loop itself holds its tasks only weakly


def _close_soon(loop: asyncio.AbstractEventLoop, reply: Any) -> None:
    task = loop.create_task(reply.close())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
