"""What is known of a value while it is compiled, and of the function it is compiled into."""

from __future__ import annotations

import ast
from typing import Any

from engine.expr.function import Unit, assign, call, is_none, load, method
from engine.expr.template import values
from engine.vocabulary import ANY, Shape

UNKNOWN = object()


class Value:
    """An expression of the generated code and what is known of it."""

    __slots__ = ("certain", "code", "constant", "null", "path", "shape", "view")

    def __init__(
        self,
        code: ast.expr,
        shape: Shape = ANY,
        *,
        certain: bool = False,
        constant: Any = UNKNOWN,
        view: str | None = None,
        path: str | None = None,
        null: bool = False,
    ) -> None:
        self.code = code
        self.shape = shape
        self.certain = certain  # never nothing
        self.constant = constant  # its value, if it is known now
        self.view = view  # a local name that always holds a mapping with the same entries
        self.path = path  # request name (and field) it is read from
        self.null = null  # may be the mark of a JSON null


def nothing() -> Value:
    """Stands where a problem was found."""
    return Value(ast.Constant(None))


def entry(mapping: ast.expr, key: ast.expr, certain: bool) -> ast.expr:
    """What a mapping has under a key; `certain`: it has something there, if only None."""
    return ast.Subscript(mapping, key, ast.Load()) if certain else method(mapping, "get", key)


class Frame:
    """One function being written: its current block and what it needs at its top."""

    def __init__(self, unit: Unit, helpers: Helpers, budget: int | None, depth: ast.expr | None = None) -> None:
        self.unit = unit
        self.helpers = helpers
        self.budget = budget  # None: `n` is an argument
        self.depth = depth or ast.Constant(0)  # of `parts` inside `parts`
        self.block: list[ast.stmt] = []
        self.loops = 0
        self.spends = False
        self.names: dict[str, str] = {}
        self.certain: set[str] = set()  # those of the names that every context has
        self.views: dict[str, str] = {}

    def read(self, name: str, view: bool = False, certain: bool = False) -> tuple[str, str | None]:
        """The locals that hold a context name: as it is, and as a mapping that can always be read. `certain`: it is there."""
        local = self.names.get(name)
        if local is None:
            local = self.names[name] = self.unit.fresh("g")
            if certain:
                self.certain.add(name)
        if view and name not in self.views:
            self.views[name] = self.unit.fresh("d")
        return local, self.views.get(name) if view else None

    def n(self) -> ast.expr:
        self.spends = True
        return load("n")

    def prologue(self) -> list[ast.stmt]:
        """The statements at the top of the function."""
        out: list[ast.stmt] = []
        if self.spends and self.budget is not None:
            out.append(assign("n", ast.List([ast.Constant(self.budget)], ast.Load())))
        for name, local in self.names.items():
            out.append(assign(local, entry(load("c"), ast.Constant(name), name in self.certain)))
        for name, local in self.views.items():
            raw = self.names[name]
            given = self.helpers.call(values.view, load(raw), ast.Constant(name))
            present = ast.IfExp(self.helpers.is_mapping(load(raw)), load(raw), given)
            out.append(assign(local, ast.IfExp(is_none(load(raw)), self.helpers.name(values.EMPTY), present)))
        return out


class Helpers:
    """Names by which generated code reaches functions of ours, bound once per unit."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self._names: dict[int, str] = {}

    def name(self, thing: Any) -> ast.expr:
        found = self._names.get(id(thing))
        if found is None:
            found = self._names[id(thing)] = self.unit.bind(thing).id
        return load(found)

    def call(self, function: Any, *args: ast.expr) -> ast.Call:
        return call(self.name(function), *args)

    def is_mapping(self, value: ast.expr) -> ast.expr:
        """`value.__class__ is dict`."""
        return ast.Compare(ast.Attribute(value, "__class__", ast.Load()), [ast.Is()], [self.name(dict)])
