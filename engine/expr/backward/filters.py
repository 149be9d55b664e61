"""Filters read backwards: what a filter was given, from what it gave."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

_DEPTH = 64
#: filters that change nothing a reader could know
SAME = frozenset(["int", "round", "trim", "nullable", "ident"])


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


UNDO: dict[str, Callable[[Any], Any]] = {
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
