"""The `parts` table -> one function that writes a part or a list of them (SPEC_LANGUAGE 3.4)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NoReturn

from engine.errors import ConfigError
from engine.expr.function import assign, call, define, load, method
from engine.expr.template import carriers, values
from engine.expr.template.frame import Frame, Value
from engine.expr.template.statements import Sink
from engine.expr.template.structure import Structure
from engine.spec.node import Mark, Node
from engine.spec.problem import nearest
from engine.vocabulary import PART, PART_TYPES

MAX_DEPTH = 8
#: where the content of a medium lies: told apart by part type in `part_reads` ("image.url")
_CONTENT = ("data", "uri", "bytes", "url", "file_id")


class PartTables(Structure):
    """Compiles the table of how one content part is written."""

    part_types: set[str]

    def parts(self, node: Node) -> None:
        """Compile a `parts` table; templates of this unit compiled from now on may call `parts(x)`.

        The function is `parts(c, value, depth, n)`: a list gives a list, one part its value, nothing gives nothing.
        """
        if not node.is_map:
            self.problems.error("wrong-type", "`parts` is a mapping from part types to templates", node.mark)
            return
        assert self.parts_function is not None  # named by Templates, who knows the unit it is for
        outer, mode = self.frame, self.mode
        self.mode = "body"
        self.frame = Frame(self.unit, self.helpers, None, ast.BinOp(load("d"), ast.Add(), ast.Constant(1)))
        cases = self._part_cases(node)
        body = self._walk(node, cases)
        statements = [*self._entry(node), *self.frame.prologue(), *body, *self._exit(node)]
        self.frame, self.mode = outer, mode
        self.unit.functions.append(define(self.parts_function, ["c", "v", "d", "n"], statements))

    def _part_cases(self, node: Node) -> list[tuple[list[str], Node]]:
        cases: list[tuple[list[str], Node]] = []
        for key, child in node.items():
            types = [t.strip() for t in key.split("|")]
            for type_ in types:
                where = child.key_mark or child.mark
                if type_ not in PART_TYPES or type_ == "native":
                    hint = nearest(type_, [t for t in PART_TYPES if t != "native"])
                    what = "goes out as it came in, by no template" if type_ == "native" else "is not a part type"
                    self.problems.error("unknown-part", f"`{type_}` {what}", where, hint, width=len(key))
                if type_ in self.part_types:
                    self.problems.error("duplicate-case", f"part type `{type_}` stands twice", where, width=len(key))
                self.part_types.add(type_)
            cases.append((types, child))
        return cases

    def _entry(self, node: Node) -> list[ast.stmt]:
        """Depth, and one part as a list of one."""
        outer, self.frame.block = self.frame.block, []
        with self.inside(self.branch(ast.Compare(load("v"), [ast.Is()], [ast.Constant(None)]), node.mark).body):
            self.put(ast.Return(ast.Constant(None)), node.mark)
        with self.inside(self.branch(ast.Compare(load("d"), [ast.GtE()], [ast.Constant(MAX_DEPTH)]), node.mark).body):
            self.put(ast.Expr(self.helpers.call(too_deep)), node.mark)
        self.put(assign("out", ast.List([], ast.Load())), node.mark)
        entry, self.frame.block = self.frame.block, outer
        return entry

    def _walk(self, node: Node, cases: list[tuple[list[str], Node]]) -> list[ast.stmt]:
        """The loop over parts: one branch per entry of the table."""
        mark = node.mark
        one = ast.Compare(ast.Attribute(load("v"), "__class__", ast.Load()), [ast.Is()], [self.helpers.name(dict)])
        every = self.helpers.call(values.turns, self.frame.n(), ast.IfExp(one, ast.List([load("v")], ast.Load()), load("v")))
        # One part, the most of all, costs nothing: whoever calls this in a loop pays for his turns.
        is_list = ast.Compare(ast.Attribute(load("v"), "__class__", ast.Load()), [ast.Is()], [self.helpers.name(list)])
        single = ast.Compare(self.helpers.call(len, load("v")), [ast.Eq()], [ast.Constant(1)])
        items = ast.IfExp(ast.BoolOp(ast.And(), [is_list, single]), load("v"), every)
        loop = ast.For(ast.Name("part", ast.Store()), items, [], [])
        block: list[ast.stmt] = []
        outer, self.frame.block = self.frame.block, block
        self.put(loop, mark)
        with self.inside(loop.body):
            kind = ast.Attribute(load("part"), "__class__", ast.Load())
            is_part = ast.Compare(kind, [ast.Is()], [self.helpers.name(dict)])
            read = ast.IfExp(is_part, method(load("part"), "get", ast.Constant("type")), ast.Constant(None))
            self.put(assign("type", read), mark)
            self.put(assign("start", self.helpers.call(len, load("out"))), mark)
            self._branches(cases, mark)
            has_extra = ast.Compare(ast.Constant("extra"), [ast.In()], [load("part")])
            with self.inside(self.branch(has_extra, mark).body):
                label = ast.Constant(self.label)
                self.put(
                    ast.Expr(self.helpers.call(carriers.extra, load("c"), load("out"), load("start"), load("part"), label)), mark
                )
        self.frame.block = outer
        return block

    def _branches(self, cases: list[tuple[list[str], Node]], mark: Mark) -> None:
        outer = self.frame.block
        scope = {"part": Value(load("part"), PART, view="part")}
        for types, child in cases:
            test: ast.expr = ast.Compare(load("type"), [ast.Eq()], [ast.Constant(types[0])])
            if len(types) > 1:
                test = ast.Compare(load("type"), [ast.In()], [ast.Tuple([ast.Constant(t) for t in types], ast.Load())])
            holder = self.branch(test, child.key_mark or child.mark)
            with self.inside(holder.body):
                self._case(child, scope, Sink("out", listed=True, spliced=True))
                said = {name for name in _CONTENT for text in _texts(child) if f"part.{name}" in text}
                self.part_reads.update(f"{type_}.{name}" for type_ in types for name in said)
                if types == ["thinking"]:
                    nothing_written = ast.Compare(self.helpers.call(len, load("out")), [ast.Eq()], [load("start")])
                    with self.inside(self.branch(nothing_written, child.mark).body):
                        told = self.helpers.call(carriers.vanished, load("c"), load("type"), ast.Constant(self.label))
                        self.put(ast.Expr(told), child.mark)
            self.frame.block = holder.orelse
        other = self.helpers.call(carriers.other_part, load("c"), load("out"), load("part"), ast.Constant(self.label))
        other.args.append(ast.Constant("text" in self.part_types))
        self.put(assign("other", other), mark)
        with self.inside(self.branch(load("other"), mark).body):
            assert self.parts_function is not None
            written = call(load(self.parts_function), load("c"), ast.List([load("other")], ast.Load()), load("d"), self.frame.n())
            more = ast.BoolOp(ast.Or(), [written, ast.Tuple([], ast.Load())])
            self.put(ast.Expr(method(load("out"), "extend", more)), mark)
        self.frame.block = outer

    def _exit(self, node: Node) -> list[ast.stmt]:
        outer, self.frame.block = self.frame.block, []
        one = ast.Compare(ast.Attribute(load("v"), "__class__", ast.Load()), [ast.Is()], [self.helpers.name(dict)])
        with self.inside(self.branch(one, node.mark).body):
            single = ast.Compare(self.helpers.call(len, load("out")), [ast.Eq()], [ast.Constant(1)])
            first = ast.Subscript(load("out"), ast.Constant(0), ast.Load())
            self.put(ast.Return(ast.IfExp(single, first, ast.BoolOp(ast.Or(), [load("out"), ast.Constant(None)]))), node.mark)
        self.put(ast.Return(ast.BoolOp(ast.Or(), [load("out"), ast.Constant(None)])), node.mark)
        made, self.frame.block = self.frame.block, outer
        return made


def _texts(node: Node) -> Iterator[str]:
    """Every text of a tree."""
    for child in node.value.values() if node.is_map else node.value if node.is_list else ():
        yield from _texts(child)
    if isinstance(node.value, str):
        yield node.value


def too_deep() -> NoReturn:
    raise ConfigError(f"parts inside parts are nested more than {MAX_DEPTH} deep")
