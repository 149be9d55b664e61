"""The client with the packaged catalog behind a mock transport: typed tools, typed answers, real wires."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

import engine
from tests.client.fakes import every_text

KEY = "gsk-canary-0123456789abcdef"
SETTINGS = {"groq": {"api_key": KEY}}


@dataclass
class Person:
    name: str
    age: int


def weather(city: str, days: int = 1) -> str:
    """The weather of a city."""
    return f"{city} {days}"


def reply(content: Any, finish: str = "stop", **message: Any) -> httpx.Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    return httpx.Response(200, json={"id": "r", "model": "m", "choices": [choice], "usage": usage})


def client_for(*replies: httpx.Response) -> tuple[engine.Client, list[dict[str, Any]]]:
    seen: list[dict[str, Any]] = []
    left = list(replies)

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        return left.pop(0)

    return engine.Client(providers=SETTINGS, transport=httpx.MockTransport(handler)), seen


def test_functions_are_tools_and_answers_go_back_whole() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    client, seen = client_for(reply(None, "tool_calls", tool_calls=[call]), reply("Sunny."))
    first = client.chat("groq/llama", "Weather in Rome?", tools=[weather])
    assert seen[0]["tools"][0]["function"]["parameters"]["required"] == ["city"]
    assert first.tool_calls[0].name == "weather" and first.tool_calls[0].arguments == {"city": "Rome"}
    result = {"role": "tool", "tool_call_id": "c1", "content": weather("Rome")}
    answer = client.chat("groq/llama", [{"role": "user", "content": "Weather in Rome?"}, first.message, result], tools=[weather])
    assert answer.text == "Sunny." and [m["role"] for m in seen[1]["messages"]] == ["user", "assistant", "tool"]


def test_a_type_as_response_format_gives_the_parsed_object() -> None:
    client, seen = client_for(reply('{"name": "Ada", "age": 36}'), reply('{"name": "Ada"}'), reply('{"na', "length"))
    answer = client.chat("groq/llama", "Invent a person", response_format=Person)
    assert answer.parsed == Person("Ada", 36) and seen[0]["response_format"]["type"] == "json_schema"
    with pytest.raises(engine.errors.ProtocolError) as caught:
        client.chat("groq/llama", "Invent a person", response_format=Person)
    assert caught.value.partial.text == '{"name": "Ada"}' and len(seen) == 2  # a wrong answer is not asked for again
    assert client.chat("groq/llama", "Invent a person", response_format=Person).parsed is None


def test_a_json_format_gives_the_json_value_or_a_warning() -> None:
    client, _ = client_for(reply('{"a": [1]}'), reply("no json"), reply("text"))
    wanted = {"type": "json_object"}
    assert client.chat("groq/llama", "json", response_format=wanted).parsed == {"a": [1]}
    answer = client.chat("groq/llama", "json", response_format=wanted)
    assert answer.parsed is None and any("JSON" in w for w in answer.warnings) and answer.text == "no json"
    assert client.chat("groq/llama", "hi", response_format={"type": "text"}).parsed is None


def test_an_async_stream_over_a_real_wire() -> None:
    body = b"".join(
        b"data: "
        + json.dumps({"id": "x", "choices": [{"index": 0, "delta": {"content": t}, "finish_reason": f}]}).encode()
        + b"\n\n"
        for t, f in (("Hel", None), ("lo", "stop"))
    )

    async def run() -> None:
        transport = httpx.MockTransport(lambda r: httpx.Response(200, content=body + b"data: [DONE]\n\n"))
        async with engine.AsyncClient(providers=SETTINGS, transport=transport) as client:
            async with client.chat.stream("groq/llama", "hi") as stream:
                assert [t async for t in stream.text_stream] == ["Hel", "lo"]
            assert stream.response.text == "Hello"
            assert stream.response.report.attempts[0]["target"] == "groq/llama"

    asyncio.run(run())


def test_s2_a_provider_that_echoes_the_key_cannot_make_us_show_it() -> None:
    body = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": KEY[:14], "type": "auth"}}
    client, _ = client_for(httpx.Response(401, json=body))
    with pytest.raises(engine.errors.AuthenticationError) as caught:
        client.chat("groq/llama", "hi")
    assert not any("canary" in text for text in every_text(caught.value))


def test_unsupported_can_be_strict_per_client_and_per_call() -> None:
    client, seen = client_for(reply("a"), reply("b"))
    assert any("top_k" in w for w in client.chat("groq/llama", "hi", top_k=3).warnings)
    with pytest.raises(engine.errors.UnsupportedError):
        client.chat("groq/llama", "hi", top_k=3, unsupported="error")
    assert client.chat("groq/llama", "hi", top_k=3, unsupported="ignore").warnings == [] and len(seen) == 2


def test_the_catalog_can_be_listed() -> None:
    client = engine.Client()
    assert "groq" in client.providers() and "openai-chat" in client.dialects() and isinstance(client.models(), list)
    with pytest.raises(engine.errors.UnsupportedError):
        client.operation("groq/llama", "chat", dialect="anthropic-messages")
    with pytest.raises(engine.errors.NotFoundError, match="groq"):
        client.chat("grok/llama", "hi")


def test_a_key_of_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    transport = httpx.MockTransport(lambda r: reply(r.headers["authorization"][-4:]))
    assert engine.Client(transport=transport).chat("groq/llama", "hi").text == KEY[-4:]


def test_importing_the_package_imports_nothing_else() -> None:
    import subprocess
    import sys

    code = "import sys; a = set(sys.modules); import engine; print(sorted(set(sys.modules) - a - {'__future__'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['engine']"
    assert set(engine.__all__) <= set(dir(engine)) and all(getattr(engine, name) for name in engine.__all__)
    with pytest.raises(AttributeError):
        engine.nothing  # noqa: B018
