"""Examples of `webhooks`: deliveries that are verified, or refused, without a network."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from engine.errors import AuthenticationError, Error
from engine.spec.node import Node
from engine.spec.problem import Problems

if TYPE_CHECKING:
    from engine.catalog import Catalog

__all__ = ["check_webhooks"]


def check_webhooks(catalog: Catalog, provider: str, problems: Problems, examples: bool = True) -> int:
    """Compile a provider's table and try its examples; the number of those. What is wrong is added to the problems."""
    table = catalog.tree(provider).get("webhooks")
    if table is None or not table.is_map:
        return 0
    before = len(problems.errors)
    try:
        plan = catalog.webhooks(provider, problems)
    except Error:
        return 0
    if len(problems.errors) > before or not examples:
        return 0
    if plan.scheme == "ed25519" and find_spec("cryptography") is None:
        return 0
    found = (table.get("examples") or Node([])).value or []
    for node in found:
        complaint = _tried(plan, provider, node.plain())
        if complaint is not None:
            problems.error("webhook-example", f"webhooks: {node.get('name').value}: {complaint}", node.mark)
    return len(found)


def _tried(plan: Any, provider: str, example: dict[str, Any]) -> str | None:
    """What is wrong with an example, or None."""
    from engine.webhooks import context_of, public_keys, said, verify

    refused = bool(example.get("refused"))
    keys = public_keys(plan.keys.value(example.get("keys"))) if plan.keys is not None and plan.keys.value is not None else []
    try:
        context = context_of(example["headers"], example["body"].encode(), example.get("secrets") or {})
        context = verify(plan, [context], float(example.get("now") or 0), keys)
    except AuthenticationError as error:
        return None if refused else error.message
    except Error as error:
        return error.message
    if refused:
        return "it is accepted, and should not be"
    given = said(provider, plan, context).to_dict()
    for name, wanted in (example.get("gives") or {}).items():
        if not _within(wanted, given.get(name)):
            return f"`{name}` is {given.get(name)!r}, not {wanted!r}"
    return None


def _within(wanted: Any, given: Any) -> bool:
    """Whether a value is the wanted one; of mappings the wanted keys only."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        return all(_within(value, given.get(key)) for key, value in wanted.items())
    return bool(wanted == given)
