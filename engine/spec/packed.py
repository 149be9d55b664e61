"""Loaded spec files as JSON, so that an installed engine needs neither the YAML parser nor the expression parsers.

The wheel carries one packed file per YAML file: its tree with marks, and the syntax trees of its expressions. A packed file is
bound to its YAML by digest and engine version; one that does not fit is ignored. It holds data only, never code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from engine.spec.node import Mark, Node

FORMAT = 1
_mark = tuple.__new__  # what a Mark's own constructor does, without the call in between


def pack(node: Node, source: bytes) -> bytes:
    """A loaded tree and the parsed expressions in it, bound to the bytes it was loaded from."""
    from engine.expr import query, template

    templates, queries = template.parsed(), query.parsed()
    texts = set(_texts(node))
    held = {
        "format": FORMAT,
        "digest": digest(source),
        "tree": _down(node),
        "templates": {text: tree for text, tree in templates.items() if any(text in t for t in texts)},
        "queries": {text: tree for text, tree in queries.items() if text in texts},
    }
    return json.dumps(held, ensure_ascii=False, separators=(",", ":")).encode()


def unpack(packed: bytes, source: bytes, file: str) -> Node | None:
    """The tree of a packed file, or None if it was made from other bytes or by another version."""
    from engine.expr import query, template

    try:
        held = json.loads(packed)
    except ValueError:
        return None
    if held.get("format") != FORMAT or held.get("digest") != digest(source):
        return None
    template.preload(held["templates"])
    query.preload(held["queries"])
    return _up(held["tree"], file)


def pack_facts(facts: Any, source: bytes) -> bytes:
    """Model facts as plain JSON: nobody asks for places in them."""
    held = {"format": FORMAT, "digest": digest(source), "facts": facts}
    return json.dumps(held, ensure_ascii=False, separators=(",", ":")).encode()


def unpack_facts(packed: bytes, source: bytes) -> dict[str, Any] | None:
    """The facts, or None if they were packed from other bytes or by another version."""
    try:
        held = json.loads(packed)
    except ValueError:
        return None
    if held.get("format") != FORMAT or held.get("digest") != digest(source):
        return None
    facts: dict[str, Any] = held["facts"]
    return facts


def digest(source: bytes) -> str:
    """The binding between a YAML file and its packed form."""
    return hashlib.sha256(source).hexdigest()


def _down(node: Node) -> list[Any]:
    value = node.value
    if value.__class__ is dict:
        value = {key: _down(child) for key, child in value.items()}
    elif value.__class__ is list:
        value = [_down(child) for child in value]
    out = [value, node.mark.line, node.mark.column]
    if node.key_mark is not None:
        out += [node.key_mark.line, node.key_mark.column]
    return out


def _up(packed: list[Any], file: str) -> Node:
    value = packed[0]
    if value.__class__ is dict:
        value = {key: _up(child, file) for key, child in value.items()}
    elif value.__class__ is list:
        value = [_up(child, file) for child in value]
    key_mark = _mark(Mark, (file, packed[3], packed[4])) if len(packed) == 5 else None
    return Node(value, _mark(Mark, (file, packed[1], packed[2])), key_mark)


def _texts(node: Node) -> Iterator[str]:
    value = node.value
    if value.__class__ is dict:
        for child in value.values():
            yield from _texts(child)
    elif value.__class__ is list:
        for child in value:
            yield from _texts(child)
    elif isinstance(value, str):
        yield value
