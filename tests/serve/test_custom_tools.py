"""Tools of free text: their calls and results keep their words through a client, and through a gateway in both directions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.catalog import Catalog
from engine.examples import given_operation
from engine.serve.encoder import Encoder
from engine.serve.reply import write_reply
from engine.types import Event, Report

CATALOG = Catalog()
CALL = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c1", "name": "math", "input": "4 + 4"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
TOOLS = {
    "openai-responses": [{"type": "custom", "name": "math", "format": {"type": "text"}}, FUNCTION],
    "openai-chat": [{"type": "custom", "custom": {"name": "math"}}, {"type": "function", "function": {"name": "f"}}],
}
REPLIES: dict[str, dict[str, Any]] = {
    "openai-responses": {"id": "r", "model": "m", "status": "completed", "output": [CALL]},
    "openai-chat": {
        "id": "r",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "math", "input": "4 + 4"}}],
                },
                "finish_reason": "tool_calls",
            }
        ],
    },
}
TARGETS = {"openai-responses": "openai:responses/m", "openai-chat": "openai-compatible/m"}
#: what a client of the wire sends in its second turn
SAID: dict[str, dict[str, Any]] = {
    "openai-responses": {
        "model": "m",
        "input": [
            {"type": "message", "role": "user", "content": "4 + 4?"},
            {k: v for k, v in CALL.items() if k != "id"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "8"},
        ],
        "tools": TOOLS["openai-responses"],
        "tool_choice": {"type": "custom", "name": "math"},
    },
    "openai-chat": {
        "model": "m",
        "messages": [
            {"role": "user", "content": "4 + 4?"},
            {"role": "assistant", "tool_calls": REPLIES["openai-chat"]["choices"][0]["message"]["tool_calls"]},
            {"role": "tool", "tool_call_id": "c1", "content": "8"},
        ],
        "tools": TOOLS["openai-chat"],
        "tool_choice": {"type": "custom", "custom": {"name": "math"}},
    },
}


@pytest.mark.parametrize("dialect", TARGETS)
def test_an_answer_goes_back_in_its_own_words(dialect: str) -> None:
    operation = given_operation(CATALOG, TARGETS[dialect], "chat")
    answer = operation.read(200, {"content-type": "application/json"}, json.dumps(REPLIES[dialect]).encode())
    assert [(c.name, c.arguments) for c in answer.tool_calls] == [("math", "4 + 4")]
    history = [{"role": "user", "content": "4 + 4?"}, answer.message, {"role": "tool", "tool_call_id": "c1", "content": "8"}]
    sent = json.loads(
        operation.render(messages=history, tools=TOOLS[dialect], tool_choice=SAID[dialect]["tool_choice"]).body or b""
    )
    key = "input" if dialect == "openai-responses" else "messages"
    assert sent[key] == SAID[dialect][key] and sent["tool_choice"] == SAID[dialect]["tool_choice"]


@pytest.mark.parametrize("dialect", TARGETS)
def test_a_request_is_understood_and_written_again(dialect: str) -> None:
    accepted = CATALOG.served(dialect).accept(json.loads(json.dumps(SAID[dialect])), Report())
    sent = json.loads(given_operation(CATALOG, TARGETS[dialect], "chat").render(**accepted).body or b"")
    assert {k: sent[k] for k in SAID[dialect]} == SAID[dialect]


@pytest.mark.parametrize("dialect", TARGETS)
def test_a_client_gets_the_call_as_it_asked_for_it(dialect: str) -> None:
    served = CATALOG.served(dialect)
    request = served.accept(json.loads(json.dumps(SAID[dialect])), Report())
    data = json.dumps(REPLIES[dialect]).encode()
    answer = given_operation(CATALOG, TARGETS[dialect], "chat").read(200, {"content-type": "application/json"}, data)
    body = write_reply(served, answer, request)
    if dialect == "openai-chat":
        assert body["choices"][0]["message"]["tool_calls"] == REPLIES[dialect]["choices"][0]["message"]["tool_calls"]
        return
    called = body["output"][0]
    assert {k: called[k] for k in ("type", "call_id", "name", "input")} == {k: v for k, v in CALL.items() if k != "id"}
    encoder = Encoder(served, request)
    pieces = [Event("tool_call", {"index": 0, "id": "c1", "name": "math"}), Event("tool_call", {"index": 0, "arguments": "4 + "})]
    pieces += [
        Event("tool_call", {"index": 0, "arguments": "4"}),
        Event("tool_call_end", {"index": 0}),
        Event("finish", {"reason": "tool_calls"}),
    ]
    lines = (encoder.feed(pieces) + encoder.end()).decode().splitlines()
    told = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    kinds = [event["type"] for event in told]
    assert "response.function_call_arguments.delta" not in kinds
    assert "".join(e["delta"] for e in told if e["type"] == "response.custom_tool_call_input.delta") == "4 + 4"
    assert next(e["input"] for e in told if e["type"] == "response.custom_tool_call_input.done") == "4 + 4"
    assert next(e["item"]["type"] for e in told if e["type"] == "response.output_item.done") == "custom_tool_call"


def test_a_function_beside_it_stays_a_function() -> None:
    operation = given_operation(CATALOG, "openai:responses/m", "chat")
    calls = [{"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    history = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "tool_calls": calls}]
    sent = json.loads(operation.render(messages=history, tools=TOOLS["openai-responses"]).body or b"")
    assert sent["input"][1]["type"] == "function_call"
