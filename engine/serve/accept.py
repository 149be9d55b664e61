"""A client's request in the words of a dialect -> the canonical request (SERVE.md 2 to 4).

    accepting = compile_accept(tree, dialects, problems)
    accepting.route("POST", "/v1beta/models/m:generateContent", {})     # {"model": "m"} or None
    fields = accepting.accept(body, report)                               # for Operation.render(**fields)

`tree` is a merged operation. The forward templates are the pattern; `serve.accept` adds other spellings. Accepting never
raises on a body, whatever it is: what is not understood stays under `extra`, or in its place as a native item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine import vocabulary
from engine.expr.backward import Bindings, Matcher, Patterns, Taker
from engine.expr.backward.bindings import UNSURE, found
from engine.expr.backward.saying import unheard
from engine.serve.canonical import inputs_of, request_of
from engine.serve.spelling import Spelling
from engine.spec.compile.parameters import native_of
from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.types import Report

__all__ = ["Accepting", "compile_accept"]

Accept = Callable[[Any, "Report | None"], dict[str, Any]]
Route = Callable[[str, str, Mapping[str, Any]], "dict[str, Any] | None"]

MAX_PATH = 8192
_VERBS = ("get", "post", "put", "patch", "delete")
_ROUTED = ("model", "stream")


@dataclass(frozen=True, slots=True)
class Accepting:
    """Both halves of reading a request."""

    accept: Accept
    route: Route


def compile_accept(tree: Node, dialects: Sequence[str], problems: Problems, operation: str = "chat") -> Accepting:
    """The readers of a merged operation's requests. `dialects` is its `extends` chain, nearest first."""
    accept = tree.get("serve", "accept") or _EMPTY
    names = vocabulary.Shape({**(vocabulary.REQUESTS[operation].fields or {}), **dict.fromkeys(native_of(tree), vocabulary.ANY)})
    unheard(accept, names, problems)
    tables = tree.get("tables")
    either = accept.get("spelling")
    spelling = Spelling(tree, accept) if either is not None and either.value == "either" else None
    patterns = Patterns(
        problems,
        names,
        tables.plain() if tables is not None else {},
        dialects,
        tree.get("parts"),
        accept.get("parts"),
        spelling.look if spelling is not None else None,
    )
    body = patterns.body(tree.get("body") or tree.get("form") or tree.get("multipart") or _EMPTY, accept.get("body"))
    params = patterns.params(tree.get("params"), accept.get("params"))
    absent = accept.get("absent")
    reader = _reader(
        body, params, absent.plain() if absent is not None else {}, spelling, dialects[-1] if dialects else "", operation
    )
    return Accepting(reader, _route(tree, accept, patterns))


_EMPTY = Node({})


def _reader(
    body: Matcher, params: Taker, absent: Mapping[str, Any], spelling: Spelling | None, dialect: str, operation: str
) -> Accept:
    fields_of = request_of if operation in ("chat", "count_tokens") else inputs_of if operation == "embeddings" else _as_bound

    def read(given: Any) -> tuple[Any, Bindings]:
        """What is left over, and what was bound."""
        bindings: Bindings = {}
        try:
            match = body(given, bindings)
        except RecursionError:
            match = None  # nested as no request is
        if match is None:
            bindings = {}
            left = given
        else:
            left = match[0]
        return params(left, bindings) if left is not None else None, bindings

    def accept(given: Any, report: Report | None = None) -> dict[str, Any]:
        if spelling is None:
            left, bindings = read(given)
        else:
            left, bindings = spelling.read(given, read)
        unsure = bindings.pop(UNSURE, None) if UNSURE in bindings else None
        if unsure and left.__class__ is dict:
            for key, (path, rest) in unsure.items():
                if found(bindings, path) is not None or (path == ("reasoning",) and "reasoning_effort" in bindings):
                    left = {k: rest if k == key else v for k, v in left.items() if k != key or rest is not None}
        for name, value in absent.items():
            if value.__class__ is dict:
                _fill(bindings.get(name), value)
            elif bindings.get(name) is None:
                bindings[name] = value
        fields = fields_of(bindings, dialect)
        if left:
            if left.__class__ is dict:
                fields["extra"] = {dialect: left}
            elif report is not None:
                report.warnings.append("the body of the request is not a mapping and was left out")
        return fields

    return accept


def _as_bound(bindings: Bindings, dialect: str) -> dict[str, Any]:
    return bindings


def _fill(have: Any, absent: Mapping[str, Any]) -> None:
    """What missing fields mean below a name, if that was said."""
    if have.__class__ is dict:
        for name, value in absent.items():
            if value.__class__ is dict:
                _fill(have.get(name), value)
            elif have.get(name) is None:
                have[name] = value


def _route(tree: Node, accept: Node, patterns: Patterns) -> Route:
    """Method, path and query read backwards: `{model, stream}` as far as they say it, or None."""
    routes: list[tuple[str, Matcher]] = []
    for verb in _VERBS:
        for holder in (tree, accept):
            node = holder.get(verb)
            for item in (node.value if node.is_list else [node]) if node is not None else []:
                if isinstance(item.value, str):
                    routes.append((verb.upper(), patterns.text(item)))
    query_node = tree.get("query")
    query_of = patterns.text(query_node) if query_node is not None and query_node.value else None

    def route(method: str, path: str, query: Mapping[str, Any]) -> dict[str, Any] | None:
        if len(path) > MAX_PATH:
            return None
        method = method.upper()
        for verb, match in routes:
            bindings: Bindings = {}
            if verb != method or match(path, bindings) is None:
                continue
            if query_of is not None and query:
                said: Bindings = {}
                if query_of(dict(query), said) is not None:
                    for key, value in said.items():
                        bindings.setdefault(key, value)
            return {k: bindings[k] for k in _ROUTED if k in bindings}
        return None

    return route
