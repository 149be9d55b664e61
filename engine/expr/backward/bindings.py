"""What a pattern yields (SERVE.md 2): bindings by name, and a match that says what was left over.

A matcher is `match(value, bindings) -> (leftover or None, penalty)`, or None where the value does not fit. Bindings are
nested mappings by canonical name. A matcher that does not fit may have bound something: who tries several hands each a
mapping of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Bindings = dict[str, Any]
Match = tuple[Any, int]
Matcher = Callable[[Any, Bindings], "Match | None"]
Path = tuple[Any, ...]

MATCHED: Match = (None, 0)


class Spelled(Exception):
    """A key stands in the other of two spellings: what is read has to be respelled first."""


#: looks at a key that no pattern knows; raises Spelled
Look = Callable[[str], None]
#: name under which keys stand that only mean something beside others: key -> (path, what is left over then)
UNSURE = "$unsure"


@dataclass(slots=True)
class Pattern:
    """A compiled pattern and what is known of it before it is tried."""

    match: Matcher
    values: tuple[Any, ...] | None = None  # it accepts these constants and nothing else
    binds: bool = True  # something may be bound
    closed: bool = False  # it knows every word that may stand here
    keys: frozenset[str] | None = None  # of a mapping: it fits only if one of these is there
    guards: tuple[tuple[str, tuple[Any, ...]], ...] = ()  # keys whose value must be one of these, if it is there
    deep: bool = False  # it may bind something and then not fit
    weak: Path | None = None  # it fits several words of a name alike, and they only mean something if this is bound
    loop: Any = None  # of a `$for`: what one item is


def bind(bindings: Bindings, path: Path, value: Any) -> bool:
    """Put a value at a path. False if something else is there; lists are appended to, mappings join."""
    at = bindings
    if len(path) > 1:
        for key in path[:-1]:
            below = at.get(key)
            if below is None:
                below = at[key] = {}
            elif below.__class__ is not dict:
                return False
            at = below
    key = path[-1]
    old = at.get(key)
    if old is None:
        at[key] = value
        return True
    if old.__class__ is list and value.__class__ is list:
        at[key] = old + value
        return True
    if old.__class__ is dict and value.__class__ is dict:
        return join(old, value)
    return bool(old == value)


def join(into: Bindings, new: Bindings, texts: bool = False) -> bool:
    """`new` joined into `into`, in place; False where they disagree. With `texts` two texts follow each other."""
    if not into:
        into.update(new)
        return True
    for key, value in new.items():
        old: Any = into.get(key)
        if old is None:
            into[key] = value
        elif old.__class__ is dict and value.__class__ is dict:
            if not join(old, value, texts):
                return False
        elif old.__class__ is list and value.__class__ is list:
            into[key] = [*old, *value]
        elif texts and key == "text" and isinstance(old, str) and isinstance(value, str):
            into[key] = old + value
        elif old != value:
            return False
    return True


def found(bindings: Bindings, path: Path) -> Any:
    """What is bound at a path, or None."""
    at: Any = bindings
    for key in path:
        if at.__class__ is not dict:
            return None
        at = at.get(key)
    return at


_NESTED = (dict, list)


def weight(value: Any, depth: int = 0) -> int:
    """The size of a value that nobody knows, as far as it matters."""
    if depth >= 8 or value.__class__ not in _NESTED:
        return 1
    total = 1
    for inner in list(value.values() if value.__class__ is dict else value)[:20]:
        total += weight(inner, depth + 1) if inner.__class__ in _NESTED else 1
    return total


def same(a: Any, b: Any) -> bool:
    """Equal and of one class: `true` is not 1."""
    return a.__class__ is b.__class__ and bool(a == b)
