"""Jinja2's syntax tree -> neutral tree. The only module that imports jinja2."""

from __future__ import annotations

from math import isfinite
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.parser import Parser

from engine.expr.template.parse import MAX_DEPTH, ExpressionError, Tree

_environment = Environment(autoescape=False)
_BINARY = {nodes.Add: "+", nodes.Sub: "-", nodes.Mul: "*", nodes.Div: "/", nodes.FloorDiv: "//", nodes.Mod: "%"}


def parse(text: str) -> Tree:
    """The neutral tree of one expression. Raises ExpressionError."""
    try:
        parser = Parser(_environment, text, state="variable")
        node = parser.parse_expression()
        if not parser.stream.eos:
            raise ExpressionError(f"`{parser.stream.current.value}` is not expected here", str(parser.stream.current.value))
        tree = _tree(node, 0)
    except TemplateSyntaxError as error:
        raise ExpressionError(_message(error.message or "it cannot be parsed")) from None
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply") from None
    except ExpressionError:
        raise
    except (ValueError, UnicodeError, OverflowError) as error:
        raise ExpressionError(f"it cannot be parsed ({error})") from None
    return tree


def _message(text: str) -> str:
    text = text.rstrip(".")
    for jinja, ours in (("end of print statement", "the end"), ("end of template", "the end")):
        text = text.replace(jinja, ours)
    return text[:1].lower() + text[1:]


def _tree(node: Any, depth: int) -> Tree:
    if depth > MAX_DEPTH:
        raise ExpressionError("the expression is nested too deeply")
    kind = node.__class__
    deeper = depth + 1

    def inner(child: Any) -> Tree:
        return _tree(child, deeper)

    if kind is nodes.Const:
        return ["const", _constant(node.value)]
    if kind is nodes.Name:
        return ["const", None] if node.name == "null" else ["name", _public(node.name)]
    if kind is nodes.Getattr:
        return ["get", inner(node.node), _public(node.attr)]
    if kind is nodes.Getitem:
        return _item(node, inner)
    if kind is nodes.Filter:
        if node.node is None:
            raise ExpressionError("a filter needs a value before it")
        return ["filter", inner(node.node), node.name, *_arguments(node, inner)]
    if kind is nodes.Test:
        if node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
            raise ExpressionError(f"test `{node.name}` takes nothing", node.name, "unknown-test")
        return ["test", inner(node.node), node.name]
    if kind is nodes.Call:
        if node.node.__class__ is not nodes.Name:
            name = node.node.attr if node.node.__class__ is nodes.Getattr else None
            raise ExpressionError("only the listed functions can be called; there are no methods", name, "unknown-function")
        return ["call", _public(node.node.name), *_arguments(node, inner)]
    if kind is nodes.And:
        return ["and", inner(node.left), inner(node.right)]
    if kind is nodes.Or:
        return ["or", inner(node.left), inner(node.right)]
    if kind is nodes.Not:
        return ["not", inner(node.node)]
    if kind is nodes.Neg:
        return ["neg", inner(node.node)]
    if kind is nodes.CondExpr:
        return ["if", inner(node.test), inner(node.expr1), inner(node.expr2) if node.expr2 is not None else None]
    if kind is nodes.Compare:
        return ["compare", inner(node.expr), [[o.op, inner(o.expr)] for o in node.ops]]
    if kind is nodes.Concat:
        return ["join", [inner(x) for x in node.nodes]]
    if kind in _BINARY:
        return [_BINARY[kind], inner(node.left), inner(node.right)]
    if kind in (nodes.List, nodes.Tuple):
        return ["list", [inner(x) for x in node.items]]
    if kind is nodes.Dict:
        return ["map", [[_key(p.key), inner(p.value)] for p in node.items]]
    if kind is nodes.Pow:
        raise ExpressionError("`**` is not part of the language", "**")
    raise ExpressionError(f"{kind.__name__.lower()} is not part of the language")


def _public(name: str) -> str:
    if name.startswith("_"):
        raise ExpressionError("names that begin with `_` are refused", name)
    return name


def _constant(value: Any) -> Any:
    if (value.__class__ is float and not isfinite(value)) or (value.__class__ is int and value.bit_length() > 64):
        raise ExpressionError("a number is too large")
    return value


def _item(node: Any, inner: Any) -> Tree:
    if node.arg.__class__ is nodes.Slice:
        bounds = [inner(x) if x is not None else None for x in (node.arg.start, node.arg.stop, node.arg.step)]
        return ["slice", inner(node.node), *bounds]
    if node.arg.__class__ is nodes.Const and node.arg.value.__class__ is str:
        return ["get", inner(node.node), _public(node.arg.value)]
    return ["item", inner(node.node), inner(node.arg)]


def _key(node: Any) -> str:
    if node.__class__ is not nodes.Const or node.value.__class__ not in (str, int):
        raise ExpressionError("keys of a mapping are constant texts")
    return str(node.value)


def _arguments(node: Any, inner: Any) -> tuple[list[Tree], dict[str, Tree]]:
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise ExpressionError("`*` arguments are not part of the language", "*")
    return [inner(x) for x in node.args], {k.key: inner(k.value) for k in node.kwargs}
