"""One port stands in for every provider: all dialects, whole and streamed, recorded, at a pace, for many at once (SERVE.md 11)."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine import errors
from engine.client import Client
from engine.testing import Simulator

TARGETS = {
    "openai-chat": "openai/m",
    "openai-responses": "openai:responses/m",
    "anthropic-messages": "anthropic/claude-sonnet-4-6",
    "gemini": "google-gemini/m",
    "bedrock-converse": "amazon-bedrock/us.anthropic.claude-sonnet-4-6",
    "cohere-v2": "cohere/m",
    "ollama": "ollama/m",
    "mistral": "mistral/m",
}
TOOL = {
    "name": "get_weather",
    "description": "Weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator() as made:
        yield made


@pytest.fixture(scope="module")
def client(sim: Simulator) -> Client:
    return sim.client(attempts=1, timeout=20)


@pytest.mark.parametrize("dialect", TARGETS)
def test_every_dialect_holds_a_conversation_without_a_script(dialect: str, sim: Simulator, client: Client) -> None:
    target = TARGETS[dialect]
    for streamed in (False, True):

        def ask(*given: Any, streamed: bool = streamed, **more: Any) -> Any:
            return client.chat.stream(target, *given, **more).finish() if streamed else client.chat(target, *given, **more)

        hello = ask("Hello", max_tokens=200)
        assert (hello.text, hello.finish_reason) == ("Hello! How can I help you today?", "stop")
        assert not streamed or sim.requests[-1].stream
        if not streamed:
            assert (hello.usage.input_tokens, hello.usage.output_tokens) == (8, 8)
        question = {"role": "user", "content": "What is the weather in Rome?"}
        first = ask([question], tools=[TOOL], max_tokens=500)
        assert [(c.name, c.arguments) for c in first.tool_calls] == [("get_weather", {"city": "Rome"})]
        result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": '{"celsius": 18}'}
        assert ask([question, first.message, result], tools=[TOOL], max_tokens=500).text == "get_weather says: celsius 18."
        wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
        assert json.loads(ask("Invent somebody like Ada.", response_format=wanted, max_tokens=500).text) == {
            "name": "Ada",
            "age": 1,
        }
        assert ask("word " * 40, max_tokens=16).finish_reason == "length"
    exchange = sim.requests[-1]
    assert (exchange.dialect, exchange.status, exchange.finished) == (dialect, 200, True) and exchange.text.startswith("word word")


@pytest.mark.parametrize("dialect", TARGETS)
@pytest.mark.parametrize("kind", ["authentication", "rate_limit", "invalid_request", "overloaded", "not_found"])
def test_errors_have_their_kind_on_every_dialect(dialect: str, kind: str) -> None:
    with Simulator(script=[{"error": {"kind": kind, "message": "as scripted", "retry_after": 3}}]) as sim:
        client = sim.client(attempts=1)
        for call in (client.chat, lambda *given: client.chat.stream(*given).finish()):
            with pytest.raises(errors.Error) as caught:
                call(TARGETS[dialect], "Hello")
            assert (caught.value.kind, caught.value.message) == (kind, "as scripted")
            assert kind != "rate_limit" or caught.value.retry_after == 3


def post(sim: Simulator, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=10)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, data, {k.replace("_", "-"): v for k, v in headers.items()})
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    return reply.status, json.loads(text) if "json" in (reply.getheader("content-type") or "") else text


HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/chat/completions", "openai-chat"),
        ("/openai-chat/chat/completions", "openai-chat"),
        ("/openai/v1/chat/completions", "openai-chat"),
        ("/groq/openai/v1/chat/completions", "openai-chat"),
        ("/grok/chat/completions", None),
        ("/mistral/v1/chat/completions", "mistral"),
        ("/api/chat", "ollama"),
        ("/chat/completions", None),
        ("/v2/chat/completions", None),
    ],
)
def test_paths_belong_to_their_dialect(path: str, dialect: str | None, sim: Simulator) -> None:
    status, _ = post(sim, path, {**HELLO, "stream": False})
    assert status == (200 if dialect else 404)
    assert sim.requests[-1].dialect == dialect


def test_urls_are_told_for_providers_and_dialects(sim: Simulator) -> None:
    assert [sim.url(name).removeprefix(sim.origin) for name in ("openai-chat", "anthropic-messages", "gemini", "mistral", "groq", "openai:responses")] == [
        "/v1", "", "", "/mistral", "/groq", "/openai:responses",
    ]  # fmt: skip
    with pytest.raises(errors.NotFoundError, match="did you mean `groq`"):
        sim.url("grok")
    assert set(TARGETS) <= set(sim.dialects)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000, b'{"messages": 3, "stream": "x"}', b'{"messages": []}']
)
def test_odd_bodies_are_refused_in_the_words_of_the_dialect(body: bytes, sim: Simulator) -> None:
    status, told = post(sim, "/v1/messages", body)
    assert status == 400 and told["error"]["type"] == "invalid_request_error"


def test_a_body_may_come_in_chunks(sim: Simulator) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=10)
    data = json.dumps(HELLO).encode()
    connection.request("POST", "/v1/chat/completions", iter([data[:9], data[9:]]), {}, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()


def test_requests_are_kept_raw_and_understood() -> None:
    with Simulator(script=[{"say": "Row {{ messages[-1].text }}"}]) as sim:
        client = sim.client(providers={"anthropic": {"api_key": "secret-1"}})
        assert client.chat("anthropic/m", "17", temperature=0.5).text == "Row 17"
        (seen,) = sim.requests
        assert seen.json["messages"] and seen.headers["x-api-key"] == seen.key == "secret-1"
        assert (seen.model, seen.text, seen.request["temperature"], seen.said) == ("m", "17", 0.5, "Row 17")
        assert "secret-1" not in repr(seen) and (seen.path, seen.provider) == ("/anthropic/v1/messages", "anthropic")
        sim.reset()
        assert sim.requests == []


def test_keys_the_script_marks_are_refused() -> None:
    with Simulator(script={"bad_keys": ["revoked", ""]}) as sim:
        assert post(sim, "/v1/chat/completions", HELLO, authorization="Bearer fine")[0] == 200
        assert post(sim, "/v1/chat/completions", HELLO, authorization="Bearer revoked")[0] == 401
        assert post(sim, "/v1/messages", {**HELLO, "max_tokens": 9})[0] == 401


def test_a_script_that_fails_is_told_not_thrown(capfd: pytest.CaptureFixture[str]) -> None:
    with Simulator(script=[{"say": ["fine", {"tool_call": {}}]}]) as sim:
        client = sim.client(attempts=1)
        with pytest.raises(errors.Error, match="a `tool_call` has a `name`"):
            client.chat("groq/m", "x")
        with pytest.raises(errors.Error, match="a `tool_call` has a `name`"):
            client.chat.stream("groq/m", "x").finish()
    assert "Traceback" not in capfd.readouterr().err


def test_pace_and_latency_are_kept() -> None:
    with Simulator(script={"script": [{"say": {"text": ["aaaa"] * 10}}]}, pace=50, latency=0.1) as sim:
        client = sim.client()
        for call in (client.chat, lambda *given: client.chat.stream(*given).finish()):
            start = time.perf_counter()
            assert call("groq/m", "x").text == "a" * 40
            assert 0.29 <= time.perf_counter() - start < 3


def test_sixty_four_streams_at_once() -> None:
    with Simulator(script=[{"say": {"text": ["ab "] * 20}}], pace=40) as sim:
        client = sim.client(timeout=60)
        found: list[str] = []

        def one() -> None:
            found.append(client.chat.stream("anthropic/m", "x").finish().text)

        threads = [threading.Thread(target=one) for _ in range(64)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == ["ab " * 20] * 64
        assert time.perf_counter() - start < 30  # one after the other they take 0.5 s each


def test_other_operations_are_answered_from_examples(sim: Simulator) -> None:
    status, told = post(sim, "/openai/embeddings", {"model": "m", "input": "x"})
    assert status in (200, 404) and isinstance(told, dict)


async def _ask(sim: Simulator) -> str:
    async with sim.async_client() as client:
        return (await client.chat("mistral/m", "Hello")).text


def test_asyncio_has_its_client(sim: Simulator) -> None:
    import asyncio

    assert asyncio.run(_ask(sim)).startswith("Hello")


def test_it_says_when_it_does_not_run() -> None:
    with pytest.raises(RuntimeError, match="does not run"):
        _ = Simulator().origin
