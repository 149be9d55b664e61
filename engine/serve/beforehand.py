"""What a stand-in answers to the calls that come before a request: uploads, consents, whatever a spec's `before` asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from engine.call.forerun import pretend
from engine.call.request import build
from engine.errors import Error

if TYPE_CHECKING:
    from engine.operation import Operation
    from engine.spec.node import Node
    from engine.types import HttpRequest

__all__ = ["answers", "written"]

_PLAIN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")


def written(operation: Operation, fields: dict[str, Any]) -> tuple[HttpRequest, Mapping[str, Any]]:
    """The request of an example, and what its templates see. What comes before it gives a name in brackets: `(input)`."""
    request, context, unsupported = operation.start(fields)
    if request is None:
        pretend(operation.plan, context)
        request = operation.build(context, context["$report"], unsupported)
    return request, context


def answers(operation: Operation, context: Mapping[str, Any], tree: Node | None) -> Iterator[tuple[HttpRequest, dict[str, Any]]]:
    """Each call before the request, and a reply whose `value` is `sim-<its name>`; `tree` is the operation as it is written.

    A value that is read in more than names one below the other is not made up."""
    steps = tree.get("before") if tree is not None else None
    for name, step in operation.plan.call.before:
        node = steps.get(name) if steps is not None else None
        path = node.get("value") if node is not None else None
        if path is None or not isinstance(path.value, str) or not _PLAIN.match(path.value):
            continue
        body: Any = f"sim-{name}"
        for key in reversed(path.value.split(".")):
            body = {key: body}
        try:
            if step.when is None or step.when(dict(context)):
                yield build(step, dict(context), operation.base_url, operation.plan, main=False), {"body": body}
        except Error:
            continue  # this example has no such call
