"""The dialects the language was designed with compile and render (SPEC_LANGUAGE 18)."""

from __future__ import annotations

import pytest

from tests.expr.templating import Spec, chat, tree_of
from tests.shared_data import shared


def worked(section: str) -> Spec:
    text = shared("design", "SPEC_LANGUAGE.md").read_text("utf-8")
    start = text.index("```yaml", text.index(f"### {section}")) + len("```yaml\n")
    return chat(tree_of(text[start : text.index("```", start)]))


CALL = {"type": "tool_call", "id": "call 1", "name": "f", "arguments": {"x": 1.0}, "arguments_json": '{"x":1.0}'}
RESULT = {"type": "tool_result", "id": "call 1", "name": "f", "text": "ok", "parts": [{"type": "text", "text": "ok"}]}
URI = "data:image/png;base64,QQ=="
IMAGE = {
    "type": "image",
    "via": "data",
    "uri": URI,
    "data": "QQ==",
    "media_type": "image/png",
    "format": "png",
}
HELLO = {"type": "text", "text": "hello"}
REQUEST = {
    "model": "m",
    "system": "be kind",
    "messages": [
        {"role": "system", "text": "be kind", "plain": True, "parts": [{"type": "text", "text": "be kind"}]},
        {"role": "user", "parts": [HELLO, IMAGE]},
        {"role": "assistant", "parts": [CALL], "tool_calls": [CALL]},
        {"role": "tool", "id": "call 1", "tool_name": "f", "text": "ok", "plain": True, "parts": [RESULT]},
    ],
    "turns": [
        {"role": "user", "parts": [HELLO, IMAGE]},
        {"role": "assistant", "parts": [CALL]},
        {"role": "user", "parts": [RESULT]},
    ],
    "tools": [{"name": "f", "parameters": {"type": "object", "additionalProperties": False, "properties": {}}}],
    "tool_choice": {"mode": "tool", "name": "f"},
    "reasoning": {"mode": "enabled", "effort": "low"},
    "max_tokens": 9,
}


@pytest.mark.parametrize("section", ["18.1", "18.2", "18.3", "18.4"])
def test_the_worked_dialects_compile_without_problems(section):
    assert not worked(section).problems


def test_openai_chat():
    assert worked("18.1").render("body", **REQUEST) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "be kind"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hello"},
                    {"type": "image_url", "image_url": {"url": URI}},
                ],
            },
            {
                "role": "assistant",
                "tool_calls": [{"id": "call 1", "type": "function", "function": {"name": "f", "arguments": '{"x":1.0}'}}],
            },
            {"role": "tool", "tool_call_id": "call 1", "content": "ok"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": REQUEST["tools"][0]["parameters"]}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }


def test_anthropic_messages_writes_call_and_result_with_the_same_fitting_id():
    body = worked("18.2").render("body", **REQUEST)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert body["tool_choice"] == {"type": "tool", "name": "f"}
    call, result = body["messages"][1]["content"][0], body["messages"][2]["content"][0]
    assert call["id"] == result["tool_use_id"] != "call 1"
    assert result["content"] == [{"type": "text", "text": "ok"}]
    assert body["messages"][0]["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": "QQ=="}


def test_gemini_drops_what_its_schema_lacks_and_nests_parameters():
    spec = worked("18.3")
    body = spec.render("body", **REQUEST)
    assert body["tools"] == [{"functionDeclarations": [{"name": "f", "parameters": {"type": "object", "properties": {}}}]}]
    assert body["generationConfig"] == {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 1024}}
    made = spec.functions["params"]({**REQUEST}, body, None, "warn")
    assert made["generationConfig"]["maxOutputTokens"] == 9 and "thinkingConfig" in made["generationConfig"]
    assert spec.render("url", model="m", stream=True) == "/v1beta/models/m:streamGenerateContent"
