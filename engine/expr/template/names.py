"""What a template may name, what it reads, and where its problems are reported."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping
from typing import Any

from engine.expr.function import Unit, load
from engine.expr.template.frame import Frame, Helpers, Value
from engine.spec.node import Mark, Node
from engine.spec.problem import Problems
from engine.vocabulary import ANY, MESSAGE, PART, Shape

Scope = Mapping[str, Value]

#: what is sent of a part that goes out as a file
SENT = ("bytes", "size", "media_type", "format", "filename", "file_id", "url", "via")
_INDICATORS = frozenset("{[\"'&*!|>%@`#,")


class Names:
    """The function at hand (`frame`), the names it may read, the books of what was read, the problems found."""

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
        self.certain: Collection[str] = (request.fields or ()) if request.whole else ()  # names that every context has
        self.hidden: Collection[str] = ()  # names that exist, but not for these templates
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

    # --- values ------------------------------------------------------------------------------------------------------

    def known(self, value: Any) -> Value:
        """A constant; containers are made anew each time, so that nobody can change the next rendering."""
        return Value(display(value), certain=value is not None, constant=value)

    def twice(self, code: ast.expr) -> tuple[ast.expr, ast.expr]:
        """The expression to evaluate first, and one that gives its value again."""
        if isinstance(code, ast.Name):
            return code, load(code.id)
        name = self.unit.fresh("t")
        return ast.NamedExpr(ast.Name(name, ast.Store()), code), load(name)

    def whole(self, value: Value) -> None:
        """A part, message or list of them is used as it is: all its fields count as read, of a file only what is sent of it."""
        for shape in (value.shape, value.shape.item):
            if shape is PART and self.mode == "file":
                self.part_reads.update(SENT)
            elif shape is not None and shape.fields is not None:
                self.part_reads.update(shape.fields)
                if shape is MESSAGE:
                    self.part_reads.add("message.name")


def display(value: Any) -> ast.expr:
    """A syntax tree that makes a plain value anew."""
    if value.__class__ is dict:
        return ast.Dict([ast.Constant(k) for k in value], [display(v) for v in value.values()])
    if value.__class__ is list:
        return ast.List([display(v) for v in value], ast.Load())
    return ast.Constant(value)
