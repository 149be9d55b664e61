"""The `schema` filter: a tool's JSON Schema, written in the subset a provider reads (SPEC_LANGUAGE 3.3)."""

from __future__ import annotations

from typing import Any

try:
    import orjson
except ImportError:  # every schema is written anew
    orjson = None  # type: ignore[assignment]

from engine.errors import ConfigError
from engine.expr.template.values import MAX_MERGE, kind, spend
from engine.vocabulary import SCHEMA_DATA, SCHEMA_NAMES

KNOWN = 64  # schemas that are remembered as they were written: most calls repeat their tools
LONGEST = 1 << 14  # bytes of such a schema
_written: dict[Any, tuple[Any, int]] = {}  # -> (as it was written, what it cost); read only
_RECURSIVE = {"type": "object"}
_EXACT = 0
if orjson is not None:
    _EXACT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def schema(
    n: list[int],
    value: Any,
    *drop: str,
    refs: str | None = None,
    const: str | None = None,
    null: str | None = None,
    closed: bool | str = False,
) -> Any:
    """A copy of a schema without the keywords in `drop` at every level.

    `refs="inline"` puts definitions in place of local `$ref`s (a recursive one ends as {type: object}), `const="enum"` writes
    a constant as a list of one, `null="nullable"` writes `type: [X, "null"]` and `anyOf: [X, {type: "null"}]` as X with
    `nullable: true`, `closed=true` allows no further properties and requires all, optional ones as nullable,
    `closed="objects"` only allows no further properties.
    The caller's schema is not changed.
    """
    if value is None:
        return None
    if value.__class__ is bool:
        return value
    if value.__class__ is not dict:
        raise ConfigError(f"a schema is a mapping, not {kind(value)}")
    key = (text, drop, refs, const, null, closed) if (text := _text(value)) is not None else None
    found = _written.get(key)
    if found is not None:
        spend(n, found[1])
        return found[0]
    before = n[0]
    rewriter = _Rewriter(n, value, frozenset(drop), refs == "inline", const == "enum", null == "nullable", closed)
    written = rewriter.schema(value, (), 0)
    if key is not None and not (b":null" in key[0] or b",null" in key[0] or b"[null" in key[0]):  # a null could be a NaN
        if len(_written) >= KNOWN:
            _written.clear()
        _written[key] = (written, before - n[0])
    return written


def _text(value: dict[str, Any]) -> bytes | None:
    """The schema as JSON, if it is small and of plain values only. NaN is written as null."""
    if orjson is None:
        return None
    try:
        text = orjson.dumps(value, None, _EXACT)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if len(text) <= LONGEST else None


class _Rewriter:
    def __init__(
        self, n: list[int], root: dict[str, Any], drop: frozenset[str], inline: bool, enum: bool, nullable: bool, closed: bool | str
    ):
        self.n = n
        self.root = root
        self.drop = drop
        self.inline = inline
        self.enum = enum
        self.nullable = nullable
        self.closed = closed

    def schema(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        """One schema; `path` holds the references that are being written."""
        spend(self.n, 1)
        if value.__class__ is not dict:
            return value
        if depth > MAX_MERGE:
            raise ConfigError("a schema is nested too deeply")
        if self.inline and value.get("$ref").__class__ is str:
            return self._referenced(value, path, depth)
        out: dict[str, Any] = {}
        for key, child in value.items():
            if key in self.drop or (self.inline and key in ("$defs", "definitions")):
                continue
            kind_ = child.__class__
            if key == "const" and self.enum:
                if "enum" not in value:
                    out["enum"] = [child]
            elif (kind_ is not dict and kind_ is not list) or key in SCHEMA_DATA:
                out[key] = child
            elif kind_ is list:
                out[key] = [self.schema(x, path, depth + 1) for x in child]
            elif key in SCHEMA_NAMES:
                out[key] = {name: self.schema(x, path, depth + 1) for name, x in child.items()}
            else:
                out[key] = self.schema(child, path, depth + 1)
        if self.enum and "enum" in out and "const" in value and "type" not in out:
            _type_of(out, value["const"])
        if self.closed:
            self._close(out)
        if self.nullable:
            out = self._plain_null(out)
        return out

    def _referenced(self, value: dict[str, Any], path: tuple[str, ...], depth: int) -> Any:
        reference = value["$ref"]
        rest = {k: v for k, v in value.items() if k != "$ref"}
        if reference in path:
            return {**_RECURSIVE, **self.schema(rest, path, depth + 1)}
        target = self._find(reference)
        if target.__class__ is not dict:
            return self.schema({**rest, **_RECURSIVE}, path, depth + 1)
        return self.schema({**target, **rest}, (*path, reference), depth + 1)

    def _find(self, reference: str) -> Any:
        """The target of a local reference, `#`, `#/$defs/x` or `#name`; None if there is none."""
        if reference == "#":
            return self.root
        if not reference.startswith("#/"):
            return None
        found: Any = self.root
        for step in reference[2:].split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            if found.__class__ is dict:
                found = found.get(step)
            elif found.__class__ is list and step.isdecimal() and int(step[:9]) < len(found):
                found = found[int(step[:9])]
            else:
                return None
        return found

    def _close(self, out: dict[str, Any]) -> None:
        """No further properties; all are required, optional ones may be null."""
        properties = out.get("properties")
        if properties.__class__ is not dict and not _is_type(out, "object"):
            return
        if "additionalProperties" not in self.drop:
            out["additionalProperties"] = False
        if properties.__class__ is not dict or self.closed == "objects":
            return
        required = out.get("required")
        needed = {x for x in required if x.__class__ is str} if required.__class__ is list else set()
        out["properties"] = {name: x if name in needed else self._plain_null(_or_null(x)) for name, x in properties.items()}
        if "required" not in self.drop:
            out["required"] = list(properties)

    def _plain_null(self, out: Any) -> Any:
        """`nullable: true` in place of a null type."""
        if not self.nullable or out.__class__ is not dict:
            return out
        types = out.get("type")
        if types.__class__ is list and "null" in types:
            rest = [t for t in types if t != "null"]
            out = {**out, "type": rest[0] if len(rest) == 1 else rest, "nullable": True}
            if not rest:
                del out["type"]
        if out.get("enum").__class__ is list and None in out["enum"]:
            out = {**out, "enum": [x for x in out["enum"] if x is not None], "nullable": True}
            if not out["enum"]:
                del out["enum"]
        for word in ("anyOf", "oneOf"):
            options = out.get(word)
            if options.__class__ is not list:
                continue
            rest = [x for x in options if not (x.__class__ is dict and _says_null(x))]
            if len(rest) == len(options):
                continue
            out = {k: v for k, v in out.items() if k != word}
            if len(rest) == 1 and rest[0].__class__ is dict:
                out = {**rest[0], **out, "nullable": True}
            else:
                out = {**out, word: rest, "nullable": True} if rest else {**out, "nullable": True}
        return out


def _says_null(x: dict[str, Any]) -> bool:
    """A schema that allows nothing but null, before or after rewriting."""
    return x.get("type") in ("null", ["null"]) or x == {"nullable": True} or x.get("enum") == [None]


def _is_type(out: dict[str, Any], word: str) -> bool:
    types = out.get("type")
    return types == word or (types.__class__ is list and word in types)


def _type_of(out: dict[str, Any], value: Any) -> None:
    """A list of one constant still says its type: some providers want it."""
    names = {str: "string", bool: "boolean", int: "integer", float: "number"}
    if value.__class__ in names:
        out["type"] = names[value.__class__]


def _or_null(x: Any) -> Any:
    if x.__class__ is not dict:
        return x
    types = x.get("type")
    if x.get("nullable") is True or types == "null":
        return x
    if types.__class__ is str:
        out = {**x, "type": [types, "null"]}
    elif types.__class__ is list:
        out = x if "null" in types else {**x, "type": [*types, "null"]}
    elif x.get("anyOf").__class__ is list:
        out = (
            x if any(y.__class__ is dict and _says_null(y) for y in x["anyOf"]) else {**x, "anyOf": [*x["anyOf"], {"type": "null"}]}
        )
    else:
        out = {"anyOf": [x, {"type": "null"}]} if x else x
    if out.get("enum").__class__ is list and None not in out["enum"]:
        out = {**out, "enum": [*out["enum"], None]}
    return out
