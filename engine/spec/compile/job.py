"""The `job` table of an operation (SPEC_LANGUAGE 7.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from engine import plan
from engine.spec.compile.call import Calls, number, present
from engine.spec.node import Node

if TYPE_CHECKING:
    from engine.expr.query import Queries
    from engine.expr.template import Templates

_PATHS = ("state", "error", "progress")


def job(node: Node, calls: Calls, queries: Queries, templates: Templates) -> Callable[[Mapping[str, Callable[..., Any]]], plan.Job]:
    """Compile the table into the operation's unit; the result makes the frozen Job once the unit is built."""
    names: dict[str, str] = {}
    path = True
    if present(node, "id"):
        names["id"] = "job_id"
        path = "{{" not in str(node.value["id"].value)
        if path:
            queries.query("job_id", node.value["id"])
        else:
            templates.template("job_id", node.value["id"], "text")
    if present(node, "exists") and "uuid(" not in str(node.value["id"].value if present(node, "id") else ""):
        message = "`exists` is for jobs whose id the request chose: `id` is a template with `uuid(…)` then"
        calls.problems.error("bad-value", message, node.value["exists"].mark)
    for key in _PATHS:
        if present(node, key):
            names[key] = f"job_{key}"
            queries.query(names[key], node.value[key])
    single = {key: calls.call(node.value[key], f"job.{key}") for key in ("poll", "cancel") if present(node, key)}
    results = []
    if present(node, "result"):
        found = node.value["result"]
        results = [calls.call(item, "job.result") for item in (found.value if found.is_list else [found])]
    states = node.get("states")

    def finish(functions: Mapping[str, Callable[..., Any]]) -> plan.Job:
        made: dict[str, Any] = {key: functions[name] for key, name in names.items()}
        made.update((key, make(functions)) for key, make in single.items())
        return plan.Job(
            path=path,
            done=_words(states, "done"),
            failed=_words(states, "failed"),
            exists=_words(node, "exists"),
            result=tuple(make(functions) for make in results),
            every=number(node, "every") or 1.0,
            max_every=number(node, "max_every") or 30.0,
            timeout=number(node, "timeout") or 600.0,
            **made,
        )

    return finish


def _words(states: Node | None, key: str) -> frozenset[str]:
    """Native states as texts: one or a list."""
    found = states.get(key) if states is not None and states.is_map else None
    if found is None or found.value is None:
        return frozenset()
    items = found.value if found.is_list else [found]
    return frozenset(("true" if n.value else "false") if isinstance(n.value, bool) else str(n.value) for n in items)
