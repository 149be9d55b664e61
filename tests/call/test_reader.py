"""Streams become events and end in a Response or a typed error (RELIABILITY T1-T3, T6, E1, E4, M1)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import errors
from engine.call.read import read_whole
from engine.call.reader import Reader
from engine.plan import Errors, OperationPlan, Stream
from engine.types import Event, Response
from tests.call.test_framings import message
from tests.call.wires import BLOCKS, CHAT, TEXT, blocks_stream, call_chunk, chat_map, chat_stream, chunk, cut, make, path, sse
from tests.samples import sampled

GOOD = sse(*chat_stream(), done=True)
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "UPSTREAM-MSG"}}
BLOCK_EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "b1", "model": "m-2", "usage": {"input_tokens": 3, "cache_read_tokens": 4}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
    {"type": "content_block_delta", "index": 0, "delta": {"thinking": "why"}},
    {"type": "content_block_delta", "index": 0, "delta": {"signature": "sig"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 1, "delta": {"text": TEXT}},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "t", "name": "f"}},
    {"type": "content_block_delta", "index": 2, "delta": {"partial_json": ""}},
    {"type": "content_block_delta", "index": 2, "delta": {"partial_json": '{"x":'}},
    {"type": "content_block_delta", "index": 2, "delta": {"partial_json": "1}"}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]


def run(data: bytes | list[bytes], plan: OperationPlan = CHAT, **options: Any) -> tuple[list[Event], Reader]:
    reader = Reader(plan, **options)
    events = [event for piece in (data if isinstance(data, list) else [data]) for event in reader.feed(piece)]
    return events + reader.end(), reader


def ok(data: bytes | list[bytes], plan: OperationPlan = CHAT, **options: Any) -> Response:
    events, reader = run(data, plan, **options)
    assert reader.error is None, reader.error
    assert events[-1].kind == "end" and events[-1].response is reader.close()
    return reader.close()


def failed(data: bytes | list[bytes], plan: OperationPlan = CHAT, **options: Any) -> tuple[list[Event], errors.Error]:
    events, reader = run(data, plan, **options)
    assert reader.error is not None
    assert events[-1].kind == "error" and not [e for e in events[:-1] if e.kind in ("error", "end")]
    with pytest.raises(errors.Error) as raised:
        reader.close()
    assert raised.value is reader.error
    return events, reader.error


def said(events: list[Event]) -> str:
    return "".join(e.text or "" for e in events if e.kind == "text")


def test_a_stream_ends_in_a_response() -> None:
    response = ok(GOOD, headers={"X-Request-Id": "q1"})
    assert (response.text, response.finish_reason, response.id, response.model) == (TEXT, "stop", "r1", "m-1")
    assert (response.usage.input_tokens, response.usage.output_tokens) == (7, 5)
    assert (response.request_id, response.completeness, response.provider) == ("q1", "complete", "acme")


@settings(max_examples=sampled(60))
@given(st.lists(st.integers(0, 5000), max_size=20))
def test_events_do_not_depend_on_the_cuts(at: list[int]) -> None:
    """T1."""
    whole, _ = run(GOOD)
    pieces, _ = run(cut(GOOD, at))
    assert pieces == whole


@settings(max_examples=sampled(60))
@given(st.lists(st.integers(0, 5000), max_size=20))
def test_events_with_names_do_not_depend_on_the_cuts(at: list[int]) -> None:
    data = b"\xef\xbb\xbf" + sse(*BLOCK_EVENTS, named=True, end=b"\r\n")
    whole, reader = run(data, BLOCKS)
    assert reader.close().text == TEXT and run(cut(data, at), BLOCKS)[0] == whole


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_byte_by_byte(end: bytes) -> None:
    data = sse(*chat_stream(), end=end, done=True)
    assert ok([data[i : i + 1] for i in range(len(data))]).text == TEXT


def test_thinking_tools_and_usage_of_a_stream() -> None:
    response = ok(sse(*BLOCK_EVENTS, named=True), BLOCKS)
    assert [p.type for p in response.parts] == ["thinking", "text", "tool_call"]
    assert (response.thinking, response.parts[0].signature) == ("why", "sig")
    assert response.tool_calls[0].arguments == {"x": 1} and response.finish_reason == "tool_calls"
    assert (response.usage.input_tokens, response.usage.cache_read_tokens, response.usage.output_tokens) == (7, 4, 9)


def test_a_stream_folds_to_what_the_whole_reply_says() -> None:
    """SPEC_LANGUAGE 7.2: every stream ends with the same Response a full reply gives."""
    message = {
        "reasoning_content": "why",
        "content": "Hi",
        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"x": 1}'}}],
    }
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    whole = {"id": "r", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": usage}
    chunks = [
        {**chunk(delta={"reasoning_content": "why"}), "id": "r", "model": "m"},
        chunk("H"),
        chunk("i"),
        call_chunk(0, "a", "f", '{"x"'),
        call_chunk(0, None, None, ": 1}"),
        {**chunk(None, "tool_calls"), "usage": usage},
    ]
    streamed = ok(sse(*({**c, "id": "r", "model": "m"} for c in chunks), done=True)).to_dict()
    read = read_whole(CHAT, 200, {}, json.dumps(whole).encode()).to_dict()
    streamed.pop("raw", None), read.pop("raw", None)
    assert streamed == read


# --- the end (T2) ---------------------------------------------------------------------------------------------------


def test_a_finish_ends_a_stream() -> None:
    assert ok(sse(*chat_stream())).text == TEXT
    assert ok(sse(*chat_stream()[:-1])).text == TEXT
    assert failed(sse(*chat_stream()[:-2]))[1].kind == "stream_interrupted"


def test_done_alone_ends_a_stream_and_what_follows_is_ignored() -> None:
    events, reader = run(sse(chunk("a"), done=True) + sse(chunk("b")))
    assert reader.done and said(events) == "a" and reader.close().text == "a"


def test_without_an_end_mark_a_stream_was_cut() -> None:
    events, error = failed(sse(chunk("Hel"), chunk("lo")))
    assert error.kind == "stream_interrupted" and error.retryable and said(events) == "Hello"
    assert error.partial.text == "Hello" and error.partial.completeness == "partial"
    assert (error.provider, error.operation, error.model) == ("acme", "chat", None)


def test_each_candidate_needs_its_end() -> None:
    cut_one = sse(chunk("a"), chunk("b", index=1), chunk(None, "stop"))
    assert failed(cut_one)[1].kind == "stream_interrupted"
    assert ok(cut_one + sse(chunk(None, "stop", index=1))).choices[1].text == "b"


@pytest.mark.parametrize("data", [b"", b"\n\n", b": ping\n\n: ping\n\n", b"data: [DONE]\n\n", b"\xef\xbb\xbf"])
def test_an_empty_stream_is_an_error(data: bytes) -> None:
    assert failed(data)[1].kind == "stream_interrupted"


def test_a_cut_inside_an_event_is_a_cut() -> None:
    events, error = failed(sse(chunk("Hello")) + b'data: {"choices":[{"delta":{"content":"wor')
    assert error.kind == "stream_interrupted" and said(events) == "Hello"


def test_a_cut_after_the_finish_loses_no_text() -> None:
    response = ok(sse(*chat_stream()[:-1]) + b'data: {"usage": {"prom')
    assert response.text == TEXT and any("cut" in w for w in response.warnings)


def test_a_last_event_without_its_blank_line_counts() -> None:
    data = sse(*chat_stream()).rstrip(b"\n")
    assert ok(data).usage.input_tokens == 7


def test_a_declared_end_event_ends_a_stream() -> None:
    plan = make(stream=Stream(map=chat_map("delta"), end=frozenset(("done",))))
    assert ok(sse(chunk("a")) + b"event: done\ndata: {}\n\n", plan).text == "a"
    assert ok(sse(chunk("a"), {"type": "done"}), plan).text == "a"
    assert failed(sse(chunk("a")), plan)[1].kind == "stream_interrupted"


def test_without_any_end_mark_a_spec_says_eof() -> None:
    plan = make(stream=Stream(map=chat_map("delta"), end=frozenset(("eof",))))
    assert ok(sse(chunk("a")), plan).completeness == "unverified"
    assert failed(b"", plan)[1].kind == "stream_interrupted"


def test_half_a_call_is_never_handed_over() -> None:
    """T6."""
    data = sse(call_chunk(0, "a", "f", '{"x":1}'), call_chunk(1, "b", "g", '{"y":'))
    events, error = failed(data)
    assert [c.id for c in error.partial.tool_calls] == ["a"] and "tool_call_end" not in {e.kind for e in events}


# --- errors inside streams (T3) -------------------------------------------------------------------------------------

MESSAGE_STYLES = [
    {"error": {"message": "UPSTREAM-MSG", "type": "server_error", "code": 500}},
    {"error": "UPSTREAM-MSG"},
    OVERLOADED,
    {"object": "error", "message": "UPSTREAM-MSG", "code": 400},
    [{"error": {"code": 503, "message": "UPSTREAM-MSG", "status": "UNAVAILABLE"}}],
]


@pytest.mark.parametrize("document", MESSAGE_STYLES)
@pytest.mark.parametrize(
    "plan",
    [CHAT, BLOCKS, make(stream=Stream(map=lambda d, e, v=None, u=None: None if path(d, "error") else chat_map("delta")(d, e)))],
)
def test_an_error_in_any_style_comes_after_the_text(document: Any, plan: OperationPlan) -> None:
    before = sse(BLOCK_EVENTS[6]) if plan is BLOCKS else sse(chunk(TEXT))
    events, error = failed(before + sse(document), plan)
    assert "UPSTREAM-MSG" in error.message and said(events) == TEXT and error.partial.text == TEXT


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (OVERLOADED, "overloaded"),
        ({"error": {"message": "m", "code": 529}}, "overloaded"),
        ({"error": {"message": "m", "type": "rate_limit_error"}}, "rate_limit"),
        ({"error": {"message": "m", "code": "invalid_request_error"}}, "invalid_request"),
        ({"error": {"message": "m"}}, "server"),
    ],
)
def test_the_kind_of_an_error_without_a_status(document: Any, kind: str) -> None:
    assert failed(sse(chunk("a"), document))[1].kind == kind


def test_an_event_named_error_is_one() -> None:
    _events, error = failed(sse(chunk("a")) + b'event: error\ndata: {"detail": "UPSTREAM-MSG"}\n\n')
    assert error.message == "UPSTREAM-MSG"


def test_after_an_error_there_are_no_more_events() -> None:
    reader = Reader(CHAT)
    reader.feed(sse(OVERLOADED))
    assert reader.feed(sse(chunk("late"))) == [] and reader.end() == []


def test_an_error_beside_text_comes_last() -> None:
    events, _ = failed(sse({**chunk("a"), "error": {"message": "m"}}))
    assert [e.kind for e in events] == ["start", "text", "error"]


def test_exception_frames_are_errors() -> None:
    plan = make(stream=Stream(framing="eventstream", map=blocks_stream), errors=Errors(kinds={"throttlingException": "rate_limit"}))
    good = message(json.dumps(BLOCK_EVENTS[6]).encode(), {":event-type": "chunk"})
    bad = message(b'{"message":"slow down"}', {":message-type": "exception", ":exception-type": "throttlingException"})
    events, error = failed(good + bad, plan)
    assert (error.kind, error.code, error.message, said(events)) == ("rate_limit", "throttlingException", "slow down", TEXT)


def test_ok_is_asked_for_every_frame() -> None:
    plan = make(
        errors=Errors(ok=lambda d: path(d, "base_resp", "status_code") in (None, 0), message=lambda d: path(d, "base_resp", "msg"))
    )
    assert ok(sse({**chunk("a", "stop"), "base_resp": {"status_code": 0}}), plan).text == "a"
    events, error = failed(sse(chunk("a"), {"base_resp": {"status_code": 5, "msg": "no"}}), plan)
    assert error.message == "no" and said(events) == "a"


def test_a_broken_event_is_never_skipped() -> None:
    events, error = failed(sse(chunk("a")) + b"data: {broken}\n\n" + sse(chunk("b", "stop")))
    assert error.kind == "protocol" and said(events) == "a" and "{broken}" in error.message


@pytest.mark.parametrize("beat", [b"event: ping\ndata: now\n\n", b"data: [HEARTBEAT]\n\n", b"data:\n\n", b"data: null\n\n"])
def test_heartbeats_mean_nothing(beat: bytes) -> None:
    assert ok(sse(chunk("a")) + beat + sse(chunk("b", "stop"))).text == "ab"


def test_a_map_that_fails_is_protocol() -> None:
    def broken(document: Any, emit: Any, event: Any = None, unknown: Any = None) -> None:
        raise KeyError("secret detail")

    error = failed(sse(chunk("a")), make(stream=Stream(map=broken)))[1]
    assert error.kind == "protocol" and error.__cause__ is None and "secret detail" not in str(error)


def test_unknown_events_are_ignored_and_counted() -> None:
    response = ok(sse(*BLOCK_EVENTS[:7], {"type": "novel"}, *BLOCK_EVENTS[7:]), BLOCKS)
    assert response.report.ignored_events == {"novel": 1}


def test_the_transport_may_interrupt() -> None:
    reader = Reader(CHAT)
    reader.feed(sse(chunk("a")))
    reader.interrupt(errors.for_kind("timeout")("too slow"))
    assert [e.kind for e in reader.end()] == ["error"]
    with pytest.raises(errors.TimeoutError) as raised:
        reader.close()
    assert raised.value.partial.text == "a"
