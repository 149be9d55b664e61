"""The filters and functions of the language (SPEC_LANGUAGE 3.3). Nothing in gives nothing out, unless a filter says otherwise.

Each takes `n`, the work budget, first. Arguments are checked when a file is compiled, values when they are rendered.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote as percent

from engine.errors import ConfigError
from engine.expr.template.schema import schema
from engine.expr.template.values import NULL, dump, encoded, equal, item, joined, kind, spend, text


class Signature(NamedTuple):
    """What a filter or function takes besides its value: `least` to `most` positional arguments, and named ones."""

    function: Callable[..., Any]
    least: int = 0
    most: int = 0
    named: tuple[str, ...] = ()
    texts: bool = False  # all arguments are constant texts
    sample: Any = None  # a value to try constant arguments on


def _words(name: str, value: Any) -> str:
    if value.__class__ in (dict, list, bytes, bytearray) or value is None:
        raise ConfigError(f"`{name}` needs text, not {kind(value)}")
    return text(value)


def _items(name: str, value: Any) -> list[Any]:
    if value.__class__ is list:
        return value
    if value.__class__ is tuple:
        return list(value)
    raise ConfigError(f"`{name}` needs a list, not {kind(value)}")


def default(n: list[int], value: Any, other: Any = None) -> Any:
    return other if value is None else value


def json_text(n: list[int], value: Any) -> Any:
    if value is None:
        return None
    made = dump(value)
    spend(n, len(made) >> 6)
    return made


def from_json(n: list[int], value: Any) -> Any:
    if value.__class__ is not str:
        return value
    try:
        return json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"`fromjson`: this text is not JSON ({error})") from None


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def b64(n: list[int], value: Any) -> Any:
    if value is None:
        return None
    data = value if value.__class__ in (bytes, bytearray) else encoded(_words("b64", value))
    spend(n, len(data) >> 5)
    return base64.b64encode(data).decode()


def lower(n: list[int], value: Any) -> Any:
    return None if value is None else _words("lower", value).lower()


def upper(n: list[int], value: Any) -> Any:
    return None if value is None else _words("upper", value).upper()


def trim(n: list[int], value: Any) -> Any:
    if value.__class__ is str:
        return value.strip()
    return None if value is None else _words("trim", value).strip()


def replace(n: list[int], value: Any, old: Any, new: Any) -> Any:
    if value is None:
        return None
    source, a, b = _words("replace", value), _words("replace", old), _words("replace", new)
    if not a:
        raise ConfigError("`replace` needs a text to look for")
    spend(n, len(source) + max(0, len(b) - len(a)) * source.count(a) >> 6)
    return source.replace(a, b)


def split(n: list[int], value: Any, separator: Any) -> Any:
    if value is None:
        return None
    between = _words("split", separator)
    if not between:
        raise ConfigError("`split` needs a separator")
    out = _words("split", value).split(between)
    spend(n, len(out))
    return out


def join(n: list[int], value: Any, separator: Any = "") -> Any:
    return joined(n, value, _words("join", separator))


def first(n: list[int], value: Any) -> Any:
    return _end("first", value, 0) if value else None


def last(n: list[int], value: Any) -> Any:
    return _end("last", value, -1) if value else None


def _end(name: str, value: Any, at: int) -> Any:
    return value[at] if value.__class__ is str else _items(name, value)[at]


def length(n: list[int], value: Any) -> Any:
    """Items, entries or characters; nothing has none."""
    if value is None:
        return 0
    if value.__class__ in (str, list, dict, tuple, bytes):
        return len(value)
    raise ConfigError(f"`length` needs a list, a mapping or text, not {kind(value)}")


def map_field(n: list[int], value: Any, field: Any) -> Any:
    """The field of every item that has it; nothing if none has."""
    if value is None:
        return None
    items = _items("map", value)
    spend(n, len(items))
    return [x for i in items if (x := item(i, field)) is not None] or None


_TRUE: Any = object()  # what `where` looks for if nothing is said


def where(n: list[int], value: Any, field: str, want: Any = _TRUE) -> Any:
    """The items whose field is true, or equal to a value; nothing if none is."""
    if value is None:
        return None
    items = value if value.__class__ is list else _items("where", value)
    n[0] -= len(items)
    if n[0] < 0:
        spend(n, 0)
    if want is _TRUE:
        return [i for i in items if item(i, field)] or None
    made = []
    for one in items:
        if one.__class__ is not dict or want.__class__ is not str:
            if equal(item(one, field), want):
                made.append(one)
        elif one.get(field) == want:
            made.append(one)
    return made or None


def omit(n: list[int], value: Any, *keys: str) -> Any:
    if value is None:
        return None
    if value.__class__ is not dict:
        raise ConfigError(f"`omit` needs a mapping, not {kind(value)}")
    spend(n, len(value))
    return {k: v for k, v in value.items() if k not in keys}


def whole(n: list[int], value: Any) -> Any:
    """A whole number: numbers are cut, texts read."""
    if value is None:
        return None
    try:
        if value.__class__ in (int, float, bool):
            return int(value)
        if value.__class__ is str and len(value) <= 64:
            try:
                return int(value)
            except ValueError:
                return int(float(value))
    except (ValueError, OverflowError):
        pass
    raise ConfigError(f"`int` cannot read {kind(value)} as a number")


def rounded(n: list[int], value: Any, digits: Any = 0) -> Any:
    """Rounded to that many digits; a whole number without digits."""
    if value is None:
        return None
    if value.__class__ not in (int, float) or digits.__class__ is not int or not -20 <= digits <= 20:
        raise ConfigError(f"`round` needs a number and at most 20 digits, not {kind(value)}")
    try:
        return round(value, digits) if digits > 0 and value.__class__ is float else int(round(value, digits))
    except (OverflowError, ValueError):
        raise ConfigError("`round` cannot round this number") from None


def quote(n: list[int], value: Any) -> Any:
    """Percent-encoded, `/` too (RFC 3986, unreserved characters stay)."""
    if value is None:
        return None
    made = percent(encoded(_words("quote", value)), safe="")
    spend(n, len(made) >> 6)
    return made


def nullable(n: list[int], value: Any) -> Any:
    """JSON null where there is nothing."""
    return NULL if value is None else value


_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@lru_cache(256)
def _fitting(extra: str, least: int, most: int) -> re.Pattern[str]:
    return re.compile(f"[A-Za-z0-9{re.escape(extra)}]{{{least},{most}}}\\Z")


@lru_cache(256)
def _unfit(extra: str) -> re.Pattern[str]:
    return re.compile(f"[^A-Za-z0-9{re.escape(extra)}]+")


def ident(n: list[int], value: Any, max: Any = 64, min: Any = 1, extra: Any = "_-") -> Any:
    """An id of letters, digits and `extra`, `min` to `max` long. What fits passes; the rest becomes readable text and a hash."""
    if value is None:
        return None
    if max.__class__ is not int or min.__class__ is not int or not (0 <= min <= max and 1 <= max <= 512):
        raise ConfigError("`ident(max, min, extra)` needs 0 <= min <= max <= 512")
    given = _words("ident", value)
    if _fitting(_words("ident", extra), min or 1, max).match(given):
        return given
    kept = _unfit(extra).sub("", given)
    spend(n, len(given) >> 6)
    size = max if max < 12 else 12 if min <= 12 else min
    return kept[: max - size] + _hash(given, size)


def _hash(given: str, size: int) -> str:
    out = ""
    turn = 0
    while len(out) < size:
        digest = hashlib.sha256(b"%d:" % turn + given.encode("utf-8", "surrogatepass")).digest()
        number = int.from_bytes(digest, "big")
        for _ in range(40):
            number, rest = divmod(number, 62)
            out += _DIGITS[rest]
        turn += 1
    return out[:size]


FILTERS: dict[str, Signature] = {
    "default": Signature(default, 1, 1),
    "json": Signature(json_text),
    "fromjson": Signature(from_json),
    "b64": Signature(b64),
    "lower": Signature(lower),
    "upper": Signature(upper),
    "trim": Signature(trim),
    "replace": Signature(replace, 2, 2, sample="x"),
    "split": Signature(split, 1, 1, sample="x"),
    "join": Signature(join, 0, 1, sample=["x"]),
    "first": Signature(first),
    "last": Signature(last),
    "length": Signature(length),
    "map": Signature(map_field, 1, 1, texts=True),
    "where": Signature(where, 1, 2),
    "omit": Signature(omit, 1, 64, texts=True),
    "int": Signature(whole),
    "round": Signature(rounded, 0, 1, sample=0.5),
    "quote": Signature(quote),
    "schema": Signature(schema, 0, 64, ("refs", "const", "null", "closed"), texts=True),
    "ident": Signature(ident, 0, 3, ("max", "min", "extra"), sample="x"),
    "nullable": Signature(nullable),
}
TESTS = ("string", "number", "mapping", "sequence", "defined", "none")
