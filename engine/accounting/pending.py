"""Bills that are made when somebody looks: a call that nobody asks the price of pays nothing for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.accounting.desk import Desk
    from engine.operation import Operation
    from engine.types import Report, Response

__all__ = ["Pending", "attach"]

#: operations whose counters nobody bills
_FREE = frozenset(("count_tokens", "list_models", "show_model", "pull_model", "voices", "delete_voice"))

#: fields of a request that rates may depend on, outside of chat
_OPTIONS = ("size", "quality", "resolution", "steps", "search_context_size")


class Pending:
    """The bill of one answer, not made yet. Copies and pickles as what it comes to."""

    __slots__ = ("at", "charged", "desk", "made", "operation", "options", "stated", "tier", "usage")

    def __init__(
        self, desk: Desk, operation: Operation, usage: Any, tier: Any, at: float, options: Mapping[str, Any] | None
    ) -> None:
        self.desk: Any = desk
        self.operation: Any = operation
        self.usage = usage
        self.stated = usage.cost
        self.tier = tier
        self.at = at
        self.options = options
        self.made: dict[str, Any] | None = None
        self.charged: tuple[list[dict[str, Any]], dict[str, Any]] | None = None  # the attempts, and the one that was answered

    def value(self, name: str) -> Any:
        """`cost`, `price_lines` or `price_note` of the answer; of a routed one also the `attempts`, of which one has the cost."""
        made = self.made
        if made is None:
            made = self.made = self._make()
            self.desk = self.operation = None
        return made[name]

    def _make(self) -> dict[str, Any]:
        found = self.desk._seller(self.operation).bill(self.usage, self.at, self.options, tier=self.tier)
        cost, note = found.cost, found.note
        if self.stated is not None:
            ours = f"by the price known here it would be {cost} USD" if cost is not None else note
            cost, note = self.stated, f"the provider itself says {self.stated} USD; {ours}"
        made = {"cost": cost, "price_lines": found.lines, "price_note": note}
        if self.charged is not None:
            made["attempts"], last = self.charged
            last["cost"] = None if cost is None else str(cost)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        self.value("cost")
        return (_restored, (self.made,))


def _restored(made: dict[str, Any]) -> Pending:
    pending = Pending.__new__(Pending)
    pending.made = made
    return pending


def attach(response: Response, report: Report, desk: Desk, operation: Operation, context: Mapping[str, Any], at: float) -> None:
    """Let an answer's `cost` and its report's `price_lines` and `price_note` be what the call comes to, once they are read."""
    if operation.name in _FREE:
        return
    options = None if operation.name == "chat" else {key: context[key] for key in _OPTIONS if context.get(key) is not None}
    pending = Pending(desk, operation, response.usage, context.get("service_tier"), at, options)
    response._pending = report._pending = pending
    if pending.stated is None:
        del response.cost  # unset slots are asked for by name: types.Response.__getattr__
    del report.price_lines, report.price_note
