"""Frames of a served stream as bytes: names, counters and the framing around a body (SERVE.md 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from engine.call.encode import encode_message
from engine.call.json import dumps
from engine.plan import Served, ServedStream

CONTENT_TYPES = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "eventstream": "application/vnd.amazon.eventstream",
    "json_array": "application/json",
}


def framing_of(served: Served, query: Mapping[str, Any]) -> str:
    """How the stream of a request with this query is framed: as ours is, unless it lacks what ours says (SERVE.md 6)."""
    stream, plan = served.stream, served.plan
    if stream is None:
        return "sse"
    if stream.bare is not None:
        call = plan.stream.call if plan.stream is not None and plan.stream.call is not None else plan.call
        ours = call.query({"stream": True}) if call.query is not None else None
        if any(query.get(name) != value for name, value in (ours or {}).items()):
            return stream.bare
    return stream.framing


Texts = Callable[[list[str]], None]

#: survives no filter of a template unchanged but by being written as it is
_SAMPLE = ' \n"Ab/%7E{ß}€ '
_NUMBER = 918273645546372


class Pattern(NamedTuple):
    """The bytes of a frame around the one text that changes from piece to piece of a block."""

    name: str | None
    pieces: tuple[bytes, bytes, bytes]  # before the number, before the text, after it
    numbered: bool


class Run:
    """A block that goes on: an event like the last one but for its text needs no second look. Texts that came together are
    written together."""

    __slots__ = ("_choice", "_count", "_keep", "_kind", "_name", "_rest", "_texts", "_write")

    def __init__(self, kind: str, choice: int, fields: dict[str, Any], keep: Texts, write: Texts) -> None:
        self._kind = kind
        self._choice = choice
        self._name = "arguments" if kind == "tool_call" else "text"
        self._rest = [(key, value) for key, value in fields.items() if key != self._name]
        self._count = len(fields)
        self._keep = keep
        self._write = write
        self._texts: list[str] = []

    @classmethod
    def of(cls, kind: str, choice: int, fields: dict[str, Any], keep: Texts, write: Texts | None) -> Run | None:
        """The run that an event begins, if its frames can be written so."""
        return cls(kind, choice, fields, keep, write) if write is not None else None

    def takes(self, kind: str, choice: int, fields: dict[str, Any]) -> bool:
        """Whether an event only goes on with the block; then its text waits for `flush`."""
        if kind != self._kind or choice != self._choice or len(fields) != self._count:
            return False
        for key, value in self._rest:
            if key not in fields or fields[key] != value:
                return False
        text = fields.get(self._name)
        if text.__class__ is not str or not text:
            return False
        self._texts.append(text)
        return True

    def flush(self) -> None:
        """Write what has come since the last time."""
        texts = self._texts
        if texts:
            self._keep(texts)
            self._write(texts)
            texts.clear()


class Recorder:
    """Stands in for a Wire while a frame is rendered with a sample text, to learn what surrounds the text."""

    __slots__ = ("_bodies", "_wire")

    sample = _SAMPLE

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._bodies: list[tuple[str | None, Any]] = []

    def put(self, name: str | None, body: Any) -> None:
        """Like `Wire.put`, but nothing is written."""
        if body is not None:
            self._bodies.append((name, body))

    def pattern(self) -> Pattern | None:
        """The pattern, if one frame was put and the sample stands in it once, as it is."""
        if len(self._bodies) != 1:
            return None
        name, body = self._bodies[0]
        data = dumps(self._wire.headed(name, body, _NUMBER))
        before, *after = data.split(dumps(_SAMPLE))
        if len(after) != 1:
            return None
        head, *middle = before.split(b"%d" % _NUMBER)
        if len(middle) > 1 or b"%d" % _NUMBER in after[0]:
            return None
        return Pattern(name, (head, b"".join(middle), after[0]), bool(middle))


class Wire:
    """Collects frames in one framing; `drain` hands over the bytes since the last time."""

    __slots__ = ("_count", "_framing", "_out", "_stream", "content_type")

    def __init__(self, stream: ServedStream, framing: str) -> None:
        self.content_type = CONTENT_TYPES.get(framing, "application/octet-stream")
        self._stream = stream
        self._framing = framing
        self._count = 0
        self._out: list[bytes] = []

    def put(self, name: str | None, body: Any) -> None:
        """One frame; nothing for a body that is nothing. A named one carries its name where the dialect has a field for it."""
        if body is not None:
            self.write(name, dumps(self.headed(name, body, self._count)))

    def headed(self, name: str | None, body: Any, count: int) -> Any:
        """The body with the name and number of its frame, where the dialect has fields for them."""
        stream = self._stream
        if name is None or stream.match is None or self._framing == "eventstream":
            return body
        if stream.number is not None:
            return {stream.match: name, stream.number: count, **body}
        return {stream.match: name, **body}

    def write(self, name: str | None, data: bytes) -> None:
        """The bytes of a body in its frame."""
        framing = self._framing
        if framing == "sse":
            frame = b"event: %s\ndata: %s\n\n" % (name.encode(), data) if name else b"data: %s\n\n" % data
        elif framing == "eventstream":
            frame = encode_message(name or "chunk", data)
        elif framing == "json_array":
            frame = (b",\n" if self._count else b"[") + data
        else:
            frame = data + b"\n"
        self._out.append(frame)
        self._count += 1

    def repeat(self, pattern: Pattern, text: str) -> None:
        """A frame like the one a pattern was learnt from, around another text."""
        head, middle, tail = pattern.pieces
        number = b"%d" % self._count if pattern.numbered else b""
        self.write(pattern.name, b"".join((head, number, middle, dumps(text), tail)))

    def repeater(self, pattern: Pattern) -> Texts | None:
        """What writes frames like `repeat` for several texts and costs less, for a pattern and a framing where only the text
        changes."""
        if pattern.numbered or self._framing not in ("sse", "ndjson"):
            return None
        head, middle, tail = pattern.pieces
        if self._framing == "sse":
            name = b"event: %s\n" % pattern.name.encode() if pattern.name else b""
            before, after = b"%sdata: %s%s" % (name, head, middle), tail + b"\n\n"
        else:
            before, after = head + middle, tail + b"\n"
        append, between = self._out.append, (after + before).decode()

        def write(texts: list[str]) -> None:
            try:
                quoted = between.join(map(encode_basestring, texts)).encode()
            except UnicodeEncodeError:  # half a surrogate pair
                quoted = (after + before).join(map(dumps, texts))
            append(b"".join((before, quoted, after)))
            self._count += len(texts)

        return write

    def close(self, complete: bool) -> None:
        """The last bytes: the end mark of a complete stream, the bracket of an array."""
        if complete and self._stream.done is not None:
            self._out.append(b"data: %s\n\n" % self._stream.done)
        if self._framing == "json_array":
            self._out.append(b"]" if self._count else b"[]")

    def drain(self) -> bytes:
        """What was written since the last time."""
        made = b"".join(self._out)
        self._out.clear()
        return made
