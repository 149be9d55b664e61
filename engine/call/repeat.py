"""Frames of a stream that are like one before but for their text, which most are: read without parsing or mapping them anew.

What a frame is read as may depend on every byte of it. So nothing is assumed: a frame is learnt by reading it with other texts in
the place of its own, and only frames with the very same bytes around their text count as like it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from engine.call.block import Candidate
from engine.call.json import dumps, loads_event

#: texts that no map has a word about, and that survive nothing but being passed on
_SAMPLES = ('\0 \n"Ab/%7E{ß}€ ', "x", "null")
#: what is learnt -> the field with its text
TEXTS = {"text": "text", "thinking": "text", "refusal": "text", "tool_call": "arguments"}
#: what may lead a piece to another block, or change it
_DECIDING = ("id", "name", "signature", "redacted", "full", "full_arguments", "at", "piece", "server")
_LONGEST = 4096  # bytes of a frame that is learnt

Map = Callable[..., Any]


class Repeat(NamedTuple):
    """A frame that was learnt: the bytes around its text, and what it is read as."""

    head: bytes
    tail: bytes
    event: str | None
    kind: str
    choice: Any
    fields: dict[str, Any]
    name: str  # of the field that takes the text

    def text(self, event: str | None, data: bytes) -> str | None:
        """The text of a frame that is like this one, else None."""
        head, tail = self.head, self.tail
        if event != self.event or not data.startswith(head) or not data.endswith(tail):
            return None
        between = data[len(head) : -len(tail)]
        try:
            text = between.decode()
            if "\\" in text or '"' in text or not text.isprintable():
                text = loads_event(b'"%b"' % between)
        except ValueError:  # the bytes between are not one text
            return None
        return text if text.__class__ is str else None


class Going(NamedTuple):
    """Where the texts of such frames go, once the first has gone there: nothing else has to be looked at."""

    append: Callable[[str], None]
    fields: dict[str, Any]  # of their events, but for the text


def going(repeat: Repeat, candidates: Mapping[int, Candidate]) -> Going | None:
    """The block that the frames go on with; None where that depends on more than what they have in common."""
    fields = repeat.fields
    candidate = candidates.get(repeat.choice) if repeat.choice.__class__ is int else None
    if candidate is None or candidate.cutter is not None or any(fields.get(name) is not None for name in _DECIDING):
        return None
    index = fields.get("index")
    if index is not None:
        block = candidate.keys.get((repeat.kind, index)) if index.__class__ is int else None
    else:
        block = candidate.blocks[-1] if candidate.blocks and repeat.kind != "tool_call" else None
    if block is None or block.type != repeat.kind or block.sealed or block.arguments is not None:
        return None
    return Going(block.pieces.append, {**fields, "index": block.ordinal} if repeat.kind == "tool_call" else fields)


def learnt(mapping: Map, event: str | None, data: bytes, document: Any) -> Repeat | None:
    """The frame as one that others may be like; None if what it is read as is more than one piece of text."""
    if len(data) > _LONGEST:
        return None
    said = _read(mapping, event, document)
    if said is None:
        return None
    kind, choice, fields = said
    name = TEXTS[kind]
    text = fields.get(name)
    if text.__class__ is not str or not text or fields.get("full") is not None or fields.get("full_arguments") is not None:
        return None
    quoted = dumps(text)
    head, *tails = data.split(quoted)
    if len(tails) != 1:
        return None
    for sample in _SAMPLES:
        other = _read(mapping, event, loads_event(b"%b%b%b" % (head, dumps(sample), tails[0])))
        if other != (kind, choice, {**fields, name: sample}):
            return None
    return Repeat(head + b'"', b'"' + tails[0], event, kind, choice, fields, name)


def _read(mapping: Map, event: str | None, document: Any) -> tuple[str, Any, dict[str, Any]] | None:
    """The one piece of text a document is read as. What says nothing new beside it, as the id of the answer in every frame,
    does not count; anything else does."""
    said: list[tuple[str, Any, dict[str, Any]]] = []
    strange: list[Any] = []

    def emit(kind: str, choice: Any, fields: dict[str, Any]) -> None:
        if kind in TEXTS:
            said.append((kind, choice, fields))
        elif kind not in ("start", "finish", "usage") or (kind != "start" and any(v is not None for v in fields.values())):
            strange.append(kind)

    try:
        mapping(document, emit, event, strange.append)
    except Exception:  # of a sample that the map has an opinion of
        return None
    return said[0] if len(said) == 1 and not strange else None
