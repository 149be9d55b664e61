"""Neutral trees -> expressions of generated code (SPEC_LANGUAGE 3.3). Only entries of mappings and lists can be reached."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from engine.expr.function import Unit, call, is_none, load, method
from engine.expr.template import functions, values
from engine.expr.template.filters import FILTERS, TESTS, Signature
from engine.expr.template.frame import UNKNOWN, Frame, Helpers, Value, nothing
from engine.expr.template.parse import ExpressionError, Tree, parse_expression
from engine.spec.node import Mark, Node
from engine.spec.problem import Problems, nearest
from engine.vocabulary import ANY, Shape

Scope = Mapping[str, Value]

_COMPARE: dict[str, Callable[[], ast.cmpop]] = {"eq": ast.Eq, "ne": ast.NotEq}
#: filters that give something whenever they get something
_KEEP = frozenset(["json", "b64", "lower", "upper", "trim", "replace", "int", "round", "quote", "ident", "fromjson"])
#: filters that do not look into the items of a list
_BLIND = frozenset(["map", "where", "first", "last", "default", "length", "nullable"])
_NAMED_VALUES = {"refs": ("inline",), "const": ("enum",), "null": ("nullable",), "closed": (True, False)}
_INDICATORS = frozenset("{[\"'&*!|>%@`#,")


class Expressions:
    """Compiles expressions into the function at hand (`frame`) and keeps the books of what they read."""

    def __init__(
        self,
        unit: Unit,
        problems: Problems,
        request: Shape,
        variables: Mapping[str, Shape],
        secrets: Collection[str],
        tables: Mapping[str, Any] | None,
        label: str,
        allowed: Collection[str],
    ) -> None:
        self.unit = unit
        self.problems = problems
        self.label = label
        self.names: dict[str, Shape] = {**(request.fields or {}), **variables, **dict.fromkeys(secrets, ANY)}
        self.tables = dict(tables or {})
        self.allowed = frozenset(allowed)
        self.helpers = Helpers(unit)
        self.reads: set[str] = set()
        self.paths: set[str] = set()
        self.part_reads: set[str] = set()
        self.selected_types: set[str] = set()
        self.parts_function: str | None = None
        self.frame = Frame(unit, self.helpers, None)
        self.mode = "body"
        self._node: Node = Node(None)
        self._offset = 0

    # --- problems ----------------------------------------------------------------------------------------------------

    def problem(self, rule: str, message: str, token: str | None = None, suggestion: str | None = None) -> None:
        """A finding in the scalar that is being compiled, at the token if it can be found there."""
        mark, width = self._place(token)
        self.problems.error(rule, message, mark, suggestion, width=width)

    def _place(self, token: str | None) -> tuple[Mark, int]:
        mark, text = self._node.mark, self._node.value
        if not token or text.__class__ is not str or "\n" in text:
            return mark, 1
        edge = r"(?<![\w]){}(?![\w])" if token[0].isalnum() or token[0] == "_" else "{}"
        found = re.compile(edge.format(re.escape(token))).search(text, self._offset)
        if found is None:
            return mark, 1
        quoted = "{{" in text or text[0] in _INDICATORS or ": " in text or " #" in text or ", " in text
        return mark._replace(column=mark.column + found.start() + quoted), len(token)

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

    def known(self, value: Any) -> Value:
        """A constant; containers are made anew each time, so that nobody can change the next rendering."""
        return Value(display(value), certain=value is not None, constant=value)

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
            self.problem("unknown-name", f"`{name}` is not a name here", name, nearest(name, [*scope, *self.names, "tables"]))
            return nothing()
        self.reads.add(name)
        local, view = self.frame.read(name, shape.fields is not None)
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
        if base.shape.fields is not None:
            found = base.shape.fields.get(field)
            if found is None:
                self.problem("unknown-field", f"no field `{field}` here", field, nearest(field, base.shape.fields))
                return nothing()
            shape = found
            self.part_reads.add(field)
        path = f"{base.path}.{field}" if base.path else None
        if path:
            self.paths.add(path)
        key = ast.Constant(field)
        if base.view:
            return Value(method(load(base.view), "get", key), shape, path=path)
        first, again = self.twice(base.code)
        return Value(ast.IfExp(self.helpers.is_mapping(first), method(again, "get", key), ast.Constant(None)), shape, path=path)

    def twice(self, code: ast.expr) -> tuple[ast.expr, ast.expr]:
        """The expression to evaluate first, and one that gives its value again."""
        if isinstance(code, ast.Name):
            return code, load(code.id)
        name = self.unit.fresh("t")
        return ast.NamedExpr(ast.Name(name, ast.Store()), code), load(name)

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
        classes = {"string": [str], "mapping": [dict], "sequence": [list], "number": [int, float]}[name]
        kind = ast.Attribute(value.code, "__class__", ast.Load())
        if len(classes) == 1:
            return Value(ast.Compare(kind, [ast.Is()], [self.helpers.name(classes[0])]), certain=True)
        options = ast.Tuple([self.helpers.name(x) for x in classes], ast.Load())
        return Value(ast.Compare(kind, [ast.In()], [options]), certain=True)

    # --- filters and functions ---------------------------------------------------------------------------------------

    def _filter(self, tree: Tree, scope: Scope, tail: bool) -> Value:
        name = tree[2]
        base = self.compile(tree[1], scope)
        signature = FILTERS.get(name)
        if signature is None:
            self.problem("unknown-filter", f"`{name}` is not a filter", name, nearest(name, FILTERS))
            return nothing()
        args, named = self._arguments(name, signature, tree[3], tree[4], scope)
        if args is None:
            return nothing()
        if name not in _BLIND:
            self.whole(base)
        if name == "nullable":
            if not tail or self.mode != "body":
                self.problem("bad-expression", "`nullable` writes a JSON null: it stands last, alone in a value of a body", name)
                return nothing()
            first, again = self.twice(base.code)
            return Value(ast.IfExp(is_none(first), self.helpers.name(values.NULL), again), base.shape, certain=True, null=True)
        if name == "default":
            first, again = self.twice(base.code)
            shape = base.shape if base.shape is not ANY else args[0].shape
            return Value(ast.IfExp(is_none(first), args[0].code, again), shape, certain=base.certain or args[0].certain)
        made = self.helpers.call(signature.function, self.frame.n(), base.code, *(a.code for a in args))
        made.keywords = [ast.keyword(key, value.code) for key, value in named.items()]
        return Value(made, self._filtered(name, base, args), certain=name == "length" or (name in _KEEP and base.certain))

    def _filtered(self, name: str, base: Value, args: list[Value]) -> Shape:
        if name in ("map", "where") and base.shape.item is not None and base.shape.item.fields is not None:
            field, fields = args[0].constant, base.shape.item.fields
            if field not in fields:
                self.problem("unknown-field", f"no field `{field}` here", field, nearest(str(field), fields))
            else:
                self.part_reads.add(field)
            if name == "map":
                return ANY
            if field == "type" and len(args) > 1 and args[1].constant.__class__ is str:
                self.selected_types.add(args[1].constant)
            return base.shape
        if name in ("first", "last"):
            return base.shape.item or ANY
        return base.shape if name == "where" else ANY

    def _arguments(
        self, name: str, signature: Signature, args: list[Tree], named: dict[str, Tree], scope: Scope
    ) -> tuple[list[Value] | None, dict[str, Value]]:
        given = [self.compile(a, scope) for a in args]
        keyed = {key: self.compile(tree, scope) for key, tree in named.items()}
        for key in keyed:
            if key not in signature.named:
                self.problem("bad-arguments", f"`{name}` takes no `{key}`", key, nearest(key, signature.named))
                return None, {}
        if not signature.least <= len(given) <= signature.most:
            least, most = signature.least, signature.most
            takes = f"{least}" if least == most else f"{least} to {most}"
            self.problem("bad-arguments", f"`{name}` takes {takes} arguments, not {len(given)}", name)
            return None, {}
        texts = given if signature.texts else given[:1] if name == "where" else []
        if any(a.constant.__class__ is not str for a in texts):
            self.problem("bad-arguments", f"`{name}` takes constant texts", name)
            return None, {}
        if name == "schema":
            for key, value in keyed.items():
                if value.constant not in _NAMED_VALUES[key]:
                    choices = " or ".join(repr(x).lower() for x in _NAMED_VALUES[key])
                    self.problem("bad-arguments", f"`{key}` of `schema` is {choices}", key)
                    return None, {}
        return given, keyed

    def _call(self, tree: Tree, scope: Scope) -> Value:
        name = tree[1]
        if name == "parts" and name in self.allowed:
            return self._parts(tree, scope)
        signature = functions.FUNCTIONS.get(name) if name in self.allowed else None
        if signature is None:
            known = [f for f in self.allowed if f != "parts" or self.parts_function]
            hint = "; it works in `auth` only" if name in functions.FUNCTIONS else ""
            self.problem("unknown-function", f"`{name}` is not a function here{hint}", name, nearest(name, known))
            return nothing()
        args, _ = self._arguments(name, signature, tree[2], tree[3], scope)
        if args is None:
            return nothing()
        return Value(self.helpers.call(signature.function, load("c"), *(a.code for a in args)), certain=name in ("uuid", "now"))

    def _parts(self, tree: Tree, scope: Scope) -> Value:
        if len(tree[2]) != 1 or tree[3]:
            self.problem("bad-arguments", "`parts` takes one part or list of parts", "parts")
            return nothing()
        value = self.compile(tree[2][0], scope)
        if self.parts_function is None:
            self.problem("unknown-function", "`parts` needs the operation's `parts` table, and there is none", "parts")
            return nothing()
        depth = self.frame.depth
        return Value(call(load(self.parts_function), load("c"), value.code, depth, self.frame.n()))

    def whole(self, value: Value) -> None:
        """A part, message or list of them is used as it is: all its fields count as read."""
        for shape in (value.shape, value.shape.item):
            if shape is not None and shape.fields is not None:
                self.part_reads.update(shape.fields)


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


def display(value: Any) -> ast.expr:
    """A syntax tree that makes a plain value anew."""
    if value.__class__ is dict:
        return ast.Dict([ast.Constant(k) for k in value], [display(v) for v in value.values()])
    if value.__class__ is list:
        return ast.List([display(v) for v in value], ast.Load())
    return ast.Constant(value)
