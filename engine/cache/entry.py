"""An answer as the JSON a cache keeps, and back; and which answers are kept at all (RELIABILITY C2). Pure."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from engine.call.json import JsonError, dumps, loads
from engine.types import Choice, Citation, Event, Part, Response, Usage

__all__ = ["Entry", "read", "refusal", "said", "written"]

FORMAT = 1
LONG = 24  # characters of a name that may be more than one
TOLD = ("chat", "completion")  # operations whose answers say why they ended
WHOLE = ("stop", "tool_calls")  # reasons to finish that do not mean "cut"
_TYPES: dict[str, Any] = {"$choice": Choice, "$part": Part, "$citation": Citation, "$usage": Usage}
_TAGS = {kind: tag for tag, kind in _TYPES.items()}
_VIEWS = frozenset(("tool_calls",))  # of a choice: these are its parts, the very same
_NAMES = {kind: tuple(f.name for f in fields(kind) if f.name not in _VIEWS) for kind in _TAGS}
#: fields of a Response that are the answer's own; the rest is made anew for every call
_KEPT = ("id", "model", "provider", "created", "choices", "outputs", "usage", "request_id")


class Entry:
    """One kept answer: when it was given and until when it may be told (epoch seconds), and what it cost (USD as text)."""

    __slots__ = ("at", "cost", "response", "until")

    def __init__(self, response: Response, at: float, until: float, cost: str | None) -> None:
        self.response = response
        self.at = at
        self.until = until
        self.cost = cost


def refusal(response: Response, request: Mapping[str, Any], operation: str) -> str | None:
    """Why an answer is not kept: it is not complete, was cut, or is not what was asked for. None for one that is."""
    if response.completeness != "complete":
        return "nobody knows whether the answer is complete"
    for choice in response.choices:
        if choice.finish_reason not in WHOLE and (choice.finish_reason is not None or operation in TOLD):
            return f"the answer ended with {choice.finish_reason or 'no reason'}"
        if any(part.invalid for part in choice.tool_calls):
            return "the arguments of a tool call are no JSON"
    if not response.choices and not response.outputs and response.usage == Usage():
        return "the answer is empty"
    wanted = request.get("response_format")
    structured = isinstance(wanted, Mapping) and wanted.get("type") in ("json_object", "json_schema")
    if structured and response.parsed is None and not response.tool_calls and response.refusal is None:
        return "the answer is not the JSON that was asked for"
    return None


def written(response: Response, at: float, until: float) -> bytes | None:
    """The JSON of an answer; None for one that JSON cannot hold. Warnings about the request are not the answer's."""
    about = set(response.report.warnings)
    cost = response.cost
    document: dict[str, Any] = {
        "format": FORMAT,
        "at": at,
        "until": until,
        "cost": None if cost is None else f"{cost:f}",
        "warnings": [w for w in response.warnings if w not in about],
        "ignored": response.report.ignored_events,
    }
    try:
        document["response"] = {name: _pack(value) for name in _KEPT if (value := getattr(response, name)) is not None}
        document.update(_raw(response.raw))
        return dumps(document)
    except (JsonError, RecursionError):
        return None


def read(payload: bytes) -> Entry | None:
    """The entry in the JSON of one; None for anything else."""
    try:
        document = loads(payload)
        if document["format"] != FORMAT:
            return None
        kept = {name: _unpack(value) for name, value in document["response"].items()}
        if not set(kept) <= set(_KEPT):
            return None
        raw = document["raw"] if "packed" not in document else _unpack(document["packed"])
        response = Response(**kept, raw=raw, warnings=[str(w) for w in document["warnings"]])
        for choice in response.choices:
            choice.tool_calls = [part for part in choice.parts if part.type == "tool_call" and not part.server]
        response.report.ignored_events.update(document["ignored"])
        cost = document["cost"]
        return Entry(response, float(document["at"]), float(document["until"]), None if cost is None else f"{Decimal(cost):f}")
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
        return None


def said(payload: bytes) -> Iterator[str]:
    """All texts of an entry. Names of fields are not: a key that is called like one of them would spoil every answer."""
    left = [loads(payload)]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            left += value.values()
            yield from (name for name in value if len(name) >= LONG)
        elif isinstance(value, list):
            left += value


def _raw(document: Any) -> dict[str, Any]:
    """The provider's own document: as it is where it is JSON, as nearly all are."""
    try:
        dumps(document)
    except JsonError:
        return {"packed": _pack(document)}
    return {"raw": document}


def _pack(value: Any) -> Any:
    """Plain JSON in which our own types, decimals and bytes are mappings with one key that begins with `$`."""
    kind = value.__class__
    if value is None or kind in (str, int, float, bool):
        return value
    if kind is list or kind is tuple:
        return [_pack(item) for item in value]
    if kind in _TAGS:
        return {_TAGS[kind]: {name: _pack(item) for name in _NAMES[kind] if (item := getattr(value, name)) is not None}}
    if kind is Event:
        return {"$event": [value.kind, value.choice, {name: _pack(item) for name, item in value.fields.items()}]}
    if isinstance(value, Mapping):
        told = {str(name): _pack(item) for name, item in value.items()}
        return {"$map": told} if len(told) == 1 and next(iter(told))[:1] == "$" else told
    if kind is Decimal:
        return {"$decimal": str(value)}
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": b64encode(value).decode()}
    raise JsonError(f"a value of type {kind.__name__} is not kept")


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        return {name: _unpack(item) for name, item in value.items()}
    tag, inner = next(iter(value.items()))
    if tag[:1] != "$":
        return {tag: _unpack(inner)}
    if tag == "$map":
        return {name: _unpack(item) for name, item in inner.items()}
    if tag == "$event":
        kind, choice, told = inner
        return Event(kind, {name: _unpack(item) for name, item in told.items()}, choice)
    if tag == "$decimal":
        return Decimal(inner)
    if tag == "$bytes":
        return b64decode(inner, validate=True)
    return _TYPES[tag](**{name: _unpack(item) for name, item in inner.items()})
