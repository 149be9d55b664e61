"""A JSON value made into an object of a type; what does not fit is told with its place."""

from __future__ import annotations

import datetime
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from engine.call.hints import LISTS, MAPPINGS, SCALARS, UNIONS, members_of
from engine.call.json import JsonError, loads
from engine.errors import ConfigError, ProtocolError

_READ: dict[Any, Callable[[str], Any]] = {
    datetime.datetime: datetime.datetime.fromisoformat,
    datetime.date: datetime.date.fromisoformat,
    datetime.time: datetime.time.fromisoformat,
    uuid.UUID: uuid.UUID,
}
_MISSING = object()


def fit(text: str, target: Any, wrapped: str) -> Any:
    """The object in a text of JSON, which may stand in a code fence or, for a type that is no object, under `wrapped`."""
    value = _value(text)
    if isinstance(target, Mapping):
        return value
    if isinstance(value, dict) and value.keys() == {wrapped} and not _is_object(target):
        value = value[wrapped]
    return convert(value, target, "$")


def _value(text: str) -> Any:
    try:
        return loads(text)
    except JsonError as problem:
        inside = text.strip()
        if inside.startswith("```"):
            inside = inside.partition("\n")[2].rpartition("```")[0]
            try:
                return loads(inside)
            except JsonError:
                pass
        raise ProtocolError(f"the answer is not JSON: {problem}", raw=text) from None


def _is_object(target: Any) -> bool:
    kind = typing.get_origin(target) or target
    return kind in MAPPINGS or hasattr(kind, "model_validate") or members_of(kind) is not None


def _no(place: str, needed: str, value: Any) -> NoReturn:
    words = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    raise ProtocolError(f"{place}: {needed} is needed, not {words.get(type(value), type(value).__name__)}")


def convert(value: Any, hint: Any, place: str) -> Any:
    """The value as an object of the type. Raises ProtocolError at `place`."""
    if hint is Any or hint is object or isinstance(hint, typing.TypeVar):
        return value
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (typing.Annotated, typing.Required, typing.NotRequired, typing.ClassVar, typing.Final):
        return convert(value, arguments[0], place)
    if isinstance(hint, typing.NewType):
        return convert(value, hint.__supertype__, place)
    if origin is typing.Literal:
        return _one_of(value, arguments, place)
    if origin in UNIONS or isinstance(hint, types.UnionType):
        return _any_of(value, arguments, place)
    kind = origin or hint
    if kind in LISTS:
        return _list(value, kind, arguments, place)
    if kind in MAPPINGS:
        if not isinstance(value, dict):
            _no(place, "an object", value)
        return {k: convert(v, arguments[1], f"{place}.{k}") for k, v in value.items()} if len(arguments) == 2 else value
    if kind in SCALARS:
        return _scalar(value, kind, place)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _enum(value, kind, place)
    if hasattr(kind, "model_validate"):
        return _model(value, hint, place)
    if hasattr(kind, "__fspath__"):
        return kind(value) if isinstance(value, str) else _no(place, "text", value)
    members = members_of(kind)
    if members is None:
        raise ConfigError(f"an answer cannot be made into {hint!r:.120}")
    if not isinstance(value, dict):
        _no(place, "an object", value)
    return _members(value, kind, members, place)


def _members(value: dict[str, Any], kind: Any, members: Mapping[str, Any], place: str) -> Any:
    found: dict[str, Any] = {}
    for name, member in members.items():
        given = value.get(name, _MISSING)
        if given is None and not member.required and not _takes_null(member.hint):
            continue  # strict decoding writes null where nothing was said
        if given is _MISSING:
            if member.required:
                raise ProtocolError(f"{place}: `{name}` is missing")
            continue
        found[name] = convert(given, member.hint, f"{place}.{name}")
    if typing.is_typeddict(kind):
        return found
    try:
        return kind(**found)
    except (TypeError, ValueError) as problem:
        raise ProtocolError(f"{place}: {problem}") from None


def _takes_null(hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Annotated, typing.Required, typing.NotRequired):
        return _takes_null(typing.get_args(hint)[0])
    members = typing.get_args(hint)
    return hint in (Any, None, type(None)) or (typing.get_origin(hint) in UNIONS and type(None) in members) or None in members


def _one_of(value: Any, allowed: tuple[Any, ...], place: str) -> Any:
    for item in allowed:
        plain = item.value if isinstance(item, enum.Enum) else item
        if value == plain and type(value) is type(plain):
            return item
    _no(place, "one of " + ", ".join(str(getattr(a, "value", a)) for a in allowed), value)


def _enum(value: Any, kind: type[enum.Enum], place: str) -> Any:
    for member in kind:
        if member.value == value and type(member.value) is type(value):
            return member
    _no(place, "one of " + ", ".join(str(m.value) for m in kind), value)


def _any_of(value: Any, members: tuple[Any, ...], place: str) -> Any:
    """The first member that fits; types that take the value as it is come before those that convert it."""
    problems = []
    for member in sorted(members, key=lambda m: not (isinstance(m, type) and type(value) is m)):
        try:
            return convert(value, member, place)
        except ProtocolError as problem:
            problems.append(problem)
    raise next((p for p in problems if not p.message.startswith(f"{place}:")), problems[-1])


def _list(value: Any, kind: Any, arguments: tuple[Any, ...], place: str) -> Any:
    if not isinstance(value, list):
        _no(place, "a list", value)
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise ProtocolError(f"{place}: {len(arguments)} items are needed, not {len(value)}")
        return tuple(convert(v, a, f"{place}[{i}]") for i, (v, a) in enumerate(zip(value, arguments)))
    items = [convert(v, arguments[0], f"{place}[{i}]") for i, v in enumerate(value)] if arguments else value
    if kind in (tuple, set, frozenset):
        try:
            return kind(items)
        except TypeError as problem:
            raise ProtocolError(f"{place}: {problem}") from None
    return items


def _scalar(value: Any, kind: Any, place: str) -> Any:
    if kind is None or kind is type(None):
        return value if value is None else _no(place, "null", value)
    if kind is bool:
        return value if isinstance(value, bool) else _no(place, "a boolean", value)
    if kind in (int, float, decimal.Decimal):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            _no(place, "a number", value)
        if kind is int:
            if value != value // 1:
                raise ProtocolError(f"{place}: a whole number is needed, not {value}")
            return int(value)
        return float(value) if kind is float else decimal.Decimal(str(value))
    if not isinstance(value, str):
        _no(place, "text", value)
    if kind is bytes:
        from engine.call.normalize.media import decoded

        try:
            return decoded(value)
        except ConfigError:
            raise ProtocolError(f"{place}: base64 is needed") from None
    reader = _READ.get(kind)
    if reader is None:
        return value
    try:
        return reader(value)
    except ValueError as problem:
        raise ProtocolError(f"{place}: {problem}") from None


def _model(value: Any, model: Any, place: str) -> Any:
    """A pydantic model; nulls that strict decoding wrote for optional fields are taken back if they do not fit."""
    try:
        return model.model_validate(value)
    except ValueError as problem:
        errors = problem.errors() if hasattr(problem, "errors") else []
        trimmed = value
        for error in errors:
            if error.get("input", _MISSING) is None and error.get("loc"):
                trimmed = _without(trimmed, error["loc"])
        if trimmed is not value:
            try:
                return model.model_validate(trimmed)
            except ValueError as second:
                errors = second.errors() if hasattr(second, "errors") else errors
        first = errors[0] if errors else {"msg": str(problem), "loc": ()}
        at = place + "".join(f"[{x}]" if isinstance(x, int) else f".{x}" for x in first.get("loc", ()))
        raise ProtocolError(f"{at}: {first.get('msg')}") from None


def _without(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy of the value without what lies at the path."""
    head, rest = path[0], path[1:]
    if isinstance(value, dict) and head in value:
        if not rest:
            return {k: v for k, v in value.items() if k != head}
        return {**value, head: _without(value[head], rest)}
    if isinstance(value, list) and isinstance(head, int) and head < len(value) and rest:
        return [_without(v, rest) if i == head else v for i, v in enumerate(value)]
    return value
