"""`skip_examples` names an example that no dialect of the operation has.

The name is that of an inherited example, to the letter; the value is the reason with a date (SPEC_LANGUAGE 13).
"""

from __future__ import annotations

from engine.spec.node import Node
from engine.spec.problem import Problems, nearest
from engine.spec.rules import Spec


def check(spec: Spec, problems: Problems) -> None:
    for operation, tree in spec.operations.items():
        for name, node in (tree.get("skip_examples") or Node({})).items():
            if name not in spec.examples:
                message = f"{operation} inherits no example `{name}`"
                problems.error("unknown-skip", message, node.key_mark or node.mark, nearest(name, spec.examples))
