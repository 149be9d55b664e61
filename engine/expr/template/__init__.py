"""Templates: YAML trees with Jinja2 expressions, compiled into Python functions (SPEC_LANGUAGE 3 and 5.2).

    unit, problems = Unit("acme.chat"), Problems()
    templates = Templates(unit, problems, vocabulary.REQUESTS["chat"])
    templates.parts(tree.value["parts"])
    templates.template("body", tree.value["body"])
    render = unit.build()["body"]                       # render(context) -> value or None

Spec text reaches the generated code only as constants; the generated code reaches entries of mappings and lists only, and
the functions of this package. jinja2 is imported when the first expression is parsed that `preload` does not know.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

from engine.expr.function import Unit, assign, call, load, placed
from engine.expr.shelf import Shelf, Shelved
from engine.expr.template import functions, landing, values
from engine.expr.template.carriers import request_extra
from engine.expr.template.frame import Frame, Helpers
from engine.expr.template.params import Parameters
from engine.expr.template.parse import ExpressionError, parse_expression, parsed, preload
from engine.expr.template.statements import Sink
from engine.spec.node import Mark, Node
from engine.spec.problem import Problems
from engine.vocabulary import Shape

__all__ = ["ExpressionError", "Templates", "parse_expression", "parsed", "preload", "request_extra"]

#: what a whole value goes through, by where it lands; bodies are data already
_LANDING = {
    "text": landing.whole_text,
    "xml": landing.whole_text,
    "header": landing.headers,
    "query": landing.query,
    "form": landing.query,
}
MODES = ("body", "file", "url", *_LANDING)
#: where a text without holes lands as it is written
_AS_WRITTEN = ("body", "file", "url")


@lru_cache(maxsize=4096)
def _always(text: str) -> Callable[..., Any]:
    """The template of a plain text: the same function for all who write the same."""
    return lambda c: text


class Templates(Parameters):
    """Compiles the templates of one operation into one unit. Findings go to `problems`; compilation goes on after them.

    `request` is the shape of the request (its fields are names), `variables` are further names, `secrets` names that only
    templates of `auth` know, `tables` the operation's constants, `label` stands in messages ("<label> cannot express a
    video part"), `functions` are the functions that may be called. A spec that is not `trusted` may make less.

    `reads` are the names read so far, `paths` those with one field ("response_format.schema"), `part_reads` the fields of
    parts, messages and tools, `part_types` the entries of the parts table, `selected_types` part types that a template
    picks out by itself, `trees` the templates by name.
    """

    def __init__(
        self,
        unit: Unit,
        problems: Problems,
        request: Shape,
        *,
        variables: Mapping[str, Shape] = {},
        secrets: Collection[str] = (),
        tables: Mapping[str, Any] | None = None,
        label: str = "chat",
        functions: Collection[str] = functions.EVERYWHERE,
        trusted: bool = True,
        shelf: Shelf | None = None,
        tables_from: Node | None = None,
    ) -> None:
        super().__init__(unit, problems, request, variables, secrets, tables, label, functions)
        self.trusted = trusted
        self.budget = values.BUDGET if trusted else values.REMOTE_BUDGET
        self.part_types: set[str] = set()
        self.shelf = shelf
        self._around: tuple[Any, ...] = (label, trusted, tuple(functions), id(tables_from))
        self._nodes: tuple[Any, ...] = (tables_from,)
        self._parts_made: Callable[..., Any] | None = None
        self.trees: dict[str, Node] = {}

    def template(self, name: str, node: Node, mode: str = "body") -> None:
        """Add the function `name(c)`, which gives the rendered value or None.

        `mode` says where it lands: body (native values), file (the same, and a part is sent as its bytes), url (holes
        percent-encoded), header and query or form (texts by name), xml (holes escaped), text. Rendering changes neither the
        context nor the caller's data, which is passed by reference; the top of a body is always a new object.
        """
        if mode not in MODES:
            raise ValueError(f"unknown mode {mode!r}")
        self.trees[name] = node
        text = node.value
        if mode in _AS_WRITTEN and self.trusted and text.__class__ is str and "{" not in text:
            self.unit.adopted[name] = _always(text)  # nothing to compile
        else:
            self._made(name, mode, node, lambda: self._template(name, node, mode))

    def _template(self, name: str, node: Node, mode: str) -> None:
        self._open(mode)
        self.put(assign("r", ast.Constant(None)), node.mark)
        self.emit(node, {}, Sink("r"))
        result: ast.expr = load("r")
        if mode in _LANDING:
            result = self.helpers.call(_LANDING[mode], self.frame.n(), result)
        elif not node.is_map and not node.is_list:
            result = self.helpers.call(values.fresh, result)
        self._close(name, result, node.mark)

    def expression(self, name: str, node: Node) -> None:
        """Add the function `name(c)` for a bare expression (`when`, `if`)."""
        self.trees[name] = node
        self._made(name, "expression", node, lambda: self._expression(name, node))

    def _expression(self, name: str, node: Node) -> None:
        self._open("body")
        self._close(name, self.bare(node, {}).code, node.mark)

    def parts(self, node: Node) -> None:
        """Compile a `parts` table; templates compiled from now on may call `parts(x)`."""
        self.parts_function = self.unit.fresh("parts")
        self._made(self.parts_function, "parts", node, lambda: super(Templates, self).parts(node))
        self._parts_made = self.unit.adopted.get(self.parts_function)
        self._around, self._nodes = (*self._around, id(node)), (*self._nodes, node)

    def params(self, name: str, table: Node) -> None:
        """Add the function `name(c, body, report, unsupported) -> body` of a parameter table."""
        self._made(name, "params", table, lambda: super(Templates, self).params(name, table))

    def _made(self, name: str, kind: str, node: Node, write: Callable[[], None]) -> None:
        """Add what `write` compiles to the unit. With a shelf it is compiled apart, and once for all who have the same."""
        if self.shelf is None:
            return write()
        key = (kind, id(node), *self._around)
        found = self.shelf.find(key, self.names, self.problems) or self._spelt(kind, key, node)
        if found is None:
            before, books = len(self.problems), self._books()
            outer, self.unit = self.unit, Unit(self.unit.label)
            self.helpers = Helpers(self.unit)
            if self.parts_function is not None and self._parts_made is not None:
                self.unit.bound[self.parts_function] = self._parts_made
            self._open_books()
            write()
            made, self.unit, written = self.unit, outer, self._books()
            self.helpers = Helpers(outer)
            self._open_books(*books)
            told = self.problems[before:]
            lost = kind != "parts" and self.parts_function is not None and self._parts_made is None
            if lost or any(problem.severity == "error" for problem in told):
                return self._enter(written)
            found = self.shelf.put(key, (node, *self._nodes), made.build()[name], told, self.names, written)
            if node.value.__class__ is str and not told:
                self.shelf.put((kind, node.value, *self._around), found.nodes, found.function, (), self.names, written)
        self._enter(found.books)
        self.unit.adopted[name] = found.function
        return None

    def _spelt(self, kind: str, key: tuple[Any, ...], node: Node) -> Shelved | None:
        """What was compiled for the same text at another place, of this place: all of a text is at one."""
        if self.shelf is None or node.value.__class__ is not str:
            return None
        found = self.shelf.find((kind, node.value, *self._around), self.names, self.problems)
        if found is None:
            return None
        return self.shelf.put(key, (node, *self._nodes), placed(found.function, node.mark), (), self.names, found.books)

    def _books(self) -> tuple[set[str], ...]:
        return self.reads, self.paths, self.part_reads, self.selected_types, self.part_types

    def _open_books(self, *books: set[str]) -> None:
        self.reads, self.paths, self.part_reads, self.selected_types, self.part_types = books or (set() for _ in range(5))

    def _enter(self, books: tuple[Collection[str], ...]) -> None:
        for book, found in zip(self._books(), books):
            book.update(found)

    def _open(self, mode: str) -> None:
        self.mode = mode
        self.frame = Frame(self.unit, self.helpers, self.budget)

    def _close(self, name: str, result: ast.expr, mark: Mark) -> None:
        if not self.trusted:
            self.put(assign("r", result), mark)
            self.put(ast.Expr(call(self.helpers.name(values.measure), load("r"), ast.Constant(self.budget << 6))), mark)
            result = load("r")
        self.put(ast.Return(result), mark)
        self.unit.function(name, ["c"], [*self.frame.prologue(), *self.frame.block])
