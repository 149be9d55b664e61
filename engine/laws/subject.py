"""What the laws are tried on: one dialect, or one provider's way of it, in both directions."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.catalog import Catalog
from engine.examples.given import FIXED_ID, FROZEN_NOW, given_operation
from engine.operation import Operation
from engine.plan import ProviderPlan, Served
from engine.spec.extend import dialect_tree, operation_tree
from engine.spec.node import Node
from engine.spec.problem import Problems

_EMPTY = Node({})


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


def subjects(catalog: Catalog, kind: str, id: str) -> list[Subject]:
    """What of a file the laws speak of: the chat of a dialect or provider, if it is served. Raises SpecError for a wrong file."""
    if kind == "dialects":
        tree = dialect_tree(catalog, id, Problems())
        if tree is None or not _serves(tree) or tree_operation(catalog, id) != "chat":
            return []
        served = catalog.served(id)
        operation = Operation(served.plan, ProviderPlan(id, id), "m")
        return [_subject(id, operation, served, tree)]
    if kind != "providers":
        return []
    root = catalog.tree(id)
    if root.get("chat") is None:
        return []
    whole, chain = operation_tree(catalog, root, "chat", (), Problems())
    if whole is None or not _serves(whole) or not chain:
        return []
    served = catalog.served(chain[0], id)
    return [_subject(id, given_operation(catalog, f"{id}/m", "chat"), served, whole)]


def tree_operation(catalog: Catalog, id: str) -> str | None:
    """The operation a dialect is of."""
    own = catalog.dialect(id)
    node = own.get("operation") if own is not None else None
    return str(node.value) if node is not None else None


def _serves(tree: Node) -> bool:
    serve = tree.get("serve")
    return serve is not None and serve.value is not None


def _subject(name: str, operation: Operation, served: Served, tree: Node) -> Subject:
    operation.clock, operation.uuid = _frozen, _fixed
    spelling = tree.get("serve", "accept", "spelling")
    either = spelling is not None and spelling.value == "either"
    signed = any(_signs(tree.get(key)) for key in ("body", "parts"))
    return Subject(name, operation, served, tree, signed, either, tuple(_renamed(tree)))


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
