"""The public face of ARCHITECTURE.md, name by name, against stand-ins on loopback."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

import engine
from engine.catalog import Catalog
from engine.errors import KINDS
from engine.serve.loopback import Loopback

GROQ, CLAUDE = "groq/llama-3.3-70b-versatile", "anthropic/claude-sonnet-4-5"
MESSAGES = [{"role": "user", "content": "What is the weather in Rome?"}]


def get_weather(city: str, unit: Literal["celsius", "kelvin"] = "celsius") -> str:
    """Current weather of a city.

    Args:
        city: its English name
    """
    return f"18 {unit} in {city}"


@dataclass
class Person:
    name: str
    age: int


@pytest.fixture(scope="module")
def sim() -> Iterator[Loopback]:
    with Loopback(Catalog()) as server:
        yield server


def settings(sim: Loopback) -> dict[str, dict[str, Any]]:
    return {id: {"api_key": "k-canary-123456789", "base_url": sim.url(id)} for id in ("groq", "anthropic", "openai")}


@pytest.fixture(scope="module")
def client(sim: Loopback) -> Iterator[engine.Client]:
    with engine.Client(providers=settings(sim)) as made:
        yield made


def test_the_names_of_the_package() -> None:
    assert set(engine.__all__) >= {
        "AsyncClient", "Client", "Error", "Event", "HttpRequest", "Response", "Usage", "errors", "remote"
    }  # fmt: skip
    assert all(getattr(engine, name) is not None for name in engine.__all__)
    assert engine.__version__.count(".") == 2


def test_a_call_gives_an_answer(client: engine.Client) -> None:
    answer = client.chat(GROQ, "Say hello.")
    assert isinstance(answer, engine.Response) and answer.text == "Hello! How can I help you today?"
    assert (answer.thinking, answer.tool_calls, answer.citations, answer.refusal) == (None, [], [], None)
    assert answer.finish_reason == "stop" and answer.finish_reason_raw == "stop"
    assert [part.type for part in answer.parts] == ["text"] and answer.choices[0].text == answer.text
    assert (answer.usage.input_tokens, answer.usage.cache_read_tokens) == (9, None)
    assert answer.cost is None or isinstance(answer.cost, Decimal)
    assert answer.provider == "groq" and answer.request_id == "sim-1" and answer.completeness == "complete"
    assert answer.raw["choices"][0]["message"]["content"] == answer.text
    assert answer.warnings == [] and answer.rate_limits is None
    assert answer.report.attempts[0]["kind"] == "ok" and answer.report.timings["total"] > 0


def test_what_becomes_of_parameters_is_told(client: engine.Client) -> None:
    answer = client.chat(CLAUDE, "Say hello.", seed=7, temperature=0.3)
    assert answer.report.parameters["temperature"]["fate"] == "sent" and answer.report.parameters["seed"]["fate"] == "dropped"
    assert any("seed" in warning for warning in answer.warnings)
    with pytest.raises(engine.errors.UnsupportedError):
        client.chat(CLAUDE, "Say hello.", seed=7, unsupported="error")
    assert client.chat(CLAUDE, "Say hello.", seed=7, unsupported="ignore").warnings == []


def test_a_stream_gives_events_and_the_same_answer(client: engine.Client) -> None:
    with client.chat.stream(CLAUDE, MESSAGES, tools=[get_weather]) as stream:
        events = list(stream)
    assert [e.kind for e in events if e.kind == "tool_call_end"] == ["tool_call_end"] and events[-1].kind == "end"
    call = stream.response.tool_calls[0]
    assert (call.name, call.arguments) == ("get_weather", {"city": "Rome"})
    result = {"role": "tool", "tool_call_id": call.id, "content": get_weather(**call.arguments)}
    second = client.chat(CLAUDE, [*MESSAGES, stream.response.message, result], tools=[get_weather])
    assert second.text == "It is 18 °C and sunny in Rome."
    with client.chat.stream(GROQ, "Say hello.") as texts:
        assert "".join(texts.text_stream) == texts.response.text == "Hello! How can I help you today?"


def test_thinking_is_apart_from_the_answer(client: engine.Client) -> None:
    answer = client.chat(CLAUDE, "What is 17 * 23? Think first.", reasoning_effort="low")
    assert answer.thinking == "17 * 20 = 340, 17 * 3 = 51." and answer.text == "17 * 23 = 391."
    assert [part.type for part in answer.parts] == ["thinking", "text"]


def test_tools_are_functions_schemas_or_openai_dicts(client: engine.Client) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    plain = {"name": "get_weather", "description": "d", "parameters": schema}
    for tool in (get_weather, plain, {"type": "function", "function": plain}):
        assert client.chat(GROQ, MESSAGES, tools=[tool]).tool_calls[0].arguments == {"city": "Rome"}
    body = client.chat.explain(GROQ, MESSAGES, tools=[get_weather]).body
    made = body["tools"][0]["function"]
    assert made["description"] == "Current weather of a city." and made["parameters"]["required"] == ["city"]
    assert made["parameters"]["properties"]["unit"]["enum"] == ["celsius", "kelvin"]


def test_an_answer_is_parsed_into_what_was_asked(client: engine.Client) -> None:
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        name: str
        age: int

    assert client.chat(GROQ, "Invent a person.", response_format=Person).parsed == Person("Ada", 36)
    assert client.chat(CLAUDE, "Invent a person.", response_format=Model).parsed == Model(name="Ada", age=36)
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    assert client.chat(GROQ, "Invent a person.", response_format=wanted).parsed == {"name": "Ada", "age": 36}
    with client.chat.stream(GROQ, "Invent a person.", response_format=Person) as stream:
        assert stream.finish().parsed == Person("Ada", 36)


def test_explain_sends_nothing(client: engine.Client) -> None:
    explained = client.chat.explain(CLAUDE, "hi", temperature=3)
    assert (explained.method, explained.dialect) == ("POST", "anthropic-messages")
    assert explained.parameters["temperature"]["fate"] == "clamped" and explained.body["temperature"] == 1
    assert "k-canary" not in json.dumps(explained.to_dict(), default=str) and "x-api-key" in explained.headers


def test_the_pure_core(client: engine.Client) -> None:
    chat = client.operation(CLAUDE, "chat")
    assert client.operation(CLAUDE, "chat") is chat  # compiled and bound once
    request = chat.render(messages=MESSAGES, tools=[get_weather], stream=True)
    assert isinstance(request, engine.HttpRequest) and isinstance(request.body, bytes) and "x-api-key" not in request.headers
    signed = client.sign(request)
    assert signed.headers["x-api-key"] == "k-canary-123456789" and "x-api-key" not in request.headers
    with httpx.stream(signed.method, signed.url, headers=signed.headers, content=signed.body) as reply:
        reader = chat.reader(reply.headers)
        events = [event for piece in reply.iter_raw() for event in reader.feed(piece)]
        answer = reader.close()
    assert events and answer.tool_calls[0].name == "get_weather"
    whole = client.sign(chat.render(messages="Say hello."))
    reply = httpx.request(whole.method, whole.url, headers=whole.headers, content=whole.body)
    assert chat.read(reply.status_code, reply.headers, reply.content).text == "Hello! How can I help you today?"
    with pytest.raises(engine.errors.OverloadedError):
        chat.read(529, {}, b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}')


def test_a_dialect_is_picked_by_name(client: engine.Client) -> None:
    assert client.operation("openai/gpt-5", "chat", dialect="openai-responses").plan.dialect == "openai-responses"
    assert client.chat("openai/gpt-5", "Say hello.", dialect="openai-chat").text
    assert client.operation("openai:responses/gpt-5").plan.dialect == "openai-responses"
    with pytest.raises(engine.errors.UnsupportedError, match="gemini"):
        client.operation("openai/gpt-5", "chat", dialect="gemini")


def test_a_model_keeps_its_slashes_and_colons(client: engine.Client) -> None:
    assert client.chat.explain("groq/openai/gpt-oss:20b", "hi").body["model"] == "openai/gpt-oss:20b"


def test_the_catalog_is_listed(client: engine.Client) -> None:
    assert {"groq", "anthropic"} <= set(client.providers()) and "openai-chat" in client.dialects()
    assert any(model.startswith("groq/") for model in client.models())
    assert client.call("chat", GROQ, messages="Say hello.").text == "Hello! How can I help you today?"


def test_everything_has_plain_json(client: engine.Client) -> None:
    answer = client.chat(GROQ, "Say hello.")
    with client.chat.stream(GROQ, "Say hello.") as stream:
        events = [event.to_dict() for event in stream]
    request = client.operation(GROQ).render(messages="hi")
    with pytest.raises(engine.Error) as caught:
        client.chat(GROQ, "hi", temperature="warm")
    for plain in (answer.to_dict(), events, request.to_dict(), caught.value.to_dict()):
        assert json.loads(json.dumps(plain)) == plain
    assert events[0]["kind"] == "start" and answer.to_dict()["choices"][0]["finish_reason"] == "stop"
    completion = answer.to_openai()
    assert completion["object"] == "chat.completion" and completion["choices"][0]["message"]["content"] == answer.text
    assert completion["usage"]["prompt_tokens"] == 9


def test_errors_have_a_class_per_kind(client: engine.Client) -> None:
    for kind in KINDS:
        name = "".join(word.capitalize() for word in kind.split("_")) + "Error"
        assert issubclass(getattr(engine.errors, name), engine.Error) and getattr(engine.errors, name).kind == kind
    assert issubclass(engine.errors.SpecError, engine.errors.ConfigError)
    with pytest.raises(engine.errors.NotFoundError, match="did you mean `groq`"):
        client.chat("grok/x", "hi")
    with pytest.raises(engine.errors.ConfigError, match="temperature"):
        client.chat(GROQ, "hi", temprature=1)
    refused = {"anthropic": {"api_key": "k-canary-123456789", "base_url": settings_url(client)}}
    with pytest.raises(engine.errors.NotFoundError) as caught, engine.Client(providers=refused) as lost:
        lost.chat(CLAUDE, "hi")
    error = caught.value
    assert (error.provider, error.operation, error.status, error.retryable) == ("anthropic", "chat", 404, False)
    assert error.attempts and error.request_id is None and "k-canary" not in str(error.to_dict())


def settings_url(client: engine.Client) -> str:
    """An address of the stand-in that nobody answers at."""
    url = str(client.chat.explain(GROQ, "hi").url)
    return url.partition("/groq")[0] + "/nobody"


def test_own_files_mappings_and_strangers_texts(sim: Loopback, tmp_path: Path) -> None:
    who = "name: Acme\nbase_url: https://api.acme.com/v1\nsecrets: {api_key: ACME_KEY}\n"
    spec = who + 'auth: {bearer: "{{ api_key }}"}\nchat: openai-chat\n'
    file = tmp_path / "acme.yaml"
    file.write_text(spec)
    here = {"acme": {"api_key": "k", "base_url": sim.url("groq")}}
    with engine.Client(catalog=[file], providers=here) as own:
        assert own.chat("acme/m", "Say hello.").text == "Hello! How can I help you today?"
    mapping = {"acme": {"name": "Acme", "base_url": "https://api.acme.com/v1", "chat": "openai-chat", "auth": {"none": True}}}
    assert "acme" in engine.Client(catalog=[mapping]).providers()
    stranger = engine.remote(spec, id="acme", hosts=["api.acme.com"])
    assert engine.Client(catalog=[stranger]).chat.explain("acme/m", "hi").url == "https://api.acme.com/v1/chat/completions"
    mine = tmp_path / "groq.yaml"
    mine.write_text(spec)
    with pytest.raises(engine.errors.ConfigError, match="override"):
        engine.Client(catalog=[mine]).providers()
    assert "groq" in engine.Client(catalog=[mine], override=["groq"]).providers()


def test_the_async_twin(sim: Loopback) -> None:
    async def talk() -> tuple[Any, list[str], Any]:
        async with engine.AsyncClient(providers=settings(sim)) as client:
            answer = await client.chat(GROQ, "Invent a person.", response_format=Person)
            async with client.chat.stream(CLAUDE, "Say hello.") as stream:
                kinds = [event.kind async for event in stream]
            several = await asyncio.gather(*(client.chat(GROQ, "Say hello.") for _ in range(8)))
            assert {a.text for a in several} == {"Hello! How can I help you today?"}
            assert client.chat.explain(GROQ, "hi").method == "POST"
            signed = await client.sign(client.operation(GROQ).render(messages="hi"))
            assert signed.headers["Authorization"] == "Bearer k-canary-123456789"
            return answer.parsed, kinds, stream.response

    parsed, kinds, response = asyncio.run(talk())
    assert parsed == Person("Ada", 36) and kinds[-1] == "end" and response.text == "Hello! How can I help you today?"


def test_a_users_mock_transport_takes_the_place_of_the_network() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url == "https://api.groq.com/openai/v1/chat/completions"
        headers = {"x-ratelimit-remaining-requests": "17", "x-ratelimit-limit-requests": "20"}
        choice = {"index": 0, "message": {"content": "mocked"}, "finish_reason": "stop"}
        return httpx.Response(200, headers=headers, json={"id": "x", "choices": [choice]})

    given = {"groq": {"api_key": "k"}}
    with engine.Client(providers=given, transport=httpx.MockTransport(handler)) as client:
        answer = client.chat(GROQ, "hi")
    assert answer.text == "mocked" and answer.rate_limits is not None and answer.rate_limits["requests"]["remaining"] == 17


def test_importing_loads_nothing_of_others() -> None:
    code = "import sys; old = set(sys.modules); import engine; print(*(m.partition('.')[0] for m in set(sys.modules) - old))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1], check=True)
    assert set(done.stdout.split()) <= {"engine"} | set(sys.stdlib_module_names)


def test_a_blocking_call_loads_no_event_loop() -> None:
    """What httpx itself does not load either; a proxy nobody named is not looked for."""
    code = (
        "import sys, engine\n"
        "client = engine.Client(providers={'groq': {'api_key': 'k', 'base_url': 'http://127.0.0.1:9/v1'}}, attempts=1)\n"
        "try: client.chat('groq/m', 'hi')\n"
        "except engine.Error as error: print(error.kind)\n"
        "print(sorted({'asyncio', 'urllib.request', 'sqlite3', 'jsonschema', 'httpx'} & set(sys.modules)))"
    )
    environment = {"PATH": "", "NO_PROXY": "*"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1], env=environment, check=True
    )
    assert done.stdout.split() == ["connection", "[]"]
