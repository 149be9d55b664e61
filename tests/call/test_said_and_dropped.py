"""What a wire has no place for is dropped with a warning that names it, or refused; it never vanishes (SERVE.md 4, RELIABILITY T1)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.errors import Error
from engine.examples import given_operation
from tests.spoken import CATALOG, OPERATIONS

CALL = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}
TOOL = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
#: a property may be called like a word of the language, and a constant hold one
SCHEMA = {
    "type": "object",
    "properties": {"minimum": {"type": "string", "minLength": 3}, "b": {"anyOf": [{"maximum": 4}, {"const": {"maxItems": 1}}]}},
}
#: what is said, a word of the warning, the dialects that have a place for it
SAID: list[tuple[dict[str, Any], str, set[str]]] = [
    ({"messages": [{"role": "user", "name": "ada", "content": "Hi"}]}, "ada", {"openai-chat"}),
    (
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                CALL,
                {"role": "tool", "tool_call_id": "1", "content": "no", "is_error": True},
            ]
        },
        "failed",
        {"anthropic-messages", "gemini", "bedrock-converse"},
    ),
    (
        {"messages": "Hi", "tools": [{**TOOL, "strict": True}]},
        "strict",
        {"openai-chat", "openai-responses", "anthropic-messages", "bedrock-converse", "cohere-v2", "mistral"},
    ),
    (
        {"messages": "Hi", "server_tools": [{"type": "web_search"}]},
        "tool",
        {"openai-chat", "openai-responses", "anthropic-messages", "gemini", "mistral"},
    ),
    (
        {"messages": "Hi", "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
        "maximum, minLength of the schema",
        {"openai-chat", "openai-responses", "gemini", "cohere-v2", "mistral", "ollama"},
    ),
]
WIRES = ("openai-chat", "openai-responses", "anthropic-messages", "gemini", "bedrock-converse", "cohere-v2", "mistral", "ollama")


@pytest.mark.parametrize("dialect", WIRES)
@pytest.mark.parametrize(("fields", "word", "places"), SAID, ids=["name", "failed result", "strict tool", "web search", "schema"])
def test_it_is_written_or_named_by_a_warning(dialect: str, fields: dict[str, Any], word: str, places: set[str]) -> None:
    report = OPERATIONS[dialect].render(**fields).report
    assert report is not None
    assert any(word in warning for warning in report.warnings) is (dialect not in places), report.warnings


@pytest.mark.parametrize("dialect", WIRES)
def test_policies_hold_for_it(dialect: str) -> None:
    fields, _, places = SAID[0]
    assert not OPERATIONS[dialect].render(**fields, unsupported="ignore").report.warnings  # type: ignore[union-attr]
    if dialect not in places:
        with pytest.raises(Error, match="name of a message"):
            OPERATIONS[dialect].render(**fields, unsupported="error")


def result_with(part: dict[str, Any]) -> list[dict[str, Any]]:
    results = [{"type": "tool_result", "id": "1", "parts": [{"type": "text", "text": "see"}, part]}]
    return [{"role": "user", "content": "Hi"}, CALL, {"role": "tool", "parts": results}]


@pytest.mark.parametrize("dialect", ["ollama", "cohere-v2"])
def test_a_document_in_a_result_is_refused_by_name_where_it_has_no_place(dialect: str) -> None:
    document = {"type": "document", "data": "JVBERi0xLjQK", "media_type": "application/pdf"}
    with pytest.raises(Error, match="document part in a tool result"):
        OPERATIONS[dialect].render(messages=result_with(document))


@pytest.mark.parametrize("dialect", ["bedrock-converse", "mistral", "cohere-v2", "ollama"])
def test_a_file_elsewhere_is_refused_where_only_content_is_taken(dialect: str) -> None:
    for part in ({"type": "image", "file_id": "f-1"}, {"type": "document", "file_id": "f-1"}):
        with pytest.raises(Error, match=f"{part['type']} part"):
            OPERATIONS[dialect].render(messages=[{"role": "user", "parts": [{"type": "text", "text": "Hi"}, part]}])


def test_what_only_a_dialect_understands_is_written_also_without_any_parameter() -> None:
    v0 = given_operation(CATALOG, "v0/m", "chat")
    request = v0.render(messages="Hi", extra={"openai-chat": {"mood": "good"}})
    assert json.loads(request.body or b"")["mood"] == "good"
