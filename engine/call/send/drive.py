"""The driver of flows that blocks; `engine.call.send.drive_async` is its twin. Sync and async differ in these and in the
transports, nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from engine.call.send import SendFailure, Stopped, Transport
from engine.call.send.body import Body
from engine.call.step import Alone, Answer, Deliver, Drain, Exchange, Flow, Open, Pump, Read, Shut, Wait
from engine.types import Event

__all__ = ["Driver"]


class Driver:
    """Carries out flows by blocking. One for each client; shareable between threads."""

    stop: Any = None  # of a driver whose flow another thread may end (engine.call.send.stoppable)

    def __init__(self, transport: Transport, sleep: Callable[[float], None]) -> None:
        self.transport = transport
        self._sleep = sleep
        self._locks: dict[Any, threading.Lock] = {}
        self._guard = threading.Lock()

    def run(self, flow: Flow) -> Any:
        """The value of a flow that delivers nothing."""
        value: Any = None
        try:
            step = next(flow)
            while True:
                try:
                    value = self.perform(step)
                except SendFailure as failure:
                    step = flow.throw(failure)
                else:
                    step = flow.send(value)
        except StopIteration as done:
            return done.value
        finally:
            flow.close()

    def perform(self, step: Any) -> Any:
        """Carry out one step."""
        kind = step.__class__
        if kind is Read:
            return step.reply.read()
        if kind is Exchange:
            reply = self.transport.open(step.request, step.route, step.timing)
            try:
                limit = step.body_bytes if reply.status < 300 else step.error_bytes
                return Answer(reply.status, reply.headers, self._rest(reply, limit, step.ratio))
            finally:
                reply.close()
        if kind is Open:
            return self.transport.open(step.request, step.route, step.timing)
        if kind is Shut:
            return step.reply.close()
        if kind is Wait:
            return self._sleep(step.seconds)
        if kind is Drain:
            try:
                return self._rest(step.reply, step.limit, step.ratio)
            finally:
                step.reply.close()
        return self._alone(step) if kind is Alone else step.block(self)

    def _rest(self, reply: Any, limit: int, ratio: int) -> bytes:
        read = reply.read
        data: bytes = read()
        more = read() if data else data
        if not more and len(data) <= limit and "content-encoding" not in reply.headers:
            return data  # all of it came at once, as most answers do
        body = Body(reply.headers, limit, ratio)
        body.add(data)
        while more:
            body.add(more)
            more = read()
        return body.whole()

    def _alone(self, step: Alone) -> Any:
        with self._guard:
            lock = self._locks.setdefault(step.key, threading.Lock())
        seconds = max(0.0, step.seconds)
        if not (lock.acquire(timeout=seconds) if self.stop is None else self.stop.locked(lock, seconds)):
            raise SendFailure("timeout", "another call's token exchange did not end in time", unsent=True)
        try:
            return self.run(step.flow)
        finally:
            lock.release()

    def stream(self, flow: Flow) -> Deliveries:
        """A flow that delivers events, to be advanced by the caller's loop."""
        if self.stop is not None:
            return Deliveries(self, flow)
        from engine.call.send.stoppable import StreamDriver

        return Deliveries(StreamDriver(self), flow)


class Deliveries:
    """A running flow that delivers. `advance` gives the next events, None at the end; then `value` is the flow's.

    One thread advances it; any may close it.
    """

    def __init__(self, driver: Driver, flow: Flow) -> None:
        self._driver = driver
        self._flow = flow
        self._reply: Any = None
        self._pump: Pump | None = None
        self._guard = threading.Lock()
        self._advancing = False
        self.ended = False
        self.value: Any = None

    def advance(self) -> list[Event] | None:
        flow, perform = self._flow, self._driver.perform
        step: Any = self._pump
        value: Any = None
        self._advancing = True
        try:
            if self.ended:  # looked at after that was said: whoever closes it meanwhile leaves the rest to this thread
                return None
            if step is None:
                step = flow.send(None)
            while True:
                kind = step.__class__
                if kind is Deliver:
                    return step.events  # type: ignore[no-any-return]
                try:
                    if kind is Pump:
                        self._pump = step
                        if events := self._pumped(step):
                            return events
                        value = self._pump = None
                    else:
                        value = perform(step)
                        if kind is Open:
                            self._reply = value
                except SendFailure as failure:
                    if self.ended:  # closed by another thread: that is why the connection broke
                        return None
                    self._pump = None
                    step = flow.throw(failure)
                else:
                    if self.ended:
                        if (free := getattr(step, "free", None)) is not None:  # what its flow shall not see
                            free(value)
                        return None
                    step = flow.send(value)
        except StopIteration as done:
            self.value = done.value
            self.ended = True
            return None
        except Stopped:
            closed, self.ended = self.ended, True
            if not closed:  # a race was lost
                raise
            return None
        except BaseException:
            self.ended = True
            raise
        finally:
            self._advancing = False
            if self.ended:
                self._free()

    def _pumped(self, pump: Pump) -> list[Event] | None:
        """The next events of a running stream, None when its flow has to go on."""
        pump.resume()
        read, take = pump.reply.read, pump.take
        while not pump.over:
            data = read()
            if not data:
                break
            if events := take(data):
                return events
        return None

    def close(self) -> None:
        """End the flow and free its connection. A thread that waits for the next events is woken and frees it as it leaves."""
        self.ended = True
        if not self._advancing:
            return self._free()
        self._driver.stop()
        interrupt = getattr(self._reply, "interrupt", None)
        if interrupt is not None:
            interrupt()
        return None

    def _free(self) -> None:
        with self._guard:
            reply, self._reply = self._reply, None
            if reply is not None:
                reply.close()
            self._flow.close()
