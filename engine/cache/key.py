"""What a question is known by: SHA-256 over all that its answer depends on (RELIABILITY C1). Pure.

That is the tenant's scope, the target, the operation, every field of the canonical request, the settings that stand in it, the
facts of the model, and the digest of the spec. Whether an answer is streamed is no part of it: it is the same answer. No
credential goes in.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.call.flow import Call
    from engine.operation import Operation

__all__ = ["GIVEN", "Specs", "key_of", "question_of", "scope_of"]

FORMAT = 1  # counts up whenever the same question gets another name
GIVEN = "$given"  # of a call's context: the body is a client's own bytes, which say more than the fields that were read of it
_BYTES = '{"$bytes":'
#: names of a context that say how an answer is told, or are views of the messages
_HOW = frozenset(("stream", "stream_usage", "stream_options"))
_VIEWS = frozenset(("turns", "system", "system_parts", "system_plain", "prefill", "has_tool_history"))


def scope_of(tenant: object, shared: bool) -> str:
    """Whose answers these are: entries of different scopes never meet. All tenants have one scope where the operator said so."""
    said = "all" if shared else "none" if tenant is None else f"one:{tenant}" if isinstance(tenant, str) else f"some:{tenant!r}"
    return sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def question_of(call: Call, digest: str) -> dict[str, Any]:
    """All that the answer of a call depends on but its tenant; `digest` is the spec's."""
    operation: Operation = call.operation
    context = call.context or {}
    left_out = _HOW | _VIEWS if isinstance(context.get("messages"), list) else _HOW
    question: dict[str, Any] = {
        "format": FORMAT,
        "target": [operation.provider, operation.variant, operation.model, operation.known_as],
        "operation": operation.name,
        "spec": digest,
        "fields": {name: value for name, value in context.items() if name[:1] != "$" and name not in left_out},
    }
    body = call.request.body if call.request is not None and context.get(GIVEN) else None
    if isinstance(body, bytes):
        question["body"] = sha256(body).hexdigest()
    return question


def key_of(scope: str, question: Mapping[str, Any]) -> str | None:
    """The name of a question within a scope; None where a value in it has no canonical form."""
    text = _canonical(question)
    return None if text is None else sha256(f"{scope} {text}".encode()).hexdigest()


def _canonical(value: Any) -> str | None:
    """JSON in one way only: sorted keys, ASCII, no white space."""
    raw = 0

    def special(value: Any) -> Any:
        nonlocal raw
        if isinstance(value, (bytes, bytearray)):
            raw += 1
            return {"$bytes": b64encode(value).decode()}
        if isinstance(value, Mapping):
            return dict(value)
        raise TypeError

    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=special)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if text.count(_BYTES) == raw else None  # a mapping that only looks like bytes is not told apart from them


class Specs:
    """Digests of what specs say of operations, made once for each."""

    def __init__(self, catalog: Any) -> None:
        self._catalog = catalog
        self._digests: dict[int, tuple[Any, str]] = {}  # by identity of the plan, which is held, so that it stays its own

    def digest(self, operation: Operation) -> str:
        """SHA-256 of the resolved spec: the provider's own tree and the operation's, with every patch applied."""
        found = self._digests.get(id(operation.plan))
        if found is None:
            if len(self._digests) >= 1024:
                self._digests.clear()
            found = self._digests[id(operation.plan)] = operation.plan, self._made(operation)
        return found[1]

    def _made(self, operation: Operation) -> str:
        from engine.spec.extend import matching_patches, operation_tree, relevant
        from engine.spec.problem import Problems

        catalog, provider = self._catalog, operation.provider
        base = catalog.tree(provider)
        patches = relevant(matching_patches(base, operation.model, operation.variant), operation.name)
        tree, _ = operation_tree(catalog, base, operation.name, patches, Problems())
        whole = catalog.tree(provider, operation.model, operation.variant)
        said = [whole.plain(), tree.plain() if tree is not None else None]
        return sha256(json.dumps(said, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()
