"""What stands before a target: its breaker and cool-downs, the caller's own limits, and the money (RELIABILITY F3 to F7).

One generator for plain models and for the targets of routes. Whatever it takes it gives back exactly once, however the call
ends (RELIABILITY R8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine.accounting.estimate import ceiling, input_tokens
from engine.call.step import Flow, Wait
from engine.errors import LocalLimitError, UnavailableError
from engine.ledger.budget import Spender, nano, usd
from engine.routing.decide import USUAL_OUTPUT
from engine.routing.steps import Turn, Work
from engine.types import Usage

if TYPE_CHECKING:
    from engine.call.flow import Call
    from engine.ledger.budget import Budget
    from engine.ledger.store import Ledger
    from engine.reliability.limiter import Limiter, Ticket

__all__ = ["Account", "Gate", "guarded"]


class Account:
    """On whose behalf a call is made: the tenant whose turn it takes, and the words it is charged under."""

    __slots__ = ("route", "tags", "tenant")

    def __init__(self, tenant: str | None = None, tags: tuple[str, ...] = (), route: str | None = None) -> None:
        self.tenant = tenant
        self.tags = tags
        self.route = route


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
    reserved: _Reserved | None = None
    settled = False
    try:
        if gate is not None and gate.limiter is not None:
            ticket = _ticket(gate.limiter, call, account)
            yield from _turn(gate.limiter, ticket, call)
            attempts.booked = ticket
        if gate is not None and gate.budgets:
            reserved = _Reserved(gate, call, account)
            yield from reserved.take()
        response = yield from work
        settled = True
        if ticket is not None and gate is not None and gate.limiter is not None:
            used = (response.usage.input_tokens or 0) + (response.usage.output_tokens or 0)
            gate.limiter.settle(ticket, clock.monotonic(), used or None)
        if reserved is not None:
            actual = reserved.actual(response.cost)
            yield Work(lambda: reserved.settle(actual))
        return response
    finally:
        health.leave(probing)
        if ticket is not None and gate is not None and gate.limiter is not None:
            gate.limiter.settle(ticket, clock.monotonic(), None if settled or attempts.possibly_billed else 0)
        if reserved is not None:
            reserved.settle(reserved.amount if settled else reserved.actual(None))  # without effect where it was settled


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


def _ticket(limiter: Limiter, call: Call, account: Account) -> Ticket:
    """A place in the queue, with the key that is free soonest."""
    from engine.reliability.limiter import Ticket

    operation, attempts = call.operation, call.attempts
    context = call.context or {}
    output = context.get("max_tokens")
    tokens = input_tokens(context) + (output if isinstance(output, int) else USUAL_OUTPUT if operation.name == "chat" else 0)
    keys = len(call.credentials)
    if keys > 1:
        now = call.clock.monotonic()
        own = limiter.estimate_key(operation.provider, operation.model, attempts.key, tokens, now)
        if own > 0:
            _, attempts.key = limiter.estimate(operation.provider, operation.model, keys, tokens, now)
    return Ticket(limiter, (operation.provider, operation.model, attempts.key), float(tokens), account.tenant or "")


def _turn(limiter: Limiter, ticket: Ticket, call: Call) -> Flow:
    """Wait for the ticket's turn. LocalLimitError at once where it would come after the deadline."""
    attempts, clock = call.attempts, call.clock
    while (wait := limiter.ask(ticket, clock.monotonic())) > 0:
        left = attempts.deadline.left() - 1
        if left <= 0 or (wait > left and wait != float("inf")):
            told = None if wait == float("inf") else round(wait, 3)
            raise LocalLimitError(f"the limits set for {attempts.target} leave no room before the deadline", retry_after=told)
        yield Turn(ticket, min(wait, left))


class _Reserved:
    """Money set aside for one call."""

    __slots__ = ("_done", "_gate", "_id", "amount", "call", "charges", "doubt")

    def __init__(self, gate: Gate, call: Call, account: Account) -> None:
        operation = call.operation
        self._gate = gate
        self._id = gate.new_id()
        self._done = False
        self.call = call
        self.amount = self.doubt = 0
        spender = Spender(operation.provider, operation.model, operation.name, account.route, account.tenant, account.tags)
        at = call.clock.time()
        fitting = [(budget, list(budget.counters(spender, at))) for budget in gate.budgets]
        self.charges = [(name, budget.limit) for budget, names in fitting for name in names]
        if not self.charges:
            return
        context = call.context or {}
        terms = {"tier": context.get("service_tier")}
        most = gate.bill(operation, ceiling(context, operation.model_info), **terms)
        if most.cost is None:
            if any(names and budget.unpriced == "refuse" for budget, names in fitting):
                raise LocalLimitError(f"a budget holds for this call, and what it costs is not known: {most.note}")
            self.charges = []
            return
        self.amount = nano(most.cost)
        output = context.get("max_tokens")
        usual = Usage(input_tokens=input_tokens(context), output_tokens=output if isinstance(output, int) else USUAL_OUTPUT)
        self.doubt = min(self.amount, nano(gate.bill(operation, usual, **terms).cost or most.cost))

    def take(self) -> Flow:
        """Reserve the most the call can cost. LocalLimitError if a budget has not that much left."""
        if not self.charges:
            return
        ledger = self._gate.ledger
        assert ledger is not None
        refused = yield Work(lambda: ledger.reserve(self._id, self.charges, self.amount))
        if refused is not None:
            name, left = refused
            raise LocalLimitError(
                f"the budget {name} has {usd(max(0, left))} USD left, and this call may cost {usd(self.amount)} USD",
                code="budget",
            )

    def actual(self, cost: Decimal | None) -> int:
        """What the call cost: its answer, and about an answer's price for every attempt that may have been billed all the same."""
        attempts = self.call.attempts
        doubtful = (attempts.possibly_billed + attempts.running) * self.doubt
        return doubtful if cost is None else nano(cost) + doubtful

    def settle(self, actual: int) -> None:
        """Put what was spent in place of the reservation. Only the first time has effect."""
        if self._done or not self.charges:
            return
        self._done = True
        assert self._gate.ledger is not None
        self._gate.ledger.settle(self._id, actual)
