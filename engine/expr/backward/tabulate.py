"""Expressions of closed names, evaluated for every word while the file is loaded, and their tables turned around (SERVE.md 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from engine.expr.backward.bindings import MATCHED, Bindings, Look, Match, Pattern, bind, same
from engine.expr.backward.combine import NOTHING, agrees, constant, soft
from engine.expr.backward.forward import Forward, Row, opaque
from engine.expr.backward.names import VIEWS, Scope, Tree, within
from engine.spec.problem import Problems
from engine.vocabulary import Shape


class Tables:
    """Knows the names, the constants of the file and the tables of its expressions."""

    def __init__(
        self, problems: Problems, request: Shape, tables: Mapping[str, Any], dialects: Sequence[str], look: Look | None
    ) -> None:
        self.problems = problems
        self.look = look
        self.names: dict[str, Shape] = dict(request.fields or {})
        self.dialect = dialects[-1] if dialects else ""
        self.forward = Forward(self.names, tables)
        self.literals: set[str] = set()  # every text that some pattern knows
        self.transforms = 0  # patterns that look into a text
        self.splits = 0  # those of them that take a text apart
        self._tabulated: dict[str, Pattern | None] = {}

    def known(self, value: Any) -> Pattern:
        """Exactly this value."""
        if value.__class__ is str:
            self.literals.add(value)
        return constant(value)

    def tabulated(self, tree: Tree, scope: Scope) -> Pattern | None:
        """An expression of closed names that gives constants only: its table, turned around."""
        key = f"{tree!r} {sorted(scope)}"
        if key not in self._tabulated:
            self._tabulated[key] = self._tabulate(tree, scope)
        return self._tabulated[key]

    def _tabulate(self, tree: Tree, scope: Scope) -> Pattern | None:
        closed, open_ = self.forward.paths(tree, scope)
        if not closed and (open_ or ["name", "tables"] not in within(tree)):
            return None
        if any(t[0] == "call" for t in within(tree)):
            return None
        rows = self.forward.rows(tree, scope)
        if not rows or any(opaque(row.value) for row in rows):
            return None
        rows = [row for row in rows if row.value is not None]
        if not rows:
            return NOTHING
        values: list[Any] = []
        table: list[tuple[Any, list[Row]]] = []
        for row in rows:
            entry = next((e for e in table if same(e[0], row.value)), None)
            if entry is None:
                table.append((row.value, [row]))
                values.append(row.value)
            else:
                entry[1].append(row)
        for value, rows_of in table:  # the word that is written as itself comes first, then what says least
            rows_of.sort(key=partial(_rank, value))
        readers = [(v, [tuple((p, w) for p, w in r.words if p[-1] not in VIEWS) for r in rs[:8]]) for v, rs in table]

        def match(value: Any, bindings: Bindings) -> Match | None:
            for word, candidates in readers:
                if word == value and word.__class__ is value.__class__:
                    for said in candidates:
                        if agrees(bindings, said):
                            for path, w in said:
                                bind(bindings, path, w)
                            return MATCHED
                    return MATCHED if soft(candidates[0]) else None
            return None

        self.literals.update(v for v in values if v.__class__ is str)
        weak = None
        if len(readers) == 1 and len(readers[0][1]) > 1 and all(len(c) == 1 and c[0][0][-1] == "mode" for c in readers[0][1]):
            weak = readers[0][1][0][0][0][:-1]
        return Pattern(match, values=tuple(values), binds=any(any(c) for _, c in readers), closed=True, weak=weak)


def _rank(value: Any, row: Row) -> tuple[bool, int]:
    return not any(same(word, value) for _, word in row.words), len(row.words)
