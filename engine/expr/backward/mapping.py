"""Mappings read backwards: the matcher, and what may be said of one of its keys."""

from __future__ import annotations

from typing import Any

from engine.expr.backward.bindings import MATCHED, UNSURE, Bindings, Look, Match, Matcher, Path, Pattern, found, join, weight


def mapping_matcher(
    constants: dict[str, tuple[Any, ...]], readers: dict[str, Matcher | None], closed: frozenset[str], look: Look | None = None
) -> Matcher:
    """The matcher of a mapping. `look` sees every key with an underscore that it does not know."""
    expected = len(constants)
    get_reader = readers.get
    no_constants = not constants

    def match(value: Any, bindings: Bindings) -> Match | None:
        if value.__class__ is not dict:
            return None
        hits = penalty = known = 0
        left: dict[str, Any] | None = None
        for key, one in value.items():
            if one is None:
                continue
            reader = get_reader(key)
            if reader is not None:
                fits = reader(one, bindings)
                if fits is not None:
                    hits += 1
                    if fits is MATCHED:
                        continue
                    penalty += fits[1]
                    if fits[0] is not None:
                        if left is None:
                            left = {}
                        left[key] = fits[0]
                    continue
                if key in closed:
                    return None
                penalty += 1 + weight(one)
            elif not no_constants and key in constants:
                if one not in constants[key]:
                    return None
                known += 1
                hits += 1
                continue
            else:
                if look is not None and "_" in key:
                    look(key)
                penalty += 1
            if left is None:
                left = {}
            left[key] = one
        if not hits:
            return None
        penalty += expected - known
        if left is None and penalty == 0:
            return MATCHED
        return left, penalty

    return match


def wholly(inner: Matcher) -> Matcher:
    """Where one value is written, another spelling with something left over is kept whole: it takes the value's place."""

    def match(value: Any, bindings: Bindings) -> Match | None:
        fits = inner(value, bindings)
        return fits if fits is None or fits[0] is None else (value, fits[1])

    return match


def needing(pattern: Pattern, path: Path) -> Pattern:
    """A pattern of what is written only if a name has a value, which therefore is in what was written."""
    inner = pattern.match

    def match(value: Any, bindings: Bindings) -> Match | None:
        fits = inner(value, bindings)
        return fits if fits is None or found(bindings, path) else None

    return Pattern(match, pattern.values, pattern.binds, pattern.closed, pattern.keys, pattern.guards, True)


def unsure(key: str, pattern: Pattern) -> Matcher:
    """What fits but says too little stays left over, with a note of what would explain it (`UNSURE`).

    Items of a list that say something by themselves are read all the same.
    """
    inner, parent = pattern.match, pattern.weak
    assert parent is not None

    def match(value: Any, bindings: Bindings) -> Match | None:
        own: Bindings = {}
        fits = inner(value, own)
        if fits is None:
            return None
        bindings.setdefault(UNSURE, {})[key] = (parent, fits[0])
        if value.__class__ is not list or own.keys() <= {parent[0]} or fits[0].__class__ is dict:
            return value, 0
        own.pop(parent[0], None)
        if not join(bindings, own):
            return value, 0
        return [item for item in value if not _sure(item)] or None, 0

    def _sure(item: Any) -> bool:
        said: Bindings = {}
        fits = inner([item], said)
        return fits is not None and fits[0] is None and parent[0] not in said

    return match
