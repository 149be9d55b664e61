"""The `params` table read backwards: native settings that are left over become parameters (SERVE.md 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.expr.backward.bindings import Bindings, Pattern
from engine.expr.backward.lists import Place
from engine.expr.backward.parts import PartTables
from engine.spec.node import Node

#: (leftover of the body, bindings) -> what is still left
Taker = Callable[[Any, Bindings], Any]
_MISSING = object()
#: name, native path, (native word, own word), how a value is read
Row = tuple[str, tuple[str, ...], list[tuple[Any, str]], "Pattern | None"]


class Parameters(PartTables):
    """Compiles parameter tables."""

    def params(self, *tables: Node | None) -> Taker:
        """Takes every native path of the tables out of a leftover; `table` and `value` are turned around."""
        rows = [self._row(key, child) for table in tables if table is not None for key, child in table.items() if child.value]
        accepted = {name: shape.values for name, shape in self.names.items() if shape.values}
        tree, others = _branches(rows)

        def take(left: Any, bindings: Bindings) -> Any:
            if not left or left.__class__ is not dict:
                return left
            left = _taken(left, tree, bindings, accepted)
            for name, path, words, pattern in others:
                if path[0] not in left:
                    continue
                value = _at(left, path)
                if value is not _MISSING and _said(bindings, name, value, words, pattern, accepted):
                    left = _without(left, path)
            return left

        return take

    def _row(self, name: str, child: Node) -> Row:
        to = child.get("to") if child.is_map else child
        path = (name,) if to is None or to.value.__class__ is not str else tuple(to.value.split("."))
        table = child.get("table") if child.is_map else None
        words = [(v.plain(), k) for k, v in table.items()] if table is not None else []
        changed = {k for _, k in words}
        # a word that is written as itself comes first
        own = set(self.names[name].values or ()) if name in self.names else set()
        words = [(v, k) for v, k in words if v.__class__ is not str or v == k or v not in changed | own]
        pattern = None
        if child.is_map and child.get("value") is not None:
            pattern = self.build([Place(child.value["value"], {})])
        return name, path, words, pattern


def _branches(rows: list[Row]) -> tuple[dict[str, Any], list[Row]]:
    """Rows whose name has one path and whose path has one name, by the steps of their paths; and the others, whose order counts."""
    tree: dict[str, Any] = {}
    others: list[Row] = []
    for row in rows:
        name, path, _, pattern = row
        shared = [r for r in rows if r is not row and (r[0] == name or r[1][: len(path)] == path or path[: len(r[1])] == r[1])]
        if shared or pattern is not None:
            others.append(row)
            continue
        at = tree
        for step in path[:-1]:
            at = at.setdefault(step, {})
        at[path[-1]] = row
    return tree, others


def _taken(
    inner: dict[str, Any], below: dict[str, Any], bindings: Bindings, accepted: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """A mapping without what its branch of the rows takes out of it: itself if that is nothing."""
    kept: dict[str, Any] = {}
    changed = False
    for key, value in inner.items():
        row = below.get(key)
        if row is not None:
            if row.__class__ is tuple:
                if _said(bindings, row[0], value, row[2], None, accepted):
                    changed = True
                    continue
            elif value.__class__ is dict:
                rest = _taken(value, row, bindings, accepted)
                if rest is not value:
                    changed = True
                    if not rest:
                        continue
                    value = rest
        kept[key] = value
    return kept if changed else inner


def _said(
    bindings: Bindings,
    name: str,
    value: Any,
    words: list[tuple[Any, str]],
    pattern: Pattern | None,
    accepted: Mapping[str, tuple[Any, ...]],
) -> bool:
    """Bind a parameter; False if it has another value already, or this is none of its values."""
    if value is None:
        return True
    if pattern is not None:
        return pattern.match(value, bindings) is not None
    if bindings.get(name) is not None:
        return False
    if words:
        value = [_word(words, v) for v in value] if value.__class__ is list else _word(words, value)
    if name in accepted and value not in accepted[name]:
        return False
    bindings[name] = value
    return True


def _word(words: list[tuple[Any, str]], value: Any) -> Any:
    return next((k for v, k in words if v == value and v.__class__ is value.__class__), value)


def _at(left: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if left.__class__ is not dict or key not in left:
            return _MISSING
        left = left[key]
    return left


def _without(left: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """A copy without the value at a path, and without mappings that become empty."""
    if len(path) == 1:
        return {k: v for k, v in left.items() if k != path[0]}
    inner = _without(left[path[0]], path[1:])
    return {**left, path[0]: inner} if inner else {k: v for k, v in left.items() if k != path[0]}
