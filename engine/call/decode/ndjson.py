"""One JSON document per line."""

from __future__ import annotations

from engine.call.decode.frame import DecodeLimits, Frame, Tail, too_large


class Ndjson:
    """Lines end with LF (a CR before it is white space); blank lines mean nothing."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limit = min(limits.line, limits.event)
        self._tail = Tail(self._limit, "a line")
        self._first = True
        self.before: list[Frame] = []

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that are complete now."""
        self.before = []
        end = data.rfind(b"\n")
        if end < 0:
            self._tail.add(data)
            return []
        frames = self._frames(self._tail.take(data[:end]))
        self._tail.add(data[end + 1 :])
        return frames

    def close(self) -> list[Frame]:
        """A last line without its end."""
        return self._frames(self._tail.take())

    def _frames(self, whole: bytes) -> list[Frame]:
        if self._first and whole:
            self._first = False
            whole = whole.removeprefix(b"\xef\xbb\xbf")
        frames: list[Frame] = []
        self.before = frames
        for line in whole.split(b"\n"):
            if len(line) > self._limit:
                raise too_large("a line", self._limit)
            line = line.strip()
            if line:
                frames.append(Frame(None, line))
        return frames
