"""`spelling: either`: the JSON of protobuf services has two spellings of every key (SERVE.md 1)."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from engine.expr.backward.bindings import Spelled
from engine.spec.node import Node

T = TypeVar("T", bound=tuple[Any, ...])

_DATA = re.compile(r"\.(arguments|json|parameters|schema|native)\b|\bmetadata\b")
_SNAKE = re.compile(r"_([a-z0-9])")
_DEPTH = 64


class Spelling:
    """Reads bodies of either spelling with patterns that know one. What is spelled as the patterns have it costs nothing: only a
    key that none of them knows is looked at."""

    __slots__ = ("_opaque", "_reading")

    def __init__(self, *trees: Node) -> None:
        self._opaque = opaque_keys(*trees)
        self._reading = threading.local()

    def look(self, key: str) -> None:
        """Raise Spelled at a key with an underscore, the first time that a body is read."""
        if "_" in key and not getattr(self._reading, "again", False):
            raise Spelled

    def read(self, given: Any, reader: Callable[[Any], T]) -> T:
        """What a reader gives, whose first result is what is left over: of the body as it is, or as the patterns spell it."""
        try:
            made = reader(given)
            if not made[0] or not _snaky(made[0], self._opaque):
                return made
        except Spelled:
            pass
        self._reading.again = True
        try:
            return reader(_camel(given, self._opaque))
        finally:
            self._reading.again = False


def opaque_keys(*trees: Node) -> frozenset[str]:
    """The keys under which a dialect's templates write data of the caller's, whose keys are not the dialect's."""
    found: set[str] = set()
    for tree in trees:
        for key in ("body", "parts"):
            _gather(tree.get(key), found)
    return frozenset(found)


def _gather(node: Node | None, found: set[str]) -> None:
    if node is None:
        return
    if node.is_list:
        for item in node.value:
            _gather(item, found)
        return
    for key, child in node.items():
        if isinstance(child.value, str):
            if not key.startswith("$") and _DATA.search(child.value):
                found.add(key)
        else:
            _gather(child, found)


def _snaky(value: Any, opaque: frozenset[str], depth: int = 0) -> bool:
    """Whether a key of the dialect's is written with underscores."""
    if depth > _DEPTH:
        return False
    if value.__class__ is dict:
        for key, inner in value.items():
            if "_" in key:
                return True
            kind = inner.__class__
            if (kind is dict or kind is list) and key not in opaque and _snaky(inner, opaque, depth + 1):
                return True
    elif value.__class__ is list:
        for inner in value:
            if inner.__class__ is dict and _snaky(inner, opaque, depth + 1):
                return True
    return False


def _camel(value: Any, opaque: frozenset[str], depth: int = 0) -> Any:
    """The value with every key of the dialect's in camelCase."""
    if depth > _DEPTH:
        return value
    if value.__class__ is dict:
        out = {}
        for key, inner in value.items():
            key = _SNAKE.sub(lambda m: m[1].upper(), key)
            out[key] = inner if key in opaque else _camel(inner, opaque, depth + 1)
        return out
    return [_camel(v, opaque, depth + 1) for v in value] if value.__class__ is list else value
