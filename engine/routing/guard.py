"""What stands before a target: its breaker and cool-downs, the caller's own limits, and the money (RELIABILITY F3 to F7).

One generator for plain models and for the targets of routes. Whatever it takes it gives back exactly once, however the call
ends (RELIABILITY R8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.call.step import Flow, Wait
from engine.errors import UnavailableError

if TYPE_CHECKING:
    from engine.call.flow import Call
    from engine.ledger.budget import Budget
    from engine.ledger.store import Ledger
    from engine.reliability.limiter import Limiter, Ticket
    from engine.routing.held import Reserved

__all__ = ["Account", "Gate", "guarded"]


class Account:
    """On whose behalf a call is made: the tenant whose turn it takes, the words it is charged under, and what it says about the
    cache (engine.cache.options.Wish)."""

    __slots__ = ("cache", "route", "tags", "tenant")

    def __init__(self, tenant: str | None = None, tags: tuple[str, ...] = (), route: str | None = None, cache: Any = None) -> None:
        self.tenant = tenant
        self.tags = tags
        self.route = route
        self.cache = cache


class Gate:
    """The limits and budgets of one client."""

    __slots__ = ("bill", "budgets", "ledger", "limiter", "new_id")

    def __init__(
        self,
        limiter: Limiter | None,
        budgets: tuple[Budget, ...],
        ledger: Ledger | None,
        bill: Callable[..., Any],
        new_id: Callable[[], str],
    ) -> None:
        self.limiter = limiter
        self.budgets = budgets
        self.ledger = ledger
        self.bill = bill  # (operation, Usage, **terms) -> Bill
        self.new_id = new_id


def guarded(gate: Gate | None, call: Call, work: Flow, account: Account, alone: bool = True, probe: bool = False) -> Flow:
    """Carry out a call once it may go: the flow's value.

    `alone`: there is no other target, so what a provider asked for is waited out, and an open breaker lets one attempt through.
    Raises UnavailableError and LocalLimitError where waiting would take too long; nothing was sent then.
    """
    attempts, clock = call.attempts, call.clock
    health = attempts.health
    assert health is not None  # the calls of a client have one
    if not health.calm:
        if alone:
            yield from _patience(call)
            probe = probe or health.breaker.until > 0
        if probe:
            attempts.limits = replace(attempts.limits, attempts=1)
    probing = health.breaker.until > 0
    if not health.enter(clock.monotonic(), force=alone or probe):
        raise UnavailableError(f"{attempts.target} is left alone for a while: it failed too often")
    ticket: Ticket | None = None
    reserved: Reserved | None = None
    answered = False
    try:
        if gate is not None and gate.limiter is not None:
            from engine.routing.held import ticket_for, turn

            ticket = ticket_for(gate.limiter, call, account)
            yield from turn(gate.limiter, ticket, call)
            attempts.booked = ticket
        if gate is not None and gate.budgets:
            from engine.routing.held import Reserved

            reserved = Reserved(gate, call, account)
            yield from reserved.take()
        response = yield from work
        answered = True
        if ticket is not None:
            used = (response.usage.input_tokens or 0) + (response.usage.output_tokens or 0)
            ticket.limiter.settle(ticket, clock.monotonic(), used or None)
        if reserved is not None:
            from engine.routing.held import booking

            yield from booking(reserved, response)
        return response
    finally:
        health.leave(probing)
        if ticket is not None:
            ticket.limiter.settle(ticket, clock.monotonic(), None if attempts.possibly_billed else 0)
        if reserved is not None:
            reserved.settle(reserved.amount if answered else reserved.actual(None))  # without effect where it was settled


def _patience(call: Call) -> Flow:
    """Wait out what the only target asked for, or say that it is too long (RELIABILITY F5)."""
    attempts = call.attempts
    assert attempts.health is not None
    wait, why = attempts.health.cooling(call.clock.monotonic(), len(call.credentials), alone=True)
    if wait <= 0:
        return
    if wait > attempts.limits.max_wait or wait + 1 > attempts.deadline.left():
        raise UnavailableError(f"{attempts.target} asked to be left alone after {why}", retry_after=round(wait, 3))
    yield Wait(wait + call.clock.random(0.0, min(1.0, 0.1 * wait)))
