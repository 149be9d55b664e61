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
#: name, (native word, own word), its values if they are known, keys beside it of which others may give the name too
Leaf = tuple[str, list[tuple[Any, str]], "tuple[Any, ...] | None", frozenset[str]]


class Parameters(PartTables):
    """Compiles parameter tables."""

    def params(self, *tables: Node | None) -> Taker:
        """Takes every native path of the tables out of a leftover; `table` and `value` are turned around."""
        rows = [self._row(key, child) for table in tables if table is not None for key, child in table.items() if child.value]
        accepted = {name: shape.values for name, shape in self.names.items() if shape.values}
        tree, others = _branches(rows, accepted)
        heads = frozenset(path[0] for _, path, _, _ in others)

        def take(left: Any, bindings: Bindings) -> Any:
            if not left or left.__class__ is not dict:
                return left
            left = _taken(left, tree, bindings)
            if heads.isdisjoint(left):
                return left
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


def _branches(rows: list[Row], accepted: Mapping[str, tuple[Any, ...]]) -> tuple[dict[str, Any], list[Row]]:
    """Rows whose path has one name, by the steps of their paths; and those whose order counts: with a pattern, with a part of
    another's path, or with a name that has several. The last are leaves too, for a body that has one of these paths only."""
    tree: dict[str, Any] = {}
    others: list[Row] = []
    for row in rows:
        name, path, words, pattern = row
        beside = [r for r in rows if r is not row and (r[1][: len(path)] == path or path[: len(r[1])] == r[1])]
        rivals = frozenset(r[1][0] for r in rows if r is not row and r[0] == name)
        if pattern is not None or beside or rivals:
            others.append(row)
        if pattern is not None or beside or (rivals and len(path) > 1):
            continue
        at = tree
        for step in path[:-1]:
            at = at.setdefault(step, {})
        leaf: Leaf = (name, words, accepted.get(name), rivals)
        at[path[-1]] = leaf
    return tree, others


def _taken(inner: dict[str, Any], below: dict[str, Any], bindings: Bindings) -> dict[str, Any]:
    """A mapping without what its branch of the rows takes out of it: itself if that is nothing."""
    kept: dict[str, Any] = {}
    changed = False
    for key, value in inner.items():
        row = below.get(key)
        if row is None:
            kept[key] = value
        elif row.__class__ is dict:
            rest = _taken(value, row, bindings) if value.__class__ is dict else value
            if rest is value:
                kept[key] = value
            else:
                changed = True
                if rest:
                    kept[key] = rest
        else:
            name, words, values, rivals = row
            if rivals and not rivals.isdisjoint(inner):
                kept[key] = value
            elif value is None:
                changed = True
            else:
                said = _own(words, value) if words else value
                if bindings.get(name) is not None or (values is not None and said not in values):
                    kept[key] = value
                else:
                    bindings[name] = said
                    changed = True
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
        value = _own(words, value)
    if name in accepted and value not in accepted[name]:
        return False
    bindings[name] = value
    return True


def _own(words: list[tuple[Any, str]], value: Any) -> Any:
    """A native word, or a list of them, as our own."""
    return [_word(words, v) for v in value] if value.__class__ is list else _word(words, value)


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
