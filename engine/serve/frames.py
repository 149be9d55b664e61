"""Frames of a served stream as bytes: names, counters and the framing around a body (SERVE.md 6)."""

from __future__ import annotations

from typing import Any

from engine.call.encode import encode_message
from engine.call.json import dumps
from engine.plan import ServedStream

CONTENT_TYPES = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "eventstream": "application/vnd.amazon.eventstream",
    "json_array": "application/json",
}


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
        if body is None:
            return
        stream, framing = self._stream, self._framing
        if name is not None and stream.match is not None and framing != "eventstream":
            head: dict[str, Any] = {stream.match: name}
            if stream.number is not None:
                head[stream.number] = self._count
            body = {**head, **body}
        data = dumps(body)
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
