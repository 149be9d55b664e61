"""A stream that is one JSON array, or several documents one after another: each item is a frame."""

from __future__ import annotations

import re

from engine import errors
from engine.call.decode.frame import DecodeLimits, Frame, Tail

_OUTSIDE = re.compile(rb'["{}\[\],]')
_INSIDE = re.compile(rb'["\\]')
_SPACE = b" \t\r\n"


class JsonArray:
    """Items are found by counting brackets outside strings; they are parsed by whoever reads the frames."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._tail = Tail(limits.event)
        self._depth = 0
        self._base = 0  # 1 inside the array that holds the items
        self._string = False
        self._escaped = False
        self._first = True
        self.before: list[Frame] = []

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that are complete now."""
        if self._first and data:
            self._first = False
            data = data.removeprefix(b"\xef\xbb\xbf")
        frames: list[Frame] = []
        self.before = frames
        start = at = 0
        if self._escaped and data:
            at, self._escaped = 1, False
        while True:
            found = (_INSIDE if self._string else _OUTSIDE).search(data, at)
            if found is None:
                break
            at = found.end()
            mark = found.group()
            if mark == b'"':
                self._string = not self._string
            elif mark == b"\\":
                if at == len(data):
                    self._escaped = True
                at += 1
            elif mark == b",":
                if self._depth == self._base:
                    self._item(data[start : at - 1], frames)
                    start = at
            elif mark in b"[{":
                if self._depth == 0 and mark == b"[":
                    self._item(data[start : at - 1], frames)
                    start, self._base = at, 1
                self._depth += 1
            else:
                start = self._closed(data, start, at, frames)
        self._tail.add(data[start:])
        return frames

    def close(self) -> list[Frame]:
        """What is left when the bytes end: an item that was cut."""
        rest = self._tail.take().strip(_SPACE)
        return [Frame(None, rest)] if rest else []

    def _closed(self, data: bytes, start: int, at: int, frames: list[Frame]) -> int:
        self._depth -= 1
        if self._depth < 0:
            raise errors.for_kind("protocol")("the answer is not a JSON array: a bracket closes nothing")
        if self._depth == 0 and self._base:
            self._item(data[start : at - 1], frames)
            self._base = 0
            return at
        if self._depth == 0:
            self._item(data[start:at], frames)
            return at
        return start

    def _item(self, piece: bytes, frames: list[Frame]) -> None:
        item = self._tail.take(piece).strip(_SPACE)
        if item:
            frames.append(Frame(None, item))
