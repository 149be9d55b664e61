"""What an OpenAPI document has that a spec does not send or read, and the other way round. Part of tools/drift.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from drift_read import Reading, Reply, changed, gathered, is_read, places_of
from drift_sent import Sent

from engine.spec.node import Node

DEPTH = 8  # of nested objects
VARIANTS = 60  # of one place


class Document:
    """An OpenAPI 3 document in JSON or YAML."""

    def __init__(self, path: Path) -> None:
        text = path.read_text("utf-8")
        if text.lstrip()[:1] == "{":
            self.root = json.loads(text)
        else:
            import yaml

            self.root = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (both are safe)
        if not isinstance(self.root, dict) or not isinstance(self.root.get("paths"), dict):
            raise ValueError(f"{path} is no OpenAPI document: it has no `paths`")

    def operation(self, url: str, verb: str) -> tuple[str, dict[str, Any]]:
        """(path, operation) that a URL path belongs to: the longest path of the document it ends with. LookupError without one."""
        found = []
        for path, table in self.root["paths"].items():
            pattern = re.sub(r"\\\{[^/]*?\\\}", "[^/]+", re.escape(path))
            if verb.lower() in (table or {}) and (re.search(f"{pattern}$", url) or re.fullmatch(f".*{re.escape(url)}", path)):
                found.append((len(path), path, table[verb.lower()]))
        if not found:
            raise LookupError(f"the document has no {verb} {url}")
        return max(found, key=lambda one: one[0])[1:]

    def schema(self, holder: Any, media: str = "json") -> dict[str, Any] | None:
        """The schema of a request or reply of this kind of content."""
        for kind, table in (self.resolved(holder).get("content") or {}).items():
            if media in kind:
                return table.get("schema")  # type: ignore[no-any-return]
        return None

    def resolved(self, schema: Any) -> dict[str, Any]:
        for _ in range(20):
            if not isinstance(schema, dict):
                return {}
            if "$ref" not in schema:
                return schema
            node: Any = self.root
            for step in str(schema["$ref"]).lstrip("#/").split("/"):
                node = node.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(node, dict) else {}
            schema = node
        return {}

    def shapes(self, schema: Any, depth: int = 6) -> list[dict[str, Any]]:
        """The alternatives of a schema, each with what `allOf` adds; references resolved."""
        found = self.resolved(schema)
        shapes = [{k: v for k, v in found.items() if k not in ("allOf", "anyOf", "oneOf")}]
        if not depth:
            return shapes
        for part in found.get("allOf") or ():
            shapes = [_both(a, b) for a in shapes for b in self.shapes(part, depth - 1)][:VARIANTS]
        choices = [shape for part in (found.get("anyOf") or found.get("oneOf") or ()) for shape in self.shapes(part, depth - 1)]
        if choices:
            shapes = [_both(a, b) for a in shapes for b in choices][:VARIANTS]
        return shapes


def _both(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    return {**a, **b, "properties": {**(a.get("properties") or {}), **(b.get("properties") or {})}}


def sent(document: Document, schema: Any, spec: Sent) -> tuple[set[str], set[str]]:
    """(properties of a request that no template writes, places that a template writes and the schema lacks)."""
    unknown: set[str] = set()
    ours: dict[str, set[str]] = {}  # place -> keys that templates write there
    theirs: dict[str, set[str]] = {}  # place -> keys that the schema has there
    free: set[str] = set()  # places where the schema takes anything
    seen: set[tuple[str, int]] = set()

    def walk(schema: Any, nodes: Sequence[Node], path: str, depth: int) -> None:
        place = spec.at(nodes)
        if place.open or not depth:
            return
        for shape in document.shapes(schema):
            if "items" in shape:
                walk(shape["items"], nodes, f"{path}[]", depth)
            table = shape.get("properties") or {}
            if shape.get("additionalProperties") or (shape.get("type") == "object" and not table):
                free.add(path)
            if not table:
                continue
            ours.setdefault(path, set()).update(key for m in place.maps for key in m)
            theirs.setdefault(path, set()).update(table)
            tag = _constant(document, table.get("type"))
            maps, tagged = spec.tagged(place, tag)
            if not maps:
                unknown.add(f"{path}.type={tag}" if place.maps and tag else path)
                continue
            for key, inner in table.items():
                at = f"{path}{tagged}.{key}" if path else key
                written = spec.below(maps, key)
                if not written:
                    unknown.add(at)
                elif (at, id(inner)) not in seen:
                    seen.add((at, id(inner)))
                    walk(inner, written, at, depth - 1)

    walk(schema, spec.top, "", DEPTH)
    lacking = {f"{p}.{key}" if p else key for p in ours.keys() - free for key in ours[p] - theirs[p]}
    return unknown, lacking


def answered(document: Document, schema: Any, reading: Reading) -> tuple[set[str], set[str]]:
    """(places of a reply that nothing reads, reasons to finish that the spec does not know)."""
    unread: set[str] = set()
    read: set[str] = set()
    reasons: set[str] = set()
    for sample in samples(document, schema):
        reply = _good(reading, Reply(200, {"content-type": "application/json"}, sample))
        found = reading.look(reply, read)
        read |= found.read
        unread |= found.unread
        for place in reading.reason_places(reply):
            for word in _words(document, schema, place):
                reasons |= reading.look(
                    Reply(200, reply.headers, changed(reply.document, place, None, word)), read | unread
                ).reasons
    return _left(unread, read), reasons


def streamed(document: Document, schema: Any, reading: Reading) -> tuple[set[str], set[str]]:
    """(places of a stream's events that nothing reads, types of events that are passed over)."""
    unread: set[str] = set()
    read: set[str] = set()
    passed: set[str] = set()
    for sample in samples(document, schema):
        found = reading.event(sample)
        unread |= found.unread
        read |= found.read
        passed |= found.events
    return _left(unread, read), passed


def _left(unread: set[str], read: set[str]) -> set[str]:
    """What is read nowhere, gathered."""
    return {*gathered({place: 1 for place in unread if not is_read(place, read)}, read)}


def _good(reading: Reading, reply: Reply) -> Reply:
    """A sample as the reply of a success: without the field that makes it an error, if there is one."""
    if isinstance(reply.document, dict) and reading.look(reply, {*places_of(reply.document, None)}).failed:
        for key in reply.document:
            other = Reply(reply.status, reply.headers, {k: v for k, v in reply.document.items() if k != key})
            if not reading.look(other, {*places_of(other.document, None)}).failed:
                return other
    return reply


def samples(document: Document, schema: Any) -> Iterator[Any]:
    """Documents that a schema allows, which together have every property: lists hold one of each kind of item."""
    for shape in document.shapes(schema):
        yield _sample(document, shape, 12, count(1))


def _sample(document: Document, schema: Any, depth: int, numbers: Iterator[int]) -> Any:
    shapes = document.shapes(schema)
    best = max(shapes, key=lambda shape: (bool(shape.get("properties")), shape.get("type") != "null"))
    if "const" in best:
        return best["const"]
    if best.get("enum"):
        return next((word for word in best["enum"] if word is not None), None)
    kind = best.get("type")
    kind = next((k for k in kind if k != "null"), None) if isinstance(kind, list) else kind
    if best.get("properties") or kind == "object":
        return {k: _sample(document, v, depth - 1, numbers) for k, v in (best.get("properties") or {}).items()} if depth else {}
    if kind == "array" or "items" in best:
        return [_sample(document, item, depth - 1, numbers) for item in document.shapes(best.get("items") or {})] if depth else []
    if kind in ("integer", "number"):
        return 1
    return f"x{next(numbers)}" if kind != "boolean" else False  # no two alike: what has one id is one thing


def _words(document: Document, schema: Any, place: str) -> list[str]:
    """The listed values of a place in a schema."""
    shapes = document.shapes(schema)
    for step in re.sub(r"\[[^\]]*\]", ".[]", place).replace("..", ".").split("."):
        below = [shape["items"] if step == "[]" else (shape.get("properties") or {}).get(step) for shape in shapes if shape]
        shapes = [shape for part in below if part is not None for shape in document.shapes(part)]
    return [word for shape in shapes for word in (shape.get("enum") or ()) if isinstance(word, str)]


def _constant(document: Document, schema: Any) -> str | None:
    found = document.resolved(schema)
    word = found.get("const", (found.get("enum") or [None])[0] if len(found.get("enum") or ()) == 1 else None)
    return word if isinstance(word, str) else None
