"""Values that fit a JSON schema: arguments of a tool call, an answer in a given form. The same input gives the same value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

DEPTH = 12
_QUOTED = re.compile(r"[\"“„'‘]([^\"”“'’]{1,80})[\"”“'’]")
_NAME = re.compile(r"(?<![.!?\n]\s)(?<!^)\b[^\W\d_a-z][\w-]*(?: [^\W\d_a-z][\w-]*)*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class Inventor:
    """Makes values; names and numbers are taken from `text` (what the user wrote) while there are any."""

    def __init__(self, text: str = "") -> None:
        # a word that only begins a sentence is no name
        self._names = list(dict.fromkeys(_QUOTED.findall(text) + [n for n in _NAME.findall(text) if n != "I"]))
        self._numbers = [float(n) for n in _NUMBER.findall(text)]

    def value(self, schema: Any) -> Any:
        """A value for a schema; of anything that is none, an empty object."""
        return self._value(schema, schema, "", 0)

    def _value(self, schema: Any, root: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > DEPTH:
            return name or {}
        if "$ref" in schema:
            return self._value(_target(root, schema["$ref"]), root, name, depth + 1)
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        for key in ("enum", "examples"):
            if isinstance(schema.get(key), list) and schema[key]:
                return schema[key][0]
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                real = [s for s in schema[key] if not (isinstance(s, Mapping) and s.get("type") == "null")]
                return self._value((real or schema[key])[0], root, name, depth + 1)
        if isinstance(schema.get("allOf"), list):
            return self._value(_joined([schema, *schema["allOf"]]), root, name, depth + 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), "null")
        kind = kind or ("object" if "properties" in schema else "array" if "items" in schema else "string" if name else "object")
        make = getattr(self, f"_{kind}", None)
        return make(schema, root, name, depth) if make is not None else None

    def _object(self, schema: Mapping[str, Any], root: Any, name: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        known = properties if isinstance(properties, Mapping) else {}
        missing = [n for n in schema.get("required") or () if isinstance(n, str) and n not in known]
        return {n: self._value(s, root, n, depth + 1) for n, s in [*known.items(), *((n, {"type": "string"}) for n in missing)]}

    def _array(self, schema: Mapping[str, Any], root: Any, name: str, depth: int) -> list[Any]:
        count = schema.get("minItems")
        count = min(max(count if isinstance(count, int) else 1, 1), 100)
        return [self._value(schema.get("items") or {"type": "string"}, root, name, depth + 1) for _ in range(count)]

    def _string(self, schema: Mapping[str, Any], root: Any, name: str, depth: int) -> str:
        made = _FORMATS.get(str(schema.get("format"))) or (self._names.pop(0) if self._names else name or "text")
        shortest, longest = schema.get("minLength"), schema.get("maxLength")
        if isinstance(shortest, int) and len(made) < shortest <= 10_000:
            made += "x" * (shortest - len(made))
        return made[:longest] if isinstance(longest, int) else made

    def _number(self, schema: Mapping[str, Any], root: Any, name: str, depth: int) -> float:
        low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum", schema.get("exclusiveMaximum"))
        made: float = self._numbers.pop(0) if self._numbers else 1.5
        low = low + ("exclusiveMinimum" in schema) if isinstance(low, (int, float)) else None
        high = high - ("exclusiveMaximum" in schema) if isinstance(high, (int, float)) else None
        if low is not None and made < low:
            made = low
        return high if high is not None and made > high else made

    def _integer(self, schema: Mapping[str, Any], root: Any, name: str, depth: int) -> int:
        step = schema.get("multipleOf")
        made = int(self._number(schema, root, name, depth))
        return made - made % step if isinstance(step, int) and step else made

    def _boolean(self, schema: Mapping[str, Any], root: Any, name: str, depth: int) -> bool:
        return True

    def _null(self, schema: Mapping[str, Any], root: Any, name: str, depth: int) -> None:
        return None


def _target(root: Any, reference: Any) -> Any:
    """What `#/$defs/Name` points at."""
    found = root
    for step in str(reference).removeprefix("#").strip("/").split("/"):
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) and step else found
    return found


def _joined(schemas: list[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for schema in schemas:
        for key, value in schema.items() if isinstance(schema, Mapping) else ():
            if key == "properties" and isinstance(made.get(key), dict) and isinstance(value, Mapping):
                made[key] = {**made[key], **value}
            elif key != "allOf":
                made[key] = value
    return made
