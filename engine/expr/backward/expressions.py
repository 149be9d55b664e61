"""Expressions read backwards (SERVE.md 2): a value and the bindings that would have written it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from engine.expr.backward.bindings import MATCHED, Bindings, Match, Matcher, Path, Pattern, bind
from engine.expr.backward.combine import NOTHING, either, only, say, through
from engine.expr.backward.filters import SAME, UNDO
from engine.expr.backward.names import PART_LISTS, VIEWS, Scope, Tree, free, kind_of, path_of, within, words_of
from engine.expr.backward.tabulate import Tables
from engine.expr.template import ExpressionError, parse_expression
from engine.expr.template.parse import pieces
from engine.spec.node import Node

MAX_TEXT = 8192  # characters a text with holes is matched against (SERVE.md 12)
_ANYTHING = 1000
_LINEAR = 2  # holes of which the last goes to the end: a longer text costs no more than its length


class Expressions(Tables):
    """Compiles expressions into patterns. An expression that nothing can be read from gives None."""

    def one_part(self, value: Any) -> dict[str, Any]:
        """A wire item as a part; what no entry fits is native."""
        raise NotImplementedError

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

    def invert(self, tree: Tree, scope: Scope) -> Pattern | None:
        """A pattern for the values an expression gives, or None if nothing can be read from them."""
        kind = tree[0]
        if kind == "const":
            return self.known(tree[1]) if tree[1] is not None else NOTHING
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
            "join": self.joined_text,
        }.get(kind)
        return method(tree, scope) if method is not None else None

    def joined_text(self, tree: Tree, scope: Scope) -> Pattern | None:
        """`a ~ b`: text with holes too, of which some may be missing (`'<' ~ a ~ '>' if a else ''`)."""
        readers: list[Matcher] = []
        expression = self.text_of(tree, scope, readers)
        if expression is None or not readers:
            return None
        self.transforms += 1
        self.splits += 1
        pattern = re.compile(expression + r"\Z", re.DOTALL)
        longest = MAX_TEXT if len(readers) > _LINEAR else None

        def match(value: Any, bindings: Bindings) -> Match | None:
            if value.__class__ is not str or not value or (longest is not None and len(value) > longest):
                return None
            fits = pattern.match(value)
            if fits is None:
                return None
            for piece, reader in zip(fits.groups(), readers, strict=True):
                if piece and reader(piece, bindings) is None:
                    return None
            return MATCHED

        return Pattern(match, deep=True)

    def text_of(self, tree: Tree, scope: Scope, readers: list[Matcher]) -> str | None:
        """The regular expression of a text put together, of which each group has a reader; None if a piece has no inverse."""
        kind = tree[0]
        if kind == "const":
            return "" if tree[1] is None else re.escape(str(tree[1]))
        if kind == "join":
            found = [self.text_of(piece, scope, readers) for piece in tree[1]]
            return "".join(piece or "" for piece in found) if None not in found else None
        if kind == "if" and (tree[3] is None or tree[3] in (["const", ""], ["const", None])):
            inner = self.text_of(tree[2], scope, readers)
            return f"(?:{inner})?" if inner is not None else None
        optional = kind == "or" and tree[2] == ["const", ""]
        path = path_of(tree[1] if optional else tree)
        if path is None or path[0] == "tables":
            return None
        readers.append(self.path(path, scope).match)
        return "(.*?)" if optional else "(.+?)"

    def path(self, path: Path, scope: Scope) -> Pattern:
        """A name: binds what it is given, if that is of its kind."""
        want, words = kind_of(path), words_of(path, self.names, scope)
        if words is not None:
            accepted = tuple((word.__class__, word) for word in words)
            view = path[-1] in VIEWS

            def match_word(value: Any, bindings: Bindings) -> Match | None:
                if (value.__class__, value) not in accepted:
                    return None
                return MATCHED if view or bind(bindings, path, value) else None

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
        first = path[0] if len(path) == 1 else None

        def match(value: Any, bindings: Bindings) -> Match | None:
            if want is not None and value.__class__ is not want:
                return None
            if first is not None and first not in bindings:
                bindings[first] = value
                return MATCHED
            return MATCHED if bind(bindings, path, value) else None

        return Pattern(match)

    def conditional(self, tree: Tree, scope: Scope) -> Pattern | None:
        """`a if c else b`: whichever side fits, what the condition says with the first."""
        test, then, other = tree[1], self.invert(tree[2], scope), self.invert(tree[3], scope) if tree[3] is not None else None
        if not any(True for _ in free(test)):
            rows = self.forward.rows(test, scope)
            return then if rows and rows[0].value else other
        literal_first = tree[3] is not None and tree[3][0] in ("map", "list", "const")
        if then is not None:
            if test[0] == "test" and test[2] == "mapping":
                then = only(then, dict)
                literal_first = literal_first and kind_of(path_of(test[1]) or ("",)) is not dict
            elif test[0] == "test" and test[2] == "string":
                then = only(then, str)
            then = self.hinted(then, test, scope)
            if not then.binds and (other is None or not other.binds) and path_of(test) is None:
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

    def call(self, tree: Tree, scope: Scope) -> Pattern | None:
        if tree[1] != "parts" or len(tree[2]) != 1:
            return None
        return self.parts_of(tree[2][0], scope)

    def joined_parts(self, tree: Tree, scope: Scope) -> Pattern | None:
        """Lists of parts one after the other: all parts of the message, in their order."""
        if not any(t[0] == "call" and t[1] == "parts" for t in within(tree)):
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

    def filter(self, tree: Tree, scope: Scope) -> Pattern | None:
        _, base, name, args, _ = tree
        if name == "map" or (name == "join" and base[0] == "filter" and base[2] == "map"):
            return self.mapped(tree, scope)
        if name == "first" and base[0] == "filter" and base[2] == "split":
            return self.invert(base[1], scope)
        inner = self.invert(base, scope)
        if inner is None:
            return None
        if name in SAME:
            return inner
        if name == "default":
            literal = self.invert(args[0], scope)
            return either([literal, inner]) if literal is not None and not literal.binds else inner
        self.transforms += 1
        undo = UNDO.get(name)
        return through(inner, undo) if undo is not None else None

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


def _whole(path: Path) -> Path:
    """All parts of the message or part whose lists of some parts a path names."""
    return (*path[:-1], "parts") if path[-1] in PART_LISTS and len(path) > 1 else path
