"""Scalars of a template: text, the native value of one hole, or text with holes (SPEC_LANGUAGE 3.1, 3.3)."""

from __future__ import annotations

from typing import Any

from engine.expr.template import landing
from engine.expr.template.expressions import Expressions
from engine.expr.template.frame import Value, nothing
from engine.expr.template.names import Scope
from engine.expr.template.parse import ExpressionError, parse_expression, pieces
from engine.spec.node import Node

#: expressions that name a piece of data: in a URL it cannot be empty
_DATA_HEADS = frozenset(("name", "get", "item"))


class Leaves(Expressions):
    """Compiles scalars, encoded for where they land."""

    def leaf(self, node: Node, scope: Scope) -> Value:
        """A scalar: itself, the native value of its one hole, or a text with holes."""
        value = self._leaf(node, scope)
        self.unit.at(value.code, node.mark)  # type: ignore[arg-type]
        return value

    def _leaf(self, node: Node, scope: Scope) -> Value:
        text = node.value
        if text.__class__ is not str:
            return self.known(text)
        self._node, self._offset = node, 0
        if "{{" not in text:
            self._refuse_statements(text)
            return self.known(text)
        try:
            cut = pieces(text)
        except ExpressionError as error:
            self.problem("bad-expression", error.message)
            return nothing()
        single = len(cut) == 1
        found: list[Value] = []
        for at, (piece, offset, hole) in enumerate(cut):
            if not hole:
                self._refuse_statements(piece)
                found.append(self.known(piece))
                continue
            self._offset = offset
            value = self.hole(piece, scope, tail=single)
            self.whole(value)
            found.append(value if single and self.mode != "xml" else self._landed(piece, value, at))
            if not single and self._may_vanish(piece):
                message = f"`{piece}` may be nothing, and the whole text with it; write `else ''`"
                self.problem("may-vanish", message, piece, f"{{{{ {piece} else '' }}}}")
        if single:
            return self._checked_url(found[0]) if self.mode == "url" else found[0]
        if self.mode == "url":
            return Value(self.helpers.call(landing.url, self.frame.n(), *(v.code for v in found)))
        return self.text_of(found)

    def _refuse_statements(self, text: str) -> None:
        for opener in ("{%", "{#"):
            if opener in text:
                self.problem("bad-expression", f"`{opener}` is not part of the language, only {{{{ expressions }}}}", opener)
                return

    def _checked_url(self, value: Value) -> Value:
        return Value(self.helpers.call(landing.url, self.frame.n(), value.code))

    def _landed(self, text: str, value: Value, position: int) -> Value:
        """A hole of a text, encoded for where it lands."""
        if self.mode == "xml":
            return Value(self.helpers.call(landing.xml_hole, value.code), certain=value.certain)
        if self.mode != "url":
            return value
        tree = self._tree(text)
        if tree[0] == "filter" and tree[2] == "quote":
            return value
        encode = landing.url_origin if position == 0 else landing.url_data if tree[0] in _DATA_HEADS else landing.url_hole
        return Value(self.helpers.call(encode, value.code))

    @staticmethod
    def _tree(text: str) -> list[Any]:
        try:
            return parse_expression(text)
        except ExpressionError:
            return ["const", None]

    def _may_vanish(self, text: str) -> bool:
        def open_ended(tree: list[Any] | None) -> bool:
            return tree is None or (tree[0] == "if" and (open_ended(tree[2]) or open_ended(tree[3])))

        tree = self._tree(text)
        return tree[0] == "if" and open_ended(tree)
