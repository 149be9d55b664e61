"""A JSON Schema as one quick yes or no. The schema library tells what is wrong, at length; most files have nothing wrong.

Covers the keywords that the schemas of data files use; a schema with another one is answered with no, and the library decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["acceptor"]

Test = Callable[[Any], bool]

_IGNORED = frozenset(("title", "description", "default", "x-expected", "x-words", "then", "else"))
_CLASSES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def acceptor(schema: Any) -> Test:
    """A test of plain data: true only if the schema allows it."""
    return _compile(schema, {})


def _compile(schema: Any, made: dict[int, Test]) -> Test:
    if schema is True:
        return lambda value: True
    if not isinstance(schema, dict):
        return lambda value: False
    found = made.get(id(schema))
    if found is None:
        tests: list[Test] = []
        found = made[id(schema)] = lambda value: all(test(value) for test in tests)
        for keyword, limit in schema.items():
            if keyword in _IGNORED or keyword in ("additionalProperties", "required"):
                continue
            tests.append(_KEYWORDS[keyword](schema, limit, made) if keyword in _KEYWORDS else lambda value: False)
        if "additionalProperties" in schema and "properties" not in schema:
            tests.append(_properties(schema, {}, made))
        elif "required" in schema and "properties" not in schema:
            tests.append(lambda value: False)
    return found


def _type(schema: Any, limit: Any, made: dict[int, Test]) -> Test:
    names = [limit] if isinstance(limit, str) else limit
    classes = frozenset(c for name in names for c in _CLASSES[name])
    return lambda value: value.__class__ in classes


def _properties(schema: Any, limit: Any, made: dict[int, Test]) -> Test:
    known = {key: _compile(inner, made) for key, inner in limit.items()}
    others = _compile(schema.get("additionalProperties", True), made)
    needed = frozenset(schema.get("required") or ())

    def test(value: Any) -> bool:
        if value.__class__ is not dict:
            return True
        for key, inner in value.items():
            if not known.get(key, others)(inner):
                return False
        return not needed or needed <= value.keys()

    return test


def _items(schema: Any, limit: Any, made: dict[int, Test]) -> Test:
    item = _compile(limit, made)
    return lambda value: value.__class__ is not list or all(item(inner) for inner in value)


def _enum(schema: Any, limit: Any, made: dict[int, Test]) -> Test:
    words = frozenset((option.__class__, option) for option in limit)
    return lambda value: value.__class__ in (str, bool, int) and (value.__class__, value) in words


def _pattern(schema: Any, limit: Any, made: dict[int, Test]) -> Test:
    search = re.compile(limit).search
    return lambda value: value.__class__ is not str or search(value) is not None


def _minimum(schema: Any, limit: Any, made: dict[int, Test]) -> Test:
    return lambda value: value.__class__ not in (int, float) or value >= limit


def _maximum(schema: Any, limit: Any, made: dict[int, Test]) -> Test:
    return lambda value: value.__class__ not in (int, float) or value <= limit


def _if(schema: Any, limit: Any, made: dict[int, Test]) -> Test:
    test, then, other = _compile(limit, made), _compile(schema.get("then", True), made), _compile(schema.get("else", True), made)
    return lambda value: then(value) if test(value) else other(value)


def _all_of(schema: Any, limit: Any, made: dict[int, Test]) -> Test:
    inner = [_compile(one, made) for one in limit]
    return lambda value: all(test(value) for test in inner)


_KEYWORDS: dict[str, Callable[[Any, Any, dict[int, Test]], Test]] = {
    "type": _type,
    "properties": _properties,
    "items": _items,
    "enum": _enum,
    "pattern": _pattern,
    "minimum": _minimum,
    "maximum": _maximum,
    "if": _if,
    "allOf": _all_of,
}
