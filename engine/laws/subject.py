"""What the laws are tried on: one operation of a dialect, or a provider's way of it, in both directions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.catalog import Catalog
from engine.examples.given import FIXED_ID, FROZEN_NOW, given_operation
from engine.operation import Operation
from engine.plan import ProviderPlan, Served
from engine.spec.extend import dialect_tree, operation_tree
from engine.spec.node import Node
from engine.spec.problem import Problems

_EMPTY = Node({})
#: the operations that are served
SERVED = ("chat", "embeddings", "count_tokens", "list_models")


@dataclass(frozen=True, slots=True)
class Subject:
    """One side that renders and reads, the other that accepts and writes, both of one merged tree."""

    name: str
    operation: Operation
    served: Served
    tree: Node
    signed: bool = False  # thinking has a place for its signature; elsewhere a signature means nothing
    either: bool = False  # keys may be written with underscores too
    renamed: tuple[tuple[str, str], ...] = field(default=())  # top-level native name -> another that is accepted
    chat_types: frozenset[str] = frozenset()  # part types of the conversation that is asked about
    reply_text: str = ""  # the template of a reply


def subjects(catalog: Catalog, kind: str, id: str) -> list[Subject]:
    """What of a file the laws speak of: every operation that is served. Raises SpecError for a wrong file."""
    if kind == "dialects":
        tree, name = dialect_tree(catalog, id, Problems()), tree_operation(catalog, id)
        if tree is None or not _serves(tree) or name not in SERVED:
            return []
        served = catalog.served(id)
        operation = Operation(served.plan, ProviderPlan(id, id), "m", chat=lambda: _bare(catalog, served.plan.chat_dialect))
        return [_subject(catalog, id, operation, served, tree)]
    return list(_of_provider(catalog, id)) if kind == "providers" else []


def _of_provider(catalog: Catalog, id: str) -> Iterator[Subject]:
    root = catalog.tree(id)
    for name in SERVED:
        if root.get(name) is None:
            continue
        whole, chain = operation_tree(catalog, root, name, (), Problems())
        if whole is not None and _serves(whole) and chain:
            label = id if name == "chat" else f"{id} {name}"
            yield _subject(catalog, label, given_operation(catalog, f"{id}/m", name), catalog.served(chain[0], id), whole)


def _bare(catalog: Catalog, dialect: str | None) -> Operation:
    """A dialect's chat as no provider patches it."""
    made = Operation(catalog.served(dialect or "").plan, ProviderPlan(dialect or "", dialect or ""), "m")
    made.clock, made.uuid = _frozen, _fixed
    return made


def tree_operation(catalog: Catalog, id: str) -> str | None:
    """The operation a dialect is of."""
    own = catalog.dialect(id)
    node = own.get("operation") if own is not None else None
    return str(node.value) if node is not None else None


def _serves(tree: Node) -> bool:
    serve = tree.get("serve")
    return serve is not None and serve.value is not None


def _subject(catalog: Catalog, name: str, operation: Operation, served: Served, tree: Node) -> Subject:
    operation.clock, operation.uuid = _frozen, _fixed
    spelling = tree.get("serve", "accept", "spelling")
    either = spelling is not None and spelling.value == "either"
    around = served.plan.chat_dialect
    chat = dialect_tree(catalog, around, Problems()) if around is not None else None
    signed = any(_signs((chat or tree).get(key)) for key in ("body", "parts"))
    types = catalog.served(around).plan.part_types if around is not None else served.plan.part_types
    reply = tree.get("serve", "reply")
    text = json.dumps(reply.plain()) if reply is not None else ""
    return Subject(name, operation, served, tree, signed, either, tuple(_renamed(tree)), frozenset(types), text)


def _signs(node: Node | None, thinking: bool = False) -> bool:
    """Whether what is written of thinking has a signature in it."""
    if node is None:
        return False
    if node.is_list:
        return any(_signs(child, thinking) for child in node.value)
    if node.is_map:
        return any(_signs(child, thinking or "thinking" in key.split(" | ")) for key, child in node.items())
    return thinking and isinstance(node.value, str) and ".signature" in node.value


def _frozen() -> float:
    return FROZEN_NOW


def _fixed(name: str | None = None) -> str:
    return FIXED_ID


def _renamed(tree: Node) -> list[tuple[str, str]]:
    """Top-level names of the wire that have another accepted spelling."""
    out = []
    for name, node in (tree.get("serve", "accept", "params") or _EMPTY).items():
        other = node.get("to") if node.is_map else node
        own = tree.get("params", name)
        own = own.get("to") if own is not None and own.is_map else own
        here = str(own.value) if own is not None and own.value else name
        there = str(other.value) if other is not None and other.value else name
        if here != there and "." not in here + there:
            out.append((here, there))
    return out
