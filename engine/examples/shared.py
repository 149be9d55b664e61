"""Inherited examples run once for all providers that would do the same with them.

What an example shows hangs on the compiled operation and on the provider's credentials and settings. Compiled functions are
shared between those who inherit the same nodes (`engine.expr.shelf`), so that equal plans are known without running them.
Every operation of every provider still runs one request of its own: its address, its credentials.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from engine.examples.given import given_operation
from engine.examples.run import Result, model_of, read_failures, run

if TYPE_CHECKING:
    from engine.catalog import Catalog
    from engine.examples.cases import Case
    from engine.examples.deviations import Deviations
    from engine.operation import Operation
    from engine.plan import OperationPlan
    from engine.spec.node import Node
    from engine.types import HttpRequest

#: who and where: these differ between providers that are otherwise the same, or are compared as they are written (`_written`)
_APART = frozenset(("provider", "auth", "base_url", "hosts", "capabilities", "lacks"))
#: what of a plan reads answers
_READING = (
    "name dialects response stream realtime job errors usage_totals finish_reasons thinking_tags rate_limits request_id"
).split()
#: what of an answer speaks of its request too
_OF_BOTH = frozenset(("warnings", "report", "cost"))


class Outcomes:
    """Results of the examples of one catalog; `run` is `engine.examples.run` that remembers."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._results: dict[Any, Result] = {}
        self._answers: dict[Any, list[str]] = {}
        self._plans: dict[int, tuple[OperationPlan, Same, Same]] = {}  # with the plan, so that its id stays its own
        self._deviations: dict[int, tuple[Deviations, Same]] = {}  # held as well
        self._around: dict[tuple[str, str, str | None, str], Any] = {}
        self._operations: dict[tuple[str, str, str], Operation] = {}
        self._flags: dict[tuple[str, str, str | None], dict[str, Any]] = {}
        self._asked: set[tuple[str, str, str | None]] = set()

    def run(self, provider: str, case: Case, variant: str | None) -> Result:
        """The result of an example for a provider. Whatever the example raises is raised here too."""
        asks = (provider, case.operation, variant)
        first = "request" in case.example and asks not in self._asked
        if first:
            self._asked.add(asks)
        key = self._key(provider, case, variant)
        found = self._results.get(key) if key is not None and not first else None
        if found is None:
            found = run(self.catalog, provider, case, variant=variant, given=self._given, answered=self._answered)
            if key is not None:
                self._results[key] = found
        failures = list(found.failures)
        return Result(provider, found.operation, found.name, found.origin, found.needs, failures, found.skipped, found.mark)

    def _key(self, provider: str, case: Case, variant: str | None) -> Any:
        """Everything the result hangs on; None where it is the provider's own affair. Inherited examples are shared objects."""
        if not case.inherited:
            return None
        asked = provider, case.operation, variant, model_of(self.catalog, provider, case)
        if asked not in self._around:
            self._around[asked] = self._surroundings(*asked)
        around = self._around[asked]
        needs = case.example.get("needs") or ()
        if needs and asked[:3] not in self._flags:
            self._flags[asked[:3]] = self.catalog.capabilities(provider, case.operation, variant=variant)
        can = tuple(self._flags[asked[:3]].get(need) for need in needs)
        if around is None:
            return None
        return id(case.example), self._differing(case.deviations), case.skip, asked[3], around, can

    def _differing(self, deviations: Deviations) -> Same:
        """Where a wire differs from its dialect's; one object stands for all examples of the dialect."""
        if id(deviations) not in self._deviations:
            self._deviations[id(deviations)] = deviations, Same(_flat(deviations))
        return self._deviations[id(deviations)][1]

    def _surroundings(self, provider: str, operation: str, variant: str | None, model: str) -> Any:
        plan = self.catalog.compile_checked(provider, operation, model, variant)
        around = _written(self.catalog.tree(provider, model, variant), operation)
        if around is None or ("model_info" in plan.reads and self.catalog.facts.of(provider, model, variant) is not None):
            return None
        chat = self._surroundings(provider, "chat", variant, model) if "chat_body" in plan.reads else ()
        return (self._same(plan)[0], around, chat) if chat is not None else None

    def _same(self, plan: OperationPlan) -> tuple[Same, Same]:
        """What a plan does, and what of it concerns answers."""
        if id(plan) not in self._plans:
            kind: Any = type(plan)
            whole = {name: _flat(getattr(plan, name)) for name in _names(kind) if name not in _APART}
            self._plans[id(plan)] = plan, Same(tuple(whole.items())), Same(tuple(whole[name] for name in _READING))
        return self._plans[id(plan)][1:]

    def _given(self, catalog: Catalog, target: str, operation: str, given: Mapping[str, Any] | None) -> Operation:
        key = target, operation, json.dumps(given, default=str) if given else ""
        if key not in self._operations:
            self._operations[key] = given_operation(catalog, target, operation, given)
        return self._operations[key]

    def _answered(self, operation: Operation, case: Case, sent: HttpRequest | None) -> Iterable[str]:
        """The failures of an answer: fewer parts of a plan read than write."""
        example = case.example
        if not case.inherited or "fails" in example or not _OF_BOTH.isdisjoint(example.get("gives") or ()):
            return read_failures(operation, case, sent)
        key = id(case.example), frozenset(case.deviations.gives), operation.model, self._same(operation.plan)[1]
        if key not in self._answers:
            self._answers[key] = list(read_failures(operation, case, sent))
        return self._answers[key]


class Same:
    """A value as part of a key, hashed once."""

    __slots__ = ("_hash", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._hash = hash(value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Same) and self.value == other.value)


_PLAIN = frozenset((str, int, float, bool, type(None)))


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


def _flat(value: Any) -> Any:
    """A value that equals another one's where both do the same: functions by who they are, everything else by content."""
    kind = value.__class__
    if kind in _PLAIN:
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return kind.__name__, tuple(_flat(getattr(value, name)) for name in _names(kind))
    if isinstance(value, dict):
        return tuple((key, _flat(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_flat, value))
    if isinstance(value, (set, frozenset)):
        return frozenset(value)
    return id(value) if callable(value) else value


def _written(root: Node, operation: str) -> str | None:
    """Credentials, settings and a templated address as they are written; None if the operation has some of its own."""
    own = root.get(operation)
    if own is not None and (own.get("auth") is not None or own.get("base_url") is not None):
        return None
    secrets, base = root.get("secrets"), root.get("base_url")
    named = {name: _declared(node) for name, node in secrets.items()} if secrets is not None else None
    server = base.plain() if base is not None and (base.is_map or "{{" in str(base.value)) else None
    auth, variables = (node.plain() if (node := root.get(key)) is not None else None for key in ("auth", "variables"))
    return json.dumps([named, server, auth, variables], default=str)


def _declared(secret: Node) -> list[Any]:
    """What a secret is, without what only people and the environment call it."""
    return [node.value if (node := secret.get(key)) is not None else None for key in ("format", "optional")]
