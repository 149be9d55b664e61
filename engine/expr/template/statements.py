"""Statements of generated code, and the sinks values are stored in. What is nothing is never stored."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager

from engine.expr.function import assign, is_none, load, method
from engine.expr.template import values
from engine.expr.template.frame import Value
from engine.expr.template.leaf import Leaves
from engine.spec.node import Mark


class Sink:
    """A place to store a value. `target` is a local name; with `key` it is a mapping's entry, with `listed` a list's end."""

    __slots__ = ("key", "listed", "spliced", "target")

    def __init__(self, target: str, key: str | None = None, listed: bool = False, spliced: bool = False) -> None:
        self.target = target
        self.key = key
        self.listed = listed
        self.spliced = spliced  # lists written as a `$switch` case join the list

    def statement(self, code: ast.expr) -> ast.stmt:
        if self.key is not None:
            return ast.Assign([ast.Subscript(load(self.target), ast.Constant(self.key), ast.Store())], code)
        if self.listed:
            return ast.Expr(method(load(self.target), "append", code))
        return assign(self.target, code)


class Statements(Leaves):
    """Writes statements into the current block."""

    def put(self, statement: ast.stmt, mark: Mark | None) -> None:
        self.frame.block.append(self.unit.at(statement, mark))

    @contextmanager
    def inside(self, block: list[ast.stmt]) -> Iterator[None]:
        """Statements go into `block` meanwhile; an empty one gets `pass`."""
        outer, self.frame.block = self.frame.block, block
        try:
            yield
        finally:
            if not block:
                block.append(self.unit.at(ast.Pass(), None))
            self.frame.block = outer

    def branch(self, test: ast.expr, mark: Mark | None) -> ast.If:
        """An `if` whose blocks are filled afterwards."""
        statement = ast.If(test, [], [])
        self.put(statement, mark)
        return statement

    def store(self, value: Value, sink: Sink, mark: Mark | None, empty: bool = False) -> bool:
        """Store a value unless it is nothing (`empty`: unless it is empty). True if it is always stored."""
        if value.constant is None and not value.null:
            return False
        code = value.code
        if empty:
            holder = self.branch(code, mark)
            with self.inside(holder.body):
                assert isinstance(code, ast.Name)
                self.put(sink.statement(load(code.id)), mark)
            return False
        if value.certain and not value.null:
            self.put(sink.statement(code), mark)
            return True
        first, again = self.twice(code)
        if value.null:
            again = ast.IfExp(
                ast.Compare(again, [ast.Is()], [self.helpers.name(values.NULL)]), ast.Constant(None), load_again(again)
            )
        if value.certain:
            assert isinstance(first, ast.NamedExpr)
            self.put(assign(first.target.id, first.value), mark)
            self.put(sink.statement(again), mark)
            return True
        holder = self.branch(is_none(first, negate=True), mark)
        with self.inside(holder.body):
            self.put(sink.statement(again), mark)
        return False


def load_again(code: ast.expr) -> ast.expr:
    assert isinstance(code, ast.Name)
    return load(code.id)
