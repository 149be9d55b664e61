"""`usage` and `usage_totals` turned around: one function that writes a native usage object (SERVE.md 5)."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from engine.expr.function import Unit, assign, call, is_none, load, method
from engine.vocabulary import USAGE_FIELDS

_ALWAYS = ("input_tokens", "output_tokens", "total_tokens")  # 0 where unknown


def write_usage(
    unit: Unit, name: str, places: Iterable[tuple[str, tuple[str, ...]]], totals: Mapping[str, tuple[str, ...]]
) -> None:
    """Add the function `name(usage)`: canonical counters, each at its path, what a total includes subtracted again."""
    places = [(counter, path) for counter, path in places if counter in USAGE_FIELDS]
    parts = [counter for counters in totals.values() for counter in counters]
    local = {counter: unit.fresh("u") for counter in (*_ALWAYS, *(counter for counter, _ in places), *parts)}
    body: list[ast.stmt] = []
    for counter, its in local.items():
        if counter != "total_tokens":
            read = ast.Attribute(load("usage"), counter, ast.Load())
            body.append(assign(its, _or_zero(read) if counter in _ALWAYS else read))
    added = ast.BinOp(load(local["input_tokens"]), ast.Add(), load(local["output_tokens"]))
    body.append(assign(local["total_tokens"], added))
    apart = {}  # totals as the provider counts them: without what they include
    for total, counters in totals.items():
        if total in counters:
            own = _or_zero(load(local[total]))
            for counter in counters:
                if counter != total:
                    part = call(unit.bind(int), _or_zero(load(local[counter])))
                    own = ast.BinOp(own, ast.Sub(), part)
            apart[total] = unit.fresh("u")
            body.append(assign(apart[total], call(unit.bind(max), ast.Constant(0), own)))
    body.append(assign("out", ast.Dict([], [])))
    for counter, (*above, key) in places:
        found = apart.get(counter, local[counter])
        place: ast.expr = load("out")
        for step in above:
            place = method(place, "setdefault", ast.Constant(step), ast.Dict([], []))
        value: ast.expr = load(found)
        if counter == "cost":  # money is exact, and JSON has no such number
            value = call(unit.bind(str), value)
        store = ast.Assign([ast.Subscript(place, ast.Constant(key), ast.Store())], value)
        certain = counter in _ALWAYS or counter in apart
        body.append(store if certain else ast.If(is_none(load(found), negate=True), [store], []))
    body.append(ast.Return(load("out")))
    unit.function(name, ["usage"], [unit.at(statement, None) for statement in body])


def _or_zero(value: ast.expr) -> ast.expr:
    return ast.BoolOp(ast.Or(), [value, ast.Constant(0)])
