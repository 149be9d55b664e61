"""What every framing yields, and how much it may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from engine import errors

MIB = 1024 * 1024


class Frame(NamedTuple):
    """One event of a stream: its name if the framing gives one, its payload, whether it is an exception frame."""

    event: str | None
    data: bytes
    exception: bool = False


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Most bytes of one line, one event, one whole answer and one stream (RELIABILITY M1)."""

    line: int = 16 * MIB
    event: int = 16 * MIB
    body: int = 64 * MIB
    stream: int = 1024 * MIB


def too_large(what: str, limit: int) -> errors.Error:
    """The error for a limit that was passed."""
    return errors.for_kind("limit")(f"{what} of the answer is larger than {limit} bytes")


class Tail:
    """Bytes that wait for the end of their event; joined once, however small the pieces were."""

    __slots__ = ("_limit", "_pieces", "_what", "size")

    def __init__(self, limit: int, what: str = "an event") -> None:
        self._limit = limit
        self._what = what
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, data: bytes) -> None:
        if not data:
            return
        self.size += len(data)
        if self.size > self._limit:
            self._pieces.clear()
            raise too_large(self._what, self._limit)
        self._pieces.append(data)

    def take(self, data: bytes = b"") -> bytes:
        """Everything so far and `data`; the tail is empty afterwards."""
        if not self._pieces:
            return data
        if data:
            self._pieces.append(data)
        whole = b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        return whole
