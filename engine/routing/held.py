"""What a call holds while it runs: its turn under the caller's limits, and the money set aside for it (RELIABILITY F5, F7).

In a module of its own: a client without limits and budgets does not load what they need.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from engine.accounting.estimate import ceiling, input_tokens
from engine.call.step import Flow
from engine.errors import Error, LocalLimitError
from engine.ledger.budget import Spender, ends_in, nano, usd
from engine.reliability.limiter import Ticket
from engine.routing.decide import USUAL_OUTPUT
from engine.routing.steps import Turn, Work
from engine.types import Usage

if TYPE_CHECKING:
    from engine.call.flow import Call
    from engine.ledger.store import Ledger
    from engine.reliability.limiter import Limiter
    from engine.routing.guard import Account, Gate
    from engine.types import Response

__all__ = ["Reserved", "booking", "ticket_for", "turn"]


def ticket_for(limiter: Limiter, call: Call, account: Account) -> Ticket:
    """A place in the queue, with the key that is free soonest."""
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


def turn(limiter: Limiter, ticket: Ticket, call: Call) -> Flow:
    """Wait for the ticket's turn. LocalLimitError at once where it would come after the deadline."""
    attempts, clock = call.attempts, call.clock
    while (wait := limiter.ask(ticket, clock.monotonic())) > 0:
        left = attempts.deadline.left() - 1
        if left <= 0 or (wait > left and wait != float("inf")):
            told = None if wait == float("inf") else round(wait, 3)
            raise LocalLimitError(f"the limits set for {attempts.target} leave no room before the deadline", retry_after=told)
        yield Turn(ticket, min(wait, left))


def booking(reserved: Reserved, response: Response) -> Flow:
    """Put what an answered call cost in place of what was set aside, where that may block for a moment."""
    yield Work(lambda: reserved.settle(reserved.actual(response.cost)))


class Reserved:
    """Money set aside for one call."""

    __slots__ = ("_done", "_gate", "_id", "amount", "call", "charges", "doubt", "ends")

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
        self.ends = {name: ends_in(budget.per, at) for budget, names in fitting for name in names}
        self.charges = [(name, budget.limit) for budget, names in fitting for name in names]
        if not self.charges:
            return
        context = call.context or {}
        terms = {"tier": context.get("service_tier")}
        likely = all(budget.reserve == "likely" for budget, names in fitting if names)
        most = gate.bill(operation, ceiling(context, operation.model_info, likely), **terms)
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
        refused = yield Work(lambda: self._reserved(ledger))
        if isinstance(refused, Error):
            raise refused  # here, where a route hears of it
        if refused is not None:
            name, left = refused
            if self.call.attempts.notify is not None:
                told = {"target": self.call.attempts.target, "budget": name, "left": usd(max(0, left)), "wanted": usd(self.amount)}
                self.call.attempts.notify("budget_refused", told)
            raise LocalLimitError(
                f"the budget {name} has {usd(max(0, left))} USD left, and this call may cost {usd(self.amount)} USD",
                code="budget",
                retry_after=self.ends[name],
            )

    def _reserved(self, ledger: Ledger) -> tuple[str, int] | Error | None:
        try:
            return ledger.reserve(self._id, self.charges, self.amount)
        except Error as error:
            return error

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
