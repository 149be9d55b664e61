"""Neutral trees -> expressions of generated code (SPEC_LANGUAGE 3.3). Only entries of mappings and lists can be reached."""

from __future__ import annotations

import ast
from collections.abc import Callable

from engine.expr.function import is_none, load, method
from engine.expr.template import values
from engine.expr.template.filters import TESTS
from engine.expr.template.frame import UNKNOWN, Value, entry, nothing
from engine.expr.template.invoke import Invocations
from engine.expr.template.names import Scope, display
from engine.expr.template.parse import ExpressionError, Tree, parse_expression
from engine.spec.node import Node
from engine.spec.problem import nearest
from engine.vocabulary import ANY, MESSAGE, Shape

_CLASSES: dict[str, tuple[type, ...]] = {"string": (str,), "mapping": (dict,), "sequence": (list,), "number": (int, float)}
_COMPARE: dict[str, Callable[[], ast.cmpop]] = {"eq": ast.Eq, "ne": ast.NotEq}


class Expressions(Invocations):
    """Compiles the trees of expressions."""

    # --- entry -------------------------------------------------------------------------------------------------------

    def bare(self, node: Node, scope: Scope) -> Value:
        """The expression a whole scalar holds (`$if`, `if`, `when`); numbers and booleans are themselves."""
        self._node, self._offset = node, 0
        if node.value.__class__ is not str:
            if node.value.__class__ in (dict, list):
                self.problem("bad-expression", "an expression is one line of text")
                return nothing()
            return self.known(node.value)
        return self.hole(node.value, scope)

    def hole(self, text: str, scope: Scope, tail: bool = False) -> Value:
        try:
            tree = parse_expression(text)
        except ExpressionError as error:
            self.problem(error.rule, f"`{_short(text)}`: {error.message}", error.token)
            return nothing()
        return self.compile(tree, scope, tail)

    # --- trees -------------------------------------------------------------------------------------------------------

    def compile(self, tree: Tree, scope: Scope, tail: bool = False) -> Value:
        """`tail`: the value is written as it comes, so that `nullable` may stand last."""
        head = tree[0]
        if head == "if":
            return self._choice(tree, scope, tail)
        if head == "filter":
            return self._filter(tree, scope, tail)
        value: Value = getattr(self, _METHODS[head])(tree, scope)
        return value

    def _const(self, tree: Tree, scope: Scope) -> Value:
        return self.known(tree[1])

    def _name(self, tree: Tree, scope: Scope) -> Value:
        name = tree[1]
        if name in scope:
            found = scope[name]
            assert isinstance(found.code, ast.Name)
            return Value(load(found.code.id), found.shape, view=found.view, path=found.path)
        if name == "tables":
            return Value(display(self.tables), certain=True, constant=self.tables, path="tables")
        shape = self.names.get(name)
        if shape is None:
            if name in self.hidden:
                self.problem("unknown-name", f"`{name}` is a secret, which only `auth` can read", name)
            else:
                known = [*scope, *self.names, "tables"]
                self.problem("unknown-name", f"`{name}` is not a name here", name, nearest(name, known))
            return nothing()
        self.reads.add(name)
        local, view = self.frame.read(name, shape.fields is not None, name in self.certain)
        return Value(load(local), shape, view=view, path=name)

    def _get(self, tree: Tree, scope: Scope) -> Value:
        base = self.compile(tree[1], scope)
        field: str = tree[2]
        if base.constant.__class__ is dict:
            if field not in base.constant:
                what = "no table" if base.path == "tables" else "no entry"
                self.problem("unknown-field", f"there is {what} `{field}`", field, nearest(field, base.constant))
                return nothing()
            return self.known(base.constant[field])
        shape = ANY
        if base.shape.item is not None:
            self.problem("unknown-field", f"this is a list; its items may have a field `{field}`, it has none", field)
            return nothing()
        if base.shape.fields is not None:
            found = base.shape.fields.get(field)
            if found is None:
                self.problem("unknown-field", f"no field `{field}` here", field, nearest(field, base.shape.fields))
                return nothing()
            shape = found
            self.part_reads.add("message.name" if field == "name" and base.shape is MESSAGE else field)
        path = f"{base.path}.{field}" if base.path else None
        if path:
            self.paths.add(path)
        key = ast.Constant(field)
        if base.view:
            found_there = entry(load(base.view), key, base.shape.whole)
            # a field of the request: mostly nobody gave it
            if isinstance(base.code, ast.Name) and base.code.id != base.view and not base.shape.whole:
                found_there = ast.IfExp(is_none(load(base.code.id)), ast.Constant(None), found_there)
            return Value(found_there, shape, path=path)
        first, again = self.twice(base.code)
        return Value(ast.IfExp(self.helpers.is_mapping(first), method(again, "get", key), ast.Constant(None)), shape, path=path)

    def _item(self, tree: Tree, scope: Scope) -> Value:
        base, key = self.compile(tree[1], scope), self.compile(tree[2], scope)
        if base.constant is not UNKNOWN and key.constant is not UNKNOWN:
            return self.known(values.item(base.constant, key.constant))
        code = self.unit.constant(base.constant) if base.constant is not UNKNOWN else base.code
        return Value(self.helpers.call(values.item, code, key.code), base.shape.item or ANY)

    def _slice(self, tree: Tree, scope: Scope) -> Value:
        base = self.compile(tree[1], scope)
        bounds = [self.compile(x, scope).code if x is not None else ast.Constant(None) for x in tree[2:5]]
        return Value(self.helpers.call(values.cut, base.code, *bounds), Shape(item=base.shape.item) if base.shape.item else ANY)

    def _choice(self, tree: Tree, scope: Scope, tail: bool) -> Value:
        test, then = self.compile(tree[1], scope), self.compile(tree[2], scope, tail)
        other = self.compile(tree[3], scope, tail) if tree[3] is not None else Value(ast.Constant(None))
        return Value(
            ast.IfExp(test.code, then.code, other.code),
            then.shape if then.shape is not ANY else other.shape,
            certain=then.certain and other.certain,
            null=then.null or other.null,
        )

    def _logic(self, tree: Tree, scope: Scope) -> Value:
        a, b = self.compile(tree[1], scope), self.compile(tree[2], scope)
        either = tree[0] == "or"
        shape = a.shape if a.shape is not ANY else b.shape
        code = ast.BoolOp(ast.Or() if either else ast.And(), [a.code, b.code])
        return Value(code, shape, certain=b.certain if either else a.certain and b.certain)

    def _not(self, tree: Tree, scope: Scope) -> Value:
        return Value(ast.UnaryOp(ast.Not(), self.compile(tree[1], scope).code), certain=True)

    def _negative(self, tree: Tree, scope: Scope) -> Value:
        inner = self.compile(tree[1], scope)
        if inner.constant.__class__ in (int, float):
            return self.known(-inner.constant)
        return Value(self.helpers.call(values.calculate, ast.Constant("-"), ast.Constant(0), inner.code), certain=inner.certain)

    def _calculate(self, tree: Tree, scope: Scope) -> Value:
        a, b = self.compile(tree[1], scope), self.compile(tree[2], scope)
        certain = a.certain and b.certain
        fitting = (int, float, str, list) if tree[0] == "+" else (int, float)
        for side in (a, b):
            if side.constant is not UNKNOWN and side.constant is not None and side.constant.__class__ not in fitting:
                self.problem("bad-expression", f"`{tree[0]}` needs numbers, not {values.kind(side.constant)}", tree[0])
                return nothing()
        if tree[0] == "+":
            return Value(self.helpers.call(values.add, a.code, b.code), certain=certain)
        return Value(self.helpers.call(values.calculate, ast.Constant(tree[0]), a.code, b.code), certain=certain)

    def _join(self, tree: Tree, scope: Scope) -> Value:
        pieces = [self.compile(x, scope) for x in tree[1]]
        for piece in pieces:
            self.whole(piece)
        return self.text_of(pieces)

    def text_of(self, pieces: list[Value]) -> Value:
        """The pieces as one text; nothing if one of them is."""
        code = self.helpers.call(values.concat, self.frame.n(), *(p.code for p in pieces))
        return Value(code, certain=all(p.certain for p in pieces))

    def _list(self, tree: Tree, scope: Scope) -> Value:
        items = [self.compile(x, scope) for x in tree[1]]
        if all(x.constant is not UNKNOWN for x in items):
            return self.known([x.constant for x in items if x.constant is not None])
        if all(x.certain for x in items):
            return Value(ast.List([x.code for x in items], ast.Load()), certain=True)
        return Value(self.helpers.call(values.sequence, *(x.code for x in items)), certain=any(x.certain for x in items))

    def _map(self, tree: Tree, scope: Scope) -> Value:
        keys = [key for key, _ in tree[1]]
        items = [self.compile(x, scope) for _, x in tree[1]]
        if all(x.constant is not UNKNOWN for x in items):
            return self.known({k: x.constant for k, x in zip(keys, items) if x.constant is not None})
        if all(x.certain for x in items):
            return Value(ast.Dict([ast.Constant(k) for k in keys], [x.code for x in items]), certain=True)
        constant_keys = ast.Tuple([ast.Constant(k) for k in keys], ast.Load())
        code = self.helpers.call(values.mapping, constant_keys, *(x.code for x in items))
        return Value(code, certain=any(x.certain for x in items))

    def _compare(self, tree: Tree, scope: Scope) -> Value:
        left = self.compile(tree[1], scope)
        tests: list[ast.expr] = []
        for at, (sign, operand) in enumerate(tree[2]):
            right = self.compile(operand, scope)
            if at + 1 < len(tree[2]) and right.constant is UNKNOWN:
                first, again = self.twice(right.code)
                tests.append(self._comparison(left, sign, Value(first, right.shape)))
                left = Value(again, right.shape)
            else:
                tests.append(self._comparison(left, sign, right))
                left = right
        return Value(tests[0] if len(tests) == 1 else ast.BoolOp(ast.And(), tests), certain=True)

    def _comparison(self, a: Value, sign: str, b: Value) -> ast.expr:
        self._check_word(a, b)
        self._check_word(b, a)
        if sign in _COMPARE:
            if _scalar(a) or _scalar(b):
                return ast.Compare(a.code, [_COMPARE[sign]()], [b.code])
            same = self.helpers.call(values.equal, a.code, b.code)
            return same if sign == "eq" else ast.UnaryOp(ast.Not(), same)
        if sign in ("in", "notin"):
            if b.constant.__class__ is list and all(x.__class__ in (str, int, bool, float) for x in b.constant):
                for word in b.constant:
                    self._check_word(a, self.known(word))
                found: ast.expr = ast.Compare(a.code, [ast.In()], [ast.Tuple([ast.Constant(x) for x in b.constant], ast.Load())])
            else:
                found = self.helpers.call(values.contains, a.code, b.code)
            return found if sign == "in" else ast.UnaryOp(ast.Not(), found)
        return self.helpers.call(values.less, ast.Constant(sign), a.code, b.code)

    def _check_word(self, value: Value, constant: Value) -> None:
        """A comparison with a word that the value can never be is a slip of the pen."""
        known = value.shape.values
        if (
            known
            and constant.constant.__class__ is str
            and all(x.__class__ is str for x in known)
            and constant.constant not in known
        ):
            word = constant.constant
            self.problem("unknown-value", f"this is never `{word}`, only {', '.join(known)}", word, nearest(word, known))

    def _test(self, tree: Tree, scope: Scope) -> Value:
        name = tree[2]
        value = self.compile(tree[1], scope)
        if name not in TESTS:
            self.problem("unknown-test", f"`{name}` is not a test", name, nearest(name, TESTS))
            return nothing()
        if name in ("none", "defined"):
            return Value(is_none(value.code, negate=name == "defined"), certain=True)
        classes = _CLASSES[name]
        kind = ast.Attribute(value.code, "__class__", ast.Load())
        if len(classes) == 1:
            return Value(ast.Compare(kind, [ast.Is()], [self.helpers.name(classes[0])]), certain=True)
        options = ast.Tuple([self.helpers.name(x) for x in classes], ast.Load())
        return Value(ast.Compare(kind, [ast.In()], [options]), certain=True)


_METHODS = {
    "const": "_const",
    "name": "_name",
    "get": "_get",
    "item": "_item",
    "slice": "_slice",
    "and": "_logic",
    "or": "_logic",
    "not": "_not",
    "neg": "_negative",
    "join": "_join",
    "list": "_list",
    "map": "_map",
    "compare": "_compare",
    "test": "_test",
    "call": "_call",
    **dict.fromkeys(("+", "-", "*", "/", "//", "%"), "_calculate"),
}


def _scalar(value: Value) -> bool:
    return value.constant is not UNKNOWN and value.constant.__class__ not in (dict, list)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:59] + "…"
