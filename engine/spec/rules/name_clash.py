"""A secret or variable has the name of a request field, or of another setting.

Templates would then read one and mean the other. Choose another name.
"""

from __future__ import annotations

from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.spec.rules import Spec
from engine.vocabulary import REQUESTS


def check(spec: Spec, problems: Problems) -> None:
    fields: set[str] = {"model_info", "tables", "job", "part"}
    for name in spec.operations:
        fields |= set(REQUESTS[name].fields or {})
    variables = dict((spec.tree.get("variables") or Node({})).items())
    for name, node in variables.items():
        if name in fields:
            message = f"`{name}` is a field of the request; call the variable otherwise"
            problems.error("name-clash", message, node.key_mark or node.mark, width=len(name))
    for name, node in (spec.tree.get("secrets") or Node({})).items():
        if name in fields or name in variables:
            other = "a variable" if name in variables else "a field of the request"
            message = f"`{name}` is also {other}; call the secret otherwise"
            problems.error("name-clash", message, node.key_mark or node.mark, width=len(name))
