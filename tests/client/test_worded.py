"""One front door: messages in the words of any dialect become the same canonical request (SERVE.md 2; the issue's third point)."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

import engine
import engine.call.normalize
import engine.types
from engine.catalog import Catalog
from engine.errors import ConfigError, Error, NotFoundError
from engine.examples import given_operation
from engine.worded import canonical
from tests.shared_data import shared

CATALOG = Catalog()
KEYS = {name: {"api_key": "k"} for name in ("openai", "anthropic", "google-gemini", "cohere")}
CLIENT = engine.Client(CATALOG, providers=KEYS)
TARGETS = ("openai/gpt-4.1-mini", "anthropic/claude-sonnet-4-6", "google-gemini/gemini-3-flash", "cohere/command-a")
#: one conversation: a system text, a picture, a call with its result, a tool, a limit and a temperature
WORDS: dict[str, dict[str, Any]] = {
    "openai-chat": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,aaaa"}}]},
            {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
        "max_tokens": 50,
        "temperature": 0.5,
    },
    "anthropic-messages": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aaaa"}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "ok"}]},
        ],
        "system": "Be brief.",
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "max_tokens": 50,
        "temperature": 0.5,
    },
    "gemini": {
        "messages": [
            {"role": "user", "parts": [{"text": "hi"}, {"inline_data": {"mime_type": "image/png", "data": "aaaa"}}]},
            {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}}]},
            {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "f", "response": {"result": "ok"}}}]},
        ],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "f", "description": "d", "parametersJsonSchema": {"type": "object"}}]}],
        "generationConfig": {"maxOutputTokens": 50, "temperature": 0.5},
    },
    "openai-responses": {
        "messages": [
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": "data:image/png;base64,aaaa"}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
            {"type": "function_call_output", "call_id": "c1", "output": "ok"},
        ],
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}],
        "max_output_tokens": 50,
        "temperature": 0.5,
    },
}  # fmt: skip


def result_apart(body: Any) -> Any:
    """A body whose tool result is a text: Gemini's own results are mappings."""
    return json.loads(json.dumps(body).replace('{\\"result\\":\\"ok\\"}', "ok").replace('"strict": false', '"strict": null'))


@pytest.mark.parametrize("target", TARGETS)
def test_one_conversation_in_four_wordings_is_one_request(target: str) -> None:
    plain = dict(WORDS["openai-chat"])
    expected = CLIENT.chat.explain(target, plain.pop("messages"), **plain).body
    for dialect, words in WORDS.items():
        fields = dict(words)
        explained = CLIENT.chat.explain(target, fields.pop("messages"), dialect=dialect, **fields)
        if explained.url != CLIENT.chat.explain(target, "hi").url:
            continue  # the provider speaks this dialect in another variant
        assert result_apart(explained.body) == result_apart(expected), dialect


def test_the_variant_that_speaks_a_dialect_is_called_and_gets_its_own_fields() -> None:
    words = dict(WORDS["openai-responses"])
    explained = CLIENT.chat.explain(
        "openai/gpt-4.1-mini", words.pop("messages"), dialect="openai-responses", truncation="auto", **words
    )
    assert explained.url.endswith("/responses") and explained.body["truncation"] == "auto"
    assert explained.body["max_output_tokens"] == 50 and explained.body["input"][0]["content"] == "Be brief."
    crossed = CLIENT.chat.explain(
        "cohere/command-a", WORDS["gemini"]["messages"], dialect="gemini", safetySettings=[{"category": "x"}]
    )
    assert "safetySettings" not in crossed.body and "gemini" in " ".join(crossed.warnings)


def test_answers_of_the_engine_and_canonical_fields_mix_with_a_dialects_own() -> None:
    reply = engine.types.Response(choices=[engine.types.Choice(parts=[engine.types.Part("text", text="hello")])])
    said = [{"role": "user", "parts": [{"text": "hi"}]}, reply.message, {"role": "user", "parts": [{"text": "and?"}]}]
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    explained = CLIENT.chat.explain(
        "openai/gpt-4.1-mini",
        said,
        dialect="gemini",
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    assert [m["content"] for m in explained.body["messages"]] == ["hi", "hello", "and?"]
    assert explained.body["response_format"]["json_schema"]["schema"] == schema

    def weather(city: str) -> str:
        """Weather of a city."""
        return city

    explained = CLIENT.chat.explain("openai/gpt-4.1-mini", "hi", dialect="gemini", tools=[weather], seed=3)
    assert explained.body["tools"][0]["function"]["name"] == "weather" and explained.body["seed"] == 3


def test_options_of_a_call_are_no_fields_of_a_body() -> None:
    explained = CLIENT.chat.explain(
        "google-gemini/m",
        WORDS["gemini"]["messages"],
        dialect="gemini",
        timeout=5,
        attempts=1,
        unsupported="ignore",
        extra_body={"x": 1},
    )
    assert set(explained.body) == {"contents", "x"}


def test_models_of_other_libraries_and_bytes_are_read() -> None:
    class Block:
        def model_dump(self, exclude_none: bool) -> dict[str, Any]:
            return {"inline_data": {"mime_type": "image/png", "data": b"abc"}}

    explained = CLIENT.chat.explain("openai/gpt-4.1-mini", [{"role": "user", "parts": [Block()]}], dialect="gemini")
    assert explained.body["messages"][0]["content"][0]["image_url"]["url"] == "data:image/png;base64,YWJj"


def test_a_stream_in_a_dialects_words_still_asks_for_usage() -> None:
    fields = canonical(CATALOG, "openai-chat", {"messages": [{"role": "user", "content": "hi"}]})
    body = json.loads(given_operation(CATALOG, "openai/m", "chat").render(**fields, stream=True).body or b"")
    assert body["stream_options"] == {"include_usage": True}


def test_a_dialect_nobody_knows_or_of_another_kind_is_refused() -> None:
    with pytest.raises(NotFoundError, match="did you mean `gemini`"):
        CLIENT.chat.explain("openai/m", "hi", dialect="gemin")
    with pytest.raises(ConfigError, match="no dialect of chat"):
        CLIENT.chat.explain("openai/m", "hi", dialect="openai-embeddings")


def test_what_callers_pass_is_openai_chat_accepted() -> None:
    """The normaliser and the dialect's accept give one request, but for what the dialect has no word for: there accept keeps
    what came, for the same dialect, and the normaliser knows more spellings."""
    operations = [given_operation(CATALOG, target, "chat") for target in ("openai/m", "anthropic/m", "google-gemini/m")]
    same, other = 0, []
    lines = (shared("traffic") / "openai-chat.jsonl").read_text(encoding="utf-8").splitlines()
    for line in lines[:: 1 if os.environ.get("CI") else 4]:
        case = json.loads(line)
        body = (case["request"] or {}).get("body")
        if case["operation"] != "chat" or not isinstance(body, dict) or "messages" not in body:
            continue
        known = engine.call.normalize.names("chat") - {"model", "stream"}
        fields = {k: v for k, v in body.items() if k in known}
        accepted = canonical(CATALOG, "openai-chat", fields)
        kept = accepted != (bare := without_extra(accepted)) or '"native"' in json.dumps(accepted)
        for operation in operations:
            if rendered(operation, bare) == rendered(operation, fields):
                same += 1
            elif not kept:
                other.append(case["id"])
    assert not other and same > 500


def without_extra(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_extra(v) for k, v in value.items() if k != "extra"}
    return [without_extra(v) for v in value] if isinstance(value, list) else value


def rendered(operation: Any, fields: dict[str, Any]) -> Any:
    try:
        return json.loads(operation.render(**fields).body)
    except Error as error:
        return error.kind
