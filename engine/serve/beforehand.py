"""What a stand-in answers to the calls that come before a request: uploads, consents, whatever a spec's `before` asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from engine.call.address import above
from engine.call.forerun import pretend
from engine.call.request import build, deep_merge
from engine.errors import Error

if TYPE_CHECKING:
    from engine.operation import Operation
    from engine.spec.node import Node
    from engine.types import HttpRequest

__all__ = ["answers", "written"]

_PLAIN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_MET = re.compile(r"\s*([A-Za-z_][\w.]*)\s*==\s*'([^']*)'\s*\Z")  # what a call waits for


def written(operation: Operation, fields: dict[str, Any]) -> tuple[HttpRequest, Mapping[str, Any]]:
    """The request of an example, and what its templates see. What comes before it gives a name in brackets: `(input)`."""
    request, context, unsupported = operation.start(fields)
    if request is None:
        pretend(operation.plan, context)
        request = operation.build(context, context["$report"], unsupported)
    return request, context


def answers(
    operation: Operation, context: Mapping[str, Any], tree: Node | None
) -> Iterator[tuple[HttpRequest, str, dict[str, Any]]]:
    """Each call before the request, the base URL its path stands under, and a reply whose `value` is `sim-<its name>`, or what the
    call waits for; `tree` is the operation as it is written.

    A value that is read in more than names one below the other is not made up."""
    steps = tree.get("before") if tree is not None else None
    for name, step in operation.plan.call.before:
        node = steps.get(name) if steps is not None else None
        path = node.get("value") if node is not None else None
        if path is None or not isinstance(path.value, str) or not _PLAIN.match(path.value):
            continue
        body = _nested(path.value, f"sim-{name}")
        waits = node.get("until") if node is not None else None
        if waits is not None and (met := _MET.match(str(waits.value))) is not None:
            body = deep_merge(body, _nested(met[1], met[2]))
        try:
            if step.when is None or step.when(dict(context)):
                base_url = above(operation.base_url, step.outside)
                yield build(step, dict(context), operation.base_url, operation.plan, main=False), base_url, {"body": body}
        except Error:
            continue  # this example has no such call


def _nested(path: str, value: Any) -> dict[str, Any]:
    """A document that has the value at a path of names."""
    for key in reversed(path.split(".")):
        value = {key: value}
    found: dict[str, Any] = value
    return found
