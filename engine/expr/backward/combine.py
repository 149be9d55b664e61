"""Patterns made of patterns: the first that fits, all or nothing, what a condition says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.expr.backward.bindings import MATCHED, Bindings, Match, Path, Pattern, bind, found, join, same
from engine.expr.backward.choose import first_of

#: nothing fits, and nothing is lost by that
NOTHING = Pattern(lambda value, bindings: None, values=(), binds=False)


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
    inner = pattern.match

    def match(value: Any, bindings: Bindings) -> Match | None:
        own: Bindings = {}
        fits = inner(value, own)
        return fits if fits is not None and (not own or join(bindings, own)) else None

    return Pattern(match, pattern.values, pattern.binds, pattern.closed, pattern.keys, pattern.guards, False, pattern.loop)


def say(bindings: Bindings, hints: Sequence[tuple[Path, Any]]) -> None:
    """Bind what a condition needs where nothing is said yet."""
    for path, word in hints:
        if found(bindings, path) is None:
            bind(bindings, path, word)


def agrees(bindings: Bindings, said: Sequence[tuple[Path, Any]]) -> bool:
    return all((have := found(bindings, path)) is None or same(have, word) for path, word in said)


def soft(said: Sequence[tuple[Path, Any]]) -> bool:
    """Whether all that is said is a view others may know better."""
    return all(path[-1] in ("type", "mode", "effort") for path, _ in said)


def only(pattern: Pattern, kind: type) -> Pattern:
    inner = pattern.match

    def match(value: Any, bindings: Bindings) -> Match | None:
        return inner(value, bindings) if value.__class__ is kind else None

    return Pattern(match, pattern.values, pattern.binds, pattern.closed, pattern.keys, pattern.guards, pattern.deep, pattern.loop)


def through(pattern: Pattern, undo: Callable[[Any], Any]) -> Pattern:
    inner = pattern.match

    def match(value: Any, bindings: Bindings) -> Match | None:
        undone = undo(value)
        return inner(undone, bindings) if undone is not None else None

    return Pattern(match, binds=pattern.binds, closed=pattern.closed, deep=pattern.deep)
