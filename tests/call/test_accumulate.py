"""Outputs of maps become events and one Response (SPEC_LANGUAGE 7.2, 12.2, 12.3; RELIABILITY T6, M3)."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import errors
from engine.call.accumulate import Accumulator
from engine.call.thinking_tags import TagCutter
from engine.plan import OperationPlan
from engine.types import Choice, Report, Response
from tests.call.wires import CHAT, make

Emission = tuple[str, dict[str, Any]]


def fold(*emissions: Emission, plan: OperationPlan = CHAT, partial: bool = False) -> Response:
    into = Accumulator(plan)
    for kind, fields in emissions:
        into.emit(kind, 0, dict(fields))
    if not partial:
        into.close()
    return into.response(partial)


def only(*emissions: Emission, plan: OperationPlan = CHAT) -> Choice:
    return fold(*emissions, plan=plan).choices[0]


def shape(choice: Choice) -> list[tuple[str, str | None]]:
    return [(part.type, part.text) for part in choice.parts]


def text(value: Any, **more: Any) -> Emission:
    return "text", {"text": value, **more}


def thinking(value: Any = None, **more: Any) -> Emission:
    return "thinking", {"text": value, **more}


def call(**fields: Any) -> Emission:
    return "tool_call", fields


def test_text_without_an_index_goes_to_the_last_block_of_its_kind() -> None:
    choice = only(text("a"), text("b"), thinking("t"), text("c"), text("d"))
    assert shape(choice) == [("text", "ab"), ("thinking", "t"), ("text", "cd")]
    assert (choice.text, choice.thinking) == ("abcd", "t")


def test_text_with_an_index_goes_to_its_block() -> None:
    assert shape(only(text("a", index=0), text("x", index=2), text("b", index=0))) == [("text", "ab"), ("text", "x")]


def test_empty_text_is_nothing() -> None:
    into = Accumulator(CHAT)
    for value in ("", None):
        into.emit("text", 0, {"text": value})
        into.emit("thinking", 0, {"text": value, "signature": None})
    assert not into.events and into.empty is False and into.response().text == ""


def test_a_signature_is_appended_and_seals_its_block() -> None:
    choice = only(thinking("a"), thinking(signature="s1"), thinking(signature="s2"), thinking("b", signature="t"), thinking("c"))
    assert [(p.text, p.signature) for p in choice.parts] == [("a", "s1s2"), ("b", "t"), ("c", None)]
    assert choice.parts[0].signed_by and choice.parts[2].signed_by is None


def test_encrypted_thinking_is_never_merged() -> None:
    choice = only(thinking("a", signature="s"), thinking(redacted="X"), thinking(redacted="Y"), text("t"))
    assert [(p.type, p.text, p.redacted) for p in choice.parts] == [
        ("thinking", "a", None),
        ("thinking", None, "X"),
        ("thinking", None, "Y"),
        ("text", "t", None),
    ]


def test_thinking_with_ids_is_kept_apart() -> None:
    choice = only(thinking("a", id="r1"), thinking("b", id="r2"), thinking("c", id="r1"))
    assert [(p.id, p.text) for p in choice.parts] == [("r1", "ac"), ("r2", "b")]


@pytest.mark.parametrize("value", [5, True, ["a", {"text": "b"}], {"text": "x"}, {"other": 1}, b"by"])
def test_text_of_another_type_never_breaks(value: Any) -> None:
    assert only(text(value)).text


# --- tool calls -----------------------------------------------------------------------------------------------------


def arguments(choice: Choice) -> list[tuple[str | None, str | None, Any]]:
    return [(c.id, c.name, c.arguments) for c in choice.tool_calls]


def test_calls_are_joined_by_index() -> None:
    choice = only(
        call(index=0, id="a", name="f", arguments=""),
        call(index=1, id="b", name="g", arguments='{"y"'),
        call(index=0, arguments='{"x":1}'),
        call(index=1, arguments=":2}"),
    )
    assert arguments(choice) == [("a", "f", {"x": 1}), ("b", "g", {"y": 2})]


def test_a_new_id_on_a_used_index_opens_a_new_call() -> None:
    """T6."""
    choice = only(
        call(index=0, id="a", name="f", arguments='{"x":1}'),
        call(index=0, id="b", name="g", arguments='{"y":'),
        call(index=0, arguments="2}"),
        call(index=0, id="", arguments=" "),
    )
    assert arguments(choice) == [("a", "f", {"x": 1}), ("b", "g", {"y": 2})]


def test_calls_without_an_index_are_joined_by_id_or_go_to_the_latest() -> None:
    choice = only(
        call(id="a", name="f", arguments='{"x":'),
        call(arguments="1"),
        call(id="b", name="g"),
        call(id="a", arguments="}"),
        call(name="h", arguments={"z": 3}),
        call(name="h", arguments={"z": 4}),
    )
    assert arguments(choice) == [("a", "f", {"x": 1}), ("b", "g", {}), ("call_3", "h", {"z": 3}), ("call_4", "h", {"z": 4})]


def test_made_ids_never_meet_given_ones() -> None:
    ids = [c.id for c in only(call(name="f"), call(id="call_1", name="g"), call(name="h")).tool_calls]
    assert len(set(ids)) == 3 and ids[1] == "call_1"


@pytest.mark.parametrize(
    ("given", "parsed", "invalid"),
    [
        (None, {}, None),
        ("", {}, None),
        (" null ", {}, None),
        ('{"a": [1]}', {"a": [1]}, None),
        ("[1]", [1], None),
        ({"a": 1}, {"a": 1}, None),
        ('{"a":', '{"a":', True),
        ("plain words", "plain words", True),
        ('{"a": NaN}', '{"a": NaN}', True),
    ],
)
def test_arguments_are_parsed_at_the_end(given: Any, parsed: Any, invalid: bool | None) -> None:
    part = only(call(id="a", name="f", arguments=given)).tool_calls[0]
    assert (part.arguments, part.invalid) == (parsed, invalid)
    assert isinstance(part.arguments_json, str)


def test_full_arguments_replace() -> None:
    choice = only(call(index=0, id="a", name="f", arguments='{"x"'), call(index=0, full_arguments='{"x":2}'))
    assert arguments(choice) == [("a", "f", {"x": 2})]


def test_calls_without_a_name_are_dropped_with_a_warning() -> None:
    response = fold(call(index=0, arguments="{}"), text("a"))
    assert not response.tool_calls and shape(response.choices[0]) == [("text", "a")]
    assert any("without a name" in w for w in response.warnings)


def test_calls_the_provider_ran_are_parts_only() -> None:
    choice = only(call(id="s", name="web_search", arguments={"q": "x"}, server=True), ("finish", {"reason": "stop"}))
    assert not choice.tool_calls and choice.parts[0].server and choice.finish_reason == "stop"


def test_a_cut_stream_never_yields_half_a_call() -> None:
    """T6."""
    response = fold(
        call(index=0, id="a", name="f", arguments='{"x":1}'),
        call(index=1, id="b", name="g", arguments='{"y":'),
        call(index=2, id="c", name="h"),
        call(index=3, id="d", name="i", arguments={"z": 1}),
        partial=True,
    )
    assert [c.id for c in response.tool_calls] == ["a", "d"]


def test_each_call_ends_with_its_parsed_arguments() -> None:
    into = Accumulator(CHAT)
    into.emit("tool_call", 0, {"index": 7, "id": "a", "name": "f", "arguments": '{"x":'})
    into.emit("tool_call", 0, {"index": 7, "arguments": "1}"})
    into.close()
    assert [e.kind for e in into.events] == ["tool_call", "tool_call", "tool_call_end"]
    assert {e.index for e in into.events} == {0}
    assert into.events[-1].arguments == {"x": 1} and into.events[-1].name == "f"


# --- full -----------------------------------------------------------------------------------------------------------


def test_of_everything_so_far_only_what_is_new_is_emitted() -> None:
    into = Accumulator(CHAT)
    for think, full in (("t", "He"), ("t", "Hello"), ("t", "Hello")):
        into.emit("thinking", 0, {"full": think})
        into.emit("text", 0, {"full": full})
    assert [(e.kind, e.text) for e in into.events] == [("thinking", "t"), ("text", "He"), ("text", "llo")]
    assert shape(into.response().choices[0]) == [("thinking", "t"), ("text", "Hello")]


def test_a_closing_event_repeats_the_deltas() -> None:
    assert shape(only(text("ab", index=1), ("text", {"full": "abc", "index": 1}))) == [("text", "abc")]
    assert only(text("ab"), ("text", {"full": "ab"})).text == "ab"


def test_everything_so_far_must_begin_with_what_was() -> None:
    with pytest.raises(errors.ProtocolError):
        fold(("text", {"full": "Hello"}), ("text", {"full": "Jello"}))


# --- thinking tags --------------------------------------------------------------------------------------------------

TAGGED = make(thinking_tags=("<think>", "</think>"))
TAG_TEXTS = st.lists(st.sampled_from(["<think>", "</think>", "<", "<thi", "nk>", "a", "\n", "</", "é"]), max_size=12)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["<think>\nwhy</think>\n\nbecause"], [("thinking", "why"), ("text", "because")]),
        (["<th", "ink>w", "hy</thi", "nk>", "\n", "be"], [("thinking", "why"), ("text", "be")]),
        (["a <thing>"], [("text", "a <thing>")]),
        (["a <th"], [("text", "a <th")]),
        (["<think>open"], [("thinking", "open")]),
        (["plain"], [("text", "plain")]),
    ],
)
def test_thinking_between_tags_is_cut_out(pieces: list[str], expected: list[tuple[str, str]]) -> None:
    assert shape(only(*(text(p) for p in pieces), plan=TAGGED)) == expected


@given(TAG_TEXTS)
def test_tags_are_found_however_the_text_is_cut(pieces: list[str]) -> None:
    def run(parts: list[str]) -> list[tuple[str, str]]:
        cutter = TagCutter("<think>", "</think>")
        out = [piece for part in parts for piece in cutter.feed(part)] + cutter.close()
        joined: list[tuple[str, str]] = []
        for kind, piece in out:
            if joined and joined[-1][0] == kind:
                joined[-1] = (kind, joined[-1][1] + piece)
            else:
                joined.append((kind, piece))
        return joined

    assert run(pieces) == run(["".join(pieces)])


# --- the other kinds ------------------------------------------------------------------------------------------------


def test_citations_stand_with_the_choice_and_its_text_once() -> None:
    source = ("citation", {"url": "https://a", "title": "A", "start": "3", "end": 5.0})
    choice = only(text("abc"), source, source, ("citation", {"url": "https://b"}))
    assert [c.url for c in choice.citations] == ["https://a", "https://b"]
    assert (choice.citations[0].start, choice.citations[0].end) == (3, 5)
    assert choice.parts[0].citations == choice.citations


def test_media_come_as_base64_whatever_way_they_came() -> None:
    choice = only(
        ("media", {"url": "data:image/png;base64,QUJD"}),
        ("media", {"data": b"ABC", "media_type": "audio/wav"}),
        ("media", {"url": "https://x/y.mp4", "media_type": "video/mp4"}),
        ("media", {"data": "QUJD", "media_type": "application/pdf", "text": "t"}),
    )
    assert [(p.type, p.data, p.url, p.media_type) for p in choice.parts] == [
        ("image", "QUJD", None, "image/png"),
        ("audio", "QUJD", None, "audio/wav"),
        ("video", None, "https://x/y.mp4", "video/mp4"),
        ("document", "QUJD", None, "application/pdf"),
    ]


def test_pieces_of_one_medium_are_joined() -> None:
    pieces = [base64.b64encode(p).decode() for p in (b"a", b"bcd", b"ef")]
    choice = only(*(("media", {"type": "audio", "id": "a1", "data": p, "text": "x"}) for p in pieces))
    assert len(choice.parts) == 1 and choice.parts[0].data is not None
    assert base64.b64decode(choice.parts[0].data) == b"abcdef" and choice.parts[0].text == "xxx"


def test_native_items_stand_in_their_place() -> None:
    choice = only(text("a"), ("native", {"data": {"type": "search"}, "index": 1}), text("b"))
    assert [p.type for p in choice.parts] == ["text", "native", "text"]
    assert choice.parts[1].native == {"type": "search"} and choice.parts[1].dialect == "wire"


def test_refusals_are_not_text() -> None:
    choice = only(("refusal", {"text": "I can"}), ("refusal", {"text": "not"}))
    assert choice.refusal == "I cannot" and choice.text is None


def test_logprobs_are_joined() -> None:
    assert only(("logprobs", {"content": [1]}), ("logprobs", {"content": [2, 3]})).logprobs == [1, 2, 3]


def test_candidates_are_kept_apart() -> None:
    into = Accumulator(CHAT)
    for choice, word in ((1, "b"), (0, "a"), ("1", "b"), (None, "a"), (0.0, "a")):
        into.emit("text", choice, {"text": word})
    assert [(c.index, c.text) for c in into.response().choices] == [(0, "aaa"), (1, "bb")]


def test_too_many_candidates_are_hostile() -> None:
    into = Accumulator(CHAT)
    with pytest.raises(errors.LimitError):
        for number in range(2000):
            into.emit("text", number, {"text": "x"})


def test_the_start_is_told_once() -> None:
    into = Accumulator(CHAT)
    for _ in range(3):
        into.emit("start", 0, {"id": "r", "model": "m-1", "created": "2024-01-01T00:00:00Z"})
    response = into.response()
    assert [e.kind for e in into.events] == ["start"]
    assert (response.id, response.model, response.created) == ("r", "m-1", 1704067200)


@pytest.mark.parametrize(
    ("native", "reason"), [("stop", "stop"), ("length", "length"), ("STRANGE", "other"), (7, "other"), ("", None), (None, None)]
)
def test_finish_reasons(native: Any, reason: str | None) -> None:
    choice = only(text("a"), ("finish", {"reason": native}))
    assert choice.finish_reason == reason
    assert choice.finish_reason_raw == (str(native) if native else None)


def test_a_stop_with_calls_is_tool_calls() -> None:
    assert only(call(name="f"), ("finish", {"reason": "stop"})).finish_reason == "tool_calls"


def test_other_kinds_are_outputs_in_their_types() -> None:
    vector = base64.b64encode(struct.pack("<2f", 0.5, -1)).decode()
    response = fold(
        ("embedding", {"vector": vector, "index": "0"}),
        ("embedding", {"vector": base64.b64encode(bytes([1, 255])).decode(), "dtype": "int8"}),
        ("result", {"index": 1.0, "score": "0.25"}),
        ("audio", {"hex": "414243"}),
        ("image", {"url": "data:image/png;base64,QUJD", "seed": "5"}),
        ("model", {"id": "m", "created": 1704067200000, "context": 1e5}),
        plan=make(name="embeddings"),
    )
    fields = [event.fields for event in response.outputs]
    assert [f.get("vector") for f in fields[:2]] == [[0.5, -1.0], [1, -1]]
    assert fields[2] == {"index": 1, "score": 0.25}
    assert fields[3]["data"] == "QUJD"
    assert fields[4] == {"data": "QUJD", "media_type": "image/png", "seed": 5}
    assert fields[5] == {"id": "m", "created": 1704067200, "context": 100000}


def test_unlisted_events_are_counted() -> None:
    report = Report()
    into = Accumulator(CHAT, context={"$report": report})
    for name in ("odd", "odd", None, {"a": 1}):
        into.unknown(name)
    assert report.ignored_events["odd"] == 2 and into.response().report is report
