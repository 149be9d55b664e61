"""The decision of a route while nothing speaks against any of its targets: made once, and the same for call after call."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.routing.decide import Decision

if TYPE_CHECKING:
    from engine.routing.route import Route

__all__ = ["Calm", "varies"]


def varies(route: Route, ask: Mapping[str, Any]) -> bool:
    """Whether a decision depends on more than the size of the request and the health of the targets."""
    needs = ask["needs"]
    return route.policy != ("order",) or bool(ask["residency"] or (needs and needs != ["stream"]))


class Calm:
    """What was decided by a route for requests up to so many `tokens`, when every target was well."""

    __slots__ = ("_keys", "decision", "route", "tokens")

    def __init__(self, route: Route, operation: str, states: Sequence[Mapping[str, Any]], decision: Decision) -> None:
        self.route = route
        self.decision = decision
        self.tokens = min((state["context"] for state in states if "context" in state), default=math.inf)
        self._keys = [(target.model, operation, target.dialect) for target in route.every]

    def holds(self, ask: Mapping[str, Any], targets: Mapping[Any, Any]) -> bool:
        """Whether it would be decided again; `targets` are those that are bound."""
        if ask["tokens"] > self.tokens:
            return False
        for key in self._keys:
            bound = targets.get(key)
            if bound is None or not bound.health.calm:
                return False
        return True
