"""Plain items, the most of all, read by their shape alone.

What one text binds, any text binds, unless a pattern knows that very text. So the first item of a shape is read by the
patterns with a sample in its place, and what that gives is the recipe for every item of the shape: same keys, same `role` and
`type`, and one text or one list of parts besides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from engine.expr.backward.choose import Choice
from engine.expr.backward.names import PART_LISTS

_TELLING = ("role", "type")
_SAMPLE = "\0Sample"
_MOST = 256


class Recipe(NamedTuple):
    """How an item of one shape is read."""

    source: str  # the key on the wire
    base: dict[str, Any]  # what every such item says
    target: str  # what the text or the parts become
    listed: bool  # parts instead of a text
    part: dict[str, Any] | None = None  # where the text is a part of the message: what the part says besides
    joins: bool = False  # neighbours of one role are one message


_UNKNOWN = object()
_Entry = tuple[str, Recipe | None, Recipe | None]


class PlainItems:
    """Recipes by shape, found when the first item of a shape comes."""

    __slots__ = ("_by_role", "_choose", "_entries", "_literals", "_native", "_var")

    def __init__(
        self, choose: Callable[[Any], Choice | None], var: str, literals: Collection[str], native: Callable[[Any], dict[str, Any]]
    ) -> None:
        self._choose = choose
        self._var = var
        self._literals = literals
        self._native = native
        #: shape -> (the key besides `role` and `type`, the recipe for a text, the recipe for a list of parts)
        self._entries: dict[Any, _Entry | None] = {}
        #: role -> the same, of the last shape that was learnt with this role and one key more
        self._by_role: dict[Any, _Entry] = {}

    def recipe(self, item: dict[str, Any]) -> Recipe | None:
        """The recipe for an item of one key besides `role` and `type`, if it has one."""
        shape: Any
        entry: Any
        try:
            if len(item) == 1:
                (shape,) = item
                if shape in _TELLING:
                    return None
                entry = self._entries.get(shape, _UNKNOWN)
            else:
                role = item.get("role")
                entry = self._by_role.get(role) if len(item) == 2 else None
                if entry is None or entry[0] not in item:
                    shape = (role, item.get("type"), *item)
                    entry = self._entries.get(shape, _UNKNOWN)
        except TypeError:  # a role or type that is no word
            return None
        if entry is _UNKNOWN:
            entry = self._learn(item, shape)
        if entry is None:
            return None
        source, worded, listed = entry
        value = item[source]
        if value.__class__ is str:
            return worded if value and value not in self._literals else None
        return listed if value and value.__class__ is list else None

    def _learn(self, item: dict[str, Any], shape: Any) -> _Entry | None:
        sources = [k for k in item if k not in _TELLING]
        entry = None
        if len(sources) == 1:
            source = sources[0]
            entry = (source, self._worded(item, source), self._listed(item, source))
        if len(self._entries) < _MOST and all(len(k) < 40 for k in (shape if shape.__class__ is tuple else (shape,)) if k):
            self._entries[shape] = entry
            if entry is not None and len(item) == 2 and shape[0].__class__ is str:
                self._by_role[shape[0]] = entry
        return entry

    def _made(self, item: dict[str, Any], source: str, value: Any) -> tuple[Any, bool] | None:
        """What an item with a sample in its place becomes, and whether that is one element of a longer item."""
        best = self._choose({**item, source: value})
        if best is None or best[0] is not None or best[2].keys() != {self._var} or best[3].follows:
            return None
        made = best[2][self._var]
        return (made, best[3].spliced) if made.__class__ is dict else None

    def _worded(self, item: dict[str, Any], source: str) -> Recipe | None:
        found = self._made(item, source, _SAMPLE)
        if found is None:
            return None
        made, spliced = found
        parts = made.get("parts")
        if parts is not None:
            if (
                parts.__class__ is not list
                or len(parts) != 1
                or any(v.__class__ is not str for k, v in made.items() if k != "parts")
            ):
                return None
            base, inner = {k: v for k, v in made.items() if k != "parts"}, parts[0]
        else:
            base, inner = {}, made
        targets = [k for k, v in inner.items() if v == _SAMPLE]
        if len(targets) != 1 or any(v.__class__ is not str for v in inner.values()):
            return None
        rest = {k: v for k, v in inner.items() if k != targets[0]}
        if parts is not None:
            return Recipe(source, base, targets[0], False, rest, spliced)
        return Recipe(source, rest, targets[0], False) if not spliced else None

    def _listed(self, item: dict[str, Any], source: str) -> Recipe | None:
        probe = {"\0": _SAMPLE}
        found = self._made(item, source, [probe])
        if found is None or found[1]:
            return None
        made = found[0]
        targets = [k for k, v in made.items() if v == [self._native(probe)]]
        if (
            len(targets) != 1
            or targets[0] not in PART_LISTS
            or any(v.__class__ is not str for k, v in made.items() if k != targets[0])
        ):
            return None
        return Recipe(source, {k: v for k, v in made.items() if k != targets[0]}, targets[0], True)
