"""Framings give the same frames however the bytes are cut (RELIABILITY T1), within limits (M1)."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import errors
from engine.call.decode import FRAMINGS, DecodeLimits, Frame, decoder
from tests.call.wires import TEXT, cut
from tests.samples import sampled

LIMITS = DecodeLimits()
SMALL = DecodeLimits(line=1000, event=2000)


def frames(framing: str, pieces: list[bytes], data: str = "json", limits: DecodeLimits = LIMITS) -> list[Frame]:
    reading = decoder(framing, data, limits)
    out = [frame for piece in pieces for frame in reading.feed(piece)]
    return out + reading.close()


def message(payload: bytes, headers: dict[str, str]) -> bytes:
    """One message of an AWS event stream."""
    head = b"".join(
        bytes([len(k)]) + k.encode() + b"\x07" + struct.pack(">H", len(v.encode())) + v.encode() for k, v in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    body = prelude + head + payload
    return body + struct.pack(">I", zlib.crc32(body))


SSE = (
    f"data: {TEXT}\n\n:comment\n\nevent: named\nid: 7\nretry: 10\ndata: a\ndata:b\ndata\n\nevent: empty\n\ndata:  two\n\n".encode()
)
SSE_FRAMES = [Frame(None, TEXT.encode()), Frame("named", b"a\nb\n"), Frame(None, b" two")]
EVENTS = message(b'{"a":1}', {":event-type": "one", ":message-type": "event"}) + message(
    b'{"message":"slow"}', {":exception-type": "throttlingException", ":message-type": "exception"}
)
STREAMS = {
    "sse": SSE + b"data: last",
    "ndjson": b'{"a":1}\r\n\n {"b":"' + TEXT.encode() + b'"} \n{"c":3}',
    "json_array": json.dumps([{"a": '\\"]}[,'}, [1, [2]], "x,y", 5], indent=1).encode(),
    "eventstream": EVENTS,
}


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
def test_server_sent_events(ends: bytes) -> None:
    assert frames("sse", [SSE.replace(b"\n", ends)]) == SSE_FRAMES


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
@given(at=st.lists(st.integers(0, 400), max_size=12))
def test_server_sent_events_cut_anywhere(ends: bytes, at: list[int]) -> None:
    data = b"\xef\xbb\xbf" + SSE.replace(b"\n", ends)
    assert frames("sse", cut(data, at)) == SSE_FRAMES


@given(st.text(alphabet="\r\n:da t\u2028é", max_size=40), st.lists(st.integers(0, 80), max_size=8))
def test_any_lines_cut_anywhere(text: str, at: list[int]) -> None:
    data = text.replace("d", "data").encode()
    assert frames("sse", cut(data, at)) == frames("sse", [data]) == frames("sse", [data[i : i + 1] for i in range(len(data))])


@pytest.mark.parametrize("framing", sorted(STREAMS))
def test_byte_by_byte_is_the_same(framing: str) -> None:
    data = STREAMS[framing]
    whole = frames(framing, [data])
    assert whole and frames(framing, [data[i : i + 1] for i in range(len(data))]) == whole


@pytest.mark.parametrize("framing", sorted(STREAMS))
@given(at=st.lists(st.integers(0, 500), max_size=10))
def test_cut_anywhere_is_the_same(framing: str, at: list[int]) -> None:
    data = STREAMS[framing]
    assert frames(framing, cut(data, at)) == frames(framing, [data])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"data:x\n\n", [b"x"]),
        (b"data: \n\n", []),
        (b"event: e\n\ndata: x\n\n", [b"x"]),
        (b"\xef\xbb\xbfdata: x\n\n", [b"x"]),
        (b"data: \xef\xbb\xbfx\n\n", [b"\xef\xbb\xbfx"]),
        (b"\n\n\ndata: x\n\n\n\n", [b"x"]),
        (b"data: x\n\r\n", [b"x"]),
        (b"data: x\r\r", [b"x"]),
        (b"data: x", [b"x"]),
        (b": ping\n\n: ping\n\n", []),
        (b"other: y\ndata: x\n\n", [b"x"]),
        (b"data:{\ndata:  1}\n\n", [b"{\n 1}"]),
        (b"event: a\nevent: b\ndata: x\n\n", [b"x"]),
    ],
)
def test_fields_of_events(data: bytes, expected: list[bytes]) -> None:
    assert [f.data for f in frames("sse", [data])] == expected


def test_an_array_may_be_cut_inside_an_item() -> None:
    assert [f.data for f in frames("json_array", [b'[{"a":1},{"b":'])] == [b'{"a":1}', b'{"b":']


def test_documents_one_after_another_are_items() -> None:
    assert [f.data for f in frames("json_array", [b'{"a":\n1}\n{"b":[2]}'])] == [b'{"a":\n1}', b'{"b":[2]}']


def test_a_bracket_that_closes_nothing_is_protocol() -> None:
    with pytest.raises(errors.ProtocolError):
        frames("json_array", [b"]"])


def test_event_stream_frames_and_exceptions() -> None:
    assert frames("eventstream", [EVENTS]) == [
        Frame("one", b'{"a":1}'),
        Frame("throttlingException", b'{"message":"slow"}', True),
    ]
    failed = message(b"", {":message-type": "error", ":error-code": "Broken", ":error-message": "gone"})
    event, data, exception = frames("eventstream", [failed])[0]
    assert (event, json.loads(data), exception) == ("Broken", {"message": "gone", "code": "Broken"}, True)


@pytest.mark.parametrize("padding", [{}, {"p": "abc"}])
def test_a_frame_that_only_wraps_bytes_is_opened(padding: dict[str, str]) -> None:
    inner = b'{"type":"ping"}'
    wrapped = json.dumps({"bytes": base64.b64encode(inner).decode(), **padding}).encode()
    assert frames("eventstream", [message(wrapped, {":event-type": "chunk"})]) == [Frame("chunk", inner)]
    other = b'{"bytes":"e30=","more":1}'
    assert frames("eventstream", [message(other, {":event-type": "chunk"})]) == [Frame("chunk", other)]


@given(st.integers(0, len(EVENTS) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, change: int) -> None:
    data = bytearray(EVENTS)
    data[at] ^= change
    try:
        found = frames("eventstream", [bytes(data)])
    except errors.Error as error:
        assert error.kind in ("protocol", "limit")
    else:
        assert len(found) < 2  # the length grew: the message never ends


@pytest.mark.parametrize("framing", ["sse", "ndjson", "json_array"])
def test_endless_bytes_pass_a_limit(framing: str) -> None:
    """M1: memory is bounded although the event never ends."""
    reading = decoder(framing, "json", SMALL)
    start = {"sse": b"data: ", "ndjson": b"{", "json_array": b"["}[framing]
    with pytest.raises(errors.LimitError):
        reading.feed(start)
        for _ in range(10_000):
            reading.feed(b"x" * 100)


@pytest.mark.parametrize("data", [b"data: " + b"x" * 1500 + b"\n\n", b"data: x\n" * 400 + b"\n"])
def test_large_lines_and_events_pass_a_limit(data: bytes) -> None:
    with pytest.raises(errors.LimitError):
        frames("sse", [data], limits=SMALL)
    with pytest.raises(errors.LimitError):
        frames("sse", [data[i : i + 7] for i in range(0, len(data), 7)], limits=SMALL)


def test_a_large_message_is_refused_by_its_length() -> None:
    prelude = struct.pack(">II", 2**31, 0)
    with pytest.raises(errors.LimitError):
        frames("eventstream", [prelude + struct.pack(">I", zlib.crc32(prelude))], limits=SMALL)


def test_a_long_event_in_small_pieces_takes_linear_time() -> None:
    reading = decoder("sse", "json", DecodeLimits())
    line = b"data: " + b"x" * 58 + b"\n"
    for _ in range(40_000):
        assert reading.feed(line) == []
    assert len(reading.feed(b"\n")[0].data) == 40_000 * 59 - 1


def test_frames_may_be_pieces_of_an_inner_stream() -> None:
    inner = b'data: {"a":1}\n\ndata: {"b":2}\n\n'
    outer = b"".join(message(inner[i : i + 5], {":event-type": "PayloadPart"}) for i in range(0, len(inner), 5))
    assert [f.data for f in frames("eventstream", [outer], data="sse")] == [b'{"a":1}', b'{"b":2}']
    lines = b"".join(message(p, {":event-type": "PayloadPart"}) for p in (b'{"a"', b":1}\n", b'{"b":2}'))
    assert [f.data for f in frames("eventstream", [lines], data="ndjson")] == [b'{"a":1}', b'{"b":2}']


@pytest.mark.parametrize("framing", sorted(FRAMINGS))
@settings(max_examples=sampled(60))
@given(pieces=st.lists(st.binary(max_size=40), max_size=6))
def test_random_bytes_never_raise_anything_foreign(framing: str, pieces: list[bytes]) -> None:
    """E1."""
    try:
        found: Any = frames(framing, pieces)
    except errors.Error:
        return
    assert all(isinstance(f.data, bytes) for f in found)
