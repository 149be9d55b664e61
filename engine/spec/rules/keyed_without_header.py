"""`replay: keyed` does not say which header takes the key.

A request that may be sent twice under one key needs `idempotency_key`, the name of the provider's header
(SPEC_LANGUAGE 5.1, RELIABILITY R4).
"""

from __future__ import annotations

from engine.spec.compile.call import present
from engine.spec.problem import Problems
from engine.spec.rules import Spec


def check(spec: Spec, problems: Problems) -> None:
    for operation, tree in spec.operations.items():
        replay = tree.get("replay")
        if replay is not None and replay.value == "keyed" and not present(tree, "idempotency_key"):
            problems.error("keyed-without-header", f"{operation}: `replay: keyed` needs `idempotency_key`", replay.mark)
