"""application/vnd.amazon.eventstream: binary messages with checksums.

Prelude: total length, headers length, CRC of these eight bytes; then headers, payload, CRC of everything before. A message
of type exception or error becomes a frame with `exception` set. A payload that only wraps `bytes` (base64) is opened.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib

from engine import errors
from engine.call.decode.frame import DecodeLimits, Frame, too_large
from engine.call.json import JsonError, dumps, loads

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_WIDTHS = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # bytes of the header types without a length
_OVERHEAD = 256 * 1024  # headers and checksums beside the payload


class EventStream:
    """Frames are named by `:event-type`, `:exception-type` or `:error-code`."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limit = limits.event
        self._buffer = bytearray()
        self._total = 0  # length of the message being read, once its prelude is known to be good
        self._headers = 0
        self.before: list[Frame] = []

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that are complete now."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        self.before = frames
        while True:
            if not self._total and not self._prelude():
                break
            if len(buffer) < self._total:
                break
            message = bytes(buffer[: self._total])
            del buffer[: self._total]
            if zlib.crc32(message[:-4]) != _CRC.unpack_from(message, len(message) - 4)[0]:
                raise _broken("a message has a wrong checksum")
            frames.append(_frame(_read_headers(message, 12, 12 + self._headers), message[12 + self._headers : -4]))
            self._total = 0
        return frames

    def close(self) -> list[Frame]:
        """A message that was cut is nothing."""
        self._buffer.clear()
        return []

    def _prelude(self) -> bool:
        if len(self._buffer) < 12:
            return False
        total, headers, checksum = _PRELUDE.unpack_from(self._buffer)
        if zlib.crc32(bytes(self._buffer[:8])) != checksum:
            raise _broken("a message begins with a wrong checksum")
        if total > self._limit + _OVERHEAD:
            raise too_large("an event", self._limit)
        if total < 16 + headers:
            raise _broken("the lengths of a message do not fit")
        self._total, self._headers = total, headers
        return True


def _broken(what: str) -> errors.Error:
    return errors.for_kind("protocol")(f"the event stream is broken: {what}")


def _read_headers(message: bytes, at: int, end: int) -> dict[str, str]:
    """The text headers; the others are skipped."""
    found: dict[str, str] = {}
    while at < end:
        name_end = at + 1 + message[at]
        if name_end >= end:
            raise _broken("a header is cut")
        name = message[at + 1 : name_end].decode("utf-8", "replace")
        kind = message[name_end]
        at = name_end + 1
        if kind in (6, 7):
            if at + 2 > end:
                raise _broken("a header is cut")
            at, width = at + 2, int.from_bytes(message[at : at + 2], "big")
            if kind == 7:
                found[name] = message[at : at + width].decode("utf-8", "replace")
        elif kind in _WIDTHS:
            width = _WIDTHS[kind]
        else:
            raise _broken("a header has an unknown type")
        at += width
        if at > end:
            raise _broken("a header is cut")
    return found


def _frame(headers: dict[str, str], payload: bytes) -> Frame:
    kind = headers.get(":message-type", "event")
    if kind == "error":
        document = {"message": headers.get(":error-message", ""), "code": headers.get(":error-code")}
        return Frame(headers.get(":error-code") or "error", dumps(document), True)
    if kind == "exception" or ":exception-type" in headers:
        return Frame(headers.get(":exception-type") or "exception", payload, True)
    return Frame(headers.get(":event-type"), _opened(payload))


def _opened(payload: bytes) -> bytes:
    """The inner document of `{"bytes": base64}` (beside it stands at most `p`, padding)."""
    if b'"bytes"' not in payload:
        return payload
    try:
        document = loads(payload)
    except JsonError:
        return payload
    if not isinstance(document, dict) or not isinstance(document.get("bytes"), str) or document.keys() - {"bytes", "p"}:
        return payload
    try:
        return base64.b64decode(document["bytes"], validate=True)
    except (binascii.Error, ValueError):
        return payload
