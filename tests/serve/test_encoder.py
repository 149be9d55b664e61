"""How a stream is served: order, blocks, failures; that it folds to what its events fold to is a law (test_served_laws)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.call.reader import Reader
from engine.errors import Error, for_kind
from engine.serve.blocks import Braces
from engine.serve.encoder import Encoder
from engine.types import Event, Report, Response
from tests.serve.answers import CATALOG, DIALECTS, PROSE


def encoded(dialect: str, events: Iterable[Event], source: str | None = None, **more: Any) -> bytes:
    """A whole served stream, one event at a time."""
    encoder = Encoder(CATALOG.served(dialect), {"stream_usage": True}, dialect=source, **more)
    return b"".join([encoder.feed([event]) for event in events]) + encoder.end()


def decoded(dialect: str, data: bytes, places: list[int] | None = None) -> Response:
    served = CATALOG.served(dialect)
    reader = Reader(served.plan, {"content-type": Encoder(served).content_type})
    at = sorted(p % (len(data) + 1) for p in places or ())
    for a, b in zip([0, *at], [*at, len(data)], strict=True):
        reader.feed(data[a:b])
    return reader.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_failure_in_mid_stream_is_an_error_for_the_reader(dialect: str) -> None:
    encoder = Encoder(CATALOG.served(dialect))
    data = encoder.feed([Event("start", {"id": "r"}), Event("text", {"text": "Hel"})])
    assert encoder.started
    data += encoder.fail(for_kind("overloaded")("too busy"))
    assert encoder.feed([Event("text", {"text": "lo"})]) + encoder.end() == b""
    with pytest.raises(Error) as caught:
        decoded(dialect, data)
    assert "too busy" in str(caught.value) and caught.value.partial.text == "Hel"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_event_of_the_source_ends_the_stream(dialect: str) -> None:
    events = [
        Event("text", {"text": "a"}),
        Event("error", {"kind": "rate_limit", "message": "slow down"}),
        Event("text", {"text": "b"}),
    ]
    with pytest.raises(Error, match="slow down"):
        decoded(dialect, encoded(dialect, events))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_empty_stream_is_a_whole_answer(dialect: str) -> None:
    assert decoded(dialect, encoded(dialect, [Event("finish", {"reason": "length"})])).finish_reason == "length"


def test_nothing_is_sent_before_there_is_content() -> None:
    encoder = Encoder(CATALOG.served("anthropic-messages"))
    assert encoder.feed([Event("start", {"id": "r"}), Event("usage", {"input_tokens": 3})]) == b"" and not encoder.started
    first = encoder.feed([Event("text", {"text": "a"})])
    assert first.startswith(b"event: message_start\n") and b'"input_tokens":3' in first


def test_text_waits_for_an_unfinished_call_only() -> None:
    encoder = Encoder(CATALOG.served("anthropic-messages"))
    encoder.feed([Event("tool_call", {"index": 0, "id": "a", "name": "f", "arguments": '{"x":'})])
    assert encoder.feed([Event("text", {"text": "later"})]) == b""
    out = encoder.feed([Event("tool_call", {"index": 0, "arguments": "1}"})])
    assert out.index(b"content_block_stop") < out.index(b"later")
    assert b"now" in encoder.feed([Event("text", {"text": "now"})])


def test_one_open_block_at_a_time_numbered_in_order() -> None:
    events = [
        Event("tool_call", {"index": 0, "id": "a", "name": "f", "arguments": "{"}),
        Event("tool_call", {"index": 1, "id": "b", "name": "g", "arguments": '{"y'}),
        Event("tool_call", {"index": 0, "arguments": "}"}),
        Event("tool_call", {"index": 1, "arguments": '":"}"}'}),
    ]
    frames = [json.loads(line[6:]) for line in encoded("anthropic-messages", events).split(b"\n") if line.startswith(b"data: ")]
    told = [(f["type"], f["index"]) for f in frames if "index" in f]
    assert told == [
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
    ]


def test_arguments_with_places_are_sent_when_they_are_whole() -> None:
    events = [
        Event("tool_call", {"index": 0, "name": "f"}),
        Event("tool_call", {"index": 0, "at": "$.city", "piece": "Rome"}),
        Event("tool_call_end", {"index": 0, "name": "f", "arguments": {"city": "Rome"}}),
    ]
    for dialect in DIALECTS:
        read = decoded(dialect, encoded(dialect, events))
        assert [(c.name, c.arguments) for c in read.tool_calls] == [("f", {"city": "Rome"})] and read.tool_calls[0].id


def test_calls_get_their_name_before_anything_is_written() -> None:
    events = [
        Event("tool_call", {"index": 0, "id": "a", "arguments": "{"}),
        Event("tool_call", {"index": 0, "name": "f", "arguments": "}"}),
    ]
    report = Report()
    for dialect in DIALECTS:
        read = decoded(dialect, encoded(dialect, events, report=report))
        assert [(c.name, c.arguments) for c in read.tool_calls] == [("f", {})]
    assert not report.warnings
    encoded("openai-chat", events[:1], report=report)
    assert report.warnings == ["a tool call without a name was dropped"]


def test_usage_comes_only_if_asked_for_and_ends_with_the_mark() -> None:
    served = CATALOG.served("openai-chat")
    for asked in (True, False):
        encoder = Encoder(served, {"stream_usage": asked})
        out = encoder.feed([Event("text", {"text": "a"}), Event("usage", {"input_tokens": 2, "output_tokens": 1})]) + encoder.end()
        assert (b"prompt_tokens" in out) is asked and out.endswith(b"data: [DONE]\n\n")


def test_frames_are_counted() -> None:
    frames = encoded("openai-responses", [Event("text", {"text": "a"})]).split(b"\n\n")
    numbers = [json.loads(f.split(b"data: ")[1])["sequence_number"] for f in frames if f]
    assert numbers == list(range(len(numbers)))


def test_a_list_in_place_of_events_is_one_document() -> None:
    served = CATALOG.served("gemini")
    encoder = Encoder(served, framing="json_array")
    data = encoder.feed([Event("text", {"text": "a"}), Event("text", {"text": "b"})]) + encoder.end()
    assert "".join(p["text"] for d in json.loads(data) for p in d["candidates"][0]["content"].get("parts", ())) == "ab"


def test_native_items_of_the_same_dialect_return_and_others_are_told() -> None:
    item = {"type": "web_search_tool_result", "tool_use_id": "t", "content": []}
    events = [Event("text", {"text": "a"}), Event("native", {"data": item, "index": 1})]
    read = decoded("anthropic-messages", encoded("anthropic-messages", events, source="anthropic-messages"))
    assert [(p.type, p.id, p.server, p.native) for p in read.parts if p.native] == [("tool_result", "t", True, item)]
    report = Report()
    assert b"tool_use_id" not in encoded("anthropic-messages", events, source="gemini", report=report)
    assert any("gemini" in w for w in report.warnings)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_signatures_without_a_place_make_no_empty_frames(dialect: str) -> None:
    served = CATALOG.served(dialect)
    assert served.stream is not None
    encoder = Encoder(served)
    encoder.feed([Event("text", {"text": "a"})])
    for kind in PROSE:
        if kind != "text" and f"{kind}.signature" not in served.stream.reads:
            assert encoder.feed([Event(kind, {"signature": "c2ln"})]) == b""


@given(
    st.recursive(st.integers() | st.text(), lambda x: st.dictionaries(st.text(), x) | st.lists(x)), st.lists(st.integers(0, 200))
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_braces_know_when_an_object_is_whole(value: Any, places: list[int]) -> None:
    text = json.dumps({"a": value})
    at = sorted({p % len(text) for p in places})
    pieces: list[str] = []
    scan = Braces()
    for a, b in zip([0, *at], [*at, len(text)], strict=True):
        pieces.append(text[a:b])
        assert scan.closed(pieces) is (b == len(text))
