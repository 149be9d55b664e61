"""Something else in place of a stream, and hostile bytes (RELIABILITY T3, E1, M1)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import errors
from engine.call.decode import DecodeLimits
from engine.call.reader import Reader
from engine.plan import OperationPlan, Stream
from tests.call.test_reader import BLOCK_EVENTS, failed, ok, run, said
from tests.call.wires import BLOCKS, CHAT, TEXT, chat_map, chat_stream, chunk, make, sse
from tests.samples import sampled

WHOLE = {"id": "r", "choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("framing", ["sse", "ndjson", "eventstream"])
def test_one_whole_answer_is_read_whole(framing: str, indent: int | None) -> None:
    plan = make(stream=Stream(framing=framing, map=chat_map("message" if framing == "ndjson" else "delta")))
    data = json.dumps(WHOLE, indent=indent).encode()
    events, reader = run([data[i : i + 7] for i in range(0, len(data), 7)], plan)
    assert said(events) == TEXT and reader.close().text == TEXT and events[-1].kind == "end"


def test_an_error_in_place_of_a_stream() -> None:
    assert failed(b'{"error": {"message": "UPSTREAM-MSG"}}')[1].message == "UPSTREAM-MSG"


@pytest.mark.parametrize("framing", ["sse", "ndjson", "eventstream", "json_array"])
def test_a_page_in_place_of_a_stream_is_protocol(framing: str) -> None:
    page = b"\n<!doctype html><html><title>Log in</title><body><script>x</script><p>Please sign&nbsp;in</p></body></html>"
    error = failed(page, make(stream=Stream(framing=framing, map=chat_map("delta"))))[1]
    assert error.kind == "protocol" and "sign" in error.message and "<p>" not in error.message


def test_an_array_in_place_of_events_is_read_item_by_item() -> None:
    data = json.dumps(chat_stream()).encode()
    reader = Reader(CHAT)
    early = reader.feed(data[: len(data) // 2])
    assert said(early) and said(early + reader.feed(data[len(data) // 2 :])) == TEXT
    assert reader.close().text == TEXT


def test_plain_text_frames() -> None:
    def mapped(document: Any, emit: Any, event: Any = None, unknown: Any = None) -> None:
        if event == "output":
            emit("text", 0, {"text": document})

    plan = make(stream=Stream(data="text", map=mapped, end=frozenset(("done",))))
    assert ok(b"event: output\ndata: Hel\n\nevent: output\ndata: lo\n\nevent: done\ndata: {}\n\n", plan).text == "Hello"


def test_raw_bytes_are_audio() -> None:
    plan = make(name="speech", stream=Stream(framing="raw"), response=None)
    events, reader = run([b"AB", b"C"], plan, headers={"Content-Type": "audio/mpeg; x=1"})
    assert [(e.kind, e.data, e.media_type) for e in events[:-1]] == [
        ("audio", "QUI=", "audio/mpeg"),
        ("audio", "Qw==", "audio/mpeg"),
    ]
    assert [o.data for o in reader.close().outputs] == ["QUJD"]
    assert failed(b"", plan)[1].kind == "stream_interrupted"
    error = failed(b'{"error": {"message": "UPSTREAM-MSG"}}', plan, headers={"content-type": "application/json"})[1]
    assert error.message == "UPSTREAM-MSG"


# --- hostile bytes --------------------------------------------------------------------------------------------------


def test_limits_end_a_stream() -> None:
    """M1."""
    limits = DecodeLimits(line=500, event=500, body=500, stream=5000)
    assert failed([b"data: "] + [b"x" * 100] * 20, limits=limits)[1].kind == "limit"
    assert failed([b'{"a":"'] + [b"x" * 100] * 20, limits=limits)[1].kind == "limit"
    assert failed([sse(chunk("a" * 50))] * 100, limits=limits)[1].kind == "limit"
    assert failed([b" " * 100] * 20, limits=limits)[1].kind == "limit"
    assert failed(b"data: " + b"[" * 1000 + b"\n\n")[1].kind == "limit"


PLANS = [
    CHAT,
    BLOCKS,
    make(thinking_tags=("<think>", "</think>")),
    *(make(stream=Stream(framing=f, map=chat_map("delta"))) for f in ("ndjson", "json_array", "eventstream", "raw")),
]
PIECES = st.binary(max_size=30) | st.sampled_from(
    [
        b"data: ",
        b"\n",
        b"\r",
        b"\n\n",
        b'{"choices":',
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b"<think>",
        b"null",
        b"[DONE]",
        b"<",
        b'"error":',
        b"\xef\xbb\xbf",
    ]
    + [sse(c) for c in chat_stream()[:3]]
    + [sse(e) for e in BLOCK_EVENTS]
)


@settings(max_examples=sampled(150))
@given(st.sampled_from(PLANS), st.lists(PIECES, max_size=10))
def test_random_bytes_never_raise_anything_foreign(plan: OperationPlan, pieces: list[bytes]) -> None:
    """E1: `feed` and `end` raise nothing, `close` only ours."""
    reader = Reader(plan)
    for piece in pieces:
        reader.feed(piece)
    reader.end()
    try:
        assert isinstance(reader.close().to_dict(), dict)
    except errors.Error as error:
        assert isinstance(error.to_dict(), dict) and error.__cause__ is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["stop", "error", "x", ""]),
    lambda x: (
        st.lists(x, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "content",
                    "index",
                    "error",
                    "message",
                    "type",
                    "tool_calls",
                    "function",
                    "usage",
                    "prompt_tokens",
                    "id",
                    "finish_reason",
                    "code",
                ]
            ),
            x,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=sampled(150))
@given(st.lists(JSON, max_size=5))
def test_any_documents_never_raise_anything_foreign(documents: list[Any]) -> None:
    for plan in (CHAT, BLOCKS):
        _, reader = run(b"".join(b"data: " + json.dumps(d).encode() + b"\n\n" for d in documents), plan)
        assert (reader.error is None) != (reader.response is None)
