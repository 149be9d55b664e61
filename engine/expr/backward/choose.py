"""The best of several patterns for one value: least left over, then first in the file (SERVE.md 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.expr.backward.bindings import Bindings, Look, Matcher, Path, Pattern, bind, found, join

_MOST_SHAPES = 512


@dataclass(slots=True)
class Alternative:
    """One of several patterns for one place."""

    pattern: Pattern
    subject: Pattern | None = None  # of a `$switch`: what its cases are words of
    path: Path | None = None  # the subject's, if it is a path
    words: tuple[str, ...] | None = None  # the words of this case; None: any other
    var: str | None = None  # of a loop: the name of its item
    into: Path | None = None  # of a loop: the list its items belong to
    spliced: bool = False  # one inner element of an item; neighbours are one item
    follows: bool = False  # says something of the part before it
    types: tuple[str, ...] = ()  # of an entry of the parts table


#: leftover, penalty, bindings, the alternative
Choice = tuple[Any, int, Bindings, Alternative]


def chooser(alternatives: Sequence[Alternative], look: Look | None = None) -> Callable[[Any], Choice | None]:
    """A function that gives the best alternative for a value, or None. `look` sees the keys of a mapping that is none of them.

    Which alternatives can fit depends on the keys of a mapping and its `type` and `role` alone, so that is remembered.
    """
    every = tuple(alternatives)
    shapes: dict[Any, tuple[Alternative, ...]] = {}

    def candidates(value: Any) -> tuple[Alternative, ...]:
        if value.__class__ is not dict:
            return every
        kind, role = value.get("type"), value.get("role")
        if kind.__class__ not in _WORDS or role.__class__ not in _WORDS:
            return tuple(a for a in every if possible(a.pattern, value))
        shape = (kind, role, *value)
        known = shapes.get(shape)
        if known is None:
            known = tuple(a for a in every if possible(a.pattern, value))
            if len(shapes) < _MOST_SHAPES and len(shape) < 40:
                shapes[shape] = known
        return known

    def choose(value: Any) -> Choice | None:
        best: Choice | None = None
        for alternative in candidates(value):
            bindings: Bindings = {}
            match = alternative.pattern.match(value, bindings)
            if match is None or (best is not None and match[1] >= best[1]):
                continue
            if alternative.subject is not None and not _case(alternative, bindings):
                continue
            best = (match[0], match[1], bindings, alternative)
            if match[1] == 0:
                break
        if best is None and look is not None and value.__class__ is dict:
            for key in value:
                look(key)
        return best

    return choose


_WORDS = frozenset((str, type(None)))


def possible(pattern: Pattern, value: dict[str, Any]) -> bool:
    """Whether a pattern can fit a mapping, as far as its keys, `type` and `role` say."""
    if pattern.keys is not None and pattern.keys.isdisjoint(value):
        return False
    for key, words in pattern.guards:
        word = value.get(key)
        if word is not None and word not in words:
            return False
    return True


def _case(alternative: Alternative, bindings: Bindings) -> bool:
    """Bind the word of a case, unless the value has said another."""
    words, path, subject = alternative.words, alternative.path, alternative.subject
    if words is None or subject is None:
        return True
    if path is not None:
        have = found(bindings, path)
        if have is not None:
            return have in words
        return bind(bindings, path, words[0])
    subject.match(words[0], bindings)
    return True


def choice_of(patterns: Sequence[Alternative], look: Look | None = None) -> Matcher:
    """A matcher that is the best of several."""
    choose = chooser(patterns, look)

    def match(value: Any, bindings: Bindings) -> tuple[Any, int] | None:
        best = choose(value)
        if best is None:
            return None
        if not bindings:
            bindings.update(best[2])
        elif not join(bindings, best[2]):
            return None
        return best[0], best[1]

    return match


def first_of(patterns: Sequence[Pattern]) -> Matcher:
    """A matcher that is the first of several that fits."""
    matchers = tuple(p.match for p in patterns)

    def match(value: Any, bindings: Bindings) -> tuple[Any, int] | None:
        for one in matchers:
            fits = one(value, bindings)
            if fits is not None:
                return fits
        return None

    return match
