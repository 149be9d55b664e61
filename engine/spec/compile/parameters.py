"""The parameters of an operation: those that every spec may name, and its own (`native_params`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from engine import vocabulary
from engine.spec.node import Node
from engine.spec.problem import Problems, nearest

if TYPE_CHECKING:
    from engine.catalog import Catalog
    from engine.expr.shelf import Shelf

_EMPTY = Node({})
_KEPT = "native_params"


def native_of(tree: Node) -> dict[str, tuple[str, ...]]:
    """The parameters that only this wire has: the caller's name -> the place of the body (or query) it goes to."""
    found = tree.get(_KEPT)
    rows = found.items() if found is not None and found.is_map else ()
    return {name: _place(name, node) for name, node in rows if node.value is not None}


def _place(name: str, node: Node) -> tuple[str, ...]:
    to = node.get("to") if node.is_map else node
    return tuple(to.value.split(".")) if to is not None and to.value.__class__ is str and to.value else (name,)


def parameters(tree: Node, operation: str, problems: Problems, shelf: Shelf) -> Node:
    """`params` and `native_params` as one table, the latter first, so that what is more exact is laid over it.

    Names that are no parameters, and neutral ones among the native, are reported and left out. Equal tables are one node.
    """
    given, own = tree.get("params") or _EMPTY, tree.get(_KEPT) or _EMPTY
    key = (_KEPT, operation, id(given), id(own))
    found = shelf.maps.get(key)
    if found is None:
        known = vocabulary.PARAMS.get(operation, [])
        before = len(problems.errors)
        rows: dict[str, Node] = {}
        for name, value in own.items():
            if name in (vocabulary.REQUESTS[operation].fields or {}):
                message = f"`{name}` is a field of every {operation}: it belongs into `params`"
                problems.error("neutral-parameter", message, value.key_mark or value.mark, width=len(name))
            else:
                rows[name] = value
        for name, value in given.items():
            if name in known:
                rows[name] = value
            else:
                message = f"`{name}` is not a parameter of {operation}"
                problems.error("unknown-parameter", message, value.key_mark or value.mark, nearest(name, known), width=len(name))
        same = not own.value and len(rows) == len(given.value)
        table = given if same else Node(rows, given.mark, given.key_mark)
        if len(problems.errors) > before:
            return table
        found = shelf.maps[key] = (given, own, table)
    made: Node = found[2]
    return made


def declared(catalog: Catalog, used: Iterable[Node], operation: str, name: str) -> bool:
    """Whether a dialect of an operation, or one of the providers that are in use, has a parameter of its own by a name."""
    trees = [tree for id in catalog.dialect_ids() if (tree := catalog.dialect(id)) is not None]
    if any(name in native_of(tree) for tree in trees if (kind := tree.get("operation")) is not None and kind.value == operation):
        return True
    return any(name in native_of(tree) for base in list(used) if (tree := base.get(operation)) is not None and tree.is_map)
