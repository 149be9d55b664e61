"""Requests of the other operations: texts wrapped, files read into media parts, sizes split (SPEC_LANGUAGE 5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.call.content import Content
from engine.call.normalize.media import encoded, media
from engine.call.normalize.parts import Notes, mapping_of, read_content, read_part
from engine.call.normalize.views import dress_part, give_bytes
from engine.errors import ConfigError, LimitError
from engine.vocabulary import HOLDERS, INPUT_TYPES, MEDIA_FIELDS

INPUTS = 100_000  # texts of one request
HELD = 44 << 20  # bytes of a file that is written into JSON: its base64 is within what a body may be
#: words of several services for what a text is embedded for
_INPUT_TYPES = {**{word: word for word in INPUT_TYPES}, "semantic_similarity": "similarity", "code_retrieval_query": "code_query"}
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-=\s]*\Z")  # also in the alphabet for URLs
_HELD = frozenset(("data", "uri", "text"))  # fields of a part that hold its content
_BYTES = (bytes, bytearray, memoryview, Content)
_VIEWS = frozenset(("uri", "format", "text", "bytes", "arguments", "arguments_json", "json"))


def other(operation: str, fields: Mapping[str, Any], aliases: Mapping[str, str], reads: frozenset[str]) -> dict[str, Any]:
    """The canonical request. `fields` has known names only and no None; `reads` are the fields of parts that templates read."""
    out = dict(fields)
    for alias, name in aliases.items():
        if alias in out:
            value = out.pop(alias)
            out.setdefault(name, value)
    notes = Notes()
    for name in HOLDERS.get(operation, ()):
        if name in out:
            out[name] = _media_field(out[name], MEDIA_FIELDS[name], name, notes, reads)
    step = _STEPS.get(operation)
    if step is not None:
        step(out, notes)
    if notes:
        out["$warnings"] = list(notes)
    return out


def _media_field(value: Any, kind: str | None, name: str, notes: Notes, reads: frozenset[str]) -> Any:
    """A media part of bytes, a file (a path, an open file, {filename, bytes}), a data URI, a URL, base64 or a part; a list of
    them."""
    if isinstance(value, (list, tuple)) and not (
        len(value) in (2, 3) and isinstance(value[0], str) and isinstance(value[1], _BYTES)
    ):
        return [_media_field(item, kind, name, notes, reads) for item in value]
    if isinstance(value, _BYTES):
        return _file(kind, value, {}, reads)
    if isinstance(value, (list, tuple)):  # (filename, bytes, media type), as form libraries have it
        return _file(kind, value[1], {"filename": value[0], "media_type": value[2] if len(value) > 2 else None}, reads)
    if isinstance(value, Mapping) and isinstance(value.get("bytes"), Content):
        return _file(kind, value["bytes"], value, reads)
    if isinstance(value, str):
        address = ":" in value[:32]
        if not address and not _BASE64.match(value[:256]):
            message = f"`{name}` is neither an address nor base64: a file is given as a pathlib.Path, not as a text"
            raise ConfigError(message, param=name)
        part = media(kind, url=value) if address else media(kind, data=value)
    else:
        item = mapping_of(value, f"`{name}`")
        media_type = item.get("content_type")
        part = read_part({"type": kind or "media", **({"media_type": media_type} if media_type else {}), **item}, notes)
    dress_part(part, _VIEWS)
    give_bytes(part)
    return part


def _file(kind: str | None, content: Any, given: Mapping[str, Any], reads: frozenset[str]) -> dict[str, Any]:
    """A part of bytes or of a file on disk, which is read here only where the wire has it inside JSON; else while it is sent."""
    media_type, name, on_disk = given.get("media_type") or given.get("content_type"), given.get("filename"), None
    if isinstance(content, Content):
        on_disk, name = content, name or content.name
    else:
        content = bytes(content)
    head = on_disk.head() if on_disk is not None else content[:64]
    part = media(kind, data=head, media_type=media_type, format=given.get("format"), filename=name)
    del part["data"]
    part["bytes"], part["size"] = content, len(content)
    if not reads.isdisjoint(_HELD):
        if on_disk is not None:
            if on_disk.size > HELD:
                raise LimitError(f"this wire carries a file inside its request, at most {HELD} bytes; {name} has {on_disk.size}")
            content = part["bytes"] = on_disk.read()
        part["data"] = encoded(content)
    dress_part(part, (_VIEWS - {"text", "uri"}) | (_HELD & reads))
    return part


def _texts(value: Any, name: str) -> list[Any]:
    if isinstance(value, (str, Mapping)):
        return [value]
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"`{name}` is a text or a list of texts", param=name)
    if len(value) > INPUTS:
        raise LimitError(f"{len(value)} inputs are more than the limit of {INPUTS}", param=name)
    return value if isinstance(value, list) else list(value)


def _embeddings(out: dict[str, Any], notes: Notes) -> None:
    if "input" not in out:
        raise ConfigError("`input` is missing: give a text or a list of texts", param="input")
    given = out["input"]
    items = _texts(given, "input")
    if items and all(isinstance(x, int) for x in items):
        items = [items]  # one input as token numbers
    out["input"] = items
    inputs: list[dict[str, Any]] = []
    plain: dict[int, str] = {}
    for number, item in enumerate(items):
        if isinstance(item, str):
            inputs.append({"text": item, "parts": [{"type": "text", "text": item}]})
            continue
        if isinstance(item, (list, tuple)) and item and all(isinstance(x, int) for x in item):
            inputs.append({"tokens": item})
            continue
        parts = read_content(
            item.get("parts", item.get("content", item)) if isinstance(item, dict) and "type" not in item else item, notes
        )
        for part in parts:
            dress_part(part, _VIEWS)
        text = "".join(p["text"] for p in parts if p["type"] == "text")
        inputs.append({"text": text or None, "parts": parts})
        extra = item.get("extra") if isinstance(item, dict) and "type" not in item else None
        if extra:  # for wires that write items; for others it is the text it is
            inputs[-1]["extra"] = extra
            if len(parts) == 1 and parts[0]["type"] == "text":
                plain[number] = text
    items = out["input"] = [plain.get(number, item) for number, item in enumerate(items)] if plain else items
    out["inputs"] = inputs
    if all(isinstance(item, str) for item in items):
        out["texts"] = items
    if len(inputs) == 1:
        out["input_parts"] = inputs[0].get("parts")
    said = out.get("input_type")
    if isinstance(said, str):
        out["input_type"] = _INPUT_TYPES.get(said.lower().removeprefix("search_").removeprefix("retrieval_"), said)


def _rerank(out: dict[str, Any], notes: Notes) -> None:
    if "documents" in out:
        out["documents"] = _texts(out["documents"], "documents")


def _moderation(out: dict[str, Any], notes: Notes) -> None:
    given = out.get("input")
    if isinstance(given, tuple):
        out["input"] = list(given)


def _image(out: dict[str, Any], notes: Notes) -> None:
    """`size` as `<width>x<height>` gives both numbers, and they give it."""
    size = out.get("size")
    views: dict[str, tuple[str, ...]] = {}  # what is made here -> what it is made of
    if isinstance(size, str):
        width, cross, height = size.lower().partition("x")
        if cross and width.isdecimal() and height.isdecimal() and len(size) < 16:
            for name, number in (("width", width), ("height", height)):
                if name not in out:
                    out[name], views[name] = int(number), ("size",)
    elif size is None and isinstance(out.get("width"), int) and isinstance(out.get("height"), int):
        out["size"], views["size"] = f"{out['width']}x{out['height']}", ("width", "height")
    if views:
        out["$views"] = views


def _image_edit(out: dict[str, Any], notes: Notes) -> None:
    _image(out, notes)
    given = out.get("image")
    if given:
        out["images"] = given if isinstance(given, list) else [given]
        out["image"] = out["images"][0]


def _clone_voice(out: dict[str, Any], notes: Notes) -> None:
    """Samples are a list, also where there is one."""
    given = out.get("samples")
    if not given:
        raise ConfigError("`samples` is missing: give a recording of the voice, or several", param="samples")
    out["samples"] = given if isinstance(given, list) else [given]
    if isinstance(out.get("consent"), list):
        raise ConfigError("`consent` is one recording", param="consent")


def _completion(out: dict[str, Any], notes: Notes) -> None:
    if isinstance(out.get("stop"), str):
        out["stop"] = [out["stop"]]


_STEPS = {
    "embeddings": _embeddings,
    "rerank": _rerank,
    "moderation": _moderation,
    "image": _image,
    "image_edit": _image_edit,
    "image_variation": _image,
    "clone_voice": _clone_voice,
    "completion": _completion,
}
