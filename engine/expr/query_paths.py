"""JMESPath trees become statements: one writer per kind of node (https://jmespath.org/specification.html)."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from engine.expr.function import assign, call, is_none, load, method
from engine.expr.query_code import NUMBERS, Code, Value
from engine.expr.query_functions import FUNCTIONS, UNBOUNDED, QueryError, array, compare, equal, flatten
from engine.expr.query_limits import weigh

_ORDER: dict[str, type[ast.cmpop]] = {"lt": ast.Lt, "lte": ast.LtE, "gt": ast.Gt, "gte": ast.GtE}


def write_path(code: Code, tree: dict[str, Any], value: Value, lenient: bool = True) -> Value:
    """Write a whole path. Lenient: where a function refuses a value, the path gives nothing instead of QueryError."""
    code.raises = False
    block: list[ast.stmt] = []
    code.blocks.append(block)
    code.known.append({})
    result = _visit(code, tree, value, lenient)
    learnt = code.known.pop()
    code.blocks.pop()
    if code.raises and lenient:
        name = code.unit.fresh("v")
        tried = [*block, code.unit.at(assign(name, result.expr), code.mark)]
        failed = ast.ExceptHandler(code.unit.bind(QueryError), None, [assign(name, ast.Constant(None))])
        code.add(ast.Try(tried, [failed], [], []))
        return result._replace(expr=load(name))
    code.blocks[-1].extend(block)
    code.known[-1].update(learnt)
    return result


def _visit(code: Code, tree: dict[str, Any], value: Value, ends: bool = False) -> Value:
    """The value of a tree at a value. `ends`: where this gives nothing, so does the whole path."""
    return _WRITERS[tree["type"]](code, tree, value, ends)


def _chain(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    children = tree["children"]
    for place, child in enumerate(children):
        value = _visit(code, child, value, ends and all(c["type"] in _KEEP_NOTHING for c in children[place + 1 :]))
    return value


def _pipe(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    first, second = tree["children"]
    return _visit(code, second, _visit(code, first, value), ends)


def _read(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    return code.field(value, tree["value"])


def _index(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    return code.item(value, tree["value"])


def _same(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    return value


def _slice(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    value = code.named(value)
    part = ast.Slice(*(ast.Constant(n) if n is not None else None for n in tree["children"]))
    taken = ast.Subscript(value.expr, part, ast.Load())
    return Value(ast.IfExp(code.is_a(value, list), taken, ast.Constant(None)), True, value.growth)


def _literal(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    constant = tree["value"]
    return Value(_display(constant), constant.__class__ not in NUMBERS, value.growth * weigh(constant, 0))


def _display(constant: Any) -> ast.expr:
    """A literal, made anew by each evaluation: what a caller does to a result must not reach the next one."""
    if constant.__class__ is list:
        return ast.List([_display(item) for item in constant], ast.Load())
    if constant.__class__ is dict:
        return ast.Dict([ast.Constant(key) for key in constant], [_display(item) for item in constant.values()])
    return ast.Constant(constant)


def _project(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    """`[*]`, `.*`, `[?]`, `[]`: every item through the rest of the path, results that are nothing left out."""
    base = code.named(_visit(code, tree["children"][0], value, ends))
    kind = dict if tree["type"] == "value_projection" else list
    out = code.store(ast.Constant(None))
    with code.when(code.is_a(base, kind)):
        assert isinstance(base.expr, ast.Name)
        code.count(base.expr.id)
        code.add(assign(out, ast.List([], ast.Load())))
        with code.loop(method(base.expr, "values") if kind is dict else base.expr) as name:
            item = Value(load(name), False, base.growth)
            if tree["type"] == "filter_projection":
                code.add(ast.If(ast.UnaryOp(ast.Not(), code.true(_visit(code, tree["children"][2], item))), [ast.Continue()], []))
            result = code.named(_visit(code, tree["children"][1], item))
            kept = ast.Expr(method(load(out), "append", result.expr))
            code.add(ast.If(is_none(result.expr, negate=True), [kept], []))
    return Value(load(out), True, result.growth)


def _flat(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    base = _visit(code, tree["children"][0], value, ends)
    return Value(call(code.unit.bind(flatten), base.expr), True, base.growth)


def _collect(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    """`[a, b]` and `{a: x, b: y}`; nothing of nothing."""
    value = code.named(value)
    out = code.store(ast.Constant(None))
    with code.when(is_none(value.expr, negate=True)):
        named = tree["type"] == "multi_select_dict"
        items = [_visit(code, c["children"][0] if named else c, value) for c in tree["children"]]
        exprs = [item.expr for item in items]
        made = ast.Dict([ast.Constant(c["value"]) for c in tree["children"]], exprs) if named else ast.List(exprs, ast.Load())
        code.add(assign(out, made))
        growth = value.growth + sum(item.growth for item in items)
        return code.weighed(Value(load(out), True, growth))


def _either(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    first, second = tree["children"]
    left = _visit(code, first, value)
    out = code.store(left.expr)
    held = Value(load(out), left.flat, left.growth)
    with code.when(code.false(held)):
        right = _visit(code, second, value, ends)
        code.add(assign(out, right.expr))
    return Value(load(out), left.flat and right.flat, max(left.growth, right.growth))


def _both(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    first, second = tree["children"]
    left = _visit(code, first, value, ends)
    out = code.store(left.expr)
    held = Value(load(out), left.flat, left.growth)
    with code.when(code.true(held)):
        right = _visit(code, second, value, ends)
        code.add(assign(out, right.expr))
    return Value(load(out), left.flat and right.flat, max(left.growth, right.growth))


def _negate(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    inner = code.named(_visit(code, tree["children"][0], value))
    return Value(code.false(inner), True, value.growth)


def _compared(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    operator = tree["value"]
    left, right = (_visit(code, child, value) for child in tree["children"])
    if operator in _ORDER:
        rank = code.store(call(code.unit.bind(compare), left.expr, right.expr))
        test: ast.expr = ast.Compare(load(rank), [_ORDER[operator]()], [ast.Constant(0)])
        return Value(ast.IfExp(is_none(load(rank)), ast.Constant(None), test), True, value.growth)
    if isinstance(left.expr, ast.Constant):
        left, right = right, left
    constant = right.expr.value if isinstance(right.expr, ast.Constant) else code
    if constant.__class__ is str:
        return Value(ast.Compare(left.expr, [ast.Eq() if operator == "eq" else ast.NotEq()], [right.expr]), True, value.growth)
    if constant is None or constant is True or constant is False:
        test = ast.Compare(left.expr, [ast.Is() if operator == "eq" else ast.IsNot()], [right.expr])
    elif constant.__class__ in NUMBERS:
        left = code.named(left)
        number = ast.UnaryOp(ast.Not(), code.is_a(left, bool))
        test = ast.BoolOp(ast.And(), [ast.Compare(left.expr, [ast.Eq()], [right.expr]), number])
        test = test if operator == "eq" else ast.UnaryOp(ast.Not(), test)
    else:
        test = call(code.unit.bind(equal), left.expr, right.expr)
        test = test if operator == "eq" else ast.UnaryOp(ast.Not(), test)
    return Value(test, True, value.growth)


def _function(code: Code, tree: dict[str, Any], value: Value, ends: bool) -> Value:
    name = tree["value"]
    spec = FUNCTIONS[name]
    if spec.expression >= 0:
        return _by_expression(code, tree, value)
    arguments = [_visit(code, child, value) for child in tree["children"]]
    quick = _quick(code, name, arguments) if ends else None
    if quick is not None:
        return quick._replace(growth=value.growth)
    subject = code.named(arguments[0]) if name in _ENDS else None
    code.raises = code.raises or not spec.total
    if spec.growth == UNBOUNDED:  # makes a text: what is written out must be known to be small before
        arguments = [code.weighed(argument, 1) for argument in arguments]
    growth = sum(argument.growth for argument in arguments) * spec.growth
    # stored at once: whether and when it raises must not depend on how the value is used
    result: ast.expr = call(code.unit.bind(spec.run), *(argument.expr for argument in arguments))
    if subject is not None and _is_text(arguments[1]):  # called only to refuse
        result = ast.IfExp(code.is_a(subject, str), _ends(name, subject, arguments[1]), result)
    made = code.store(result)
    return code.weighed(Value(load(made), spec.flag, value.growth if spec.flag else growth))


def _by_expression(code: Code, tree: dict[str, Any], value: Value) -> Value:
    """`map`, `sort_by`, `min_by`, `max_by`: the expression is written out as a loop over the array."""
    name = tree["value"]
    spec = FUNCTIONS[name]
    reference, subject = tree["children"] if spec.expression == 0 else reversed(tree["children"])
    code.raises = True
    given = _visit(code, subject, value)
    items = code.store(call(code.unit.bind(array), ast.Constant(name), given.expr))
    code.count(items)
    results = code.store(ast.List([], ast.Load()))
    with code.loop(load(items)) as item:
        result = _visit(code, reference["children"][0], Value(load(item), False, given.growth))
        code.add(ast.Expr(method(load(results), "append", result.expr)))
    made = code.store(call(code.unit.bind(spec.run), load(items), load(results)))
    return Value(load(made), name in ("map", "sort_by"), max(result.growth, given.growth))


def _quick(code: Code, name: str, arguments: list[Value]) -> Value | None:
    """Frequent functions in place, where a refused value and nothing come to the same."""
    if name == "length":
        subject = code.named(arguments[0])
        kind = call(code.unit.bind(type), subject.expr)
        measured = ast.Compare(kind, [ast.In()], [code.unit.bind(_MEASURED)])
        return Value(ast.IfExp(measured, call(code.unit.bind(len), subject.expr), ast.Constant(None)))
    if name not in _QUICK or not _is_text(arguments[1]):
        return None
    subject = code.named(arguments[0])
    if name in _ENDS:
        found = _ends(name, subject, arguments[1])
        return Value(ast.IfExp(code.is_a(subject, str), found, ast.Constant(None)), flat=True)
    kind = call(code.unit.bind(type), subject.expr)
    searched = ast.Compare(kind, [ast.In()], [code.unit.bind(_SEARCHED)])
    return Value(ast.IfExp(searched, ast.Compare(arguments[1].expr, [ast.In()], [subject.expr]), ast.Constant(None)), flat=True)


def _is_text(value: Value) -> bool:
    return isinstance(value.expr, ast.Constant) and value.expr.value.__class__ is str


def _ends(name: str, subject: Value, wanted: Value) -> ast.expr:
    """`starts_with` or `ends_with` of what is text."""
    return method(subject.expr, name.replace("_", ""), wanted.expr)


#: steps of a chain that give nothing for nothing
_KEEP_NOTHING = frozenset({"field", "index", "slice", "multi_select_list", "multi_select_dict"})
_ENDS = frozenset({"starts_with", "ends_with"})
_QUICK = _ENDS | {"contains"}
_MEASURED = frozenset({str, list, dict})
_SEARCHED = frozenset({str, list})
_WRITERS: dict[str, Callable[[Code, dict[str, Any], Value, bool], Value]] = {
    "identity": _same,
    "current": _same,
    "field": _read,
    "index": _index,
    "slice": _slice,
    "literal": _literal,
    "subexpression": _chain,
    "index_expression": _chain,
    "pipe": _pipe,
    "projection": _project,
    "value_projection": _project,
    "filter_projection": _project,
    "flatten": _flat,
    "multi_select_list": _collect,
    "multi_select_dict": _collect,
    "or_expression": _either,
    "and_expression": _both,
    "not_expression": _negate,
    "comparator": _compared,
    "function_expression": _function,
}
