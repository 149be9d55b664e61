"""`llmkit chat` against stand-ins on loopback: streamed, whole, with attachments, tools, schemas and thinking (M5)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.cli.terminal import safe
from engine.serve.loopback import Loopback
from tests.cli.conftest import Ran

TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}
#: one target per wire, with what it must be handed besides an address
TARGETS = {
    "anthropic/m": (),
    "amazon-bedrock/m": ("--key", "access_key=KEY", "--key", "secret_key=KEY", "--setting", "region=us-east-1"),
    "cohere/m": (),
    "google-gemini/m": (),
    "mistral/m": (),
    "ollama/m": (),
    "groq/m": (),
    "openai:responses/m": (),
}


@pytest.fixture(params=TARGETS)
def chat(request: pytest.FixtureRequest, sim: Loopback, run: Callable[..., Ran]) -> Callable[..., Ran]:
    target: str = request.param
    given = TARGETS[target] or ("--key", "KEY")
    return lambda *words, **more: run("chat", target, *words, "--base-url", sim.url(target[:-2]), *given, **more)


Chat = Callable[..., Ran]


def test_the_answer_streams_and_notes_go_beside_it(chat: Chat) -> None:
    ran = chat("Say", "hello.")
    assert (ran.code, ran.out) == (0, "Hello! How can I help you today?\n")
    assert "[stop, 9 in, 10 out]" in ran.err


def test_the_prompt_comes_from_standard_input(chat: Chat) -> None:
    assert chat(stdin="Say hello.").out == "Hello! How can I help you today?\n"


def test_events_are_json_lines(chat: Chat) -> None:
    ran = chat("Say hello.", "--json")
    assert "".join(e["text"] for e in ran.lines if e["kind"] == "text") == "Hello! How can I help you today?"
    assert ran.lines[-1]["kind"] == "end" and ran.lines[-1]["response"]["usage"]["input_tokens"] == 9


def test_a_whole_answer_is_text_or_json(chat: Chat) -> None:
    assert chat("Say hello.", "--no-stream").out == "Hello! How can I help you today?\n"
    assert chat("Say hello.", "--no-stream", "--json").json["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("more", [(), ("--no-stream",)], ids=["streamed", "whole"])
def test_a_tool_call_is_printed(chat: Chat, tmp_path: Path, more: tuple[str, ...]) -> None:
    file = tmp_path / "tool.json"
    file.write_text(json.dumps([TOOL]))
    ran = chat("What is the weather in Rome?", "--tool-schema", str(file), *more)
    assert ran.code == 0 and 'tool call get_weather {"city": "Rome"}' in ran.out and "tool_calls" in ran.err


@pytest.mark.parametrize("more", [(), ("--no-stream",)], ids=["streamed", "whole"])
def test_an_answer_follows_a_schema(chat: Chat, tmp_path: Path, more: tuple[str, ...]) -> None:
    file = tmp_path / "person.json"
    file.write_text(json.dumps(PERSON))
    assert chat("Invent a person.", "--json-schema", str(file), *more).json == {"name": "Ada", "age": 36}


def test_thinking_is_shown_beside_the_answer(chat: Chat) -> None:
    ran = chat("What is 17 * 23? Think first.", "--reasoning", "low")
    assert ran.out == "17 * 23 = 391.\n" and "17 * 20 = 340, 17 * 3 = 51.\n" in ran.err


def test_an_image_goes_along(chat: Chat, tmp_path: Path) -> None:
    file = tmp_path / "dot.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert chat("Look.", "--image", str(file)).code == 0
    ran = chat("Look.", "--image", str(file), "--explain")
    assert ran.code == 0 and "iVBORw0KGgo" in ran.out


def test_settings_of_all_kinds_go_along(chat: Chat) -> None:
    ran = chat("Hi.", "--system", "Be brief.", "--max-tokens", "100", "--temperature", "0.5", "--param", "stop=END", "--explain")
    body = json.dumps(ran.json["body"])
    assert ran.code == 0 and "Be brief." in body and "100" in body and "0.5" in body
    assert {"max_tokens", "temperature", "stop"} <= ran.json["parameters"].keys()


def test_a_document_or_its_refusal_is_clear(run: Callable[..., Ran], sim: Loopback, tmp_path: Path) -> None:
    file = tmp_path / "report.pdf"
    file.write_bytes(b"%PDF-1.4")
    given = ("--key", "KEY")
    ran = run("chat", "anthropic/m", "Sum up.", "--file", str(file), "--base-url", sim.url("anthropic"), *given)
    assert ran.code == 0 and ran.out
    refused = run("chat", "ollama/m", "Sum up.", "--file", str(file), "--base-url", sim.url("ollama"), *given)
    assert refused.code == 2 and "document" in refused.err


def test_a_failed_call_is_told_in_the_providers_words(run: Callable[..., Ran], sim: Loopback) -> None:
    ran = run("chat", "groq/m", "hi", "--base-url", sim.url("grok"), "--key", "KEY")
    assert ran.code == 1 and ran.err.startswith("llmkit: not_found: groq: chat: no provider `grok`") and ran.out == ""


def test_explain_sends_nothing_and_masks_the_key(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "k-canary-123456789")
    explained: Any = run("chat", "groq/m", "hi", "--temperature", "0.5", "--explain").json
    assert explained["method"] == "POST" and explained["url"] == "https://api.groq.com/openai/v1/chat/completions"
    assert explained["parameters"]["temperature"]["fate"] == "sent"


def test_a_stream_that_breaks_off_ends_its_line(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.errors import StreamInterruptedError  # type: ignore[attr-defined]
    from engine.streams import Stream
    from engine.types import Event

    def broken(self: Stream) -> Any:
        yield Event("text", {"text": "Hal"})
        raise StreamInterruptedError("the connection broke")

    monkeypatch.setattr(Stream, "__iter__", broken)
    ran = run("chat", "groq/m", "hi", "--key", "KEY")
    assert (ran.code, ran.out) == (1, "Hal\n") and "stream_interrupted" in ran.err


def test_a_terminal_gets_no_control_sequences() -> None:
    assert safe("a\x1b[31mb\x07c\nd\te") == "a\ufffd[31mb\ufffdc\nd\te"
