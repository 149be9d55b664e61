"""`status.instead` names a provider that no catalog holds.

It is what users are told to turn to, by its id: `status: {value: discontinued, instead: [other-id]}` (SPEC_LANGUAGE 2.1).
"""

from __future__ import annotations

from engine.spec.node import Node
from engine.spec.problem import Problems, nearest
from engine.spec.rules import Spec


def check(spec: Spec, problems: Problems) -> None:
    for node in (spec.file.get("status", "instead") or Node([])).value:
        if node.value not in spec.providers:
            message = f"there is no provider `{node.value}` to turn to"
            near = nearest(str(node.value), spec.providers)
            problems.error("unknown-instead", message, node.mark, near, width=len(str(node.value)))
