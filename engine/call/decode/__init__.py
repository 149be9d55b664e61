"""How bytes become frames: one class per framing, chosen by the spec's word (SPEC_LANGUAGE 7.1).

A decoder has `feed(data) -> list[Frame]` and `close() -> list[Frame]`; it raises LimitError past a limit and ProtocolError
where bytes are broken, with the frames of the same bytes that came before in `before`: how the bytes were cut must not
decide whether they are seen (RELIABILITY T1). What `close` gives lacked its end and may be cut.
"""

from __future__ import annotations

from typing import Protocol

from engine import errors
from engine.call.decode.eventstream import EventStream
from engine.call.decode.frame import DecodeLimits, Frame
from engine.call.decode.json_array import JsonArray
from engine.call.decode.ndjson import Ndjson
from engine.call.decode.raw import Raw
from engine.call.decode.sse import Sse

__all__ = ["DECODINGS", "FRAMINGS", "DecodeLimits", "Decoder", "Frame", "JsonArray", "decoder"]


class Decoder(Protocol):
    """What a framing offers."""

    before: list[Frame]

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that are complete now."""

    def close(self) -> list[Frame]:
        """What is left when the bytes end."""


#: `stream.framing` -> class
FRAMINGS: dict[str, type] = {"sse": Sse, "ndjson": Ndjson, "eventstream": EventStream, "json_array": JsonArray, "raw": Raw}
#: `stream.data` whose frames are pieces of an inner stream -> class
DECODINGS: dict[str, type] = {"sse": Sse, "ndjson": Ndjson}


class Nested:
    """Frames of one framing are the bytes of another (SPEC_LANGUAGE 7.1, `data: sse`)."""

    def __init__(self, outer: Decoder, inner: Decoder) -> None:
        self._outer = outer
        self._inner = inner
        self.before: list[Frame] = []

    def feed(self, data: bytes) -> list[Frame]:
        """Inner frames that are complete now; exception frames of the outer stream pass."""
        self.before = []
        try:
            frames = self._outer.feed(data)
        except errors.Error:
            self._through(self._outer.before)
            raise
        return self._through(frames)

    def close(self) -> list[Frame]:
        """What is left in both."""
        return self._through(self._outer.close()) + self._inner.close()

    def _through(self, frames: list[Frame]) -> list[Frame]:
        out: list[Frame] = []
        self.before = out
        for frame in frames:
            if frame.exception:
                out.append(frame)
                continue
            try:
                out.extend(self._inner.feed(frame.data))
            except errors.Error:
                out.extend(self._inner.before)
                raise
        return out


def decoder(framing: str, data: str, limits: DecodeLimits) -> Decoder:
    """The decoder of a `stream` block."""
    outer: Decoder = FRAMINGS[framing](limits)
    return Nested(outer, DECODINGS[data](limits)) if data in DECODINGS else outer
