"""One operation per dialect and per provider that speaks it, with dummy credentials: what the laws of the wires are tried on."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

from engine.catalog import Catalog
from engine.errors import Error
from engine.examples import given_operation
from engine.examples.cases import dialect_examples
from engine.examples.run import content_type
from engine.operation import Operation

CATALOG = Catalog()


def _speakers() -> dict[str, str]:
    """target -> dialect, for every provider and variant whose chat speaks a dialect of the catalog."""
    found: dict[str, str] = {}
    for provider in CATALOG.provider_ids():
        who = CATALOG.plan(provider)
        if "chat" not in who.operations:
            continue
        for variant in (None, *who.variants):
            plan = CATALOG.compile(provider, "chat", "m", variant)
            if plan is not None and plan.dialect is not None:
                found[f"{provider}:{variant}/m" if variant else f"{provider}/m"] = plan.dialect
    return found


SPEAKERS = _speakers()
#: dialect -> the provider that shows it: one named after it, else the first
TARGETS = {
    dialect: next(
        (t for t in SPEAKERS if SPEAKERS[t] == dialect and set(t[:-2].replace(":", "-").split("-")) <= set(dialect.split("-"))),
        None,
    )
    or next(t for t in SPEAKERS if SPEAKERS[t] == dialect)
    for dialect in sorted(set(SPEAKERS.values()))
}
EXAMPLES = {dialect: [e.plain() for e in dialect_examples(CATALOG, dialect)] for dialect in TARGETS}
_made: dict[str, Operation] = {}


def speaker(target: str) -> Operation:
    """The chat of a target; made once."""
    if target not in _made:
        _made[target] = given_operation(CATALOG, target, "chat")
    return _made[target]


OPERATIONS = {dialect: speaker(target) for dialect, target in TARGETS.items()}


def law(examples: int = 15) -> Any:
    """Settings of a law: the same examples in every run; LLMKIT_LAWS=100 tries a hundred times as many, at random."""
    more = int(os.environ.get("LLMKIT_LAWS", "0"))
    quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(
        max_examples=examples * (more or 1), derandomize=not more, database=None, deadline=None, suppress_health_check=quiet
    )


def folded(operation: Operation, pieces: list[bytes]) -> tuple[list[Any], Any]:
    """(events, the Response as plain JSON or the error's) of a stream."""
    reader, events = operation.reader({"content-type": content_type(operation)}), []
    try:
        for piece in pieces:
            events += [e.to_dict() for e in reader.feed(piece)]
        return events, told(reader.close())
    except Error as error:
        return [], {"error": str(error), "partial": told(error.partial) if error.partial else None}


def told(response: Any) -> dict[str, Any]:
    """What an answer says: id, choices and usage, whatever the spacing of arguments."""
    found = response.to_dict()
    for choice in found.get("choices", ()):
        for part in [*choice["parts"], *choice["tool_calls"]]:
            part.pop("arguments_json", None)
    return {k: found.get(k) for k in ("id", "choices", "usage")}
