"""Python functions built as syntax trees: the only place of the project where code is compiled (RELIABILITY P5).

Text of a spec can enter a tree only as `ast.Constant` or as a bound value, never as source. Generated functions run with
an empty builtins table. Each statement carries a line number that stands for a place in a YAML file, so that a failure at
run time is traced back at no cost (`locate`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from engine.spec.node import Mark

#: what stands in a tree and has no place: values, contexts, operators
_KINDS = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
_ATOMS = frozenset(
    (str, int, float, complex, bool, bytes, type(None), type(...), *(c for kind in _KINDS for c in kind.__subclasses__()))
)
_SCALARS = (str, int, float, bool, type(None), bytes)


class Unit:
    """One compilation unit: functions that share bound values and a table of marks."""

    def __init__(self, label: str = "spec") -> None:
        self.label = label
        self.marks: list[Mark | None] = []
        self.bound: dict[str, Any] = {}
        self.functions: list[ast.stmt] = []
        self.adopted: dict[str, Callable[..., Any]] = {}  # functions that are compiled already
        self._count = 0
        self._lines: dict[Mark | None, int] = {}

    def line(self, mark: Mark | None) -> int:
        """The line number that stands for a mark."""
        found = self._lines.get(mark)
        if found is None:
            self.marks.append(mark)
            found = self._lines[mark] = len(self.marks)
        return found

    def fresh(self, prefix: str = "v") -> str:
        """A local name used nowhere else in the unit. `prefix` must be an identifier of ours, never spec text."""
        self._count += 1
        return f"{prefix}{self._count}"

    def constant(self, value: Any) -> ast.expr:
        """An expression for a value: scalars in place, containers as a bound (shared, never changed) object."""
        if value.__class__ in _SCALARS and not (value.__class__ is float and value != value):
            return ast.Constant(value)
        return self.bind(value, "K")

    def bind(self, value: Any, prefix: str = "F") -> ast.Name:
        """A name by which generated code reaches a Python object (a helper function, a table)."""
        for name, known in self.bound.items():
            if known is value:
                return ast.Name(name, ast.Load())
        name = self.fresh("_" + prefix)
        self.bound[name] = value
        return ast.Name(name, ast.Load())

    def function(self, name: str, args: list[str], body: list[ast.stmt], defaults: Iterable[Any] = ()) -> None:
        """Add a function. Give statements their place with `at`; `defaults` belong to the last arguments."""
        self.functions.append(define(name, args, body, [ast.Constant(d) for d in defaults]))

    def at(self, statement: ast.stmt, mark: Mark | None) -> ast.stmt:
        """Give a statement (and everything inside that has no place of its own) the line of a mark."""
        statement.__dict__.setdefault("lineno", self.line(mark))
        return statement

    def build(self) -> dict[str, Callable[..., Any]]:
        """Compile everything added so far; returns the functions by name, with those adopted."""
        if not self.functions:
            return dict(self.adopted)
        module = ast.Module(list(self.functions), [])
        _place(module, 1)
        namespace: dict[str, Any] = {"__builtins__": {}, "__marks__": tuple(self.marks), **self.bound}
        exec(compile(module, f"<{self.label}>", "exec"), namespace)
        return {**self.adopted, **{f.name: namespace[f.name] for f in self.functions if isinstance(f, ast.FunctionDef)}}


def placed(function: Callable[..., Any], mark: Mark) -> Callable[..., Any]:
    """A generated function as if all of it had been written at one place: the same code, other marks."""
    assert isinstance(function, FunctionType)
    around = function.__globals__
    marks = tuple(mark if known is not None else None for known in around["__marks__"])
    return FunctionType(function.__code__, {**around, "__marks__": marks}, function.__name__, function.__defaults__)


def _place(root: ast.AST, line: int) -> None:
    """Give every node below `root` a line: its own, else that of what it stands in. Each node is passed once."""
    later = [(root, line)]
    name, constant, atoms = ast.Name, ast.Constant, _ATOMS
    while later:
        start, line = later.pop()
        todo: list[ast.AST] = [start]
        while todo:
            node = todo.pop()
            fields = node.__dict__
            if node._attributes:
                if "col_offset" in fields:
                    continue
                if fields.setdefault("lineno", line) != line:
                    later.append((node, fields["lineno"]))
                    continue
                fields["col_offset"] = 0
                kind = node.__class__
                if kind is name or kind is constant:
                    continue
            for child in fields.values():
                kind = child.__class__
                if kind is list:
                    todo += [x for x in child if x.__class__ not in atoms]
                elif kind not in atoms:
                    todo.append(child)


def define(name: str, args: list[str], body: list[ast.stmt], defaults: list[ast.expr] | None = None) -> ast.FunctionDef:
    """A function definition; usable as a nested function too."""
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg(a) for a in args], kwonlyargs=[], kw_defaults=[], defaults=defaults or []
    )
    return ast.FunctionDef(name, arguments, body or [ast.Pass()], [])


def load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def assign(name: str, value: ast.expr) -> ast.Assign:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def call(function: ast.expr, *args: ast.expr) -> ast.Call:
    return ast.Call(function, list(args), [])


def method(target: ast.expr, name: str, *args: ast.expr) -> ast.Call:
    """`target.name(args)`; `name` is always one of ours (`append`, `get`), never spec text."""
    return ast.Call(ast.Attribute(target, name, ast.Load()), list(args), [])


def is_none(value: ast.expr, negate: bool = False) -> ast.Compare:
    return ast.Compare(value, [ast.IsNot() if negate else ast.Is()], [ast.Constant(None)])


def locate(error: BaseException) -> Mark | None:
    """Where in a YAML file the failing statement of generated code was written; None outside generated code."""
    found: Mark | None = None
    trace = error.__traceback__
    while trace is not None:
        marks = trace.tb_frame.f_globals.get("__marks__")
        if marks is not None and 0 < trace.tb_lineno <= len(marks):
            found = marks[trace.tb_lineno - 1] or found
        trace = trace.tb_next
    return found
