"""What `serve.accept` says that nobody hears (SERVE.md 13): names no request has, and views that tell nothing new."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from engine.expr.backward.bindings import Path
from engine.expr.backward.names import VIEWS, Scope, free, path_of, shape_of
from engine.expr.template import ExpressionError, parse_expression
from engine.expr.template.parse import pieces
from engine.spec.node import Node
from engine.spec.problem import Problems, nearest
from engine.vocabulary import ANY, PART, Shape

_FOR = re.compile(r"\s*([A-Za-z_]\w*)(?:\s*,\s*\w+)?\s+in\s+(.+?)\s*\Z", re.DOTALL)


def unheard(accept: Node, request: Shape, problems: Problems) -> None:
    """Report every hole and every name of an `accept` table from which a request learns nothing."""
    names = request.fields or {}
    for key in ("params", "absent"):
        for name, node in (accept.get(key) or Node({})).items():
            if name not in names:
                message = f"`{name}` says nothing: a request has no such name"
                problems.warn("binds-nothing", message, node.key_mark or node.mark, nearest(name, names), width=len(name))
    trees = [(accept.get("body"), {}), *((node, {"part": PART}) for _, node in (accept.get("parts") or Node({})).items())]
    for tree, scope in trees:
        if tree is not None:
            for leaf, inner in _leaves(tree, scope, names):
                _leaf(leaf, inner, names, problems)


def _leaves(node: Node, scope: Scope, names: Mapping[str, Shape]) -> Iterator[tuple[Node, Scope]]:
    """Every text with the names of the loops around it."""
    if node.is_list:
        for child in node.value:
            yield from _leaves(child, scope, names)
        return
    if not node.is_map:
        if isinstance(node.value, str):
            yield node, scope
        return
    said = _FOR.match(str(node.value["$for"].value)) if "$for" in node.value else None
    if said is not None:
        try:
            path = path_of(parse_expression(said[2]))
        except ExpressionError:
            path = None
        scope = {**scope, said[1]: (shape_of(path, names, scope).item or ANY) if path is not None else ANY}
    for key, child in node.items():
        if key not in ("$for", "$if", "$switch", "$join"):
            yield from _leaves(child, scope, names)


def _leaf(leaf: Node, scope: Scope, names: Mapping[str, Shape], problems: Problems) -> None:
    """Report a hole that is filled by no name a request learns from. Constants are guards, which bind nothing by intention."""
    try:
        holes = [text for text, _, hole in pieces(leaf.value) if hole]
        paths = [path for hole in holes for path in free(parse_expression(hole))]
    except ExpressionError:
        return  # it is no template, which whoever compiles it says
    known: list[str] = [*scope, *names]
    for path in paths:
        if path[0] not in known:
            message = f"`{path[0]}` says nothing: a request has no such name"
            problems.warn("binds-nothing", message, leaf.mark, nearest(str(path[0]), known), width=len(leaf.value))
            return
        fields = shape_of(path[:-1], names, scope).fields if len(path) > 1 else None
        if fields is not None and path[-1] not in fields:
            message = f"`{_told(path)}` says nothing: there is no such field"
            problems.warn("binds-nothing", message, leaf.mark, nearest(str(path[-1]), fields), width=len(leaf.value))
            return
    if paths and all(path[-1] in VIEWS for path in paths):
        message = f"`{_told(paths[0])}` says nothing: it is a view of what other names say"
        problems.warn("binds-nothing", message, leaf.mark, width=len(leaf.value))


def _told(path: Path) -> str:
    return ".".join(map(str, path))
