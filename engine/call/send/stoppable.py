"""Ending from another thread what a thread is doing: a socket cannot be told that nobody waits for it any more, but it can be shut.

A `Stop` knows what its thread waits for right now and how to end that; the driver and transport of its flow run under it. What
is stopped leaves as `Stopped`, closes its flow on the way, and so gives back all that the flow had taken (RELIABILITY R8).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from engine.call.send import Reply, Route, SendFailure, Stopped, Timing, Transport
from engine.call.send.drive import Driver
from engine.call.step import Open
from engine.reliability.deadline import Clock, Timer
from engine.types import HttpRequest

__all__ = ["Stop", "StoppableDriver", "StreamDriver", "beside"]

T = TypeVar("T")
SLICE = 0.05  # seconds between two looks at a lock, which cannot be woken


class Stop:
    """Ends one flow, from any thread and at any moment; what its thread does next is not begun."""

    __slots__ = ("_end", "_lock", "_woken")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._end: Callable[[], None] | None = None

    def __call__(self) -> None:
        with self._lock:  # while it is held, what is ended cannot become somebody else's
            self._woken.set()
            if self._end is not None:
                self._end()

    @property
    def done(self) -> bool:
        """Whether it was stopped."""
        return self._woken.is_set()

    def hold(self, end: Callable[[], None]) -> None:
        """From now on `end` ends what this thread waits for. Raises Stopped if that comes too late."""
        with self._lock:
            if self.done:
                raise Stopped
            self._end = end

    def release(self) -> None:
        """The wait is over."""
        with self._lock:
            self._end = None

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        if self._woken.wait(seconds):
            raise Stopped

    def until(self, woken: threading.Event, seconds: float) -> None:
        """Wait for an event."""
        self.hold(woken.set)
        try:
            woken.wait(seconds)
        finally:
            self.release()
        if self.done:
            raise Stopped

    def locked(self, lock: threading.Lock, seconds: float) -> bool:
        """Wait for a lock: whether it was got."""
        while not lock.acquire(timeout=min(SLICE, seconds)):
            seconds -= SLICE
            if self.done:
                raise Stopped
            if seconds <= 0:
                return False
        return True


def beside(stop: Stop, work: Callable[[], T], free: Callable[[T], None]) -> T:
    """What some work gives that nobody can end: done in a thread of its own, so that nobody has to wait for it. What it brings
    too late is freed."""
    gate, done = threading.Lock(), threading.Event()
    found: list[tuple[T | None, BaseException | None]] = []
    over = False

    def run() -> None:
        value: T | None = None
        problem: BaseException | None = None
        try:
            value = work()
        except BaseException as caught:
            problem = caught
        with gate:
            if not over:
                found.append((value, problem))
                return done.set()
        return free(value) if value is not None else None

    threading.Thread(target=run, daemon=True).start()
    try:
        stop.until(done, threading.TIMEOUT_MAX)
    except BaseException:
        with gate:
            over = True
        if found and found[0][0] is not None:
            free(found[0][0])
        raise
    value, problem = found[0]
    if problem is not None:
        raise problem
    assert value is not None
    return value


class _Timer(Timer):
    """A timer by which the stream that reads or writes knows who may end that."""

    __slots__ = ("stop",)

    def __init__(self, until: float, now: Callable[[], float], stop: Stop | None) -> None:
        super().__init__(until, now)
        self.stop = stop

    def sooner(self, seconds: float) -> Timer:
        return _Timer(min(self._now() + seconds, self.until), self._now, self.stop)


class _Transport:
    """A transport whose waits can be ended."""

    def __init__(self, inner: Transport, stop: Stop) -> None:
        self._inner = inner
        self._stop = stop
        self.close = inner.close

    def open(self, request: HttpRequest, route: Route, timing: Timing) -> Reply:
        stop, inner = self._stop, self._inner
        timing.timer = _Timer(timing.timer.until, timing.timer._now, stop)

        def opened() -> Reply:
            return inner.open(request, route, timing)

        work = opened if getattr(inner, "stoppable", False) else lambda: beside(stop, opened, lambda reply: reply.close())
        return _Reply(_guarded(stop, work), stop)


class _Reply:
    """A reply whose reads can be ended."""

    __slots__ = ("_inner", "_stop", "close", "headers", "interrupt", "status")

    def __init__(self, inner: Any, stop: Stop) -> None:
        self._inner = inner
        self._stop = stop
        self.status: int = inner.status
        self.headers: dict[str, str] = inner.headers
        self.close: Callable[[], None] = inner.close
        self.interrupt = getattr(inner, "interrupt", None)

    def read(self) -> bytes:
        data: bytes = _guarded(self._stop, self._inner.read)
        return data


def _guarded(stop: Stop, work: Callable[[], Any]) -> Any:
    """What some work gives; nothing of it is held when it is over."""
    if stop.done:
        raise Stopped
    try:
        return work()
    except SendFailure:
        if not stop.done:
            raise
    finally:
        stop.release()
    raise Stopped


class StoppableDriver(Driver):
    """Carries out one flow that can be stopped, beside the others of its parent."""

    def __init__(self, parent: Driver) -> None:
        stop = self.stop = Stop()
        self._direct: Transport = parent._direct if isinstance(parent, StoppableDriver) else parent.transport
        super().__init__(_Transport(self._direct, stop), stop.sleep)
        self._locks, self._guard = parent._locks, parent._guard


class StreamDriver(StoppableDriver):
    """Carries out a stream that any thread may close. Until there is a reply a `Stop` ends what is waited for; from then on the
    reply's own `interrupt` does, and nothing stands between the stream and its bytes.

    A transport of the caller's own is not opened beside: it runs in the thread that reads the stream, as he expects.
    """

    def __init__(self, parent: Driver) -> None:
        super().__init__(parent)
        if getattr(parent._sleep, "__func__", None) is not Clock.sleep:  # of a clock that is not the wall's
            self._sleep = parent._sleep

    def perform(self, step: Any) -> Any:
        if step.__class__ is not Open:
            return super().perform(step)
        stop, timing = self.stop, step.timing
        timer = timing.timer = _Timer(timing.timer.until, timing.timer._now, stop)
        reply = _guarded(stop, lambda: self._direct.open(step.request, step.route, timing))
        timer.stop = None
        return reply
