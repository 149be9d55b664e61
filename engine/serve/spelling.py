"""`spelling: either`: the JSON of protobuf services has two spellings of every key (SERVE.md 1)."""

from __future__ import annotations

import re
from typing import Any

from engine.spec.node import Node

_DATA = re.compile(r"\.(arguments|json|parameters|schema|native)\b|\bmetadata\b")
_SNAKE = re.compile(r"_([a-z0-9])")
_DEPTH = 64


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


def snaky(value: Any, opaque: frozenset[str], depth: int = 0) -> bool:
    """Whether a key of the dialect's is written with underscores."""
    if depth > _DEPTH:
        return False
    if value.__class__ is dict:
        for key, inner in value.items():
            if "_" in key:
                return True
            kind = inner.__class__
            if (kind is dict or kind is list) and key not in opaque and snaky(inner, opaque, depth + 1):
                return True
    elif value.__class__ is list:
        for inner in value:
            if inner.__class__ is dict and snaky(inner, opaque, depth + 1):
                return True
    return False


def camel(value: Any, opaque: frozenset[str], depth: int = 0) -> Any:
    """The value with every key of the dialect's in camelCase."""
    if depth > _DEPTH:
        return value
    if value.__class__ is dict:
        out = {}
        for key, inner in value.items():
            key = _SNAKE.sub(lambda m: m[1].upper(), key)
            out[key] = inner if key in opaque else camel(inner, opaque, depth + 1)
        return out
    return [camel(v, opaque, depth + 1) for v in value] if value.__class__ is list else value
