"""Calls and results of tools that a provider runs: canonical parts that return as they came, or a warning that names them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.catalog import Catalog
from engine.examples import given_operation
from engine.serve.reply import write_reply
from engine.types import Report, Response

CATALOG = Catalog()
SEARCH = {
    "type": "web_search_tool_result",
    "tool_use_id": "s1",
    "content": [{"type": "web_search_result", "url": "https://a", "title": "A"}],
}
CODE = {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1+1", "container_id": "c", "outputs": None}
QUERY = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}}
#: target -> its reply, the items in it, and what they are in canonical words
ANSWERS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], list[tuple[Any, ...]]]] = {
    "anthropic/m": (
        {
            "id": "m1", "model": "m", "role": "assistant", "type": "message", "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1},
            "content": [{"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}}, SEARCH, {"type": "text", "text": "Found."}],
        },
        [SEARCH],
        [("tool_call", "s1", "web_search", {"query": "x"}, None), ("tool_result", "s1", "web_search", None, "A")],
    ),
    "openai:responses/m": (
        {
            "id": "r1", "object": "response", "model": "m", "status": "completed", "usage": {"input_tokens": 1, "output_tokens": 1},
            "output": [QUERY, CODE, {"type": "message", "id": "x", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "Found.", "annotations": []}]}],
        },
        [QUERY, CODE],
        [("tool_call", "ws_1", "web_search", {"type": "search", "query": "x"}, None), ("tool_call", "ci_1", "code_interpreter", {"code": "1+1"}, None)],
    ),
    "google-gemini/m": (
        {
            "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
                {"executableCode": {"language": "PYTHON", "code": "1+1"}}, {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "2"}}, {"text": "Found."},
            ]}}],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        },
        [{"executableCode": {"language": "PYTHON", "code": "1+1"}}, {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "2"}}],
        [("tool_call", None, "code_execution", {"language": "PYTHON", "code": "1+1"}, None), ("tool_result", None, "code_execution", None, "2")],
    ),
}  # fmt: skip


def answer_of(target: str) -> Response:
    return given_operation(CATALOG, target, "chat").read(
        200, {"content-type": "application/json"}, json.dumps(ANSWERS[target][0]).encode()
    )


def history(answer: Response) -> list[dict[str, Any]]:
    return [{"role": "user", "content": "Search."}, answer.message, {"role": "user", "content": "And now?"}]


@pytest.mark.parametrize("target", ANSWERS)
def test_what_the_provider_ran_is_told_in_canonical_words(target: str) -> None:
    answer = answer_of(target)
    run = [(p.type, p.id, p.name, p.arguments if p.type == "tool_call" else None, p.text) for p in answer.parts if p.server]
    assert run == ANSWERS[target][2]
    assert answer.text == "Found." and answer.tool_calls == [] and answer.finish_reason == "stop"
    assert [p.native for p in answer.parts if p.native] == ANSWERS[target][1]
    failed = [p.is_error for p in answer.parts if p.type == "tool_result"]
    assert failed == {"google-gemini/m": [True], "anthropic/m": [None]}.get(target, [])


@pytest.mark.parametrize("target", ANSWERS)
def test_it_returns_to_its_own_wire_as_it_came(target: str) -> None:
    sent = given_operation(CATALOG, target, "chat").render(messages=history(answer_of(target)))
    assert sent.report is not None and not sent.report.warnings
    body = json.dumps(json.loads(sent.body or b""), sort_keys=True)
    assert all(json.dumps(item, sort_keys=True) in body for item in ANSWERS[target][1])


@pytest.mark.parametrize("target", ANSWERS)
@pytest.mark.parametrize("other", [*ANSWERS, "openai/m", "cohere/m", "ollama/m", "mistral/m", "amazon-bedrock/m"])
def test_elsewhere_a_warning_names_it_and_no_tool_of_the_caller_seems_called(target: str, other: str) -> None:
    if other == target:
        return
    operation = given_operation(CATALOG, other, "chat")
    sent = operation.render(messages=history(answer_of(target)))
    assert sent.report is not None
    for kind, _, name, _, _ in ANSWERS[target][2]:
        word = "call" if kind == "tool_call" else "result"
        assert any(f"a {word} of {name}, which the provider ran, was dropped" in w for w in sent.report.warnings), (
            sent.report.warnings
        )
    body = json.loads(sent.body or b"")
    assert "Found." in json.dumps(body)
    assert not any(word in json.dumps(body) for word in ("tool_calls", "functionCall", "function_call", "tool_use", "toolUse"))
    with pytest.raises(Exception, match="which the provider ran"):
        operation.render(messages=history(answer_of(target)), unsupported="error")


@pytest.mark.parametrize("target", ANSWERS)
def test_served_answers_keep_it_on_its_own_wire_and_name_it_on_others(target: str) -> None:
    answer = answer_of(target)
    own = given_operation(CATALOG, target, "chat").plan.dialect
    for dialect in ("anthropic-messages", "openai-responses", "gemini", "openai-chat", "ollama"):
        report = Report()
        body = json.dumps(write_reply(CATALOG.served(dialect), answer, report=report), sort_keys=True)
        assert "Found." in body
        if dialect == own:
            assert all(json.dumps(item, sort_keys=True) in body for item in ANSWERS[target][1]) and not report.warnings
        elif dialect != "anthropic-messages" or target != "anthropic/m":
            assert any("which the provider ran" in warning for warning in report.warnings), (dialect, report.warnings)


def test_a_streamed_call_and_result_fold_to_the_same_parts() -> None:
    reader = given_operation(CATALOG, "anthropic/m", "chat").reader({"content-type": "text/event-stream"})
    events = [
        {"type": "message_start", "message": {"id": "m1", "model": "m", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"query": "x"}'}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": SEARCH},
        {"type": "content_block_stop", "index": 1},
        {"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "Found."}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]  # fmt: skip
    for event in events:
        reader.feed(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    parts = [(p.type, p.name, p.server, p.native) for p in reader.close().parts]
    assert parts == [(p.type, p.name, p.server, p.native) for p in answer_of("anthropic/m").parts]
