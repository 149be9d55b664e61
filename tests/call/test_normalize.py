"""Messages of every spelling become the canonical ones (SPEC_LANGUAGE 12.1, SERVE 15)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.call.normalize import normalize
from engine.errors import ConfigError, LimitError
from engine.types import Choice, Part, Response

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP8z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"


def chat(*messages: Any, **fields: Any) -> dict[str, Any]:
    return normalize("chat", {"messages": list(messages), **fields})


def parts(content: Any, role: str = "user") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chat({"role": role, "content": content})["messages"][0]["parts"]
    return found


def only(content: Any) -> dict[str, Any]:
    (part,) = parts([content])
    return part


def test_a_text_is_one_user_message() -> None:
    out = normalize("chat", {"messages": "hi"})
    assert out["messages"] == [
        {
            "role": "user",
            "parts": [{"type": "text", "text": "hi"}],
            "content": [{"type": "text", "text": "hi"}],
            "text": "hi",
            "plain": True,
            "text_only": True,
            "index": 0,
            "first": True,
            "last": True,
        }
    ]
    assert out["has_tool_history"] is False


def test_developer_is_system_and_legacy_words_are_understood() -> None:
    roles = [m["role"] for m in chat(*({"role": r, "content": "x"} for r in ("developer", "model", "human")))["messages"]]
    assert roles == ["system", "assistant", "user"]


def test_text_of_several_parts_is_joined_and_not_plain() -> None:
    message = chat({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})["messages"][0]
    assert (message["text"], message["plain"], message["text_only"]) == ("ab", False, True)


def test_one_text_part_is_plain_unless_it_carries_more() -> None:
    assert chat({"role": "user", "content": [{"type": "text", "text": "a"}]})["messages"][0]["plain"] is True
    marked = chat({"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]})
    assert marked["messages"][0]["plain"] is False
    assert marked["messages"][0]["parts"][0]["cache"] == {"type": "ephemeral"}


def test_a_cache_mark_on_a_message_counts_for_its_last_part() -> None:
    message = chat({"role": "user", "content": "a", "cache_control": {"type": "ephemeral"}})["messages"][0]
    assert message["cache"] == message["parts"][-1]["cache"] == {"type": "ephemeral"}


def test_names_are_kept() -> None:
    assert chat({"role": "user", "name": "alice", "content": "hi"})["messages"][0]["name"] == "alice"


@pytest.mark.parametrize("empty", [None, "", [], [{"type": "text", "text": ""}]])
def test_empty_assistant_text_beside_calls_is_dropped(empty: Any) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = chat({"role": "assistant", "content": empty, "tool_calls": [call]})["messages"][0]
    assert [p["type"] for p in message["parts"]] == ["tool_call"]
    assert message["text"] is None and message["content"] is None


def test_an_empty_text_that_is_all_there_is_stays() -> None:
    assert parts("", "assistant") == [{"type": "text", "text": ""}]
    assert parts("", "user") == [{"type": "text", "text": ""}]
    assert parts(None, "assistant") == []


# --- media ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "image", "data": PNG, "media_type": "image/png"},
        {"type": "image", "data": PNG},
        {"type": "image", "image": f"data:image/png;base64,{PNG}"},
        {"type": "file", "file": {"file_data": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "image", "data": PNG.replace("+", "-").replace("/", "_").rstrip("=")},
        Part("image", data=PNG, media_type="image/png"),
    ],
)
def test_an_image_is_one_image_in_any_spelling(given: Any) -> None:
    part = only(given)
    assert part["type"] == "image" and part["via"] == "data" and part["data"] == PNG and part["media_type"] == "image/png"
    assert part["uri"] == f"data:image/png;base64,{PNG}" and part["format"] == "png"


def test_media_by_url_and_by_file() -> None:
    part = only({"type": "image_url", "image_url": {"url": "https://a.example/cat.JPG?x=1", "detail": "low"}})
    assert part == {
        "type": "image", "via": "url", "url": "https://a.example/cat.JPG?x=1", "uri": "https://a.example/cat.JPG?x=1",
        "media_type": "image/jpeg", "format": "jpeg", "detail": "low",
    }  # fmt: skip
    assert only({"type": "file", "file": {"file_id": "f-1"}}) == {"type": "document", "via": "file", "file_id": "f-1"}
    assert only({"type": "document", "source": {"type": "file", "file_id": "f-1"}, "title": "t"})["filename"] == "t"
    assert only({"type": "video_url", "video_url": {"url": "https://a.example/x.webm"}})["media_type"] == "video/webm"
    assert only({"type": "document_url", "document_url": "https://a.example/x.pdf"})["type"] == "document"
    sound = {"type": "audio", "data": "https://a.example/x.mp3"}  # an address where base64 belongs
    assert (only(sound)["via"], only(sound)["url"]) == ("url", "https://a.example/x.mp3")


def test_sounds_have_the_short_format_words() -> None:
    part = only({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}})
    assert (part["type"], part["media_type"], part["format"], part["data"]) == ("audio", "audio/mpeg", "mp3", "AAAA")
    assert only({"type": "audio", "data": "AAAA", "format": "webm"})["media_type"] == "audio/webm"
    assert only({"type": "input_audio", "input_audio": {"data": "UklGRmQBAABXQVZFZm10IBAAAAA="}})["format"] == "wav"


def test_plain_text_documents_have_their_text() -> None:
    part = only({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hé"}, "title": "n"})
    assert part["text"] == "hé" and part["data"] == "aMOp" and part["format"] == "txt"
    part = only({"type": "file", "file": {"filename": "a.md", "file_data": "data:text/markdown;base64,aGk="}})
    assert part["text"] == "hi" and part["type"] == "document" and part["filename"] == "a.md"
    assert only({"type": "image_url", "image_url": {"url": "data:image/svg+xml,%3Csvg/%3E"}})["data"] == "PHN2Zy8+"


def test_raw_bytes_are_media() -> None:
    part = only({"type": "image", "data": b"\x89PNG\r\n\x1a\n0000"})
    assert part["media_type"] == "image/png" and part["data"] == "iVBORw0KGgowMDAw"


# --- thinking -------------------------------------------------------------------------------------------------------------


def test_thinking_comes_first_and_is_taken_once() -> None:
    out = chat(
        {
            "role": "assistant",
            "content": "Let me check.",
            "reasoning_content": "hm",
            "thinking_blocks": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "xyz"},
            ],
        }
    )
    message = out["messages"][0]
    assert message["parts"] == [
        {"type": "thinking", "text": "hm", "signature": "c2ln"},
        {"type": "thinking", "redacted": "xyz"},
        {"type": "text", "text": "Let me check."},
    ]
    assert message["thinking"] == "hm" and message["content"] == [{"type": "text", "text": "Let me check."}]


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_bare_thinking_text(key: str) -> None:
    message = chat({"role": "assistant", "content": "a", key: "hm"})["messages"][0]
    assert message["parts"][0] == {"type": "thinking", "text": "hm"}


def test_reasoning_details() -> None:
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0},
        {"type": "reasoning.encrypted", "data": "enc", "id": "r1"},
        {"type": "reasoning.summary", "summary": "sum"},
    ]
    message = chat({"role": "assistant", "content": "a", "reasoning": "hm", "reasoning_details": details})["messages"][0]
    assert message["thinking_parts"] == [
        {"type": "thinking", "text": "hm", "signature": "s"},
        {"type": "thinking", "redacted": "enc", "id": "r1"},
        {"type": "thinking", "text": "sum"},
    ]


def test_an_answer_can_be_appended_as_it_is() -> None:
    answer = Response(
        choices=[
            Choice(
                parts=[
                    Part("thinking", text="hm", signature="s"),
                    Part("text", text="hello"),
                    Part("tool_call", id="c1", name="f", arguments={"a": 1}, arguments_json='{"a": 1}'),
                    Part("native", dialect="d", native={"x": 1}),
                ]
            )
        ]
    )
    for given in (answer, answer.message):
        message = chat(given, {"role": "tool", "tool_call_id": "c1", "content": "ok"})["messages"][0]
        assert [p["type"] for p in message["parts"]] == ["thinking", "text", "tool_call", "native"]
        assert message["parts"][2]["arguments"] == {"a": 1} and message["parts"][2]["arguments_json"] == '{"a": 1}'
        assert message["parts"][3] == {"type": "native", "dialect": "d", "data": {"x": 1}}


# --- the whole conversation ---------------------------------------------------------------------------------------------


def test_turns_join_runs_and_take_tool_results_as_the_users() -> None:
    out = chat(
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "r"},
        {"role": "user", "content": "c"},
    )
    turns = out["turns"]
    assert [t["role"] for t in turns] == ["user", "assistant", "user"]
    assert turns[0]["parts"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert (turns[0]["plain"], turns[0]["text"]) == (False, "a\n\nb")
    assert [p["type"] for p in turns[2]["parts"]] == ["tool_result", "text"]
    assert turns[2]["last"] is True and turns[2]["text"] == "c"
    assert [m["role"] for m in out["messages"]] == ["system", "user", "user", "assistant", "tool", "user"]


def test_what_came_with_a_turn_stays_with_it_when_its_results_leave() -> None:
    call = {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": {}}]}
    result = {"type": "tool_result", "id": "1", "parts": [{"type": "text", "text": "r"}], "extra": {"acme": {"b": 2}}}
    out = chat({"role": "user", "content": "a"}, call, {"role": "user", "parts": [result], "extra": {"acme": {"a": 1}}})
    assert out["turns"][2]["extra"] == {"acme": {"a": 1}}
    assert out["turns"][2]["parts"][0]["extra"] == {"acme": {"b": 2}}


def test_a_result_of_words_and_a_value_is_both_where_results_are_one_text() -> None:
    call = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}
    inner = [{"type": "text", "text": "Found."}, {"type": "json", "json": {"n": 1}}]
    found = chat(
        {"role": "user", "content": "a"}, call, {"role": "tool", "parts": [{"type": "tool_result", "id": "1", "parts": inner}]}
    )
    part = found["messages"][2]["parts"][0]
    assert part["text"] == 'Found.\n{"n":1}' and part["json"] is None and len(part["parts"]) == 2


def test_system_views() -> None:
    one = chat({"role": "developer", "content": "a"}, {"role": "user", "content": "x"})
    assert (one["system"], one["system_plain"]) == ("a", True)
    two = chat({"role": "system", "content": "a"}, {"role": "user", "content": "x"}, {"role": "system", "content": "b"})
    assert (two["system"], two["system_plain"], len(two["system_parts"])) == ("a\n\nb", False, 2)
    assert "system" not in chat({"role": "user", "content": "x"})


def test_a_system_text_and_turns_may_stand_beside_messages() -> None:
    out = normalize("chat", {"system": "s", "messages": "hi"})
    assert [m["role"] for m in out["messages"]] == ["system", "user"] and out["system"] == "s"
    out = normalize("chat", {"turns": [{"role": "user", "parts": [{"type": "text", "text": "a"}]}]})
    assert out["messages"][0]["text"] == "a"


def test_prefill_is_the_text_of_a_last_assistant_message() -> None:
    assert chat({"role": "user", "content": "x"}, {"role": "assistant", "content": "{"})["prefill"] == "{"
    assert "prefill" not in chat({"role": "assistant", "content": "{"}, {"role": "user", "content": "x"})


def test_native_items_keep_their_place() -> None:
    item = {"type": "native", "dialect": "d", "data": {"z": 1}}
    out = chat({"role": "user", "content": "a"}, item, {"role": "user", "content": "b"})
    assert out["messages"][1] == {**item, "index": 1} and [t.get("type") for t in out["turns"]] == [None, "native", None]


def test_only_the_views_that_are_read_are_made() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    out = normalize(
        "chat", {"messages": [{"role": "user", "content": [image]}]}, reads=frozenset(), part_reads=frozenset(("data",))
    )
    assert "uri" not in out["messages"][0]["parts"][0] and "turns" not in out and "system" not in out


def test_what_has_no_neutral_meaning_is_told() -> None:
    out = chat({"role": "user", "content": [{"type": "text", "text": "a", "breakpoint": {"mode": "x"}}], "mood": "good"})
    assert len(out["$warnings"]) == 2 and "`mood`" in out["$warnings"][0] and "`breakpoint`" in out["$warnings"][1]


# --- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"messages": [{"role": "usr", "content": "x"}]}, "messages[0]: the role `usr` is not known; did you mean `user`?"),
        ({"messages": [{"content": "x"}]}, "needs a `role`"),
        ({"messages": [{"role": "user", "content": [{"type": "imge_url"}]}]}, "did you mean `image_url`?"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "an image part has no content"),
        ({"messages": "x", "temprature": 1}, "chat has no field `temprature`; did you mean `temperature`?"),
        ({"messages": "x", "zzz": 1}, "goes into `extra_body`"),
        ({}, "`messages` is missing"),
        ({"messages": [3]}, "a message is a mapping, not int"),
        ({"messages": "x", "reasoning_effort": "huge"}, "`huge` is not known"),
        ({"messages": "x", "tool_choice": "nope"}, "nor the name of a tool"),
        ({"messages": "x", "response_format": {"type": "yaml"}}, "`yaml` is not known"),
        ({"messages": "x", "tools": [{"type": "function", "function": {}}]}, "a tool needs a name"),
    ],
)
def test_unusable_input_is_told(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        normalize("chat", fields)
    assert says in caught.value.message


def test_sizes_are_limited() -> None:
    """RELIABILITY G6."""
    with pytest.raises(LimitError):
        normalize("chat", {"messages": [{"role": "user", "content": "x"}] * 10_001})
    deep: Any = "x"
    for _ in range(70):
        deep = [{"type": "tool_result", "id": "1", "content": deep}]
    with pytest.raises(LimitError):
        chat({"role": "user", "content": deep})
    with pytest.raises(LimitError):
        arguments = "[" * 100 + "]" * 100
        chat({"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": arguments}}]})
