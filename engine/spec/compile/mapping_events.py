"""Dispatch on events: `match` and `events` of a map (SPEC_LANGUAGE 6.1)."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from engine.expr.function import assign, call, is_none, load, method
from engine.expr.query_code import Code
from engine.spec.node import Node

_IGNORED = -1  # known, nothing to do
_CHAIN = 3  # so many branches are tried one by one; more are halved first


class Events:
    """Names of events with the map of each. `"a | b": map` serves several names, `~` is known and ignored."""

    def __init__(self, node: Node, report: Callable[..., None]) -> None:
        self.maps: list[Node] = []
        self.numbers: dict[str, int] = {}
        for key, child in node.items():
            number = _IGNORED
            if child.value is not None:
                number = len(self.maps)
                self.maps.append(child)
            for name in key.split("|"):
                if name.strip() in self.numbers:
                    report("duplicate-event", f"event `{name.strip()}` is listed twice", child.key_mark or child.mark)
                self.numbers[name.strip()] = number

    def write(self, code: Code, name: ast.expr, block: Callable[[Node], None]) -> None:
        """Write the dispatch on `name`; `block` writes the map of one event where it is called."""
        given = code.store(name, "e")
        text = ast.Compare(call(code.unit.bind(type), load(given)), [ast.Is()], [code.unit.bind(str)])
        with code.when(ast.UnaryOp(ast.Not(), text)):
            code.add(assign(given, call(code.unit.bind(word), load(given))))
        number = code.store(method(code.unit.constant(self.numbers), "get", load(given)), "n")
        unlisted, listed = code.branches(is_none(load(number)))
        with code.inside(unlisted), code.when(is_none(load("unknown"), negate=True)):
            code.add(ast.Expr(call(load("unknown"), load(given))))
        with code.inside(listed):
            self.branch(code, number, 0, len(self.maps), block)

    def branch(self, code: Code, number: str, low: int, high: int, block: Callable[[Node], None]) -> None:
        """Choose among the maps `low` up to, not including, `high`."""
        if high - low > _CHAIN:
            middle = (low + high) // 2
            upper, lower = code.branches(ast.Compare(load(number), [ast.GtE()], [ast.Constant(middle)]))
            with code.inside(upper):
                self.branch(code, number, middle, high, block)
            with code.inside(lower):
                self.branch(code, number, low, middle, block)
            return
        for place in range(low, high):
            with code.when(ast.Compare(load(number), [ast.Eq()], [ast.Constant(place)])):
                block(self.maps[place])


def word(value: Any) -> str | None:
    """The name by which a spec lists a value: text as it is, whole numbers and booleans as YAML writes them."""
    if value is True or value is False:
        return "true" if value else "false"
    return str(value) if value.__class__ is int else None
