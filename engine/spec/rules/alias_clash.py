"""An alias is the id, or the alias, of another provider.

Every name of `provider/model` leads to one provider. Drop the alias here or there.
"""

from __future__ import annotations

from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.spec.rules import Spec


def check(spec: Spec, problems: Problems) -> None:
    for node in (spec.file.get("aliases") or Node([])).value:
        name = str(node.value)
        owner = name if name in spec.providers else spec.aliases.get(name, spec.id)
        if owner == spec.id and name == spec.id:
            problems.error("alias-clash", f"`{name}` is the id itself", node.mark, width=len(name))
        elif owner != spec.id:
            problems.error("alias-clash", f"`{name}` already leads to `{owner}`", node.mark, width=len(name))
