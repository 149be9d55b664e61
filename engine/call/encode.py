"""Frames onto the wire: the inverse of `engine.call.decode`, for examples and for the simulator."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any


def encode_frames(framing: str, frames: Iterable[Any]) -> bytes:
    """All frames of a stream as bytes. A frame is a JSON document, a text (sent as it is), or {event, data}."""
    if framing == "json_array":
        return b"[" + b",\n".join(_json(frame) for frame in frames) + b"]"
    return b"".join(encode_frame(framing, frame) for frame in frames)


def encode_frame(framing: str, frame: Any) -> bytes:
    """One frame. In `sse` and `eventstream` a mapping with just `event` and `data` names its event."""
    event = None
    data = frame
    if isinstance(frame, dict) and frame.keys() == {"event", "data"} and framing in ("sse", "eventstream"):
        event, data = str(frame["event"]), frame["data"]
    payload = _json(data)
    if framing == "sse":
        head = b"event: " + event.encode() + b"\n" if event else b""
        lines = payload.split(b"\n")
        return head + b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"
    if framing == "ndjson":
        return payload + b"\n"
    if framing == "eventstream":
        return encode_message(event or "chunk", payload)
    return payload


def encode_message(event: str, payload: bytes) -> bytes:
    """One message of AWS's event stream encoding; a name that ends in `Exception` becomes an exception message.

    Source: https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html (event stream encoding).
    """
    headers = _headers(event)
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


@lru_cache(256)
def _headers(event: str) -> bytes:
    exception = event.endswith("Exception")
    return b"".join(
        _header(name, value)
        for name, value in (
            (":exception-type" if exception else ":event-type", event),
            (":content-type", "application/json"),
            (":message-type", "exception" if exception else "event"),
        )
    )


def _header(name: str, value: str) -> bytes:
    raw = value.encode()
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(raw)) + raw


def _json(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
