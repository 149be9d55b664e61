"""What is known of a target from its own traffic: breaker, cool-downs, load and speed (RELIABILITY F3, F4). No clock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from engine.errors import KINDS
from engine.reliability.breaker import CLOSED, Breaker
from engine.reliability.retry import ASIDE

__all__ = ["Health"]

#: kinds that say nothing of the target: it was not asked, or it was our own time that ran out
SILENT = frozenset(("config", "unsupported", "deadline", "local_limit", "unavailable"))
GONE = 300.0  # seconds a target is set aside that does not know its model (RELIABILITY E2, not_found)
KEPT = 64  # samples of each kind
FRESH = 300.0  # seconds after which a sample says nothing of today
ENOUGH = 20  # samples before a percentile is one


class Health:
    """One per provider, base URL and model of a client, whatever the operation. Shareable between threads.

    `calm` is true while nothing speaks against the target: the one thing a call asks when all is well.
    """

    __slots__ = ("_first", "_lock", "_speed", "_whole", "breaker", "calm", "cool", "gone", "in_flight")

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self.breaker = Breaker(uniform)
        self.calm = True
        self.cool: dict[int, tuple[float, str, bool]] = {}  # key -> until when, after which failure, did the provider say so
        self.gone = 0.0
        self.in_flight = 0  # calls by routes and through limits
        self._first: deque[tuple[float, float]] = deque(maxlen=KEPT)  # (when, seconds to the first event of a stream)
        self._whole: deque[tuple[float, float]] = deque(maxlen=KEPT)  # (when, seconds of a whole answer)
        self._speed: deque[tuple[float, float]] = deque(maxlen=KEPT)  # (when, tokens per second)
        self._lock = threading.Lock()

    # --- what attempts tell -----------------------------------------------------------------------------------------

    def succeeded(self, now: float, seconds: float, first: float | None = None) -> None:
        """An attempt gave its whole answer; `first` are the seconds to the first event of a stream."""
        with self._lock:
            if first is None:
                self._whole.append((now, seconds))
            else:
                self._first.append((now, first))
            self.breaker.succeeded(now)

    def wrote(self, now: float, tokens: int | None, seconds: float) -> None:
        """So many tokens were written in so many seconds."""
        if tokens and seconds > 0:
            self._speed.append((now, tokens / seconds))

    def failed(self, kind: str, now: float, key: int = 0, wait: float | None = None) -> None:
        """An attempt failed; `wait` is what the provider asked for. A later event may lengthen a cool-down, never shorten it."""
        if kind in SILENT:
            return
        with self._lock:
            if KINDS[kind][1]:
                self.breaker.failed(now)
            else:
                self.breaker.succeeded(now)
            if kind in ASIDE:
                until = now + (ASIDE[kind] if wait is None else wait)
                held = self.cool.get(key)
                if held is None or held[0] < until:
                    self.cool[key] = (until, kind, wait is not None)
            elif kind == "not_found":
                self.gone = max(self.gone, now + GONE)
            self.calm = not (self.breaker.until or self.cool or self.gone)

    # --- what is asked before a call --------------------------------------------------------------------------------

    def enter(self, now: float, force: bool = False) -> bool:
        """A call begins. False if the breaker lets none through now; with `force` one goes through all the same, as a probe."""
        with self._lock:
            if self.breaker.until:
                if (self.breaker.probes or now < self.breaker.until) and not force:
                    return False
                self.breaker.probes += 1
            self.in_flight += 1
            return True

    def leave(self, probe: bool) -> None:
        """A call that was let in ended, however it did; `probe` says that it was one."""
        with self._lock:
            self.in_flight -= 1
            if probe:
                self.breaker.probes = max(0, self.breaker.probes - 1)

    def cooling(self, now: float, keys: int, alone: bool = False) -> tuple[float, str | None]:
        """(seconds until a key may be used again, why it may not now); (0, None) if one may.

        `alone`: only a wait that the provider itself asked for counts. A sole target whose key was refused is asked again: the
        caller may have cured it.
        """
        with self._lock:
            held = self.cool
            for key in [key for key, cool in held.items() if cool[0] <= now]:
                del held[key]
            if self.gone <= now:
                self.gone = 0.0
            self.calm = not (self.breaker.until or held or self.gone)
            left, why = (self.gone - now, "not_found") if self.gone and not alone else (0.0, None)
            waits = [(until - now, kind) for until, kind, said in held.values() if not alone or (said and kind == "rate_limit")]
            if len(waits) >= keys:
                soonest = min(waits)
                return max((left, why or ""), soonest)
            return left, why

    def view(self, now: float, keys: int = 1, speeds: bool = True) -> dict[str, Any]:
        """The recorded state that decisions are made of, as plain JSON; `speeds`: also how fast it answered lately."""
        if self.calm and not speeds:
            return {"breaker": CLOSED, "in_flight": self.in_flight}
        wait, why = self.cooling(now, keys)
        breaker = self.breaker
        state = breaker.state(now)
        seen: dict[str, Any] = {"breaker": state, "in_flight": self.in_flight}
        if state != CLOSED:
            seen["opens_in"] = round(max(0.0, breaker.until - now), 3)
            seen["probing"] = breaker.probes > 0
        if wait > 0:
            seen["cooling"] = round(wait, 3)
            seen["cooling_after"] = why
        if not speeds:
            return seen
        for name, samples in (("first_event", self._first), ("whole", self._whole), ("tokens_per_second", self._speed)):
            fresh = _fresh(samples, now)
            if fresh:
                seen[name] = round(sum(fresh) / len(fresh), 4)
        return seen

    def late(self, stream: bool, now: float) -> float | None:
        """Seconds after which an answer is later than 95 of 100: of the first event of a stream, or of a whole answer."""
        fresh = sorted(_fresh(self._first if stream else self._whole, now))
        return fresh[min(len(fresh) - 1, int(0.95 * len(fresh)))] if len(fresh) >= ENOUGH else None


def _fresh(samples: deque[tuple[float, float]], now: float) -> list[float]:
    return [value for at, value in list(samples) if at > now - FRESH]
