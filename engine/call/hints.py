"""Type hints -> JSON Schema (2020-12), for tools made of functions and answers wanted as objects.

Read: the plain types, dates, Decimal, UUID, Enum, Literal, unions, lists, tuples, sets, mappings, dataclasses, TypedDict,
NamedTuple, NewType, pydantic models, and Annotated, whose text is the description. A type that contains itself becomes a
`$ref` into `$defs`; everything else is written in place.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Mapping
from typing import Any

from engine.errors import ConfigError

SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    decimal.Decimal: {"type": "number"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.time: {"type": "string", "format": "time"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    type(None): {"type": "null"},
    None: {"type": "null"},
}
LISTS = (
    list,
    tuple,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.Set,
)
MAPPINGS = (dict, Mapping, collections.abc.MutableMapping)
UNIONS = (typing.Union, types.UnionType)
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum", "multiple_of": "multipleOf"}
_DEPTH = 32


def schema_of(hint: Any) -> dict[str, Any]:
    """The JSON Schema of a type. Raises ConfigError for a type that JSON has no word for."""
    builder = Builder()
    return builder.finished(builder.schema(hint))


class Builder:
    """One schema in the making: the types being written and those that turned out to contain themselves."""

    def __init__(self) -> None:
        self.open: list[Any] = []
        self.recursive: dict[Any, str] = {}
        self.defs: dict[str, Any] = {}

    def finished(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema with its `$defs`; a reference at the root is written out."""
        if not self.defs:
            return schema
        name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
        return {**self.defs.get(name, schema), "$defs": self.defs}

    def schema(self, hint: Any) -> dict[str, Any]:
        """The schema of one hint."""
        if len(self.open) > _DEPTH:
            raise ConfigError("a type is nested too deeply for a JSON Schema")
        if hint is Any or hint is object or hint is dataclasses.MISSING:
            return {}
        found = _scalar(hint)
        if found is not None:
            return dict(found)
        origin = typing.get_origin(hint)
        arguments = typing.get_args(hint)
        if origin is typing.Annotated:
            return self._annotated(arguments[0], arguments[1:])
        if origin in (typing.Required, typing.NotRequired, typing.ClassVar, typing.Final):
            return self.schema(arguments[0])
        if origin is typing.Literal:
            return literal(arguments)
        if origin in UNIONS:
            return self._union(arguments)
        kind = origin or hint
        if kind in LISTS:
            return self._list(kind, arguments)
        if kind in MAPPINGS:
            values = self.schema(arguments[1]) if len(arguments) == 2 else {}
            return {"type": "object", "additionalProperties": values or True}
        if isinstance(hint, typing.NewType):
            return self.schema(hint.__supertype__)
        if isinstance(hint, typing.TypeVar):
            return self.schema(hint.__bound__) if hint.__bound__ is not None else {}
        if isinstance(kind, type):
            return self._class(kind)
        raise ConfigError(f"the type {hint!r:.120} has no JSON Schema")

    def _annotated(self, hint: Any, notes: tuple[Any, ...]) -> dict[str, Any]:
        out = self.schema(hint)
        for note in notes:
            if isinstance(note, str):
                out["description"] = note
                continue
            if isinstance(note, Mapping):
                out.update(note)
                continue
            description = getattr(note, "description", None)
            if isinstance(description, str):
                out["description"] = description
            for source in (note, *(getattr(note, "metadata", None) or ())):
                self._bound(out, source)
        return out

    def _bound(self, out: dict[str, Any], note: Any) -> None:
        """A limit as `annotated-types` words it."""
        for name, keyword in _BOUNDS.items():
            value = getattr(note, name, None)
            if isinstance(value, (int, float)):
                out[keyword] = value
        text = out.get("type") == "string"
        for name, keyword in (
            ("min_length", "minLength" if text else "minItems"),
            ("max_length", "maxLength" if text else "maxItems"),
        ):
            value = getattr(note, name, None)
            if isinstance(value, int):
                out[keyword] = value
        pattern = getattr(note, "pattern", None)
        if isinstance(pattern, str):
            out["pattern"] = pattern

    def _union(self, members: tuple[Any, ...]) -> dict[str, Any]:
        return union([self.schema(m) for m in members])

    def _list(self, kind: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
        out: dict[str, Any] = {"type": "array"}
        if kind is tuple and arguments and arguments[-1] is not Ellipsis:
            items = [self.schema(a) for a in arguments]
            same = all(i == items[0] for i in items)
            out |= {"items": items[0]} if same else {"items": {"anyOf": items}}
            out |= {"minItems": len(items), "maxItems": len(items)}
            return out
        out["items"] = self.schema(arguments[0]) if arguments else {}
        if kind in (set, frozenset, collections.abc.Set):
            out["uniqueItems"] = True
        return out

    def _class(self, cls: type) -> dict[str, Any]:
        if issubclass(cls, enum.Enum):
            return literal(tuple(m.value for m in cls))
        if hasattr(cls, "model_json_schema"):
            schema: dict[str, Any] = cls.model_json_schema()
            self.defs.update(schema.pop("$defs", {}))
            return schema
        if hasattr(cls, "__fspath__"):
            return {"type": "string"}
        members = members_of(cls)
        if members is None:
            raise ConfigError(f"the type {cls.__name__} has no JSON Schema; use a dataclass, TypedDict or pydantic model")
        if cls in self.open:
            return {"$ref": f"#/$defs/{self.recursive.setdefault(cls, self._name(cls))}"}
        self.open.append(cls)
        out = self.object(members, _about(cls))
        self.open.pop()
        if cls in self.recursive:
            name = self.recursive[cls]
            self.defs[name] = out
            return {"$ref": f"#/$defs/{name}"}
        return out

    def _name(self, cls: type) -> str:
        name, taken = cls.__name__, {*self.defs, *self.recursive.values()}
        return name if name not in taken else f"{name}_{len(taken)}"

    def object(self, members: Mapping[str, Member], description: str | None = None) -> dict[str, Any]:
        """An object with these members."""
        out: dict[str, Any] = {"type": "object"}
        if description:
            out["description"] = description
        properties: dict[str, Any] = {}
        for name, member in members.items():
            schema = self.schema(member.hint)
            if member.about and "description" not in schema:
                schema["description"] = member.about
            default = plain_default(member.default)
            if default is not None:
                schema["default"] = default
            properties[name] = schema
        out["properties"] = properties
        required = [name for name, member in members.items() if member.required]
        if required:
            out["required"] = required
        return out


@dataclasses.dataclass(slots=True)
class Member:
    """A field of a class or a parameter of a function."""

    hint: Any
    required: bool = True
    default: Any = None
    about: str | None = None


def members_of(cls: Any) -> dict[str, Member] | None:
    """The fields of a dataclass, TypedDict or NamedTuple; None for any other class."""
    if dataclasses.is_dataclass(cls):
        hints = hints_of(cls)
        return {
            f.name: Member(
                hints.get(f.name, Any),
                f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING,
                None if f.default is dataclasses.MISSING else f.default,
                f.metadata.get("description") if f.metadata else None,
            )
            for f in dataclasses.fields(cls)
            if f.init
        }
    if typing.is_typeddict(cls):
        hints = hints_of(cls)
        # `__required_keys__` overlooks NotRequired where annotations are text
        origins = {name: typing.get_origin(hint) for name, hint in hints.items()}
        return {
            name: Member(
                hint,
                origins[name] is not typing.NotRequired and (name in cls.__required_keys__ or origins[name] is typing.Required),
            )
            for name, hint in hints.items()
        }
    if isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields"):
        hints, defaults = hints_of(cls), getattr(cls, "_field_defaults", {})
        return {
            name: Member(hints.get(name, Any), name not in defaults, defaults.get(name)) for name in getattr(cls, "_fields", ())
        }
    return None


def hints_of(thing: Any) -> dict[str, Any]:
    """The resolved hints of a class or function. Raises ConfigError when one names something unknown."""
    try:
        return typing.get_type_hints(thing, include_extras=True)
    except Exception as problem:
        raise ConfigError(f"the type hints of {getattr(thing, '__name__', thing)!s:.80} cannot be read: {problem}") from None


def literal(values: tuple[Any, ...]) -> dict[str, Any]:
    """One of these values."""
    out: dict[str, Any] = {}
    kinds = {_json_type(v) for v in values}
    if None in kinds:
        raise ConfigError("a Literal or Enum of anything but text, numbers, booleans and None has no JSON Schema")
    if len(kinds) == 1:
        out["type"] = kinds.pop()
    out["enum"] = [v.value if isinstance(v, enum.Enum) else v for v in values]
    return out


def _json_type(value: Any) -> str | None:
    if isinstance(value, enum.Enum):
        value = value.value
    for kind, word in ((bool, "boolean"), (str, "string"), (int, "integer"), (float, "number"), (type(None), "null")):
        if isinstance(value, kind):
            return word
    return None


def union(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """Any of these schemas: bare types side by side as a list of types' alternatives, without doubles."""
    different: list[dict[str, Any]] = []
    for schema in schemas:
        if schema not in different:
            different.append(schema)
    if len(different) == 1:
        return different[0]
    return {"anyOf": different} if all(different) else {}


def plain_default(value: Any) -> Any:
    """A default as JSON, or None where it cannot or need not be said."""
    if isinstance(value, enum.Enum):
        value = value.value
    return value if isinstance(value, (str, int, float, bool)) else None


def _scalar(hint: Any) -> dict[str, Any] | None:
    try:
        found = SCALARS.get(hint)
    except TypeError:
        return None
    return found


def _about(cls: Any) -> str | None:
    """A class's own docstring; the one that dataclasses make up says nothing."""
    text = cls.__dict__.get("__doc__")
    if not isinstance(text, str) or text.startswith(f"{cls.__name__}("):
        return None
    import inspect

    return inspect.cleandoc(text).partition("\n\n")[0] or None
