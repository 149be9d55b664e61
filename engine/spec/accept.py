"""A JSON Schema as one quick yes or no. The schema library tells what is wrong, at length; most files have nothing wrong.

Yes is certain. No means that the library decides: something is wrong, or the schema says it in words that are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["acceptor"]

Test = Callable[[Any], bool]
Made = dict[int, Test]

_IGNORED = frozenset(("title", "description", "default", "x-expected", "x-words", "type", "then", "else"))
_MAP, _LIST, _TEXT, _NUMBERS = (dict,), (list,), (str,), (int, float)
_ALL = (dict, list, str, int, float, bool, type(None))
_CLASSES: dict[str, tuple[type, ...]] = {
    "object": _MAP,
    "array": _LIST,
    "string": _TEXT,
    "integer": (int,),  # the library knows better what 1.0 is
    "number": _NUMBERS,
    "boolean": (bool,),
    "null": (type(None),),
}


def acceptor(schema: Any) -> Test:
    """A test of plain data: true only if the schema allows it."""
    return _compile(schema, {})


def _compile(schema: Any, made: Made) -> Test:
    if schema is True:
        return _yes
    if not isinstance(schema, dict):
        return _no
    found = made.get(id(schema))
    if found is None:
        tests: dict[type, list[Test]] = {kind: [] for kind in _types(schema.get("type"))}

        def found(value: Any) -> bool:
            wanted = tests.get(value.__class__)
            return wanted is not None and (not wanted or all(test(value) for test in wanted))

        made[id(schema)] = found
        for keyword, limit in schema.items():
            if keyword in _IGNORED:
                continue
            kinds, make = _KEYWORDS.get(keyword, (_ALL, _unknown))
            test = make(schema, limit, made)
            for kind in kinds:
                if kind in tests:
                    tests[kind].append(test)
    return found


def _yes(value: Any) -> bool:
    return True


def _no(value: Any) -> bool:
    return False


def _types(names: str | list[str] | None) -> Iterable[type]:
    if names is None:
        return _ALL
    return [kind for name in ([names] if isinstance(names, str) else names) for kind in _CLASSES[name]]


def _unknown(schema: Any, limit: Any, made: Made) -> Test:
    return _no


def _properties(schema: Any, limit: Any, made: Made) -> Test:
    known = {key: _compile(inner, made) for key, inner in limit.items()}
    others = _compile(schema.get("additionalProperties", True), made)

    return lambda value: all(known.get(key, others)(inner) for key, inner in value.items())


def _others(schema: Any, limit: Any, made: Made) -> Test:
    return _yes if "properties" in schema else _properties(schema, {}, made)


def _names(schema: Any, limit: Any, made: Made) -> Test:
    test = _compile(limit, made)
    return lambda value: all(map(test, value))


def _required(schema: Any, limit: Any, made: Made) -> Test:
    needed = frozenset(limit)
    return lambda value: needed <= value.keys()


def _items(schema: Any, limit: Any, made: Made) -> Test:
    test = _compile(limit, made)
    return lambda value: all(map(test, value))


def _unique(schema: Any, limit: Any, made: Made) -> Test:
    return lambda value: not limit or (all(item.__class__ is str for item in value) and len(set(value)) == len(value))


def _enum(schema: Any, limit: Any, made: Made) -> Test:
    words = frozenset((option.__class__, option) for option in limit if option.__class__ not in (dict, list))
    return lambda value: value.__class__ is not dict and value.__class__ is not list and (value.__class__, value) in words


def _const(schema: Any, limit: Any, made: Made) -> Test:
    return _enum(schema, [limit], made)


def _pattern(schema: Any, limit: Any, made: Made) -> Test:
    search = re.compile(limit).search
    return lambda value: search(value) is not None


def _shortest(schema: Any, limit: Any, made: Made) -> Test:
    return lambda value: len(value) >= limit


def _longest(schema: Any, limit: Any, made: Made) -> Test:
    return lambda value: len(value) <= limit


def _minimum(schema: Any, limit: Any, made: Made) -> Test:
    return lambda value: value >= limit


def _more(schema: Any, limit: Any, made: Made) -> Test:
    return lambda value: value > limit


def _maximum(schema: Any, limit: Any, made: Made) -> Test:
    return lambda value: value <= limit


def _if(schema: Any, limit: Any, made: Made) -> Test:
    """Only for a condition whose no is certain too: a type that Python tells exactly, keys that must be there."""
    if not limit.keys() <= {"type", "required"} or "integer" in (limit.get("type") or ()):
        return _no
    test, then, other = _compile(limit, made), _compile(schema.get("then", True), made), _compile(schema.get("else", True), made)
    return lambda value: then(value) if test(value) else other(value)


def _all_of(schema: Any, limit: Any, made: Made) -> Test:
    inner = [_compile(one, made) for one in limit]
    return lambda value: all(test(value) for test in inner)


def _walk(schema: Any, limit: Any, made: Made) -> Test:
    """A template: keys that begin with `$` are a closed list, at every depth."""

    def test(value: Any) -> bool:
        pending = [value]
        while pending:
            value = pending.pop()
            if value.__class__ is dict:
                for key in value:
                    if key[:1] == "$" and key not in limit:
                        return False
                pending += value.values()
            elif value.__class__ is list:
                pending += value
        return True

    return test


#: what each keyword says something about, and its test
_KEYWORDS: dict[str, tuple[tuple[type, ...], Callable[[Any, Any, Made], Test]]] = {
    "properties": (_MAP, _properties),
    "additionalProperties": (_MAP, _others),
    "propertyNames": (_MAP, _names),
    "required": (_MAP, _required),
    "items": (_LIST, _items),
    "minItems": (_LIST, _shortest),
    "maxItems": (_LIST, _longest),
    "uniqueItems": (_LIST, _unique),
    "enum": (_ALL, _enum),
    "const": (_ALL, _const),
    "pattern": (_TEXT, _pattern),
    "minLength": (_TEXT, _shortest),
    "maxLength": (_TEXT, _longest),
    "minimum": (_NUMBERS, _minimum),
    "exclusiveMinimum": (_NUMBERS, _more),
    "maximum": (_NUMBERS, _maximum),
    "if": (_ALL, _if),
    "allOf": (_ALL, _all_of),
    "x-walk": (_MAP + _LIST, _walk),
}
