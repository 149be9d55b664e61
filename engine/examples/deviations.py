"""Where a provider's wire differs from its dialect's: the places an inherited example is not compared at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.spec.node import Node

#: map kind -> the names under which an answer shows it
_SHOWN = {
    "start": ("id", "model", "created"),
    "text": ("text", "parts", "choices"),
    "thinking": ("thinking", "parts", "choices"),
    "tool_call": ("tool_calls", "parts", "choices", "finish_reason"),
    "citation": ("citations", "choices"),
    "finish": ("finish_reason", "finish_reason_raw"),
    "usage": ("usage",),
}


@dataclass(slots=True)
class Deviations:
    """Names the provider's patches write, rename or remove: first keys of the body, headers, query, given names."""

    body: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)
    query: set[str] = field(default_factory=set)
    gives: set[str] = field(default_factory=set)
    said: set[str] = field(default_factory=set)  # client events of a session
    path: bool = False
    whole_body: bool = False

    def without_body(self, body: Any) -> Any:
        """A body without the deviating keys."""
        if self.whole_body or not isinstance(body, dict):
            return None if self.whole_body else body
        return {k: v for k, v in body.items() if k not in self.body}


def deviations(base: Node, merged: Node, *, shared_headers: Node | None = None, shared_query: Node | None = None) -> Deviations:
    """Compare a dialect's tree with the provider's merged tree."""
    out = Deviations()
    for verb in ("get", "post", "put", "patch", "delete", "base_url", "connect"):
        out.path |= _differs(base.get(verb), merged.get(verb))
    for key in ("body", "form", "multipart", "wrap"):
        a, b = base.get(key), merged.get(key)
        if key == "wrap" and _differs(a, b):
            out.whole_body = True
        elif _differs(a, b):
            if a is None or b is None or not a.is_map or not b.is_map:
                out.whole_body = True
            else:
                out.body |= set(_changed(a, b))
    said = [tree.get("send") or Node({}) for tree in (base, merged)]
    out.said = set(_changed(*said))
    out.body |= set(_changed(*(messages.get("open") for messages in said)))
    out.headers = {k.lower() for k in _changed(base.get("headers"), merged.get("headers"))}
    out.headers |= {k.lower() for k, _ in shared_headers.items()} if shared_headers is not None else set()
    out.query = set(_changed(base.get("query"), merged.get("query")))
    out.query |= {k for k, _ in shared_query.items()} if shared_query is not None else set()
    params_a, params_b = base.get("params"), merged.get("params")
    for name in _changed(params_a, params_b):
        for table in (params_a, params_b):
            out.body.add(_native(name, table).split(".")[0])
    if _differs(base.get("parts"), merged.get("parts")) or _differs(base.get("tables"), merged.get("tables")):
        out.body |= set(_nested_keys(merged.get("body")))
    out.gives = set(_given(base, merged))
    return out


def _given(base: Node, merged: Node) -> Iterator[str]:
    if _differs(base.get("usage"), merged.get("usage")) or _differs(base.get("usage_totals"), merged.get("usage_totals")):
        yield "usage"
    if _differs(base.get("finish_reasons"), merged.get("finish_reasons")):
        yield "finish_reason"
    if _differs(base.get("thinking_tags"), merged.get("thinking_tags")):
        yield from ("text", "thinking", "parts", "choices")
    for key in ("response", "stream"):
        yield from _kinds(base.get(key), merged.get(key))


def _kinds(a: Node | None, b: Node | None) -> Iterator[str]:
    """Names of the output kinds whose paths differ between two maps."""
    if not _differs(a, b):
        return
    if a is None or b is None or not a.is_map or not b.is_map:
        yield from (name for names in _SHOWN.values() for name in names)
        return
    for key in _changed(a, b):
        if key in _SHOWN:
            yield from _SHOWN[key]
        elif key in ("framing", "data", "end"):
            continue
        else:
            yield from _kinds(a.get(key), b.get(key))


def _native(name: str, table: Node | None) -> str:
    value = table.get(name) if table is not None else None
    if value is None or value.value is None:
        return name
    if value.is_map:
        to = value.get("to")
        return str(to.value) if to is not None and to.value else name
    return str(value.value)


def _nested_keys(body: Node | None) -> Iterator[str]:
    for key, value in body.items() if body is not None else ():
        if value.is_map or value.is_list or (isinstance(value.value, str) and "{{" in value.value):
            yield key


def _changed(a: Node | None, b: Node | None) -> Iterator[str]:
    left: Mapping[str, Node] = a.value if a is not None and a.is_map else {}
    right: Mapping[str, Node] = b.value if b is not None and b.is_map else {}
    for key in {**left, **right}:
        if _differs(left.get(key), right.get(key)):
            yield key


def _differs(a: Node | None, b: Node | None) -> bool:
    if a is None or b is None:
        return (a is not None and a.value is not None) or (b is not None and b.value is not None)
    return a is not b and bool(a.plain() != b.plain())
