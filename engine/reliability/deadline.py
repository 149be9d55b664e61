"""Time: the clocks of a call, its limits, and the one deadline everything in it shares (RELIABILITY R7)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from engine.errors import ConfigError, DeadlineError, Error

__all__ = ["Clock", "Deadline", "Limits", "Telling", "Timer"]


class Clock:
    """Where the engine gets time and chance from. Tests hand in another one."""

    __slots__ = ("monotonic", "random", "time")

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.monotonic = monotonic
        self.time = wall
        self.random = uniform

    def sleep(self, seconds: float) -> None:
        """Let time pass, blocking."""
        time.sleep(seconds)

    async def pause(self, seconds: float) -> None:
        """Let time pass on the event loop."""
        import asyncio

        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, bytes and counts one call may use (RELIABILITY R2, R5, R7, M1). `headers` None: 60 s for a stream, 300 s for a
    whole answer, and for the latter it bounds the body too: an answer comes when it is finished, a trickle is not one."""

    deadline: float = 600.0
    connect: float = 5.0
    send: float = 30.0
    headers: float | None = None
    first_event: float = 120.0
    idle: float = 60.0
    attempts: int = 3  # per target
    call_attempts: int = 6  # per call, whatever the number of targets
    max_wait: float = 60.0  # longest stated wait that is waited for
    header_bytes: int = 64 << 10
    body_bytes: int = 64 << 20
    file_bytes: int = 16 << 30  # of an answer that goes to disk
    error_bytes: int = 1 << 20
    ratio: int = 100  # of decompression, past the first MiB

    def with_(self, changes: Mapping[str, Any]) -> Limits:
        """These limits with some replaced. ConfigError for an unknown name or a value that is no positive number."""
        if not changes:
            return self
        names = {f.name for f in fields(self)}
        for name, value in changes.items():
            if name not in names:
                raise ConfigError(f"there is no limit `{name}`; limits are {', '.join(sorted(names))}")
            if value is None and name == "headers":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ConfigError(f"the limit `{name}` must be a positive number")
        return replace(self, **changes)

    @classmethod
    def of(cls, declared: Mapping[str, float], changes: Mapping[str, Any], stranger: bool = False) -> Limits:
        """The defaults, laid over by the provider's own (which may only lower the attempts, and a stranger's only lower
        anything), laid over by the caller's."""
        limits = cls()
        own = {k: v for k, v in declared.items() if k in ("deadline", "connect", "send", "headers", "first_event", "idle")}
        if stranger:
            own = {k: min(v, getattr(limits, k) or v) for k, v in own.items()}
        if "attempts" in declared:
            own["attempts"] = min(limits.attempts, int(declared["attempts"]))
        return limits.with_(own).with_(changes)

    def narrowed(self, attempts: int, max_wait: float) -> Limits:
        """These limits with other attempts and another longest wait; the same object for the same limits."""
        return _narrowed(self, attempts, max_wait)

    def until_headers(self, stream: bool) -> float:
        """Seconds until the headers of a stream, or until the last byte of a whole answer."""
        return self.headers if self.headers is not None else 60.0 if stream else 300.0


@lru_cache(maxsize=256)
def _narrowed(limits: Limits, attempts: int, max_wait: float) -> Limits:
    return replace(limits, attempts=attempts, max_wait=max_wait)


class Timer:
    """A moment on the monotonic clock that a transport must not read past. Whoever owns it may move it between reads."""

    __slots__ = ("_now", "until")
    stop: Any = None  # of a timer in engine.call.send.stoppable: who may end what is waited for

    def __init__(self, until: float, now: Callable[[], float] = time.monotonic) -> None:
        self.until = until
        self._now = now

    def left(self) -> float:
        """Seconds until then; negative when it has passed."""
        return self.until - self._now()

    def renew(self, seconds: float, end: float) -> None:
        """From now on so many seconds, but not past `end`."""
        self.until = min(self._now() + seconds, end)

    def sooner(self, seconds: float) -> Timer:
        """A timer that ends after so many seconds, or when this one does if that is earlier."""
        return Timer(min(self._now() + seconds, self.until), self._now)


class Telling(Timer):
    """A timer that says each time somebody asks how much of it is left."""

    __slots__ = ("_asked", "stop")

    def __init__(self, timer: Timer, asked: Callable[[], None]) -> None:
        super().__init__(timer.until, timer._now)
        self.stop = timer.stop
        self._asked = asked

    def left(self) -> float:
        self._asked()
        return super().left()


class Deadline:
    """The moment a call has to be over. Nested work gets what is left, never a new allowance."""

    __slots__ = ("_clock", "at", "seconds", "started")

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self.seconds = seconds
        self.started = clock.monotonic()
        self.at = self.started + seconds

    def left(self) -> float:
        return self.at - self._clock.monotonic()

    def passed(self) -> bool:
        return self._clock.monotonic() >= self.at

    def elapsed(self) -> float:
        return self._clock.monotonic() - self.started

    def until(self, seconds: float) -> float:
        """The moment that many seconds from now, or the deadline if that is earlier."""
        return min(self._clock.monotonic() + seconds, self.at)

    def error(self) -> Error:
        return DeadlineError(f"the call's time of {self.seconds:g} s is used up")
