"""Expressions evaluated forward while a file is loaded, so that what they write can be read backwards (SERVE.md 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from engine.expr.backward.bindings import Path, bind
from engine.expr.backward.names import TIED, VIEWS, Scope, Tree, free, sample, words_of
from engine.expr.function import Unit
from engine.expr.template import Templates
from engine.spec.node import NOWHERE
from engine.spec.problem import Problems
from engine.vocabulary import Shape

_MOST = 400  # combinations of closed words


class Row(NamedTuple):
    """What an expression gives for some words of its closed names."""

    value: Any
    words: tuple[tuple[Path, Any], ...]  # the names that had a word; the others were absent


class _Evaluator(Templates):
    def function(self, tree: Tree) -> Callable[[dict[str, Any]], Any]:
        self._open("body")
        self._close("f", self.compile(tree, {}).code, NOWHERE)
        return self.unit.build()["f"]


class Forward:
    """Evaluates trees for every combination of the closed names they read."""

    def __init__(self, names: Mapping[str, Shape], tables: Mapping[str, Any]) -> None:
        self.names = names
        self.tables = tables

    def paths(self, tree: Tree, scope: Scope) -> tuple[list[Path], list[Path]]:
        """(closed names, open names) a tree reads; a path that goes on in another is not counted."""
        seen = list(dict.fromkeys(free(tree)))
        longest = [p for p in seen if not any(q != p and q[: len(p)] == p for q in seen)]
        if ("reasoning", "effort") in longest:
            longest = [p for p in longest if p not in TIED]
        closed = [p for p in longest if words_of(p, self.names, scope) is not None]
        return closed, [p for p in longest if p not in closed]

    def rows(self, tree: Tree, scope: Scope) -> list[Row] | None:
        """What the tree gives, with open names present and then absent; None if there are too many combinations.

        Open values that reach the result show as NUL characters.
        """
        closed, open_ = self.paths(tree, scope)
        domains = [[(p, None), *((p, w) for w in words_of(p, self.names, scope) or ())] for p in closed]
        size = 1
        for domain in domains:
            size *= len(domain)
        if size > _MOST:
            return None
        function = _Evaluator(
            Unit("backward"), Problems(), Shape(dict(self.names)), variables=dict(scope), tables=self.tables
        ).function(tree)
        out: list[Row] = []
        for present in (True, False) if open_ else (True,):
            for words in sorted(product(*domains), key=lambda ws: sum(w is not None for _, w in ws)):
                context: dict[str, Any] = {}
                if present:
                    for path in open_:
                        bind(context, path, sample(path))
                chosen = tuple((p, w) for p, w in words if w is not None)
                for path, word in chosen:
                    bind(context, path, word)
                    for other, target in TIED.items():
                        if target == path and word != "auto":
                            bind(context, other, word)
                try:
                    out.append(Row(function(context), chosen))
                except Exception:  # an odd sample; other combinations speak for the expression
                    continue
        return out

    def hints(self, tree: Tree, scope: Scope) -> tuple[tuple[Path, Any], ...]:
        """What holds when a condition is met: the first word of its one closed name that meets it."""
        equal = list(_equal(tree))
        rows = self.rows(tree, scope)
        for row in rows or ():
            if row.value is not None and row.value is not False and row.value not in ("", [], {}, 0):
                said = tuple((p, w) for p, w in row.words if p[-1] not in VIEWS)
                if len(said) <= 1:
                    return said or tuple(equal[:1])
                break
        return tuple(equal[:1])


def _equal(tree: Tree) -> Iterator[tuple[Path, Any]]:
    """`path == 'word'` and `path in ['word', …]`: what holds of an open name."""
    from engine.expr.backward.names import path_of

    if tree[0] == "and":
        yield from _equal(tree[1])
        yield from _equal(tree[2])
    elif tree[0] == "compare" and len(tree[2]) == 1:
        path, (op, right) = path_of(tree[1]), tree[2][0]
        if path is None:
            return
        if op == "eq" and right[0] == "const":
            yield path, right[1]
        elif op == "in" and right[0] == "list" and right[1] and right[1][0][0] == "const":
            yield path, right[1][0][1]


def opaque(value: Any) -> bool:
    """Whether a sampled value shows in a result."""
    if value.__class__ is str:
        return "\0" in value
    if value.__class__ is dict:
        return any(opaque(k) or opaque(v) for k, v in value.items())
    if value.__class__ is list:
        return any(map(opaque, value))
    return value == 4096
