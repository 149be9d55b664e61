"""Expressions read backwards (SERVE.md 2): a value and the bindings that would have written it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from engine.expr.backward.bindings import MATCHED, Bindings, Match, Matcher, Path, Pattern, bind, same
from engine.expr.backward.choose import first_of
from engine.expr.backward.forward import Forward, Row, opaque
from engine.expr.backward.names import PART_LISTS, VIEWS, Scope, Tree, free, kind_of, path_of, words_of
from engine.expr.template import ExpressionError, parse_expression
from engine.expr.template.parse import pieces
from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.vocabulary import Shape

MAX_TEXT = 8192  # characters a text with holes is matched against (SERVE.md 12)
#: filters that change nothing a reader could know
_SAME = frozenset(["int", "round", "trim", "nullable", "ident"])
_DEPTH = 64
_ANYTHING = 1000


class Expressions:
    """Compiles expressions into patterns. An expression that nothing can be read from gives None."""

    def __init__(self, problems: Problems, request: Shape, tables: Mapping[str, Any], dialects: Sequence[str]) -> None:
        self.problems = problems
        self.names: dict[str, Shape] = dict(request.fields or {})
        self.dialect = dialects[-1] if dialects else ""
        self.forward = Forward(self.names, tables)
        self.literals: set[str] = set()  # every text that some pattern knows
        self.transforms = 0  # patterns that look into a text
        self._tabulated: dict[str, Pattern | None] = {}

    def one_part(self, value: Any) -> dict[str, Any]:
        """A wire item as a part; what no entry fits is native."""
        raise NotImplementedError

    # --- leaves ------------------------------------------------------------------------------------------------------

    def leaf(self, node: Node, scope: Scope) -> Pattern | None:
        """A scalar: a constant, one hole, or text with holes."""
        text = node.value
        if text.__class__ is not str or "{{" not in text:
            return self.known(text)
        try:
            found = pieces(text)
        except ExpressionError:
            return None  # the forward compiler has said so
        if len(found) == 1:
            made = self.hole(found[0][0], scope)
            if made is None:
                self.problems.warn("one-way", f"`{found[0][0][:80]}` cannot be read backwards", node.mark, width=len(text))
            return made
        return self.with_holes(found, scope)

    def known(self, value: Any) -> Pattern:
        """Exactly this value."""
        if value.__class__ is str:
            self.literals.add(value)
        return constant(value)

    def hole(self, text: str, scope: Scope) -> Pattern | None:
        try:
            return self.invert(parse_expression(text), scope)
        except ExpressionError:
            return None

    def with_holes(self, found: Sequence[tuple[str, int, bool]], scope: Scope) -> Pattern | None:
        """Text with holes: an anchored regular expression, each hole read in turn."""
        self.transforms += 1
        expression, readers = "", []
        for piece, _, hole in found:
            if not hole:
                expression += re.escape(piece)
                continue
            reader = self.hole(piece, scope)
            if reader is None:
                return None
            readers.append(reader.match)
            words = [str(v) for v in reader.values or ()]
            expression += "(" + "|".join(map(re.escape, sorted(words, key=len, reverse=True))) + ")" if words else "(.+?)"
        pattern = re.compile(expression + r"\Z", re.DOTALL)

        def match(value: Any, bindings: Bindings) -> Match | None:
            if value.__class__ is not str or len(value) > MAX_TEXT:
                return None
            fits = pattern.match(value)
            if fits is None:
                return None
            for piece, reader in zip(fits.groups(), readers, strict=True):
                if reader(piece, bindings) is None:
                    return None
            return MATCHED

        return Pattern(match, deep=True)

    # --- expressions -------------------------------------------------------------------------------------------------

    def invert(self, tree: Tree, scope: Scope) -> Pattern | None:
        """A pattern for the values an expression gives, or None if nothing can be read from them."""
        kind = tree[0]
        if kind == "const":
            return self.known(tree[1]) if tree[1] is not None else _NOTHING
        path = path_of(tree)
        if path is not None and path[0] != "tables":
            return self.path(path, scope)
        tabulated = self.tabulated(tree, scope)
        if tabulated is not None:
            return tabulated
        if kind == "filter":
            return self.filter(tree, scope)
        method: Callable[[Tree, Scope], Pattern | None] | None = {
            "if": self.conditional,
            "or": self.either,
            "map": self.mapping_of,
            "list": self.list_of,
            "get": self.field_of_item,
            "call": self.call,
            "+": self.joined_parts,
        }.get(kind)
        return method(tree, scope) if method is not None else None

    def path(self, path: Path, scope: Scope) -> Pattern:
        """A name: binds what it is given, if that is of its kind."""
        want, words = kind_of(path), words_of(path, self.names, scope)
        if words is not None:
            accepted = words

            def match_word(value: Any, bindings: Bindings) -> Match | None:
                for word in accepted:
                    if word == value and word.__class__ is value.__class__:
                        return MATCHED if path[-1] in VIEWS or bind(bindings, path, value) else None
                return None

            return Pattern(match_word, closed=True)
        if path[-1] == "native":

            def match_any(value: Any, bindings: Bindings) -> Match | None:
                # what fits anything fits worst
                return (None, _ANYTHING) if value.__class__ is dict and bind(bindings, path, value) else None

            return Pattern(match_any)
        if len(path) == 2:
            first, second = path

            def match_field(value: Any, bindings: Bindings) -> Match | None:
                if want is not None and value.__class__ is not want:
                    return None
                at = bindings.get(first)
                if at is None:
                    bindings[first] = {second: value}
                    return MATCHED
                if at.__class__ is dict and second not in at:
                    at[second] = value
                    return MATCHED
                return MATCHED if bind(bindings, path, value) else None

            return Pattern(match_field)

        def match(value: Any, bindings: Bindings) -> Match | None:
            if want is not None and value.__class__ is not want:
                return None
            return MATCHED if bind(bindings, path, value) else None

        return Pattern(match)

    def tabulated(self, tree: Tree, scope: Scope) -> Pattern | None:
        """An expression of closed names that gives constants only: its table, turned around."""
        key = f"{tree!r} {sorted(scope)}"
        if key not in self._tabulated:
            self._tabulated[key] = self._tabulate(tree, scope)
        return self._tabulated[key]

    def _tabulate(self, tree: Tree, scope: Scope) -> Pattern | None:
        closed, open_ = self.forward.paths(tree, scope)
        if not closed and open_:
            return None
        if any(t[0] == "call" for t in _within(tree)):
            return None
        rows = self.forward.rows(tree, scope)
        if not rows or any(opaque(row.value) for row in rows):
            return None
        rows = [row for row in rows if row.value is not None]
        if not rows:
            return _NOTHING
        values: list[Any] = []
        table: list[tuple[Any, list[Row]]] = []
        for row in rows:
            entry = next((e for e in table if same(e[0], row.value)), None)
            if entry is None:
                table.append((row.value, [row]))
                values.append(row.value)
            else:
                entry[1].append(row)
        # the word that is written as itself comes first, then what says least
        order = [(v, sorted(rs, key=lambda r, v=v: (not any(same(w, v) for _, w in r.words), len(r.words)))) for v, rs in table]
        readers = [(v, [tuple((p, w) for p, w in r.words if p[-1] not in VIEWS) for r in rs[:8]]) for v, rs in order]

        def match(value: Any, bindings: Bindings) -> Match | None:
            for word, candidates in readers:
                if word == value and word.__class__ is value.__class__:
                    for said in candidates:
                        if agrees(bindings, said):
                            for path, w in said:
                                bind(bindings, path, w)
                            return MATCHED
                    return MATCHED if soft(candidates[0]) else None
            return None

        self.literals.update(v for v in values if v.__class__ is str)
        weak = None
        if len(readers) == 1 and len(readers[0][1]) > 1 and all(len(c) == 1 and c[0][0][-1] == "mode" for c in readers[0][1]):
            weak = readers[0][1][0][0][0][:-1]
        return Pattern(match, values=tuple(values), binds=any(any(c) for _, c in readers), closed=True, weak=weak)

    def conditional(self, tree: Tree, scope: Scope) -> Pattern | None:
        """`a if c else b`: whichever side fits, what the condition says with the first."""
        test, then, other = tree[1], self.invert(tree[2], scope), self.invert(tree[3], scope) if tree[3] is not None else None
        if not any(True for _ in free(test)):
            rows = self.forward.rows(test, scope)
            return then if rows and rows[0].value else other
        literal_first = tree[3] is not None and tree[3][0] in ("map", "list", "const")
        if then is not None:
            if test[0] == "test" and test[2] == "mapping":
                then = _only(then, dict)
                literal_first = literal_first and kind_of(path_of(test[1]) or ("",)) is not dict
            elif test[0] == "test" and test[2] == "string":
                then = _only(then, str)
            then = self.hinted(then, test, scope)
            if not then.binds and (other is None or not other.binds):
                return None  # what it says cannot be known
        sides = [other, then] if literal_first or (other is not None and other.values is not None) else [then, other]
        return either(sides)

    def hinted(self, pattern: Pattern, test: Tree, scope: Scope) -> Pattern:
        """A pattern whose match also says what its condition needs."""
        hints = [(p, w) for p, w in self.forward.hints(test, scope) if p[-1] not in VIEWS]
        if not hints:
            return pattern
        inner = pattern.match

        def match(value: Any, bindings: Bindings) -> Match | None:
            fits = inner(value, bindings)
            if fits is not None:
                say(bindings, hints)
            return fits

        return Pattern(match, pattern.values, True, pattern.closed, pattern.keys, pattern.guards, pattern.deep, pattern.loop)

    def either(self, tree: Tree, scope: Scope) -> Pattern | None:
        """`a or b`: a table or a literal is tried first; a literal says nothing."""
        left, right = self.invert(tree[1], scope), self.invert(tree[2], scope)
        if right is not None and (right.values is not None or tree[2][0] in ("map", "list")):
            return either([right, left])
        return either([left, right])

    def mapping_of(self, tree: Tree, scope: Scope) -> Pattern | None:
        """A mapping written in an expression: these keys and no others."""
        inner = [(key, self.invert(value, scope)) for key, value in tree[1]]
        if any(p is None for _, p in inner):
            return None
        items = [(key, p.match) for key, p in inner if p is not None]
        size = len(items)

        def match(value: Any, bindings: Bindings) -> Match | None:
            if value.__class__ is not dict or len(value) != size:
                return None
            for key, one in items:
                if key not in value or one(value[key], bindings) is None:
                    return None
            return MATCHED

        values = tuple(p.values[0] for _, p in inner if p is not None and p.values is not None and not p.binds)
        literal = (dict(zip((k for k, _ in items), values, strict=True)),) if len(values) == size else None
        return Pattern(match, values=literal, binds=literal is None, deep=literal is None)

    def list_of(self, tree: Tree, scope: Scope) -> Pattern | None:
        """A list written in an expression: these items and no others."""
        inner = [self.invert(item, scope) for item in tree[1]]
        if any(p is None for p in inner):
            return None
        readers = [p.match for p in inner if p is not None]

        def match(value: Any, bindings: Bindings) -> Match | None:
            if value.__class__ is not list or len(value) != len(readers):
                return None
            return MATCHED if all(r(v, bindings) is not None for r, v in zip(readers, value, strict=True)) else None

        return Pattern(match, binds=bool(readers), deep=True)

    def field_of_item(self, tree: Tree, scope: Scope) -> Pattern | None:
        """`(list | where(k, v) | last).field`: an item of its own."""
        picked = tree[1]
        if picked[0] == "filter" and picked[2] in ("first", "last") and picked[1][0] == "filter" and picked[1][2] == "where":
            where = picked[1]
            path = path_of(where[1])
            self.transforms += 1
            if path is not None and len(where[3]) == 2 and all(a[0] == "const" for a in where[3]):
                key, word = where[3][0][1], where[3][1][1]
                target, field = _whole(path), tree[2]

                def match(value: Any, bindings: Bindings) -> Match | None:
                    return MATCHED if value.__class__ is str and bind(bindings, target, [{key: word, field: value}]) else None

                return Pattern(match)
        return None

    # --- parts -------------------------------------------------------------------------------------------------------

    def call(self, tree: Tree, scope: Scope) -> Pattern | None:
        if tree[1] != "parts" or len(tree[2]) != 1:
            return None
        return self.parts_of(tree[2][0], scope)

    def joined_parts(self, tree: Tree, scope: Scope) -> Pattern | None:
        """Lists of parts one after the other: all parts of the message, in their order."""
        if not any(t[0] == "call" and t[1] == "parts" for t in _within(tree)):
            return None
        return self.parts_of(tree, scope)

    def parts_of(self, tree: Tree, scope: Scope) -> Pattern | None:
        """`parts(x)`: each item against the parts table; a bare text is one text part."""
        path = path_of(tree)
        if path is None:
            paths = [p for p in free(tree) if p[-1] in PART_LISTS]
            if not paths:
                return None
            path = _whole(paths[0])
        single = len(path) == 1 and path[0] in scope
        several, one = self.several_parts, self.one_part

        def match(value: Any, bindings: Bindings) -> Match | None:
            if value.__class__ is str:
                return MATCHED if bind(bindings, path, several([value])) else None
            if value.__class__ is dict:
                return MATCHED if bind(bindings, path, one(value) if single else several([value])) else None
            return MATCHED if value.__class__ is list and bind(bindings, path, several(value)) else None

        return Pattern(match)

    def several_parts(self, items: list[Any]) -> list[dict[str, Any]]:
        raise NotImplementedError

    # --- filters -----------------------------------------------------------------------------------------------------

    def filter(self, tree: Tree, scope: Scope) -> Pattern | None:
        _, base, name, args, _ = tree
        if name == "map" or (name == "join" and base[0] == "filter" and base[2] == "map"):
            return self.mapped(tree, scope)
        if name == "first" and base[0] == "filter" and base[2] == "split":
            return self.invert(base[1], scope)
        inner = self.invert(base, scope)
        if inner is None:
            return None
        if name in _SAME:
            return inner
        if name == "default":
            literal = self.invert(args[0], scope)
            return either([literal, inner]) if literal is not None and not literal.binds else inner
        self.transforms += 1
        undo = _UNDO.get(name)
        return _through(inner, undo) if undo is not None else None

    def mapped(self, tree: Tree, scope: Scope) -> Pattern | None:
        """`x | where(k, v) | map(f)`: each item is `{k: v, f: item}`; joined to one text it is one item."""
        joined = tree[2] == "join"
        source = tree[1] if joined else tree
        field = source[3][0][1] if source[3][0][0] == "const" else None
        base, given = source[1], {}
        if base[0] == "filter" and base[2] == "where" and all(a[0] == "const" for a in base[3]):
            given = {base[3][0][1]: base[3][1][1] if len(base[3]) > 1 else True}
            base = base[1]
        path = path_of(base)
        if path is None or field is None:
            return None
        if joined and field == "text" and path[-1] in PART_LISTS:
            given = {"type": "text", **given}
        target = _whole(path) if path[-1] in PART_LISTS else path

        def match(value: Any, bindings: Bindings) -> Match | None:
            items = [value] if joined else value
            if items.__class__ is not list or (joined and value.__class__ is not str):
                return None
            return MATCHED if bind(bindings, target, [{**given, field: item} for item in items]) else None

        return Pattern(match)


# --- pieces ----------------------------------------------------------------------------------------------------------

_NOTHING = Pattern(lambda value, bindings: None, values=(), binds=False)


def constant(value: Any) -> Pattern:
    """Exactly this value."""
    kind = value.__class__

    def match(given: Any, bindings: Bindings) -> Match | None:
        return MATCHED if given == value and given.__class__ is kind else None

    return Pattern(match, values=(value,), binds=False, closed=True)


def either(sides: Sequence[Pattern | None]) -> Pattern | None:
    """The first side that fits. A side that may bind and then fail is tried on a mapping of its own."""
    known = [p for p in sides if p is not None]
    if len(known) < 2:
        return known[0] if known else None
    if all(p.values is not None and not p.binds for p in known):
        values = tuple(v for p in known for v in p.values or ())
        return Pattern(first_of(known), values=values, binds=False, closed=True)
    return Pattern(
        first_of([apart(p) for p in known]),
        binds=any(p.binds for p in known),
        closed=all(p.closed for p in known),
        keys=all_keys(known),
    )


def all_keys(patterns: Sequence[Pattern]) -> frozenset[str] | None:
    """The keys of which one must be there for any of the patterns to fit."""
    keys: set[str] = set()
    for pattern in patterns:
        if pattern.keys is None:
            return None
        keys |= pattern.keys
    return frozenset(keys)


def apart(pattern: Pattern) -> Pattern:
    """A pattern that binds all or nothing."""
    if not pattern.deep:
        return pattern
    from engine.expr.backward.bindings import join

    inner = pattern.match

    def match(value: Any, bindings: Bindings) -> Match | None:
        own: Bindings = {}
        fits = inner(value, own)
        return fits if fits is not None and join(bindings, own) else None

    return Pattern(match, pattern.values, pattern.binds, pattern.closed, pattern.keys, pattern.guards, False, pattern.loop)


def say(bindings: Bindings, hints: Sequence[tuple[Path, Any]]) -> None:
    """Bind what a condition needs where nothing is said yet."""
    from engine.expr.backward.bindings import found

    for path, word in hints:
        if found(bindings, path) is None:
            bind(bindings, path, word)


def agrees(bindings: Bindings, said: Sequence[tuple[Path, Any]]) -> bool:
    from engine.expr.backward.bindings import found

    return all((have := found(bindings, path)) is None or same(have, word) for path, word in said)


def soft(said: Sequence[tuple[Path, Any]]) -> bool:
    """Whether all that is said is a view others may know better."""
    return all(path[-1] in ("type", "mode", "effort") for path, _ in said)


def _only(pattern: Pattern, kind: type) -> Pattern:
    inner = pattern.match

    def match(value: Any, bindings: Bindings) -> Match | None:
        return inner(value, bindings) if value.__class__ is kind else None

    return Pattern(match, pattern.values, pattern.binds, pattern.closed, pattern.keys, pattern.guards, pattern.deep, pattern.loop)


def _through(pattern: Pattern, undo: Callable[[Any], Any]) -> Pattern:
    inner = pattern.match

    def match(value: Any, bindings: Bindings) -> Match | None:
        undone = undo(value)
        return inner(undone, bindings) if undone is not None else None

    return Pattern(match, binds=pattern.binds, closed=pattern.closed, deep=pattern.deep)


def _whole(path: Path) -> Path:
    """All parts of the message or part whose lists of some parts a path names."""
    return (*path[:-1], "parts") if path[-1] in PART_LISTS and len(path) > 1 else path


def _within(tree: Tree) -> list[Tree]:
    from engine.expr.backward.names import children

    out, todo = [], [tree]
    while todo:
        at = todo.pop()
        out.append(at)
        todo.extend(children(at))
    return out


def _parsed(value: Any) -> Any:
    if value.__class__ is not str:
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _lower(value: Any) -> Any:
    return value.lower() if value.__class__ is str else None


def _unquoted(value: Any) -> Any:
    return unquote(value) if value.__class__ is str else None


def _decoded(value: Any) -> Any:
    if value.__class__ is not str:
        return None
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return None


_SCHEMA_TYPES = ("STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")


def schema_words(value: Any, depth: int = 0) -> Any:
    """A schema with the case of its `type` words restored; unchanged parts are the same objects."""
    if depth > _DEPTH:
        return value
    if value.__class__ is dict:
        changed = {
            k: new
            for k, v in value.items()
            if (new := v.lower() if k == "type" and v in _SCHEMA_TYPES else schema_words(v, depth + 1)) is not v and new != v
        }
        return {**value, **changed} if changed else value
    if value.__class__ is list:
        items = [schema_words(v, depth + 1) for v in value]
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    return value


_UNDO: dict[str, Callable[[Any], Any]] = {
    "json": _parsed,
    "fromjson": lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    "lower": _lower,
    "upper": _lower,
    "quote": _unquoted,
    "b64": _decoded,
    "first": lambda value: [value],
    "last": lambda value: [value],
    "schema": schema_words,
}

__all__ = ["Expressions", "Matcher", "apart", "constant", "either", "say"]
