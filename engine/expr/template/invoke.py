"""Filters and functions as expressions of generated code (SPEC_LANGUAGE 3.3)."""

from __future__ import annotations

import ast
from typing import Any

from engine.errors import ConfigError
from engine.expr.function import call, is_none, load, method
from engine.expr.template import functions, values
from engine.expr.template.filters import FILTERS, Signature
from engine.expr.template.frame import UNKNOWN, Value, nothing
from engine.expr.template.names import Names, Scope
from engine.expr.template.parse import Tree
from engine.spec.problem import nearest
from engine.vocabulary import ANY, Shape

#: filters that give something whenever they get something
_KEEP = frozenset(["json", "b64", "lower", "upper", "trim", "replace", "int", "round", "quote", "ident", "fromjson"])
#: filters that do not look into the items of a list
_BLIND = frozenset(["map", "where", "first", "last", "default", "length", "nullable"])
#: filters that give nothing for nothing, and mostly get nothing: then they are not called
_OFTEN_IDLE = frozenset(["map", "where"])
_NAMED_VALUES: dict[str, tuple[Any, ...]] = {
    "refs": ("inline",),
    "const": ("enum",),
    "null": ("nullable",),
    "closed": (True, False, "objects"),
}


class Invocations(Names):
    """Compiles filters and calls of functions."""

    def compile(self, tree: Tree, scope: Scope, tail: bool = False) -> Value:
        """An expression's value; `tail`: it is written as it comes, so that `nullable` may stand last."""
        raise NotImplementedError

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
        if name == "schema" and base.path == "response_format.schema":  # what stays behind is told to the caller
            self.part_reads.update(f"{base.path} without {a.constant}" for a in args)
        if name == "nullable":
            if not tail or self.mode not in ("body", "file"):
                self.problem("bad-expression", "`nullable` writes a JSON null: it stands last, alone in a value of a body", name)
                return nothing()
            first, again = self.twice(base.code)
            return Value(ast.IfExp(is_none(first), self.helpers.name(values.NULL), again), base.shape, certain=True, null=True)
        if name == "default":
            first, again = self.twice(base.code)
            shape = base.shape if base.shape is not ANY else args[0].shape
            return Value(ast.IfExp(is_none(first), args[0].code, again), shape, certain=base.certain or args[0].certain)
        if name == "trim":  # of every text of a conversation: a text costs no call
            first, again = self.twice(base.code)
            is_text = ast.Compare(ast.Attribute(first, "__class__", ast.Load()), [ast.Is()], [self.helpers.name(str)])
            other = self.helpers.call(signature.function, self.frame.n(), again)
            return Value(ast.IfExp(is_text, method(again, "strip"), other), self._filtered(name, base, args), certain=base.certain)
        first, again = self.twice(base.code) if name in _OFTEN_IDLE else (base.code, base.code)
        called = self.helpers.call(signature.function, self.frame.n(), again, *(a.code for a in args))
        called.keywords = [ast.keyword(key, value.code) for key, value in named.items()]
        made = ast.IfExp(is_none(first), ast.Constant(None), called) if name in _OFTEN_IDLE else called
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
        if signature.sample is not None and all(a.constant is not UNKNOWN for a in (*given, *keyed.values())):
            try:
                signature.function(
                    [values.BUDGET], signature.sample, *(a.constant for a in given), **{k: v.constant for k, v in keyed.items()}
                )
            except (ConfigError, TypeError) as error:
                self.problem("bad-arguments", str(error), name)
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
        if name == "date" and len(args) > 1 and args[1].constant is not UNKNOWN:
            try:
                functions.date({}, 0, args[1].constant)
            except ConfigError as error:
                self.problem("bad-arguments", str(error), name)
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
