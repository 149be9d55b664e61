"""Templates read backwards (SERVE.md 2 and 3): the tree that writes a request is also the pattern that reads one.

    patterns = Patterns(problems, vocabulary.CHAT, tables, ("acme-chat",), parts, accept_parts)
    read = patterns.body(body, accept_body)             # read(value, bindings) -> (leftover or None, penalty) or None

Patterns never raise on what they are given (unless `look` does, which sees every unknown key), and cost pattern size x data
size. `dialects` is the `extends` chain, nearest first; leftovers and native items carry its last, the root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.expr.backward.bindings import Bindings, Look, Match, Matcher
from engine.expr.backward.lists import Place
from engine.expr.backward.params import Parameters, Taker
from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.vocabulary import Shape

__all__ = ["Bindings", "Match", "Matcher", "Patterns", "Taker"]

#: what these steps report
RULES = {
    "one-way": "An expression cannot be read backwards, so a request that holds what it writes is not understood there.\n\n"
    "What stands at its place is kept as it came for the same dialect and lost for others. Write another spelling under "
    "`serve.accept`, or an expression that can be turned around (SERVE.md 2).",
    "binds-nothing": "A name or hole of `serve.accept` tells a request nothing.\n\n"
    "What is accepted is read into the names of a request; a name it does not have is thrown away, and a view (`plain`, `last`) "
    "only repeats what other names say. Write the name that was meant, or a constant where only the shape counts.",
}


class Patterns(Parameters):
    """Compiles the templates of one operation into matchers. Findings go to `problems`."""

    def __init__(
        self,
        problems: Problems,
        request: Shape,
        tables: Mapping[str, Any],
        dialects: Sequence[str],
        parts: Node | None = None,
        accept_parts: Node | None = None,
        look: Look | None = None,
    ) -> None:
        super().__init__(problems, request, tables, dialects, look)
        self._tables = (accept_parts, parts)
        if parts is not None or accept_parts is not None:
            self.compile_parts()

    def body(self, *nodes: Node | None) -> Matcher:
        """A matcher for a body; further nodes are laid over the first, key by key (`accept.body`)."""
        pattern = self.build([Place(node, {}) for node in nodes if node is not None])
        return pattern.match if pattern is not None else _nothing

    def text(self, node: Node) -> Matcher:
        """A matcher for text with holes (paths) or a mapping of texts (queries, headers)."""
        pattern = self.build([Place(node, {})])
        return pattern.match if pattern is not None else _nothing


def _nothing(value: Any, bindings: Bindings) -> Match | None:
    return None
