"""JSON of requests and answers: bytes in, bytes out, the same result with orjson and without.

Readers are limited (RELIABILITY M1): nesting of 64, numbers of 64 characters. Answers are read leniently where only
characters are wrong (a byte-order mark, bad UTF-8, half a surrogate pair); NaN and Infinity are refused both ways.
Everything raised here is a `JsonError`, a ValueError.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, NoReturn

try:
    import orjson
except ImportError:  # the standard library is slower and reads the same
    orjson = None  # type: ignore[assignment]

DEPTH = 64  # levels of mappings and lists
DIGITS = 64  # characters of a number
_REMEMBERED = 1 << 15  # bytes of the longest value that `finite` remembers

# Possessive, so that a text that never ends is read once; such a text is no JSON, its rest is left to the parser.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?', re.DOTALL)
_NUMBER = re.compile(rb"[0-9]{%d}" % (DIGITS + 1))
_TO_ZERO = bytes(48 if 48 <= i < 58 else i for i in range(256))
_RUN = b"0" * (DIGITS + 1)
_NOT_BRACKETS = bytes(i for i in range(256) if i not in b"{}[]")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGERS = range(-(2**63), 2**64)  # beyond it a number is a float, as orjson has it
_LARGE = 1 << 18  # bytes of a text that is looked through in another way
_MARKS = 20_000  # opening brackets it may have for that
_NAMED = re.compile(rb'[{]\s*"[A-Za-z_]')
_CLOSED = re.compile(rb"([]}][]}\s]*),\s*\Z")  # brackets that close right before one that opens
_LIMIT = "the JSON is nested deeper than 64 levels or holds a number of more than 64 characters"


class JsonError(ValueError):
    """Not JSON, or not writable as JSON."""


class JsonLimitError(JsonError):
    """Readable, but past a limit of RELIABILITY M1."""


def loads(data: bytes | str) -> Any:
    """The value of a JSON text: of a whole answer."""
    if data.__class__ is not bytes:
        data = data.encode("utf-8", "replace") if isinstance(data, str) else bytes(data)
    assert isinstance(data, bytes)
    # Of more than 64 digits in a row every 16th byte of the text meets four, one after the other.
    # (`find`, since `in` first takes what it looks for for a number, and raises inside.)
    run = len(data) > DIGITS and data[::16].translate(_TO_ZERO).find(b"0000") >= 0 and _RUN in data.translate(_TO_ZERO)
    if run and _NUMBER.search(_STRING.sub(b"", data)):
        raise JsonLimitError(_LIMIT)
    return loads_event(data)


def loads_event(data: bytes) -> Any:
    """The value of one event of a stream. Long numbers are not looked for: in 16 MiB they do no harm, they become floats."""
    if len(data) > _LARGE:
        _check_large(data)
    elif 2 * len(data) - len(data.replace(b"{", b"")) - len(data.replace(b"[", b"")) > DEPTH:  # `count` goes byte by byte
        _check_depth(data)
    if orjson is not None:
        try:
            return orjson.loads(data)
        except ValueError:
            pass  # read again below: what is wrong may be characters only
    return _read(data)


def _check_large(data: bytes) -> None:
    """The same of a large text, which mostly is vectors or pictures: its opening brackets are looked for, and nothing is copied.

    A brace that is followed by a name is no part of a text, if nothing is escaped; nor are the brackets that close right before it.
    Those alone mostly prove that the nesting is low. Else, and where brackets are many, the text is read as any other.
    """
    escaped = b"\\" in data
    opened: list[int] = []
    for char in b"[{":
        at = data.find(char)
        while at >= 0:
            opened.append(at)
            if len(opened) > _MARKS:
                return _check_depth(data)
            at = data.find(char, at + 1)
    depth = 0
    for at in sorted(opened):
        depth += 1
        if not escaped and _NAMED.match(data, at) and (before := _CLOSED.search(data, max(0, at - 64), at)):
            depth -= before[1].count(b"]") + before[1].count(b"}")
        if depth > DEPTH:
            return _check_depth(data)
    return None


def _check_depth(data: bytes) -> None:
    """Refuse deep nesting before a parser sees it; linear in the size of the text."""
    brackets = _STRING.sub(b"", data).translate(_ONE_KIND, _NOT_BRACKETS)  # which closes which is for the parser to say
    for _ in range(DEPTH):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise JsonLimitError(_LIMIT)


def _read(data: bytes) -> Any:
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        value = json.loads(text, parse_constant=_refuse, parse_int=_integer, parse_float=_float)
    except RecursionError:
        raise JsonLimitError(_LIMIT) from None
    except ValueError as error:
        raise JsonError(str(error)) from None
    return _without_surrogates(value) if "\\u" in text else value


def _refuse(word: str) -> NoReturn:
    raise JsonError(f"{word} is not JSON")


def _integer(text: str) -> int | float:
    number = int(text) if len(text) < 32 else None
    return number if number is not None and number in _INTEGERS else _float(text)


def _float(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise JsonError("a number is out of range")
    return number


def _without_surrogates(value: Any) -> Any:
    """Half a surrogate pair is no character: it becomes U+FFFD."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(v) for v in value]
    if isinstance(value, dict):
        return {_SURROGATE.sub("\ufffd", k): _without_surrogates(v) for k, v in value.items()}
    return value


def dumps(value: Any, finite: bool = False) -> bytes:
    """Compact UTF-8 JSON. Decimals are written as numbers; keys that are not text become text.

    `finite` says that no number in it can be NaN or infinite, so that nobody has to look for one.
    """
    if orjson is not None:
        try:
            data: bytes = orjson.dumps(value, _plain, _OPTIONS)
        except (TypeError, ValueError, RecursionError):
            pass  # integers past 64 bits, keys that are not text, half surrogates: the slow way knows them
        else:
            if not finite and _holds_null(data) and _not_finite(value):
                raise JsonError("NaN and Infinity cannot be written as JSON")
            return data
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)
        try:
            return text.encode()
        except UnicodeEncodeError:
            return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise JsonError(str(error)) from None


_OPTIONS = 0
if orjson is not None:
    _OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (set, frozenset)):
        raise TypeError("a set has no order, so it cannot be written as JSON")
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):
        return dict(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


_finite: set[bytes] = set()


def finite(value: Any) -> bool:
    """Proof that no number in a value is NaN or infinite, cheap for one that is sent with every call. False proves nothing."""
    if orjson is None:
        return False
    try:
        data = orjson.dumps(value, None, _OPTIONS)
    except (TypeError, ValueError, RecursionError):
        return False
    if data in _finite:
        return True
    if _holds_null(data):
        return False
    if len(data) <= _REMEMBERED:
        if len(_finite) >= 32:
            _finite.clear()
        _finite.add(data)
    return True


def _holds_null(data: bytes) -> bool:
    """Whether compact JSON may hold null as a value; the word inside a text mostly stands elsewhere."""
    at = data.find(b"null")
    while at >= 0:
        if data[at - 1 : at] in (b"", b":", b",", b"["):
            return True
        at = data.find(b"null", at + 4)
    return False


def _not_finite(value: Any) -> bool:
    """Whether orjson wrote a NaN or Infinity as null."""
    if isinstance(value, float):
        return value - value != 0
    stack = [value]
    while stack:
        item = stack.pop()
        for inner in item.values() if isinstance(item, dict) else item if isinstance(item, (list, tuple)) else ():
            kind = inner.__class__
            if kind is str or inner is None or kind is int:
                continue
            if isinstance(inner, float):
                if inner - inner != 0:
                    return True
            else:
                stack.append(inner)
    return False
