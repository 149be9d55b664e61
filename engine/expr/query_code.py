"""A JMESPath tree becomes straight-line Python: statements of one function, no interpreter.

`Code` holds the function being written. Values that a path reads twice from the same place are read once (`choices` and
`choices[0].delta` of neighbouring paths), as long as the first reading is certain to have happened. Loops and values that a
path multiplies count against the budget of `query_limits`; a path that only walks has neither and counts nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from engine.expr.function import Unit, assign, call, is_none, load, method
from engine.expr.query_functions import FUNCTIONS, UNBOUNDED, QueryError, array, compare, equal, flatten
from engine.expr.query_limits import STEPS, exceeded, weigh
from engine.spec.node import Mark

#: how many times longer than its document a value may become before it is weighed while it is made
GROWTH = 64

_NUMBERS = frozenset({int, float})
_NOTHING: dict[str, Any] = {}  # read in place of what has no fields; never changed
_ORDER: dict[str, type[ast.cmpop]] = {"lt": ast.Lt, "lte": ast.LtE, "gt": ast.Gt, "gte": ast.GtE}
_STEPS = "steps"


class Value(NamedTuple):
    """A value at some place of the function.

    `expr` has no effects. `flat`: Python's truth is JMESPath's (it is never
    a number). `growth` bounds its size, over all turns of the loops around it, in units of the document's.
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
        return ast.Compare(call(self.unit.bind(type), value.expr), [ast.Is()], [self.unit.bind(kind)])

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
            found = self.known[-1][key] = self.store(method(fields, "get", ast.Constant(name)))
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
        number = ast.Compare(call(self.unit.bind(type), expr), [ast.In()], [self.unit.bind(_NUMBERS)])
        return ast.BoolOp(ast.Or(), [expr, ast.BoolOp(ast.And(), [is_none(expr, negate=True), number])])

    def weighed(self, value: Value, bound: float = GROWTH) -> Value:
        """Charge a value's whole weight, if the path multiplies so much that its size is not bounded by the document's."""
        if value.growth <= bound:
            return value
        value = self.named(value)
        self.counts = True
        self.add(assign(_STEPS, call(self.unit.bind(weigh), value.expr, load(_STEPS))))
        return value

    # ── paths ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def path(self, tree: dict[str, Any], value: Value, lenient: bool = True) -> Value:
        """Write a whole path. Lenient: where a function refuses a value, the path gives nothing instead of QueryError."""
        before, self.raises = self.raises, False
        block: list[ast.stmt] = []
        self.blocks.append(block)
        self.known.append({})
        result = self.visit(tree, value, lenient)
        learnt = self.known.pop()
        self.blocks.pop()
        if self.raises and lenient:
            name = self.unit.fresh("v")
            tried = [*block, self.unit.at(assign(name, result.expr), self.mark)]
            failed = ast.ExceptHandler(self.unit.bind(QueryError), None, [assign(name, ast.Constant(None))])
            self.add(ast.Try(tried, [failed], [], []))
            result = result._replace(expr=load(name))
            self.raises = before
        else:
            self.blocks[-1].extend(block)
            self.known[-1].update(learnt)
            self.raises = self.raises or before
        return result

    def visit(self, tree: dict[str, Any], value: Value, ends: bool = False) -> Value:
        """The value of a tree at a value. `ends`: where this gives nothing, so does the whole path."""
        return _WRITERS[tree["type"]](self, tree, value, ends)

    def chain(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        children = tree["children"]
        for place, child in enumerate(children):
            value = self.visit(child, value, ends and all(c["type"] in _KEEP_NOTHING for c in children[place + 1 :]))
        return value

    def pipe(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        first, second = tree["children"]
        return self.visit(second, self.visit(first, value), ends)

    def read(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        return self.field(value, tree["value"])

    def index(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        return self.item(value, tree["value"])

    def same(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        return value

    def slice(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        value = self.named(value)
        part = ast.Slice(*(ast.Constant(n) if n is not None else None for n in tree["children"]))
        taken = ast.Subscript(value.expr, part, ast.Load())
        return Value(ast.IfExp(self.is_a(value, list), taken, ast.Constant(None)), True, value.growth)

    def literal(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        constant = tree["value"]
        return Value(self.unit.constant(constant), constant.__class__ not in _NUMBERS, value.growth * weigh(constant, 0))

    def project(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        """`[*]`, `.*`, `[?]`, `[]`: every item through the rest of the path, results that are nothing left out."""
        base = self.named(self.visit(tree["children"][0], value, ends))
        kind = dict if tree["type"] == "value_projection" else list
        out = self.store(ast.Constant(None))
        with self.when(self.is_a(base, kind)):
            assert isinstance(base.expr, ast.Name)
            self.count(base.expr.id)
            self.add(assign(out, ast.List([], ast.Load())))
            with self.loop(method(base.expr, "values") if kind is dict else base.expr) as name:
                item = Value(load(name), False, base.growth)
                if tree["type"] == "filter_projection":
                    self.add(ast.If(ast.UnaryOp(ast.Not(), self.true(self.visit(tree["children"][2], item))), [ast.Continue()], []))
                result = self.named(self.visit(tree["children"][1], item))
                kept = ast.Expr(method(load(out), "append", result.expr))
                self.add(ast.If(is_none(result.expr, negate=True), [kept], []))
        return Value(load(out), True, result.growth)

    def flat(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        base = self.visit(tree["children"][0], value, ends)
        return Value(call(self.unit.bind(flatten), base.expr), True, base.growth)

    def collect(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        """`[a, b]` and `{a: x, b: y}`; nothing of nothing."""
        value = self.named(value)
        out = self.store(ast.Constant(None))
        with self.when(is_none(value.expr, negate=True)):
            named = tree["type"] == "multi_select_dict"
            items = [self.visit(c["children"][0] if named else c, value) for c in tree["children"]]
            exprs = [item.expr for item in items]
            made = ast.Dict([ast.Constant(c["value"]) for c in tree["children"]], exprs) if named else ast.List(exprs, ast.Load())
            self.add(assign(out, made))
            growth = value.growth + sum(item.growth for item in items)
            return self.weighed(Value(load(out), True, growth))

    def either(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        first, second = tree["children"]
        left = self.visit(first, value)
        out = self.store(left.expr)
        held = Value(load(out), left.flat, left.growth)
        with self.when(self.false(held)):
            right = self.visit(second, value, ends)
            self.add(assign(out, right.expr))
        return Value(load(out), left.flat and right.flat, max(left.growth, right.growth))

    def false(self, value: Value) -> ast.expr:
        """The opposite of `true`, for an atom; quick for what is there and for null."""
        absent = ast.UnaryOp(ast.Not(), value.expr)
        if value.flat:
            return absent
        number = ast.Compare(call(self.unit.bind(type), value.expr), [ast.NotIn()], [self.unit.bind(_NUMBERS)])
        return ast.BoolOp(ast.And(), [absent, ast.BoolOp(ast.Or(), [is_none(value.expr), number])])

    def both(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        first, second = tree["children"]
        left = self.visit(first, value, ends)
        out = self.store(left.expr)
        held = Value(load(out), left.flat, left.growth)
        with self.when(self.true(held)):
            right = self.visit(second, value, ends)
            self.add(assign(out, right.expr))
        return Value(load(out), left.flat and right.flat, max(left.growth, right.growth))

    def negate(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        inner = self.named(self.visit(tree["children"][0], value))
        return Value(self.false(inner), True, value.growth)

    def compared(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        operator = tree["value"]
        left, right = (self.visit(child, value) for child in tree["children"])
        if operator in _ORDER:
            rank = self.store(call(self.unit.bind(compare), left.expr, right.expr))
            test: ast.expr = ast.Compare(load(rank), [_ORDER[operator]()], [ast.Constant(0)])
            return Value(ast.IfExp(is_none(load(rank)), ast.Constant(None), test), True, value.growth)
        if isinstance(left.expr, ast.Constant):
            left, right = right, left
        constant = right.expr.value if isinstance(right.expr, ast.Constant) else self
        if constant.__class__ is str:
            return Value(ast.Compare(left.expr, [ast.Eq() if operator == "eq" else ast.NotEq()], [right.expr]), True, value.growth)
        if constant is None or constant is True or constant is False:
            test = ast.Compare(left.expr, [ast.Is() if operator == "eq" else ast.IsNot()], [right.expr])
        elif constant.__class__ in _NUMBERS:
            left = self.named(left)
            number = ast.UnaryOp(ast.Not(), self.is_a(left, bool))
            test = ast.BoolOp(ast.And(), [ast.Compare(left.expr, [ast.Eq()], [right.expr]), number])
            test = test if operator == "eq" else ast.UnaryOp(ast.Not(), test)
        else:
            test = call(self.unit.bind(equal), left.expr, right.expr)
            test = test if operator == "eq" else ast.UnaryOp(ast.Not(), test)
        return Value(test, True, value.growth)

    # ── functions ─────────────────────────────────────────────────────────────────────────────────────────────────
    def function(self, tree: dict[str, Any], value: Value, ends: bool) -> Value:
        name = tree["value"]
        spec = FUNCTIONS[name]
        if spec.expression >= 0:
            return self.by_expression(tree, value)
        arguments = [self.visit(child, value) for child in tree["children"]]
        quick = _quick(self, name, arguments) if ends else None
        if quick is not None:
            return quick._replace(growth=value.growth)
        self.raises = self.raises or not spec.total
        if spec.growth == UNBOUNDED:  # makes a text: what is written out must be known to be small before
            arguments = [self.weighed(argument, 1) for argument in arguments]
        growth = sum(argument.growth for argument in arguments) * spec.growth
        # stored at once: whether and when it raises must not depend on how the value is used
        made = self.store(call(self.unit.bind(spec.run), *(argument.expr for argument in arguments)))
        return self.weighed(Value(load(made), spec.flag, value.growth if spec.flag else growth))

    def by_expression(self, tree: dict[str, Any], value: Value) -> Value:
        """`map`, `sort_by`, `min_by`, `max_by`: the expression is written out as a loop over the array."""
        name = tree["value"]
        spec = FUNCTIONS[name]
        reference, subject = tree["children"] if spec.expression == 0 else reversed(tree["children"])
        self.raises = True
        given = self.visit(subject, value)
        items = self.store(call(self.unit.bind(array), ast.Constant(name), given.expr))
        self.count(items)
        results = self.store(ast.List([], ast.Load()))
        with self.loop(load(items)) as item:
            result = self.visit(reference["children"][0], Value(load(item), False, given.growth))
            self.add(ast.Expr(method(load(results), "append", result.expr)))
        made = self.store(call(self.unit.bind(spec.run), load(items), load(results)))
        return Value(load(made), name in ("map", "sort_by"), max(result.growth, given.growth))


def _quick(code: Code, name: str, arguments: list[Value]) -> Value | None:
    """Frequent functions in place, where a refused value and nothing come to the same."""
    subject = code.named(arguments[0])
    if name == "length":
        kind = call(code.unit.bind(type), subject.expr)
        measured = ast.Compare(kind, [ast.In()], [code.unit.bind(_MEASURED)])
        return Value(ast.IfExp(measured, call(code.unit.bind(len), subject.expr), ast.Constant(None)))
    wanted = arguments[1].expr if len(arguments) == 2 else None
    if not isinstance(wanted, ast.Constant) or wanted.value.__class__ is not str:
        return None
    if name in ("starts_with", "ends_with"):
        found: ast.expr = method(subject.expr, name.replace("_", ""), wanted)
        return Value(ast.IfExp(code.is_a(subject, str), found, ast.Constant(None)), flat=True)
    if name == "contains":
        kind = call(code.unit.bind(type), subject.expr)
        searched = ast.Compare(kind, [ast.In()], [code.unit.bind(_SEARCHED)])
        return Value(ast.IfExp(searched, ast.Compare(wanted, [ast.In()], [subject.expr]), ast.Constant(None)), flat=True)
    return None


#: steps of a chain that give nothing for nothing
_KEEP_NOTHING = frozenset({"field", "index", "slice", "multi_select_list", "multi_select_dict"})
_MEASURED = frozenset({str, list, dict})
_SEARCHED = frozenset({str, list})
_WRITERS: dict[str, Callable[[Code, dict[str, Any], Value, bool], Value]] = {
    "identity": Code.same,
    "current": Code.same,
    "field": Code.read,
    "index": Code.index,
    "slice": Code.slice,
    "literal": Code.literal,
    "subexpression": Code.chain,
    "index_expression": Code.chain,
    "pipe": Code.pipe,
    "projection": Code.project,
    "value_projection": Code.project,
    "filter_projection": Code.project,
    "flatten": Code.flat,
    "multi_select_list": Code.collect,
    "multi_select_dict": Code.collect,
    "or_expression": Code.either,
    "and_expression": Code.both,
    "not_expression": Code.negate,
    "comparator": Code.compared,
    "function_expression": Code.function,
}
