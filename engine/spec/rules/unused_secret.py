"""A declared secret is read by no `auth` and no `webhooks`.

Either a credential is missing where it should be sent, or the declaration is left over. Secrets can be read there
only (SPEC_LANGUAGE 2.2).
"""

from __future__ import annotations

import re

from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.spec.rules import Spec, leaves


def check(spec: Spec, problems: Problems) -> None:
    tables = [spec.tree.get("auth"), spec.tree.get("variables"), spec.tree.get("webhooks")]
    tables += [node.get("auth") for node in spec.operations.values()]
    for patches in ("variants", "models"):
        for _, patch in (spec.tree.get(patches) or Node({})).items():
            tables += [patch.get("auth"), *(node.get("auth") for _, node in patch.items() if node.is_map)]
    read: set[str] = set()
    for table in tables:
        for leaf in leaves(table):
            if isinstance(leaf.value, str) and "{{" in leaf.value:
                read.update(re.findall(r"[A-Za-z_]\w*", leaf.value))
    for name, node in (spec.tree.get("secrets") or Node({})).items():
        if name not in read:
            message = f"the secret `{name}` is declared but no `auth` reads it"
            problems.warn("unused-secret", message, node.key_mark or node.mark, width=len(name))
