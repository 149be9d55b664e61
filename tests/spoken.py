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
from engine.spec.extend import matching_patches, operation_tree
from engine.spec.problem import Problems
from tests.paired_answers import PAIRS

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


def _readers() -> list[str]:
    """One target for each way of reading answers that the catalog has: most providers read as their dialect does."""
    found: dict[str, str] = {}
    for target, dialect in SPEAKERS.items():
        provider, _, variant = target[:-2].partition(":")
        base = CATALOG.tree(provider)
        tree, _ = operation_tree(CATALOG, base, "chat", matching_patches(base, "m", variant or None), Problems())
        nested = tree is not None and tree.get("stream", "data") is not None  # pieces of an inner stream have a test of their own
        streams = tree is not None and tree.get("stream") is not None and tree.value["stream"].value is not None
        if tree is not None and dialect in PAIRS and streams and not nested:
            ways = [tree.get(key) for key in ("response", "stream", "usage", "usage_totals", "finish_reasons", "thinking_tags")]
            way = repr([way.plain() if way is not None else None for way in ways])
            found.setdefault(f"{dialect} {way}", target)
    return list(found.values())


READERS = _readers()
#: dialect -> the provider that shows it: one named after it, else the first
TARGETS = {
    dialect: next(
        (t for t in SPEAKERS if SPEAKERS[t] == dialect and set(t[:-2].replace(":", "-").split("-")) <= set(dialect.split("-"))),
        None,
    )
    or next(t for t in SPEAKERS if SPEAKERS[t] == dialect)
    for dialect in sorted(set(SPEAKERS.values()))
}
#: dialects whose answers are written by hand, whole and streamed (tests/paired_answers.py)
PAIRED = [dialect for dialect in TARGETS if dialect in PAIRS]
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
