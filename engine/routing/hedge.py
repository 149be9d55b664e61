"""Asking a second target when the first is late (RELIABILITY F6): off unless a route asks for it, and rare by rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.call.step import Deliver, Flow
from engine.errors import Error
from engine.routing.steps import Race, Relay

if TYPE_CHECKING:
    from engine.call.flow import Call
    from engine.routing.decide import Decision
    from engine.routing.run import Run

__all__ = ["SHARE", "hedged"]

SHARE = 0.05  # of a route's calls may be hedged


def hedged(run: Run, call: Call, decision: Decision) -> Flow:
    """A call whose target gets company when it is later than 95 of 100 of its own answers were: the Response of whoever is first.

    Until the target has been measured (20 answers in five minutes) it is asked alone.
    """
    desk, clock = run.desk, call.clock
    counts = desk.hedges.setdefault(run.route.name, [0, 0])
    counts[0] += 1
    assert call.attempts.health is not None
    late = call.attempts.health.late(run.stream, clock.monotonic())
    if late is None:
        return (yield from run.guarded(call))
    calls: list[Call] = [call]
    backup = next(t for t in run.route.every if t.model == decision.order[1])
    began = clock.monotonic()

    def company() -> Flow | None:
        """The second flow, if the rule and the retry budget of its target allow one."""
        if counts[1] + 1 > SHARE * counts[0]:
            return None
        try:
            other = run.call(backup, decision, dict(run.fields))
        except Error:  # it cannot take this request: the first goes on alone
            return None
        if not desk._target(backup.model, run.name, backup.dialect).bucket.spend("timeout"):
            return None
        counts[1] += 1
        calls.append(other)
        if run.watch is not None:
            run.watch("hedged", {"target": backup.model, "late": call.attempts.target, "seconds": late})
        return _told(run, other)

    place, outcome = yield Race(_told(run, call), late, company, run.stream)
    if len(calls) == 2:
        _lost(run, calls[1 - place], round(clock.monotonic() - began, 6))
        for record in run.records:
            if record["target"] == backup.model:
                record.setdefault("reason", f"hedge: {call.attempts.target} was later than {late:.3g} s")
    run.operation = calls[place].operation
    if not run.stream:
        return outcome
    events, deliveries = outcome
    run.hedged = calls[place]
    try:
        while events is not None:
            yield Deliver(events)
            events = yield Relay(deliveries)
        return deliveries.value
    finally:
        _free(deliveries)


def _told(run: Run, call: Call) -> Flow:
    """A guarded call whose error is complete and masked when it leaves."""
    try:
        return (yield from run.guarded(call))
    except Error as error:
        raise run.desk.told(error, call) from None


def _lost(run: Run, call: Call, seconds: float) -> None:
    """Write down the one that was too slow: it may be billed all the same."""
    if not any(record["target"] == call.attempts.target for record in run.records):
        told = {
            "target": call.attempts.target,
            "kind": "cancelled",
            "seconds": seconds,
            "reason": "hedge: the other was first",
            "cost": None,
        }
        run.records.append(told)
        run.possibly_billed += 1


def _free(deliveries: Any) -> None:
    """Free the connection of a stream, from wherever its flow is closed."""
    if not deliveries.ended:
        (deliveries.abandon if hasattr(deliveries, "abandon") else deliveries.close)()
