"""One function being written for paths and maps: straight-line Python, no interpreter.

 Values that a path reads twice from the same place are read once (`choices` and
`choices[0].delta` of neighbouring paths), as long as the first reading is certain to have happened. Loops and values that a
path multiplies count against the budget of `query_limits`; a path that only walks has neither and counts nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from engine.expr.function import Unit, assign, call, is_none, load, method
from engine.expr.query_limits import STEPS, exceeded, weigh
from engine.spec.node import Mark

#: how many times heavier than its document a value may become before it is weighed while it is made
GROWTH = 64

NUMBERS = frozenset({int, float})
_NOTHING: dict[str, Any] = {}  # read in place of what has no fields; never changed
_STEPS = "steps"


class Value(NamedTuple):
    """A value at some place of the function.

    `expr` has no effects. `flat`: Python's truth is JMESPath's (it is never a number). `growth` bounds its weight, over all
    turns of the loops around it, in units of the document's.
    """

    expr: ast.expr
    flat: bool = False
    growth: float = 1.0


class Code:
    """One function under construction: a stack of blocks, and what is known in each."""

    def __init__(self, unit: Unit, mark: Mark | None = None) -> None:
        self.unit = unit
        self.mark = mark
        self.blocks: list[list[ast.stmt]] = [[]]
        self.known: list[dict[tuple[str, Any, Any], Any]] = [{}]
        self.inner: set[str] = set()  # locals that were read from a mapping
        self.counts = False  # the function needs a counter of steps
        self.raises = False  # something written since this was reset may raise QueryError

    # ── statements ────────────────────────────────────────────────────────────────────────────────────────────────
    def add(self, statement: ast.stmt) -> None:
        self.blocks[-1].append(self.unit.at(statement, self.mark))

    def store(self, value: ast.expr, prefix: str = "v") -> str:
        """Assign to a new local; returns its name."""
        name = self.unit.fresh(prefix)
        self.add(assign(name, value))
        return name

    @contextmanager
    def inside(self, block: list[ast.stmt]) -> Iterator[None]:
        """Write into a nested block. What is learnt there is not known after it."""
        self.blocks.append(block)
        self.known.append({})
        try:
            yield
        finally:
            self.known.pop()
            self.blocks.pop()
            if not block:
                block.append(self.unit.at(ast.Pass(), self.mark))

    def branches(self, test: ast.expr) -> tuple[list[ast.stmt], list[ast.stmt]]:
        """The two blocks of `if test: … else: …`, to be filled by `inside`."""
        yes: list[ast.stmt] = []
        no: list[ast.stmt] = []
        self.add(ast.If(test, yes, no))
        return yes, no

    @contextmanager
    def when(self, test: ast.expr) -> Iterator[None]:
        """`if test:` around what is written."""
        with self.inside(self.branches(test)[0]):
            yield

    @contextmanager
    def loop(self, items: ast.expr) -> Iterator[str]:
        """`for item in items:` around what is written; gives the item's name."""
        item = self.unit.fresh("x")
        block: list[ast.stmt] = []
        self.add(ast.For(ast.Name(item, ast.Store()), items, block, []))
        with self.inside(block):
            yield item

    def count(self, items: str) -> None:
        """Charge one step for each item of a list or mapping."""
        self.counts = True
        more = ast.BinOp(load(_STEPS), ast.Add(), call(self.unit.bind(len), load(items)))
        self.add(assign(_STEPS, more))
        self.add(
            ast.If(ast.Compare(load(_STEPS), [ast.Gt()], [ast.Constant(STEPS)]), [ast.Expr(call(self.unit.bind(exceeded)))], [])
        )

    def body(self) -> list[ast.stmt]:
        """The finished statements of the function."""
        start: list[ast.stmt] = [assign(_STEPS, ast.Constant(0))] if self.counts else []
        return start + self.blocks[0]

    # ── values ────────────────────────────────────────────────────────────────────────────────────────────────────
    def named(self, value: Value) -> Value:
        """The same value under a local name, so that it can be tested and read again."""
        if isinstance(value.expr, ast.Name):
            return value
        return value._replace(expr=load(self.store(value.expr)))

    def look_up(self, key: tuple[str, Any, Any]) -> Any:
        for known in self.known:
            if key in known:
                return known[key]
        return None

    def is_a(self, value: Value, kind: type) -> ast.expr:
        return ast.Compare(ast.Attribute(value.expr, "__class__", ast.Load()), [ast.Is()], [self.unit.bind(kind)])

    def fields(self, value: Value) -> ast.expr:
        """A mapping that certainly has `get`: the value, or an empty one where the value has no fields."""
        value = self.named(value)
        assert isinstance(value.expr, ast.Name)
        key = ("fields", value.expr.id, None)
        found = self.look_up(key)
        if found is None:
            found = self.store(ast.IfExp(self.is_a(value, dict), value.expr, self.unit.bind(_NOTHING)), "d")
            self.known[-1][key] = found
        return load(found)

    def field(self, value: Value, name: str) -> Value:
        fields = self.fields(value)
        assert isinstance(fields, ast.Name)
        key = ("field", fields.id, name)
        found = self.look_up(key)
        if found is None:
            asked: ast.expr = method(fields, "get", ast.Constant(name))
            if isinstance(value.expr, ast.Name) and value.expr.id in self.inner:  # an object inside another is often absent
                there = ast.Compare(fields, [ast.IsNot()], [self.unit.bind(_NOTHING)])
                asked = ast.IfExp(there, asked, ast.Constant(None))
            found = self.known[-1][key] = self.store(asked)
            self.inner.add(found)
        return Value(load(found), False, value.growth)

    def item(self, value: Value, index: int) -> Value:
        value = self.named(value)
        assert isinstance(value.expr, ast.Name)
        key = ("item", value.expr.id, index)
        found = self.look_up(key)
        if found is None:
            length = call(self.unit.bind(len), value.expr)
            enough = ast.Compare(length, [ast.Gt() if index >= 0 else ast.GtE()], [ast.Constant(abs(index))])
            there = ast.BoolOp(ast.And(), [self.is_a(value, list), value.expr if index in (0, -1) else enough])
            taken = ast.Subscript(value.expr, ast.Constant(index), ast.Load())
            found = self.known[-1][key] = self.store(ast.IfExp(there, taken, ast.Constant(None)))
        return Value(load(found), False, value.growth)

    def true(self, value: Value) -> ast.expr:
        """A test of JMESPath truth: everything but false, null, "", [] and {}; zero is true."""
        if value.flat:
            return value.expr
        expr = self.named(value).expr
        number = ast.Compare(call(self.unit.bind(type), expr), [ast.In()], [self.unit.bind(NUMBERS)])
        return ast.BoolOp(ast.Or(), [expr, ast.BoolOp(ast.And(), [is_none(expr, negate=True), number])])

    def false(self, value: Value) -> ast.expr:
        """The opposite of `true`, for a named value; quick for what is there and for null."""
        absent = ast.UnaryOp(ast.Not(), value.expr)
        if value.flat:
            return absent
        number = ast.Compare(call(self.unit.bind(type), value.expr), [ast.NotIn()], [self.unit.bind(NUMBERS)])
        return ast.BoolOp(ast.And(), [absent, ast.BoolOp(ast.Or(), [is_none(value.expr), number])])

    def weighed(self, value: Value, bound: float = GROWTH) -> Value:
        """Charge a value's whole weight, if the path multiplies so much that its size is not bounded by the document's."""
        if value.growth <= bound:
            return value
        value = self.named(value)
        self.counts = True
        self.add(assign(_STEPS, call(self.unit.bind(weigh), value.expr, load(_STEPS))))
        return value
