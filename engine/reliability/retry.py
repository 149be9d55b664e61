"""May a failed attempt be repeated, with which key, and after how long (RELIABILITY E2, R1 to R6)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import Error
from engine.reliability.deadline import Deadline, Limits

__all__ = ["Bucket", "Failed", "KeyRing", "backoff", "decide", "happened"]

#: kinds that another key of the same provider may cure
OTHER_KEY = frozenset({"authentication", "permission", "quota", "rate_limit", "local_limit"})
#: seconds a key is set aside after such a failure, when the provider states no wait (RELIABILITY F4)
ASIDE = {"rate_limit": 5.0, "quota": 300.0, "authentication": 300.0, "permission": 300.0}
_NEVER = frozenset({501, 505})
_SLOW = frozenset({"rate_limit", "overloaded"})
#: failures after which the provider may have done, and billed, the work
BILLED = frozenset({"timeout", "connection", "protocol", "stream_interrupted", "limit", "deadline"})


@dataclass(frozen=True, slots=True)
class Failed:
    """One failed attempt, as far as the decision needs it."""

    error: Error
    number: int  # attempts made with this target so far, this one included
    total: int  # attempts of the whole call so far
    wait: float | None = None  # stated by the provider
    order: str | None = None  # the reply's x-should-retry header
    unsent: bool = False  # proof that the provider never saw the request
    same_kind: int = 1  # how often this call has failed with this kind
    refreshable: bool = False  # a fresh token may cure a refused one, and none was fetched in this call
    other_key: bool = False  # another key that is not set aside


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next: `again` after `delay` seconds, `other` key at once, `refresh` the token and go on, or `stop`."""

    action: str
    delay: float = 0.0


STOP = Step("stop")


def decide(
    failed: Failed, limits: Limits, deadline: Deadline, replay: str, bucket: Bucket, uniform: Callable[[float, float], float]
) -> Step:
    """The next step after a failed attempt. Draws the price of a retry from the bucket if there is to be one."""
    error = failed.error
    if failed.total >= limits.call_attempts or failed.number > limits.attempts:
        return STOP
    if failed.refreshable and error.kind == "authentication":
        timely = deadline.left() > 1 and failed.number < limits.attempts
        return Step("refresh") if timely and bucket.spend(error.kind) else STOP
    if failed.other_key and error.kind in OTHER_KEY and deadline.left() > 1:
        return Step("other")
    if failed.number >= limits.attempts or not _repeatable(failed) or not harmless(failed, replay):
        return STOP
    delay = backoff(error.kind, failed.number, failed.wait, uniform)
    if (failed.wait is not None and failed.wait > limits.max_wait) or delay + 1 > deadline.left():
        return STOP
    return Step("again", delay) if bucket.spend(error.kind) else STOP


def _repeatable(failed: Failed) -> bool:
    error = failed.error
    order = (failed.order or "").strip().lower()
    if order == "false":
        return False
    if order == "true" and error.status is not None:
        return True
    if error.status in _NEVER or not error.retryable:
        return False
    return not (error.kind == "protocol" and failed.same_kind > 1)


def harmless(failed: Failed, replay: str) -> bool:
    """May the request be sent once more without the risk of doing twice what should be done once (RELIABILITY R3)?"""
    return replay != "unsafe" or not happened(failed)


def happened(failed: Failed) -> bool:
    """May the provider have carried out the request of this attempt? Any answer below 500 but a success proves it did not."""
    if failed.unsent:
        return False
    status = failed.error.status
    return status is None or status < 300 or (status >= 500 and status != 503) or status == 408


def backoff(kind: str, n: int, wait: float | None, uniform: Callable[[float, float], float]) -> float:
    """Seconds before the n-th retry (from 1): never earlier than the provider's stated wait, otherwise full jitter (R5)."""
    if wait is not None:
        return wait + uniform(0.0, min(1.0, 0.1 * wait))
    base = 1.0 if kind in _SLOW else 0.5
    return uniform(0.0, min(20.0, base * 2 ** (n - 1)))


class Bucket:
    """The retry budget of a target pool (R6): 500 tokens, a retry costs 5, after a timeout 10. A success of a retry gives its
    cost back, a first-attempt success gives 1. So a dead provider is not asked three times by everyone."""

    __slots__ = ("_lock", "tokens")
    CAPACITY = 500

    def __init__(self) -> None:
        self.tokens = self.CAPACITY
        self._lock = threading.Lock()

    @staticmethod
    def cost(kind: str) -> int:
        return 10 if kind == "timeout" else 5

    def spend(self, kind: str) -> bool:
        """Take the price of a retry after a failure of this kind; False if it is not there."""
        cost = self.cost(kind)
        with self._lock:
            if self.tokens < cost:
                return False
            self.tokens -= cost
            return True

    def succeeded(self, after: str | None) -> None:
        """Note a success: of a first attempt (None) or of the retry after a failure of that kind."""
        with self._lock:
            self.tokens = min(self.CAPACITY, self.tokens + (1 if after is None else self.cost(after)))


class KeyRing:
    """The keys of one provider, used in turn; a refused or exhausted one is set aside for a while (F4)."""

    __slots__ = ("_aside", "_lock", "_next", "size")

    def __init__(self, size: int) -> None:
        self.size = max(1, size)
        self._aside: dict[int, float] = {}
        self._next = 0
        self._lock = threading.Lock()

    def pick(self, now: float, used: frozenset[int] = frozenset()) -> int:
        """The next key in turn that is not set aside and not in `used`; if there is none, the one that is back soonest."""
        if self.size == 1:
            return 0
        with self._lock:
            order = [(self._next + i) % self.size for i in range(self.size)]
            free = [i for i in order if i not in used and self._aside.get(i, 0.0) <= now]
            chosen = free[0] if free else min(order, key=lambda i: self._aside.get(i, 0.0))
            self._next = (chosen + 1) % self.size
            return chosen

    def other(self, now: float, used: frozenset[int]) -> bool:
        """Is there a key that is not set aside and not in `used`?"""
        return self.size > 1 and any(i not in used and self._aside.get(i, 0.0) <= now for i in range(self.size))

    def set_aside(self, key: int, kind: str, wait: float | None, now: float) -> None:
        """Leave a key out until its wait is over. A later event may lengthen the wait, never shorten it."""
        if kind in ASIDE and self.size > 1:
            with self._lock:
                self._aside[key] = max(self._aside.get(key, 0.0), now + (ASIDE[kind] if wait is None else wait))
