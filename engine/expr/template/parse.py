"""Expression text -> neutral tree, and text with holes -> pieces.

A tree is nested lists of JSON values, so it can be packaged and jinja2 need not be imported for text that is known:

    ["const", value]            ["name", "m"]                ["get", tree, "field"]       ["item", tree, tree]
    ["slice", tree, a, b, c]    ["filter", tree, name, args, {name: tree}]                ["test", tree, name]
    ["call", name, args, {…}]   ["and" | "or", a, b]         ["not" | "neg", tree]        ["if", test, a, b or None]
    ["compare", tree, [[op, tree], …]]                       ["+" | "-" | …, a, b]        ["join", [trees]]
    ["list", [trees]]           ["map", [[key, tree], …]]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Tree = list[Any]

MAX_TEXT = 8192  # characters of one expression
MAX_DEPTH = 64
_MAX_KEPT = 20_000

_trees: dict[str, Tree] = {}
_parser: Any = None


class ExpressionError(ValueError):
    """Text that is no expression of the language. `token` is the offending word of the text, if known."""

    def __init__(self, message: str, token: str | None = None, rule: str = "bad-expression") -> None:
        super().__init__(message)
        self.message = message
        self.token = token
        self.rule = rule


def preload(trees: Mapping[str, Tree]) -> None:
    """Take trees that were parsed earlier (by `parsed`), so that their texts need no jinja2."""
    _trees.update(trees)


def parsed() -> dict[str, Tree]:
    """Every expression parsed or preloaded in this process, by its text."""
    return dict(_trees)


def parse_expression(text: str) -> Tree:
    """The neutral tree of an expression (SPEC_LANGUAGE 3.3). Raises ExpressionError; trees are shared, never change them."""
    text = text.strip()
    found = _trees.get(text)
    if found is None:
        if len(_trees) >= _MAX_KEPT:
            _trees.clear()
        found = _trees[text] = _parse(text)
    return found


def _parse(text: str) -> Tree:
    global _parser
    if not text:
        raise ExpressionError("an expression is missing")
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"an expression of more than {MAX_TEXT} characters")
    if text.startswith("{{"):
        raise ExpressionError("this is an expression already; write it without {{ }}")
    if _parser is None:
        from engine.expr.template.jinja import parse

        _parser = parse
    tree: Tree = _parser(text)
    return tree


_CLOSERS = {"(": ")", "[": "]", "{": "}"}


def pieces(text: str) -> list[tuple[str, int, bool]]:
    """Text with holes cut up: (text or expression, its offset, is it a hole). Raises ExpressionError.

    "a{{ b }}c" gives [("a", 0, False), ("b", 4, True), ("c", 8, False)].
    """
    out: list[tuple[str, int, bool]] = []
    at = 0
    while True:
        start = text.find("{{", at)
        if start < 0:
            break
        if start > at:
            out.append((text[at:start], at, False))
        end = _hole_end(text, start + 2)
        inside = text[start + 2 : end]
        if inside[:1] in ("-", "+") or inside[-1:] in ("-", "+"):
            raise ExpressionError("whitespace control is not part of the language; put a space after {{")
        lead = len(inside) - len(inside.lstrip())
        out.append((inside.strip(), start + 2 + lead, True))
        at = end + 2
    if at < len(text) or not out:
        out.append((text[at:], at, False))
    return out


def _hole_end(text: str, at: int) -> int:
    opened: list[str] = []
    size = len(text)
    while at < size:
        char = text[at]
        if char in "'\"":
            at += 1
            while at < size and text[at] != char:
                at += 2 if text[at] == "\\" else 1
        elif char in _CLOSERS:
            opened.append(_CLOSERS[char])
        elif char == "}" and not opened and text[at + 1 : at + 2] == "}":
            return at
        elif char in ")]}" and (not opened or opened.pop() != char):
            raise ExpressionError(f"`{char}` closes nothing")
        at += 1
    raise ExpressionError("a hole is opened with {{ but not closed with }}")
