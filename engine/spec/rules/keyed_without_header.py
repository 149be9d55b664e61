"""`replay: keyed` does not say where the key stands.

A request that may be sent twice under one key needs `idempotency_key`, the name of the provider's header, or an id that it chose
itself, `{{ uuid('job') }}`, among what it sends (SPEC_LANGUAGE 5.1, RELIABILITY R4).
"""

from __future__ import annotations

import re

from engine.spec.compile.call import present
from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.spec.rules import Spec
from engine.vocabulary import PAYLOADS, VERBS

_CHOSEN = re.compile(r"\buuid\(\s*['\"]")


def check(spec: Spec, problems: Problems) -> None:
    for operation, tree in spec.operations.items():
        replay = tree.get("replay")
        if replay is None or replay.value != "keyed" or present(tree, "idempotency_key"):
            continue
        if not any(_chooses(tree.value[key]) for key in (*VERBS, "query", "headers", *PAYLOADS) if present(tree, key)):
            message = f"{operation}: `replay: keyed` needs `idempotency_key`, or an id of the request's own (`uuid('job')`)"
            problems.error("keyed-without-header", message, replay.mark)


def _chooses(node: Node) -> bool:
    """Whether a template has an id that stays the same however often the request is sent."""
    if node.is_map:
        return any(map(_chooses, node.value.values()))
    if node.is_list:
        return any(map(_chooses, node.value))
    return isinstance(node.value, str) and _CHOSEN.search(node.value) is not None
