"""One call that takes several exchanges of the same kind: inputs past the limit of one request, lists of several pages.

Pure: what each exchange asks, and how the answers become one (SPEC_LANGUAGE 5.1, `batch_size` and `pages`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields as fields_of
from typing import Any

from engine.errors import for_kind
from engine.operation import Operation
from engine.types import Event, Report, Response, Usage

__all__ = ["AT_ONCE", "SEVERAL", "Share", "following", "joined", "pieces"]

#: operations that may take several exchanges
SEVERAL = frozenset(("embeddings", "list_models", "list_files", "voices"))
AT_ONCE = 4  # requests of one call that run at the same time
MOST_PAGES = 1000


class Share:
    """What the exchanges of one call have in common: their operation and their deadline."""

    __slots__ = ("_monotonic", "_until", "first", "operation")

    def __init__(
        self, operation: Operation, fields: Mapping[str, Any], seconds: float | None, monotonic: Callable[[], float]
    ) -> None:
        self.operation = operation
        self.first = pieces(operation, fields)  # the fields of the requests that can be written now
        self._monotonic = monotonic
        self._until = monotonic() + seconds if seconds is not None else None

    def timed(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of an exchange that has the rest of the time."""
        left = {"timeout": max(0.001, self._until - self._monotonic())} if self._until is not None else {}
        return {**fields, **left}


def pieces(operation: Operation, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields of each request: one, or several where `input` is longer than one request may be."""
    size = operation.plan.batch_size
    name = "input" if fields.get("input") is not None else "texts"
    given = fields.get(name)
    if size is None or not isinstance(given, (list, tuple)) or len(given) <= size or isinstance(given[0], int):
        return [dict(fields)]
    return [{**fields, name: list(given[at : at + size])} for at in range(0, len(given), size)]


def following(operation: Operation, fields: Mapping[str, Any], answers: Sequence[Response]) -> dict[str, Any] | None:
    """The fields that ask for the page after these, or None after the last. Raises LimitError for a list without end."""
    pages = operation.plan.pages
    if not pages:
        return None
    found = {name: value for name, query in pages.items() if (value := query(answers[-1].raw)) is not None and value != ""}
    before = fields.get("extra_query") or {}
    if not found or all(before.get(name) == value for name, value in found.items()):
        return None
    if len(answers) >= MOST_PAGES:
        raise for_kind("limit")(f"the list has more than {MOST_PAGES} pages")
    return {**fields, "extra_query": {**before, **found}}


def joined(answers: Sequence[Response]) -> Response:
    """One answer of several: outputs in order, vectors numbered through, counters and costs added up."""
    if len(answers) == 1:
        return answers[0]
    first = answers[0]
    outputs: list[Event] = []
    shift = 0
    for answer in answers:
        most = -1
        for event in answer.outputs:
            index = event.fields.get("index")
            if index is not None:
                most = max(most, index)
                event = Event(event.kind, {**event.fields, "index": index + shift}, event.choice)
            outputs.append(event)
        shift += most + 1
    costs = [answer.cost for answer in answers]
    whole = Response(
        id=first.id,
        model=first.model,
        provider=first.provider,
        created=first.created,
        outputs=outputs,
        usage=added([answer.usage for answer in answers]),
        cost=None if any(cost is None for cost in costs) else sum(c for c in costs if c is not None),  # type: ignore[arg-type]
        warnings=list(dict.fromkeys(w for answer in answers for w in answer.warnings)),
        report=_report([answer.report for answer in answers]),
        request_id=answers[-1].request_id,
        rate_limits=answers[-1].rate_limits,
        raw=[answer.raw for answer in answers],
    )
    return whole


def added(counters: Sequence[Usage]) -> Usage:
    total = Usage()
    for name in (f.name for f in fields_of(Usage)):
        known = [value for one in counters if (value := getattr(one, name)) is not None]
        if known:
            setattr(total, name, sum(known))
    return total


def _report(reports: Sequence[Report]) -> Report:
    """The first request's parameters; attempts and prices of all."""
    notes = list(dict.fromkeys(r.price_note for r in reports if r.price_note))
    ignored: dict[str, int] = {}
    for report in reports:
        for name, count in report.ignored_events.items():
            ignored[name] = ignored.get(name, 0) + count
    return Report(
        parameters=reports[0].parameters,
        warnings=list(dict.fromkeys(w for r in reports for w in r.warnings)),
        attempts=[attempt for r in reports for attempt in r.attempts],
        timings={"total": round(sum(r.timings.get("total", 0.0) for r in reports), 6)},
        price_lines=[line for r in reports for line in r.price_lines],
        price_note="; ".join(notes) or None,
        ignored_events=ignored,
        cache=_cached([r.cache for r in reports if r.cache is not None]),
    )


def _cached(told: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """What a cache had to do with several requests: a hit if all of them were."""
    if not told:
        return None
    hits = [one for one in told if one["hit"]]
    if len(hits) < len(told):
        return {"hit": False, "hits": len(hits), "kept": all(one["hit"] or one["kept"] for one in told)}
    return {"hit": True, "hits": len(hits), "from": hits[0]["from"], "age": max(one["age"] for one in hits)}
