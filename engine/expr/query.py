"""Paths: JMESPath, always and everywhere in a reply (SPEC_LANGUAGE 6, https://jmespath.org/specification.html).

A path is parsed by the JMESPath library, checked against RELIABILITY A5, and translated to Python. Texts that were parsed
before can be handed in as trees (`preload`), so that the library is imported only for texts nobody has seen.

Where a provider's data has a type a function does not take, JMESPath evaluation is an error. Replies must never crash the
engine, so a path of a spec gives nothing then; `compile_query` raises QueryError instead, as the standard says.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.errors import SpecError
from engine.expr.function import Unit, load
from engine.expr.query_code import Code, Value
from engine.expr.query_functions import FUNCTIONS, QueryError
from engine.expr.query_paths import write_path
from engine.expr.shelf import Shelf
from engine.spec.node import NOWHERE, Mark, Node
from engine.spec.problem import Problems, nearest

__all__ = ["PathError", "Queries", "QueryError", "compile_query", "parse", "parsed", "preload"]

DEPTH = 32  # levels of a path's tree
NODES = 200  # nodes of a path's tree
LOOPS = 10  # projections inside one another; Python nests no more than 20 blocks
LITERAL = 4096  # bytes of one literal, as JSON
LENGTH = 16384  # characters of a path
_REMEMBERED = 8192  # trees kept besides the preloaded ones

RULES = {
    "bad-path": "A path is not JMESPath, calls an unknown function or is too large.\n\nPaths read replies; see "
    "https://jmespath.org and SPEC_LANGUAGE 6.2 for six more functions. A path has at most 200 nodes, 32 levels and literals "
    "of 4 KiB. Inside `{ }` a path that contains a comma, brace, bracket, `#` or `: ` must be quoted.",
}

_REFERENCE = re.compile("(?<!&)&(?!&)")
_preloaded: dict[str, Any] = {}
_seen: dict[str, Any] = {}


class PathError(ValueError):
    """A text that is no usable path. `position` counts characters from 0; `width` is how many of them are meant."""

    def __init__(self, message: str, position: int = 0, width: int = 1, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.width = width
        self.suggestion = suggestion


def preload(trees: Mapping[str, Any]) -> None:
    """Take trees that `parsed` gave earlier; their texts are not parsed again."""
    _preloaded.update(trees)


def parsed() -> dict[str, Any]:
    """Every known text with its tree, as plain JSON."""
    return {**_preloaded, **_seen}


def parse(text: str) -> dict[str, Any]:
    """The syntax tree of a path: `{"type": "field", "value": "id", "children": []}`; trees are shared, never change one.

    Raises PathError for bad syntax, an unknown function, a wrong number of arguments or a limit of RELIABILITY A5.
    """
    tree = _preloaded.get(text) or _seen.get(text)
    if tree is None:
        tree = _parse(text)
        _check(tree, text)
        if len(_seen) >= _REMEMBERED:
            _seen.pop(next(iter(_seen)), None)
        _seen[text] = tree
    return tree  # type: ignore[no-any-return]


def _parse(text: str) -> Any:
    if len(text) > LENGTH:
        raise PathError(f"a path has at most {LENGTH:,} characters")
    if not text.strip():
        raise PathError("the path is empty")
    from jmespath.exceptions import IncompleteExpressionError, JMESPathError, LexerError, ParseError
    from jmespath.parser import Parser

    try:
        return Parser().parse(text).parsed
    except IncompleteExpressionError:
        raise PathError("incomplete expression", len(text)) from None
    except LexerError as error:
        raise PathError(_lower(str(error.message)), error.lexer_position) from None
    except ParseError as error:
        token = "" if error.token_value in (None, "") else f" `{error.token_value}`"
        raise PathError(f"unexpected{token or ' end'}", error.lex_position, max(1, len(token) - 3)) from None
    except JMESPathError as error:
        raise PathError(_lower(str(error).splitlines()[0])) from None
    except RecursionError:
        raise PathError(f"a path has at most {DEPTH} levels") from None
    except ValueError:
        raise PathError("a number is too long") from None


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _check(tree: Any, text: str) -> None:
    """Refuse what RELIABILITY A5 refuses, and calls that can never work."""
    for count, (node, depth, loops, parent) in enumerate(_walk(tree), 1):
        if depth > DEPTH:
            raise PathError(f"a path has at most {DEPTH} levels")
        if loops > LOOPS:
            raise PathError(f"projections nest at most {LOOPS} deep")
        if count > NODES:
            raise PathError(f"a path has at most {NODES} nodes")
        kind = node["type"]
        if kind == "literal":
            _check_literal(node["value"])
        elif kind == "slice" and node["children"][2] == 0:
            raise PathError("the step of a slice is never 0", max(0, text.find(":0]")))
        elif kind == "function_expression":
            _check_call(node, text)
        elif kind == "expref" and not _takes_expression(parent, node):
            found = _REFERENCE.search(text)
            position = found.start() if found else 0
            raise PathError("`&` stands only before an argument of map, sort_by, min_by and max_by", position)


def _walk(tree: Any) -> Iterator[tuple[Any, int, int, Any]]:
    """Every node with its depth, how many loops stand around it, and its parent."""
    stack = [(tree, 1, 0, None)]
    while stack:
        node, depth, loops, parent = stack.pop()
        yield node, depth, loops, parent
        kind = node["type"]
        for place, child in enumerate(node["children"]):
            if isinstance(child, dict):
                looped = kind == "expref" or (place > 0 and kind.endswith("projection"))
                stack.append((child, depth + 1, loops + looped, node))


def _check_literal(value: Any) -> None:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (ValueError, RecursionError):
        raise PathError("a literal is not JSON") from None
    if len(text.encode("utf-8", "surrogatepass")) > LITERAL:
        raise PathError(f"a literal has at most {LITERAL:,} bytes")
    stack = [(value, 0)]
    while stack:
        item, level = stack.pop()
        if level > DEPTH:
            raise PathError(f"a literal has at most {DEPTH} levels")
        if isinstance(item, (list, dict)):
            stack.extend((child, level + 1) for child in (item if isinstance(item, list) else item.values()))


def _check_call(node: Any, text: str) -> None:
    name, count = node["value"], len(node["children"])
    position = max(0, text.find(name + "("))
    spec = FUNCTIONS.get(name)
    if spec is None:
        raise PathError(f"unknown function `{name}`", position, len(name), nearest(name, FUNCTIONS))
    if count < spec.low or (spec.high is not None and count > spec.high):
        wanted = f"{spec.low} argument{'s' if spec.low > 1 else ''}"
        raise PathError(f"`{name}` takes {'at least ' if spec.high is None else ''}{wanted}, not {count}", position, len(name))
    if spec.expression >= 0 and node["children"][spec.expression]["type"] != "expref":
        raise PathError(f"`{name}` takes an `&expression`", position, len(name))


def _takes_expression(parent: Any, node: Any) -> bool:
    if parent is None or parent["type"] != "function_expression":
        return False
    spec = FUNCTIONS.get(parent["value"])
    return spec is not None and spec.expression >= 0 and parent["children"][spec.expression] is node


class Queries:
    """Compiles the paths of one unit. Findings go to `problems` (rule bad-path), each once."""

    def __init__(self, unit: Unit, problems: Problems, shelf: Shelf | None = None) -> None:
        self.unit = unit
        self.shelf = shelf
        self.problems = problems
        self._reported: set[tuple[Mark, str]] = set()

    def query(self, name: str, node: Node) -> None:
        """Add the function `name(document)` -> value or None.

        `node` is a path, or a number or boolean that is its own value. The function raises only LimitError.
        """
        key = ("query", id(node))
        found = self.shelf.find(key, {}, self.problems) if self.shelf is not None else None
        if found is None:
            before = len(self.problems)
            unit = self.unit if self.shelf is None else Unit(self.unit.label)
            code = Code(unit, node.mark)
            result = self.inline(code, node, Value(load("document")))
            if result is None:
                return
            code.add(ast.Return(result.expr))
            unit.function(name, ["document"], code.body())
            if self.shelf is None:
                return
            found = self.shelf.put(key, (node,), unit.build()[name], self.problems[before:])
        self.unit.adopted[name] = found.function

    def inline(self, code: Code, node: Node, value: Value) -> Value | None:
        """Write a path's statements into a function under construction; None if the path is wrong (and reported)."""
        text = node.value
        if text is None or text.__class__ in (int, float, bool):
            return Value(ast.Constant(text), text.__class__ not in (int, float), value.growth)
        if text.__class__ is not str:
            self.report(node.mark, "a path is one text, a number or a boolean")
            return None
        try:
            tree = parse(text)
        except PathError as error:
            column = "" if error.suggestion or not error.position else f" at column {error.position + 1}"
            file, line, start = node.mark
            place = node.mark if node.mark == NOWHERE else Mark(file, line, start + error.position)
            self.report(place, f"`{_short(text)}`: {error.message}{column}", error.suggestion, error.width)
            return None
        code.mark = node.mark
        return write_path(code, tree, value)

    def report(self, mark: Mark, message: str, suggestion: str | None = None, width: int = 1) -> None:
        if (mark, message) not in self._reported:
            self._reported.add((mark, message))
            self.problems.error("bad-path", message, mark, suggestion, width=width)


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"


def compile_query(text: str) -> Callable[[Any], Any]:
    """One path as a function of a document, strict as the JMESPath specification has it.

    Raises SpecError for a wrong path. The function raises QueryError (invalid-type) and LimitError.
    """
    try:
        tree = parse(text)
    except PathError as error:
        raise SpecError(f"{_short(text)}: {error.message} at column {error.position + 1}") from None
    unit = Unit("path")
    code = Code(unit)
    result = write_path(code, tree, Value(load("document")), lenient=False)
    code.add(ast.Return(result.expr))
    unit.function("query", ["document"], code.body())
    return unit.build()["query"]
