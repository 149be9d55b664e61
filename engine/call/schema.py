"""The wanted answer as a type: its JSON Schema for the request, and the object made of the model's text.

`response_format` and `parse` are two sides of one thing: what the first asks for, the second reads back. A type whose
schema is no object (a list, a number) travels inside `{"value": …}`, since the wires take objects only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.call.hints import members_of, schema_of
from engine.errors import ConfigError

__all__ = ["parse", "response_format", "schema_of", "strict", "wanted_of"]

_WRAPPED = "value"
_DEPTH = 64


def wanted_of(given: Any) -> Any:
    """What the text of an answer is made to fit: a type, or the mapping of a JSON format; None for plain text."""
    if given is None or isinstance(given, str):
        return None
    return None if isinstance(given, Mapping) and given.get("type") == "text" else given


def response_format(target: Any) -> dict[str, Any]:
    """`{type: json_schema, name, schema, strict, description?}` of a type; a mapping is taken as it is.

    `strict` is true when the schema can be closed: then every object names all its properties as required, optional ones
    as nullable, and allows no others.
    """
    if isinstance(target, Mapping):
        return dict(target)
    if not isinstance(target, type) and members_of(type(target)) is not None:
        raise ConfigError("response_format is a type, not an object of that type")
    schema = schema_of(target)
    name = getattr(target, "__name__", None) or "answer"
    if schema.get("type") != "object":
        defs = schema.pop("$defs", None)
        schema = {"type": "object", "properties": {_WRAPPED: schema}, "required": [_WRAPPED], **({"$defs": defs} if defs else {})}
        name = "answer"
    closed = strict(schema)
    out = {
        "type": "json_schema",
        "name": "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in str(name))[:64] or "answer",
        "schema": schema if closed is None else closed,
        "strict": closed is not None,
    }
    if schema.get("description"):
        out["description"] = schema["description"]
    return out


def strict(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema with every object closed, as strict decoding asks for; None if an object has free keys or anything goes."""
    try:
        closed = _closed(schema, 0)
    except _OpenError:
        return None
    assert isinstance(closed, dict)
    return closed


class _OpenError(Exception):
    """A place of the schema that allows what it does not name."""


def _closed(schema: Any, depth: int) -> Any:
    if depth > _DEPTH:
        raise ConfigError("a JSON Schema is nested too deeply")
    if not isinstance(schema, Mapping):
        return schema
    if not schema or not schema.keys() & _SAYING:
        raise _OpenError
    out = {k: v for k, v in schema.items() if k not in ("default", "additionalProperties")}
    for key in ("$defs", "definitions"):
        if key in out:
            out[key] = {name: _closed(inner, depth + 1) for name, inner in out[key].items()}
    for key in ("anyOf", "oneOf", "allOf"):
        if key in out:
            out[key] = [_closed(inner, depth + 1) for inner in out[key]]
    if isinstance(out.get("items"), Mapping):
        out["items"] = _closed(out["items"], depth + 1)
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") not in (None, False) or "properties" not in schema:
            raise _OpenError
        required = schema.get("required") or ()
        out["properties"] = {
            name: _closed(inner, depth + 1) if name in required else nullable(_closed(inner, depth + 1))
            for name, inner in schema["properties"].items()
        }
        out["required"] = list(out["properties"])
        out["additionalProperties"] = False
    return out


_SAYING = frozenset(("type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf", "properties"))


def nullable(schema: Any) -> Any:
    """The schema, or null."""
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if kind == "null" or (isinstance(kind, list) and "null" in kind) or {"type": "null"} in schema.get("anyOf", ()):
        return schema
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if isinstance(kind, str) and "enum" not in schema and "const" not in schema:
        return {**schema, "type": [kind, "null"]}
    about = {"description": schema["description"]} if "description" in schema else {}
    return {**about, "anyOf": [{k: v for k, v in schema.items() if k != "description"}, {"type": "null"}]}


def parse(text: str, target: Any) -> Any:
    """The object of type `target` in a model's answer. A mapping as target (a JSON Schema) gives the JSON value itself.

    Raises ProtocolError naming the place that does not fit: `$.items[2].price: a number is needed, not text`.
    """
    from engine.call.fit import fit

    return fit(text, target, _WRAPPED)
