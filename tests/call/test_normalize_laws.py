"""Recorded requests lose nothing; garbage gives our errors only; nothing of the caller's is changed (RELIABILITY E1)."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.call.normalize import names, normalize
from engine.errors import Error
from engine.vocabulary import REQUESTS
from tests.samples import sampled
from tests.shared_data import shared

#: keys whose text a provider must get to see
SEEN = (
    "text",
    "content",
    "arguments",
    "url",
    "image_url",
    "file_url",
    "data",
    "file_data",
    "file_id",
    "thinking",
    "signature",
    "name",
)


def texts(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, str):
        if key in SEEN and value:
            yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, key)


def every_text(value: Any, out: set[str]) -> set[str]:
    if isinstance(value, str):
        out.add(value)
    elif isinstance(value, dict):
        for inner in value.values():
            every_text(inner, out)
    elif isinstance(value, list):
        for inner in value:
            every_text(inner, out)
    return out


def missing(fields: dict[str, Any], canonical: dict[str, Any]) -> list[str]:
    """Texts of a request that are nowhere in its canonical form."""
    found = every_text({k: canonical.get(k) for k in ("messages", "tools", "server_tools", "response_format")}, set())
    lost = []
    for message in fields.get("messages") or ():
        for text in texts(message):
            bare = text.partition(",")[2] if text.startswith("data:") else text
            if bare not in found and not (text == "{}" or text in fields.get("name", "")):
                lost.append(text)
    lost += [t for t in texts(fields.get("tools") or []) if t not in found]
    return lost


def test_recorded_chat_requests_lose_nothing() -> None:
    known = names("chat")
    count = 0
    with shared("traffic", "openai-chat.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            body = (case.get("request") or {}).get("body")
            if not isinstance(body, dict) or "messages" not in body:
                continue
            fields = {k: v for k, v in body.items() if k in known}
            fields["extra_body"] = {k: v for k, v in body.items() if k not in known}
            before = json.dumps(fields)
            canonical = normalize("chat", fields)
            assert missing(fields, canonical) == [], case["id"]
            assert json.dumps(fields) == before
            sent = [m for m in body["messages"] if m.get("role") in ("assistant",)]
            calls = sum(len(m.get("tool_calls") or ()) for m in sent)
            assert calls == sum(len(m.get("tool_calls") or ()) for m in canonical["messages"]), case["id"]
            count += 1
    assert count > 800


def test_wire_cases_lose_nothing() -> None:
    kinds = {"embedding": "embeddings", "image_generation": "image"}
    for path in sorted(shared("wire", "cases").glob("*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        fields = case["input"]
        if case["kind"] == "transcription":
            data = shared("wire", "assets", fields["file"]["$file"]).read_bytes()
            fields = {**fields, "file": {"bytes": data, "filename": "tiny.wav", "content_type": "audio/wav"}}
        before = copy.deepcopy(fields)
        canonical = normalize(kinds.get(case["kind"], case["kind"]), fields)
        assert fields == before, path.name
        if case["kind"] == "chat":
            assert [t for t in missing(fields, canonical) if t not in canonical["messages"][-1]] == [], path.name
            assert "$warnings" not in canonical, path.name


WORDS = st.sampled_from(
    [
        "user", "system", "assistant", "tool", "text", "image", "image_url", "file", "thinking", "tool_call", "tool_result",
        "native", "json", "x", "", "data:image/png;base64,AAAA", "data:,x", "data:", "auto", "function", "{}", "{",
        "https://a.example/x.png", "ü\ud800",
    ]
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "role", "content", "parts", "type", "text", "image_url", "url", "tool_calls", "id", "function", "name", "arguments",
        "tool_call_id", "thinking_blocks", "reasoning_details", "refusal", "audio", "function_call", "source", "data", "file",
        "file_data", "input", "json", "cache_control", "extra", "media_type", "format", "mode", "tools", "allowed_tools",
        "json_schema", "schema", "effort", "budget_tokens",
    ]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(), WORDS, st.binary(max_size=4), st.just(object()), st.just(str)
)
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=5),
        st.dictionaries(st.one_of(KEYS, st.integers()), inner, max_size=2),
    ),
    max_leaves=12,
)
MESSAGES = st.lists(
    st.one_of(
        JUNK,
        st.fixed_dictionaries(
            {"role": WORDS},
            optional=dict.fromkeys(("content", "parts", "tool_calls", "thinking_blocks", "name", "tool_call_id"), JUNK),
        ),
    ),
    max_size=3,
)


@settings(max_examples=sampled(400), deadline=None)
@given(MESSAGES, st.dictionaries(st.sampled_from(sorted(names("chat") - {"messages"})), JUNK, max_size=3))
def test_garbage_in_chats_gives_our_errors_only(messages: Any, fields: dict[str, Any]) -> None:
    try:
        canonical = normalize("chat", {"messages": messages, **fields})
    except Error:
        return
    assert all("plain" in m or m.get("type") == "native" for m in canonical["messages"])


@settings(max_examples=sampled(300), deadline=None)
@given(st.data())
def test_garbage_in_other_operations_gives_our_errors_only(data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(sorted(set(REQUESTS) - {"chat"})))
    fields = data.draw(st.dictionaries(st.sampled_from(sorted(names(operation))), JUNK, max_size=4))
    try:
        normalize(operation, fields)
    except Error:
        return


PARTS = st.one_of(
    st.builds(lambda t: {"type": "text", "text": t}, st.text(max_size=5)),
    st.builds(
        lambda t: {"type": "image_url", "image_url": {"url": t}},
        st.sampled_from(["https://a.example/c.png", "data:image/png;base64,AAAA"]),
    ),
    st.just({"type": "file", "file": {"file_id": "f"}}),
)
CALLS = st.builds(
    lambda i, n, a: {"id": i, "type": "function", "function": {"name": n, "arguments": a}},
    st.sampled_from([None, "a", "b"]),
    st.sampled_from(["f", "g"]),
    st.sampled_from(["{}", '{"a": 1}', "{", ""]),
)
GOOD = st.lists(
    st.one_of(
        st.builds(lambda c: {"role": "user", "content": c}, st.one_of(st.text(max_size=5), st.lists(PARTS, max_size=3))),
        st.builds(
            lambda c, t: {"role": "assistant", "content": c, "tool_calls": t},
            st.none() | st.text(max_size=5),
            st.lists(CALLS, max_size=3),
        ),
        st.builds(
            lambda i, c: {"role": "tool", "tool_call_id": i, "content": c}, st.sampled_from([None, "a", "b"]), st.text(max_size=5)
        ),
        st.builds(lambda c: {"role": "system", "content": c}, st.text(max_size=5)),
    ),
    max_size=8,
)


@settings(max_examples=sampled(300), deadline=None)
@given(GOOD)
def test_laws_of_good_conversations(messages: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(messages)
    out = normalize("chat", {"messages": messages})
    assert messages == before
    calls = [p for m in out["messages"] for p in m["parts"] if p["type"] == "tool_call"]
    assert len({p["id"] for p in calls}) == len(calls)
    sides = [t["role"] for t in out["turns"]]
    assert all(a != b for a, b in pairwise(sides))
    assert [p for t in out["turns"] for p in t["parts"]] == [
        p for m in out["messages"] if m["role"] != "system" for p in m["parts"]
    ]
    again = normalize("chat", {"messages": out["messages"]})
    assert [m["parts"] for m in again["messages"]] == [m["parts"] for m in out["messages"]]


def test_unknown_operations_words_are_told_with_the_nearest() -> None:
    with pytest.raises(Error, match="did you mean `dimensions`"):
        normalize("embeddings", {"input": "a", "dimension": 3})
