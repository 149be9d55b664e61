"""Frames of a stream that are like one before but for their text, which most are: read without parsing or mapping them anew.

What a frame is read as may depend on every byte of it. So nothing is assumed: a frame is learnt by reading it with other texts in
the place of its own, and only frames with the very same bytes around their text count as like it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from engine.call.block import Candidate
from engine.call.json import JsonError, dumps, loads_event

#: texts that no map has a word about, and that survive nothing but being passed on; a number is one that a map may count
_SAMPLES = ('\0 \n"Ab/%7E{ß}€ ', "x", "null", "7")
#: what is learnt -> the field with its text
TEXTS = {"text": "text", "thinking": "text", "refusal": "text", "tool_call": "arguments"}
#: what may lead a piece to another block, or change it
_DECIDING = ("id", "name", "signature", "redacted", "full", "full_arguments", "at", "piece", "server")
_LONGEST = 4096  # bytes of a frame that is learnt
_MARKS = (b"\n", b'"', b"\\")

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

    def texts(self, data: bytes) -> tuple[list[str], bytes] | None:
        """The texts of the server-sent events that `data` begins with and that are like this one, written without a word of JSON
        between them, and the bytes from the last of those on; None if there is no such run."""
        lead = (b"event: %b\ndata: " % self.event.encode() if self.event else b"data: ") + self.head
        between = self.tail + b"\n\n" + lead
        end = data.rfind(between)
        if end < 0 or not data.startswith(lead):
            return None
        run = data[len(lead) : end]
        count = run.count(between)
        if any(run.count(mark) != count * between.count(mark) for mark in _MARKS):
            return None  # another frame stands among them, or a text that is escaped
        try:
            texts = run.decode().split(between.decode())
        except UnicodeDecodeError:
            return None
        if not all(texts) or not "".join(texts).isprintable():
            return None
        return texts, data[end + len(self.tail) + 2 :]


class Going(NamedTuple):
    """Where the texts of such frames go, once the first has gone there: nothing else has to be looked at."""

    pieces: list[str]
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
    return Going(block.pieces, {**fields, "index": block.ordinal} if repeat.kind == "tool_call" else fields)


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
    try:
        if _minds(mapping, event, said, head, tails[0]):
            return None
        for sample in _SAMPLES:
            other = _read(mapping, event, loads_event(b"%b%b%b" % (head, dumps(sample), tails[0])))
            if other != (kind, choice, {**fields, name: sample}):
                return None
    except JsonError:  # it was not the text that was found: `":"` stands between a key and any text, too
        return None
    return Repeat(head + b'"', b'"' + tails[0], event, kind, choice, fields, name)


def _minds(mapping: Map, event: str | None, said: tuple[str, Any, dict[str, Any]], head: bytes, tail: bytes) -> bool:
    """Whether the map reads one of its own words (`text == '<END>'`) as more than a text. Asked once for frames of one sort."""
    kind, choice, fields = said
    name = TEXTS[kind]
    told = _MINDS.setdefault(mapping, {})
    sort = (event, kind, *sorted(k for k, v in fields.items() if v is not None))
    if sort not in told:
        own = _words(mapping)
        samples = (*own, " ".join(own))
        read = (_read(mapping, event, loads_event(b"%b%b%b" % (head, dumps(sample), tail))) for sample in samples if sample)
        told[sort] = any(found != (kind, choice, {**fields, name: sample}) for found, sample in zip(read, filter(None, samples)))
    return told[sort]


_MINDS: WeakKeyDictionary[Map, dict[tuple[Any, ...], bool]] = WeakKeyDictionary()


def _words(mapping: Map) -> list[str]:
    """Every text that the code of a map holds, also in the tables it uses."""
    found: dict[str, None] = {}
    todo: list[Any] = [mapping]
    seen: set[int] = set()
    while todo:
        value = todo.pop()
        if value.__class__ is str:
            found[value] = None
        elif id(value) in seen:
            continue
        elif isinstance(value, FunctionType):
            if value is not mapping and value.__code__.co_filename[:1] != "<":  # the engine's own, which means no word of a spec
                continue
            todo += [value.__code__, *(cell.cell_contents for cell in value.__closure__ or ())]
            todo += [value.__globals__[name] for name in value.__code__.co_names if name in value.__globals__]
        elif isinstance(value, CodeType):
            todo += value.co_consts
        elif isinstance(value, Mapping):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, (tuple, list, set, frozenset)):
            todo += value
        seen.add(id(value))
    return list(found)


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
