"""Bytes that break after good ones: what was whole before is delivered, however the bytes were cut (RELIABILITY T1, T3)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.call.decode import DecodeLimits, decoder
from engine.call.encode import encode_frame, encode_frames
from engine.call.reader import Reader
from engine.errors import Error
from engine.plan import Stream
from tests.call.wires import CHAT, chat_stream, chunk, make

SMALL = DecodeLimits(line=256, event=256)
GOOD: list[Any] = [{"event": "chunk", "data": {"n": n}} for n in range(3)]
LONG = {"event": "chunk", "data": {"n": "x" * 400}}


def broken(framing: str) -> bytes:
    """Three good frames and then bytes that no decoder takes."""
    frames = GOOD if framing in ("sse", "eventstream") else [frame["data"] for frame in GOOD]
    if framing == "eventstream":
        message = encode_frame(framing, GOOD[0])
        return encode_frames(framing, frames) + message[:-1] + bytes([message[-1] ^ 1])
    if framing == "json_array":
        return encode_frames(framing, frames) + b"}"
    return encode_frames(framing, frames) + encode_frame(framing, LONG if framing == "sse" else LONG["data"])


@pytest.mark.parametrize("framing", ["sse", "ndjson", "eventstream", "json_array"])
@pytest.mark.parametrize("cut", [1, 7, 64, 10_000])
def test_t1_frames_before_broken_bytes_do_not_depend_on_the_cut(framing: str, cut: int) -> None:
    reading, seen = decoder(framing, "json", SMALL), []
    data = broken(framing)
    with pytest.raises(Error) as caught:
        for at in range(0, len(data), cut):
            seen += reading.feed(data[at : at + cut])
    assert caught.value.kind in ("limit", "protocol")
    assert [json.loads(f.data)["n"] for f in [*seen, *reading.before]][: len(GOOD)] == [0, 1, 2]


@pytest.mark.parametrize("cut", [1, 10_000])
def test_t3_text_before_broken_bytes_is_delivered(cut: int) -> None:
    plan = make(stream=Stream(framing="eventstream", map=CHAT.stream.map))  # type: ignore[union-attr]
    frames = [encode_frame("eventstream", {"event": "chunk", "data": chunk(text)}) for text in ("Hel", "lo")]
    data = b"".join(frames) + frames[0][:-1] + bytes([frames[0][-1] ^ 1])
    reader, events = Reader(plan), []
    for at in range(0, len(data), cut):
        events += reader.feed(data[at : at + cut])
    assert "".join(e.text for e in events if e.kind == "text") == "Hello"
    assert reader.error is not None and reader.error.kind == "protocol" and reader.error.partial.text == "Hello"


@pytest.mark.parametrize("cut", [1, 10_000])
def test_t2_bytes_after_the_end_mark_are_nobodys(cut: int) -> None:
    data = b"".join(b"data: " + json.dumps(d).encode() + b"\n\n" for d in chat_stream("Hello")) + b"data: [DONE]\n\n"
    data += b"data: " + b"x" * 400
    reader = Reader(CHAT, limits=SMALL)
    for at in range(0, len(data), cut):
        reader.feed(data[at : at + cut])
    assert reader.close().text == "Hello"
