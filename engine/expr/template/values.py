"""What generated code calls at run time: entries, text, arithmetic, comparison. Values are JSON; None is nothing.

Every failure is a typed error. `n` is the work budget of one rendering, a list of one number that only falls: a loop turn
costs 1, and so do 64 bytes of text made by the template (RELIABILITY A4).
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from engine.errors import ConfigError, LimitError, UnsupportedError

BUDGET = 1_000_000  # 64 MiB of made text
REMOTE_BUDGET = 65_536  # 4 MiB
MAX_BITS = 1024  # of an integer that arithmetic makes


class _Null:
    """JSON null on its way to the one place where it is written (`nullable`)."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


NULL = _Null()
EMPTY: dict[str, Any] = {}  # stands for a mapping that is not there; only ever read


def kind(value: Any) -> str:
    """A word for people: what a value is."""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", bytes: "bytes", type(None): "nothing"}
    return names.get(value.__class__) or ("a number" if isinstance(value, (int, float)) else value.__class__.__name__)


def spend(n: list[int], units: int) -> None:
    """Take from the budget. Raises LimitError when it is used up."""
    n[0] -= units
    if n[0] < 0:
        raise LimitError("a template makes too much: its loops or texts pass the limit for one request")


# --- entries ---------------------------------------------------------------------------------------------------------


def view(value: Any, name: str) -> dict[str, Any]:
    """A mapping to read fields from; nothing reads as an empty one."""
    if value is None:
        return EMPTY
    raise ConfigError(f"`{name}` must be a mapping, not {kind(value)}")


def item(value: Any, key: Any) -> Any:
    """`value[key]` of a mapping or a list, else nothing. A number also finds the entry spelt like it."""
    kind_ = value.__class__
    if kind_ is dict:
        if key.__class__ is str:
            return value.get(key)
        return value.get(text(key)) if key.__class__ in (int, bool, float) else None
    if kind_ is list and key.__class__ is int and -len(value) <= key < len(value):
        return value[key]
    return None


def cut(value: Any, start: Any, stop: Any, step: Any) -> Any:
    """`value[start:stop:step]` of a list or a text, else nothing."""
    if value.__class__ is not list and value.__class__ is not str:
        return None
    if any(x is not None and x.__class__ is not int for x in (start, stop, step)) or step == 0:
        raise ConfigError("the bounds of [a:b] are whole numbers")
    return value[start:stop:step]


def turns(n: list[int], value: Any) -> Any:
    """What a loop runs over, paid for."""
    if value.__class__ is list:
        n[0] -= len(value)
        if n[0] < 0:
            spend(n, 0)
        return value
    if not value:
        return ()
    if value.__class__ is tuple:
        spend(n, len(value))
        return value
    raise ConfigError(f"a loop needs a list, not {kind(value)}")


# --- text ------------------------------------------------------------------------------------------------------------


def text(value: Any) -> str:
    """A value inside a text: numbers as JSON writes them, `true` and `false`, containers as JSON."""
    kind_ = value.__class__
    if isinstance(value, str):
        return value
    if kind_ is bool:
        return "true" if value else "false"
    if kind_ is int or kind_ is float:
        try:
            return str(value)
        except ValueError:
            raise ConfigError("a number is too large to be written") from None
    if value is None:
        return ""
    if kind_ is bytes or kind_ is bytearray:
        raise ConfigError("bytes cannot stand in a text; `hex(…)` or `| b64` makes text of them")
    return dump(value)


def dump(value: Any) -> str:
    """Compact JSON. Raises ConfigError for what JSON cannot say."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"this cannot be written as JSON: {error}") from None


def encoded(value: str) -> bytes:
    """UTF-8 bytes. Raises ConfigError for what UTF-8 cannot say."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ConfigError("a text holds half a character (a lone surrogate)") from None


def concat(n: list[int], *values: Any) -> str | None:
    """The texts joined, or nothing if one of them is nothing."""
    out = []
    size = 0
    for value in values:
        if value.__class__ is not str:
            if value is None:
                return None
            value = text(value)
        size += len(value)
        out.append(value)
    if size > 1024:
        spend(n, size >> 6)
    else:
        n[0] -= 1
    return "".join(out)


def joined(n: list[int], values: Any, separator: str) -> str | None:
    """The items of a list as one text; nothing if there is no item."""
    if values is None:
        return None
    if values.__class__ is not list:
        raise ConfigError(f"a list is needed to join, not {kind(values)}")
    texts = [text(v) for v in values if v is not None]
    if not texts:
        return None
    spend(n, (sum(map(len, texts)) + len(separator) * len(texts) >> 6) + len(texts))
    return separator.join(texts)


# --- arithmetic and comparison ---------------------------------------------------------------------------------------


def _numbers(sign: str, a: Any, b: Any) -> NoReturn:
    raise ConfigError(f"`{sign}` needs numbers, not {kind(a)} and {kind(b)}")


def _number(value: Any) -> Any:
    if (value.__class__ is int and value.bit_length() > MAX_BITS) or (value.__class__ is float and value - value != 0):
        raise ConfigError("the result of a calculation is too large")
    return value


def _is_number(value: Any) -> bool:
    return value.__class__ is int or value.__class__ is float


def add(a: Any, b: Any) -> Any:
    """Numbers added, two texts or two lists joined; nothing if one side is nothing."""
    if a is None or b is None:
        return None
    if _is_number(a) and _is_number(b):
        return calculate("+", a, b)
    if a.__class__ is b.__class__ and a.__class__ in (str, list):
        if len(a) + len(b) > BUDGET << 6:
            raise LimitError("a text or list that a template makes is too long")
        return a + b
    raise ConfigError(f"`+` needs two numbers, two texts or two lists, not {kind(a)} and {kind(b)}")


def calculate(sign: str, a: Any, b: Any) -> Any:
    """`a sign b` on numbers; nothing if one side is nothing."""
    if a is None or b is None:
        return None
    if not (_is_number(a) and _is_number(b)):
        _numbers(sign, a, b)
    try:
        if sign == "+":
            return _number(a + b)
        if sign == "-":
            return _number(a - b)
        if sign == "*":
            return _number(_number(a) * _number(b))
        if sign == "/":
            return _number(a / b)
        if sign == "//":
            return _number(a // b)
        return _number(a % b)
    except ZeroDivisionError:
        raise ConfigError("division by zero") from None
    except OverflowError:
        raise ConfigError("the result of a calculation is too large") from None


def equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except RecursionError:
        raise ConfigError("values nested too deeply to compare") from None


def less(sign: str, a: Any, b: Any) -> bool:
    """`a sign b`; false if one side is nothing."""
    if a is None or b is None:
        return False
    if not ((_is_number(a) and _is_number(b)) or (a.__class__ is str and b.__class__ is str)):
        raise ConfigError(f"{kind(a)} and {kind(b)} cannot be ordered")
    if sign == "lt":
        return bool(a < b)
    if sign == "lteq":
        return bool(a <= b)
    return bool(a > b) if sign == "gt" else bool(a >= b)


def contains(a: Any, b: Any) -> bool:
    """`a in b` for lists, keys of mappings and pieces of text; false in nothing."""
    if b.__class__ is dict:
        return a.__class__ is str and a in b
    if b.__class__ is str:
        return a.__class__ is str and a in b
    if b.__class__ is list or b.__class__ is tuple:
        return any(equal(a, x) for x in b)
    if b is None:
        return False
    raise ConfigError(f"`in` needs a list, a mapping or text, not {kind(b)}")


def mapping(keys: tuple[str, ...], *values: Any) -> dict[str, Any] | None:
    """A mapping written in an expression: entries that are nothing vanish, and it with them."""
    return {k: v for k, v in zip(keys, values) if v is not None} or None


def sequence(*values: Any) -> list[Any] | None:
    """A list written in an expression: items that are nothing vanish, and it with them."""
    return [v for v in values if v is not None] or None


# --- structure -------------------------------------------------------------------------------------------------------


def case_text(value: Any) -> Any:
    """A value as the name of a `$switch` case."""
    return text(value) if value.__class__ in (int, float, bool) else value


def no_case(value: Any, label: str) -> NoReturn:
    shown = repr(value) if value.__class__ is str else kind(value)
    raise UnsupportedError(f"{label} cannot express {shown[:80]}: there is no such case")


def fresh(value: Any) -> Any:
    """The top of a body is never the caller's own object: parameters are laid into it."""
    return dict(value) if value.__class__ is dict else value


def merge_into(target: dict[str, Any], patch: Any) -> None:
    """Deep-merge a mapping into a mapping the template made; what is below is copied before it changes."""
    if patch is None or patch is NULL:
        return
    if patch.__class__ is not dict:
        raise ConfigError(f"only mappings can be merged, not {kind(patch)}")
    for key, value in patch.items():
        old = target.get(key)
        target[key] = merged(old, value, 0) if old.__class__ is dict and value.__class__ is dict else value


def merged(base: dict[str, Any], patch: dict[str, Any], depth: int) -> dict[str, Any]:
    if depth > MAX_MERGE:
        raise ConfigError("mappings nested too deeply to merge")
    out = dict(base)
    for key, value in patch.items():
        old = out.get(key)
        out[key] = merged(old, value, depth + 1) if old.__class__ is dict and value.__class__ is dict else value
    return out


MAX_MERGE = 100


def measure(value: Any, limit: int) -> None:
    """Refuse a rendered value whose texts and entries pass `limit` bytes; used for specs nobody here wrote."""
    stack = [value]
    while stack:
        top = stack.pop()
        limit -= 8
        if top.__class__ is str or top.__class__ is bytes:
            limit -= len(top)
        elif top.__class__ is dict:
            limit -= sum(len(k) for k in top if k.__class__ is str)
            stack.extend(top.values())
        elif top.__class__ is list:
            stack.extend(top)
        if limit < 0 or len(stack) > limit:
            raise LimitError("a rendered body is larger than a remote spec may make it")
