"""The attempts of one call: what each came to, what is done next, and what the last error carries (RELIABILITY E3, R1 to R7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from engine.errors import DeadlineError, Error, for_kind
from engine.reliability.deadline import Clock, Deadline, Limits
from engine.reliability.health import Health
from engine.reliability.retry import BILLED, Bucket, Failed, KeyRing, decide, happened

if TYPE_CHECKING:
    from engine.reliability.limiter import Ticket

__all__ = ["Attempts"]


class Attempts:
    """Bookkeeping and decisions of one call to one provider. Pure but for the clock it is given."""

    # what only a failure asks for
    possibly_billed = 0
    _kinds: dict[str, int] | None = None
    _refreshed = False
    _used: frozenset[int] = frozenset()

    def __init__(
        self,
        target: str,
        limits: Limits,
        deadline: Deadline,
        clock: Clock,
        bucket: Bucket,
        ring: KeyRing,
        replay: str = "safe",
        health: Health | None = None,
    ) -> None:
        self.target = target
        self.limits = limits
        self.deadline = deadline
        self.replay = replay
        self.notify: Callable[[str, dict[str, Any]], None] | None = None  # who watches the call (engine.watching)
        self.records: list[dict[str, Any]] = []
        self._clock = clock
        self._bucket = bucket
        self._ring = ring
        self._number = 0
        self._last: str | None = None
        self._start = self._ended = 0.0
        self.first: float | None = None  # seconds to the first event of a stream
        self.running = False  # an attempt is under way
        self.shown = False  # content was seen: what fails now cannot be repeated unseen
        self.health = health
        self.booked: Ticket | None = None  # a place within the caller's own limits: every further request is booked too
        self.key = ring.pick(deadline.started) if ring.size > 1 else 0

    def begin(self) -> None:
        """An attempt starts. DeadlineError if there is no time for one."""
        now = self._clock.monotonic()
        if now >= self.deadline.at:
            raise self.final(self.deadline.error())
        self._number += 1
        self.running = True
        self._start = now

    def succeeded(self, at_once: bool = False) -> None:
        """The attempt gave its whole answer: `at_once`, or at the end of what `opened` began."""
        if at_once:
            self.answered()
        self._record("ok")
        if self.health is not None:
            self.health.succeeded(self._ended, self._ended - self._start, self.first)

    def answered(self) -> None:
        """The attempt gave its first content: what the retry budget counts as a success."""
        self.shown = True
        if self._last is not None or self._bucket.tokens < Bucket.CAPACITY:
            self._bucket.succeeded(self._last)
            self._last = None

    def sent(self) -> None:
        """The attempt's request goes out now."""
        if self.booked is not None:
            self.booked.sent(self._clock.monotonic())

    def opened(self) -> None:
        """The attempt's stream showed its first content."""
        self.first = self._clock.monotonic() - self._start
        self.answered()
        if self.notify is not None:
            self.notify("first_event", {"target": self.target, "seconds": round(self.first, 6)})

    def wrote(self, tokens: int | None) -> None:
        """The attempt's answer has so many tokens: how fast its target writes."""
        if tokens and self.health is not None:
            now = self._clock.monotonic() if self.running else self._ended
            self.health.wrote(now, tokens, now - self._start - (self.first or 0.0))

    def failure(self, kind: str, text: str) -> Error:
        """The typed error of an exchange that broke; the deadline's own if that is what ran out."""
        if kind == "timeout" and self.deadline.passed():
            return self.deadline.error()
        return for_kind(kind)(text)

    def failed(
        self,
        error: Error,
        headers: Mapping[str, str] | None = None,
        *,
        unsent: bool = False,
        refreshable: bool = False,
        again: bool = True,
    ) -> tuple[str, float]:
        """Note a failed attempt and say what to do: (again | other | refresh | stop, seconds to wait first).

        `headers` are the reply's, if there was one. Without `again` the attempt is only noted: the caller has seen content
        and did not ask for a restart (RELIABILITY T5).
        """
        self._record(error.kind, error.status)
        kinds = self._kinds = self._kinds if self._kinds is not None else {}
        kinds[error.kind] = kinds.get(error.kind, 0) + 1
        wait = error.retry_after
        failed = Failed(
            error,
            number=self._number,
            total=len(self.records),
            wait=wait,
            order=(headers or {}).get("x-should-retry"),
            unsent=unsent,
            same_kind=kinds[error.kind],
            refreshable=refreshable and not self._refreshed,
            other_key=self._ring.other(self._clock.monotonic(), self._used | {self.key}),
        )
        if not unsent and error.kind in BILLED and (error.status is None or error.status < 400):
            self.possibly_billed += 1
        self._ring.set_aside(self.key, error.kind, wait, self._ended)
        if self.health is not None:
            self.health.failed(error.kind, self._ended, self.key, wait)
        if not again:
            return "stop", 0.0
        step = decide(failed, self.limits, self.deadline, self.replay, self._bucket, self._clock.random)
        self._last = error.kind
        delay = step.delay
        if step.action == "other":
            self._used |= {self.key}
            self.key = self._ring.pick(self._clock.monotonic(), self._used)
            self._number = 0
        elif step.action == "refresh":
            self._refreshed = True
        if self.booked is not None and step.action != "stop":
            delay = max(delay, self.booked.again(self._clock.monotonic(), self.key))
            if delay + 1 > self.deadline.left():
                return "stop", 0.0
        if self.notify is not None and step.action != "stop":
            self.notify(
                "retry_waiting", {"target": self.target, "after": error.kind, "seconds": delay, "number": len(self.records)}
            )
        return step.action, delay

    def final(self, error: Error, unsent: bool = False) -> Error:
        """The error as it leaves the call: with its attempts, and `ambiguous` where doing it may have worked (R3)."""
        if self.replay == "unsafe" and self.records and not isinstance(error, DeadlineError):
            proof = unsent or not error.retryable or not happened(Failed(error, 0, 0))
            if not proof:
                ambiguous = for_kind("ambiguous")(
                    f"the request may or may not have been carried out: {error.message}",
                    status=error.status,
                    code=error.code,
                    request_id=error.request_id,
                    raw=error.raw,
                )
                error = ambiguous
        error.attempts = self.records
        error.possibly_billed = self.possibly_billed
        return error

    def _record(self, kind: str, status: int | None = None) -> None:
        self.running = False
        self._ended = self._clock.monotonic()
        seconds = int((self._ended - self._start) * 1e6) / 1e6
        record: dict[str, Any] = {"target": self.target, "kind": kind, "seconds": seconds}
        if status is not None:
            record["status"] = status
        if self._ring.size > 1:
            record["key"] = self.key  # its place among the provider's keys
        self.records.append(record)
        if self.notify is not None:
            self.notify("attempt_ended", record)
