"""The functions a path may call: JMESPath's 26 and six of ours (SPEC_LANGUAGE 6.2).

Values are plain JSON: `dict`, `list`, `str`, `int`, `float`, `bool`, `None`. The standard functions raise QueryError for a
value of a type they do not take, as JMESPath's `invalid-type` says; ours give nothing instead, since they read what
providers wrote. LimitError ends a text that grows out of bounds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from engine.expr.query_limits import TEXT, too_deep, too_long

_NUMBER = re.compile(r"\s*[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*")
UNBOUNDED = math.inf
_DIGITS = 64  # characters of a number (RELIABILITY M1)
_INTEGER_BITS = 256  # whole numbers of a product; longer ones are noise
_NAMES = {
    str: "string",
    bool: "boolean",
    list: "array",
    dict: "object",
    int: "number",
    float: "number",
    type(None): "null",
}


class QueryError(ValueError):
    """A function met a value of a type it does not take (JMESPath `invalid-type`)."""


class Function(NamedTuple):
    """One function: `low`..`high` arguments (`high` None: any number).

    `expression`: which argument is an `&expression`, else -1; then `run` is given the array and what the expression gave for
    each of its items. `growth` bounds how much heavier the result may be than the arguments together (query_limits);
    UNBOUNDED for those that write text. `flag`: the result is a boolean. `total`: any value is taken, QueryError never raised.
    """

    run: Callable[..., Any]
    low: int
    high: int | None
    expression: int = -1
    growth: float = 1
    flag: bool = False
    total: bool = False


def _refuse(function: str, value: Any, wanted: str) -> QueryError:
    found = _NAMES.get(value.__class__, "unknown")
    return QueryError(f"{function}() takes {wanted}, not a value of type {found}")


def _number(function: str, value: Any) -> Any:
    if value.__class__ is int or value.__class__ is float:
        return value
    raise _refuse(function, value, "a number")


def _text(function: str, value: Any) -> str:
    if value.__class__ is str:
        return value
    raise _refuse(function, value, "a string")


def array(function: str, value: Any) -> list[Any]:
    if value.__class__ is list:
        return value
    raise _refuse(function, value, "an array")


def _object(function: str, value: Any) -> dict[str, Any]:
    if value.__class__ is dict:
        return value
    raise _refuse(function, value, "an object")


def _numbers(function: str, value: Any) -> list[Any]:
    for item in array(function, value):
        _number(function, item)
    return value


def _alike(function: str, value: list[Any]) -> list[Any]:
    """A list of numbers only or of strings only."""
    check = _text if value and value[0].__class__ is str else _number
    for item in value:
        check(function, item)
    return value


def _finite(value: Any) -> Any:
    """A number JSON can write, else nothing."""
    if value.__class__ is int:
        return value if value.bit_length() <= _INTEGER_BITS else None
    return value if value - value == 0 else None


def absolute(value: Any) -> Any:
    return abs(_number("abs", value))


def average(values: Any) -> Any:
    if not _numbers("avg", values):
        return None
    try:
        return _finite(sum(values) / len(values))
    except OverflowError:
        return None


def ceil(value: Any) -> Any:
    return math.ceil(value) if _finite(_number("ceil", value)) is not None else None


def floor(value: Any) -> Any:
    return math.floor(value) if _finite(_number("floor", value)) is not None else None


def total(values: Any) -> Any:
    try:
        return _finite(sum(_numbers("sum", values)))
    except OverflowError:
        return None


def contains(subject: Any, wanted: Any) -> bool:
    if subject.__class__ is str:
        return wanted.__class__ is str and wanted in subject
    if subject.__class__ is not list:
        raise _refuse("contains", subject, "an array or a string")
    return wanted in subject if wanted.__class__ is str else any(equal(item, wanted) for item in subject)


def starts_with(subject: Any, start: Any) -> bool:
    return _text("starts_with", subject).startswith(_text("starts_with", start))


def ends_with(subject: Any, end: Any) -> bool:
    return _text("ends_with", subject).endswith(_text("ends_with", end))


def length(value: Any) -> int:
    if value.__class__ is list or value.__class__ is str or value.__class__ is dict:
        return len(value)
    raise _refuse("length", value, "a string, an array or an object")


def reverse(value: Any) -> Any:
    return value[::-1] if value.__class__ is str else array("reverse", value)[::-1]


def join(glue: Any, values: Any) -> str:
    if len(_text("join", glue)) * len(array("join", values)) > TEXT:
        too_long()
    for item in values:
        _text("join", item)
    return str.join(glue, values)


def keys(value: Any) -> list[Any]:
    return list(_object("keys", value))


def values(value: Any) -> list[Any]:
    return list(_object("values", value).values())


def merge(*mappings: Any) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for mapping in mappings:
        out.update(_object("merge", mapping))
    return out


def largest(values: Any) -> Any:
    return max(_alike("max", values)) if array("max", values) else None


def smallest(values: Any) -> Any:
    return min(_alike("min", values)) if array("min", values) else None


def ordered(values: Any) -> list[Any]:
    return sorted(_alike("sort", array("sort", values)))


def not_null(*values: Any) -> Any:
    for value in values:
        if value is not None:
            return value
    return None


def to_array(value: Any) -> list[Any]:
    return value if value.__class__ is list else [value]


def to_string(value: Any) -> str:
    """Text as it is, anything else as compact JSON."""
    if value.__class__ is str:
        return value
    from engine.call.json import JsonError, dumps

    try:
        return dumps(value).decode()
    except JsonError:
        raise _refuse("to_string", value, "a JSON value") from None


def to_number(value: Any) -> Any:
    """A number, or the number a text states; nothing for everything else."""
    if value.__class__ is int or value.__class__ is float:
        return value
    if value.__class__ is not str or len(value) > _DIGITS or not _NUMBER.fullmatch(value):
        return None
    return int(value) if value.strip().lstrip("+-").isdigit() else _finite(float(value))


def type_name(value: Any) -> str:
    return _NAMES.get(value.__class__, "unknown")


def mapped(_: list[Any], results: list[Any]) -> list[Any]:
    return results


def sort_by(values: list[Any], ranks: list[Any]) -> list[Any]:
    """`values` in the order of `ranks`, one for each; equal ranks keep their order."""
    order = sorted(range(len(values)), key=_alike("sort_by", ranks).__getitem__)
    return [values[i] for i in order]


def max_by(values: list[Any], ranks: list[Any]) -> Any:
    return values[max(range(len(values)), key=_alike("max_by", ranks).__getitem__)] if values else None


def min_by(values: list[Any], ranks: list[Any]) -> Any:
    return values[min(range(len(values)), key=_alike("min_by", ranks).__getitem__)] if values else None


def from_json(value: Any) -> Any:
    """The value a JSON text holds; nothing if it holds none. What is not text was read already and passes."""
    if value.__class__ is not str:
        return value
    from engine.call.json import JsonError, loads

    try:
        return loads(value)
    except JsonError:
        return None


def split(value: Any, separator: Any) -> list[str] | None:
    """The pieces of a text; its characters if the separator is empty."""
    if value.__class__ is not str or separator.__class__ is not str:
        return None
    return value.split(separator) if separator else list(value)


def replace(value: Any, old: Any, new: Any) -> str | None:
    """A text with every `old` replaced; an empty `old` is found nowhere."""
    if value.__class__ is not str or old.__class__ is not str or new.__class__ is not str:
        return None
    if not old:
        return value
    if len(new) > len(old) and value.count(old) * len(new) > TEXT:
        too_long()
    return value.replace(old, new)


def get(value: Any, key: Any) -> Any:
    """The entry of an object under a computed key."""
    return value.get(key) if value.__class__ is dict and key.__class__ is str else None


def mul(value: Any, factor: Any) -> Any:
    """A product, for other units: `mul(start_ms, `0.001`)`. Numbers written as text count."""
    value, factor = to_number(value), to_number(factor)
    if value is None or factor is None:
        return None
    try:
        return _finite(value * factor)
    except OverflowError:
        return None


def rows(value: Any) -> list[dict[str, Any]] | None:
    """Columns to rows: {a: [1, 2], b: [3, 4]} gives [{a: 1, b: 3}, {a: 2, b: 4}]. Shorter columns leave their key out."""
    if value.__class__ is not dict:
        return None
    columns = {name: column for name, column in value.items() if column.__class__ is list}
    count = max(map(len, columns.values()), default=0)
    out: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, column in columns.items():
        for row, item in zip(out, column):
            row[name] = item
    return out


def equal(one: Any, other: Any) -> bool:
    """Deep equality of JSON values: true is not 1, 1 is 1.0. Raises LimitError for values nested beyond reason."""
    try:
        return _equal(one, other)
    except RecursionError:
        too_deep()


def _equal(one: Any, other: Any) -> bool:
    kind = one.__class__
    if kind is list:
        return other.__class__ is list and len(one) == len(other) and all(map(_equal, one, other))
    if kind is dict:
        if other.__class__ is not dict or len(one) != len(other):
            return False
        return all(key in other and _equal(item, other[key]) for key, item in one.items())
    if kind is bool or other.__class__ is bool:
        return one is other
    return bool(one == other)


def compare(one: Any, other: Any) -> int | None:
    """Minus one, zero or one for two numbers or two texts; nothing for what has no order."""
    if one.__class__ is not str or other.__class__ is not str:
        for value in (one, other):
            if value.__class__ is not int and value.__class__ is not float:
                return None
    return int(one > other) - int(one < other)


def flatten(value: Any) -> list[Any] | None:
    """One level of lists taken apart."""
    if value.__class__ is not list:
        return None
    out: list[Any] = []
    for item in value:
        if item.__class__ is list:
            out += item
        else:
            out.append(item)
    return out


FUNCTIONS: dict[str, Function] = {
    "abs": Function(absolute, 1, 1),
    "avg": Function(average, 1, 1),
    "ceil": Function(ceil, 1, 1),
    "contains": Function(contains, 2, 2, flag=True),
    "ends_with": Function(ends_with, 2, 2, flag=True),
    "floor": Function(floor, 1, 1),
    "join": Function(join, 2, 2, growth=UNBOUNDED),
    "keys": Function(keys, 1, 1),
    "length": Function(length, 1, 1),
    "map": Function(mapped, 2, 2, expression=0),
    "max": Function(largest, 1, 1),
    "max_by": Function(max_by, 2, 2, expression=1),
    "merge": Function(merge, 1, None),
    "min": Function(smallest, 1, 1),
    "min_by": Function(min_by, 2, 2, expression=1),
    "not_null": Function(not_null, 1, None, total=True),
    "reverse": Function(reverse, 1, 1),
    "sort": Function(ordered, 1, 1),
    "sort_by": Function(sort_by, 2, 2, expression=1),
    "starts_with": Function(starts_with, 2, 2, flag=True),
    "sum": Function(total, 1, 1),
    "to_array": Function(to_array, 1, 1, growth=2, total=True),
    "to_number": Function(to_number, 1, 1, total=True),
    "to_string": Function(to_string, 1, 1, growth=UNBOUNDED),
    "type": Function(type_name, 1, 1, total=True),
    "values": Function(values, 1, 1),
    "from_json": Function(from_json, 1, 1, growth=32, total=True),
    "get": Function(get, 2, 2, total=True),
    "mul": Function(mul, 2, 2, total=True),
    "replace": Function(replace, 3, 3, growth=UNBOUNDED, total=True),
    "rows": Function(rows, 1, 1, growth=2, total=True),
    "split": Function(split, 2, 2, growth=64, total=True),
}
