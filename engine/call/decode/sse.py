"""Server-sent events (WHATWG HTML, section 9.2.6), read the same however the bytes are cut (RELIABILITY T1)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from engine.call.decode.frame import DecodeLimits, Frame, Tail, too_large

_BOM = b"\xef\xbb\xbf"
_new: Callable[..., Frame] = tuple.__new__  # a third of the time of Frame(...)


class Sse:
    """Lines end with LF, CR LF or CR; a blank line ends an event; an event without data is no event."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._tail = Tail(limits.event)
        self._small = min(4096, limits.event, limits.line)
        self._last = b""  # the last byte that was kept, to see a blank line that is cut in two
        self._after_cr = False
        self._start: bytes | None = b""  # the first bytes, until it is known whether they are a byte-order mark
        self.before: list[Frame] = []

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that are complete now."""
        if (  # one whole event of one data line: what most pieces are
            data[:6] == b"data: "
            and data.find(b"\n") == len(data) - 2 > 6
            and data[-1] == 10
            and not self._tail.size
            and self._start is None
            and not self._after_cr
            and b"\r" not in data
            and len(data) < self._small
        ):
            return [_new(Frame, (None, data[6:-2], False))]
        self.before = []
        if self._start is not None:
            data = self._start + data
            if len(data) < 3 and _BOM.startswith(data):
                self._start = data
                return []
            self._start = None
            data = data.removeprefix(_BOM)
        if self._after_cr or b"\r" in data:
            data = self._unify(data)
        if not data:
            return []
        end = data.rfind(b"\n\n")
        if end < 0:
            if not (self._last == b"\n" and data[:1] == b"\n"):
                self._last = data[-1:]
                self._tail.add(data)
                return []
            end = -1  # the blank line is the last kept byte and the first new one
        whole = self._tail.take(data)
        end += len(whole) - len(data)
        rest = whole[end + 2 :]
        self._last = rest[-1:]
        frames = self._blocks(whole[:end])
        self._tail.add(rest)
        return frames

    def close(self) -> list[Frame]:
        """A last event that lacks its blank line."""
        whole = self._tail.take(self._start or b"")
        return self._blocks(whole) if whole else []

    def _unify(self, data: bytes) -> bytes:
        """Every line end as LF. A CR ends its line at once; an LF right after it belongs to it."""
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data[-1:] == b"\r"
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _blocks(self, whole: bytes) -> list[Frame]:
        frames: list[Frame] = []
        self.before = frames
        oversized = len(whole) > min(self._limits.event, self._limits.line)
        for block in whole.split(b"\n\n"):
            if oversized:
                self._measure(block)
            if block[:6] == b"data: " and b"\n" not in block:
                if len(block) > 6:
                    frames.append(_new(Frame, (None, block[6:], False)))
                continue
            head, found, data = block.partition(b"\ndata: ")
            if found and data and head[:7] == b"event: " and len(head) > 7 and b"\n" not in head and b"\n" not in data:
                frames.append(_new(Frame, (_name(head), data, False)))
            elif block:
                _lines(block, frames)
        return frames

    def _measure(self, block: bytes) -> None:
        if len(block) > self._limits.event:
            raise too_large("an event", self._limits.event)
        if any(len(line) > self._limits.line for line in block.split(b"\n")):
            raise too_large("a line", self._limits.line)


@lru_cache(maxsize=256)
def _name(line: bytes) -> str:
    """The name in a line `event: name`."""
    return line[7:].decode("utf-8", "replace")


def _lines(block: bytes, frames: list[Frame]) -> None:
    event: str | None = None
    data: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value[1:] if value[:1] == b" " else value)
        elif name == b"event":
            event = (value[1:] if value[:1] == b" " else value).decode("utf-8", "replace") or None
        elif not line:  # three line ends in a row leave a blank first line
            event, data = None, []
    payload = data[0] if len(data) == 1 else b"\n".join(data)
    if payload:
        frames.append(Frame(event, payload))
