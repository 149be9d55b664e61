"""Stand-ins answer any provider's requests from its examples: matched by how a request looks, whole and streamed (M1, G10)."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import engine
from engine.catalog import Catalog
from engine.examples.given import dummy_settings
from engine.serve.likeness import Likeness, look
from engine.serve.loopback import BODY_LIMIT, Loopback
from tests.paired_answers import PAIRS
from tests.spoken import SPEAKERS, speaker

TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
OTHER = {"name": "book_flight", "parameters": {"type": "object", "properties": {"to": {"type": "string"}}}}


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(Catalog()) as made:
        yield made


@pytest.fixture(scope="module")
def client_for(server: Loopback) -> Iterator[Callable[[str], engine.Client]]:
    catalog, made = server.simulator.catalog, []

    def make(target: str) -> engine.Client:
        head = target.partition("/")[0]
        provider = head.partition(":")[0]
        settings = {**dummy_settings(catalog.plan(provider)), "base_url": server.url(head)}
        made.append(engine.Client(catalog=catalog, providers={provider: settings}, timeout=20, attempts=1))
        return made[-1]

    yield make
    for client in made:
        client.close()


def _answered(target: str) -> bool:
    """Whether a stand-in can answer a target with the conversation that the examples of the served dialects hold.

    Not where the wire is another one, where a credential is exchanged first (at the real host), where calls are functions, where
    frames of a cloud stand around the stream, and where the answer is a job, which only its own examples carry to its end.
    """
    plan = speaker(target).plan
    ways = [plan.auth, *(option for _, option in plan.auth.options[:1])]
    if plan.job is not None:
        return False
    framed = plan.stream is not None and (plan.stream.data != "json" or "bedrock-nova" in plan.dialects)
    return (
        bool(set(plan.dialects) & set(PAIRS)) and not any(w.tokens for w in ways) and not framed and "gigachat" not in plan.dialects
    )


@pytest.mark.parametrize("target", [t for t in SPEAKERS if _answered(t)])
def test_every_provider_has_a_stand_in(target: str, client_for: Callable[[str], engine.Client]) -> None:
    client = client_for(target)
    system = {"role": "system", "content": "Be kind."}
    hello = {"role": "user", "content": "Say hello."}
    assert client.chat(target, "Say hello.").text == "Hello! How can I help you today?"
    with client.chat.stream(target, [system, hello], max_tokens=50, temperature=0.2) as stream:
        assert "".join(stream.text_stream) and stream.response.finish_reason
    if client.catalog.capabilities(target.partition("/")[0].partition(":")[0]).get("tools"):
        assert client.chat(target, "What is the weather in Rome?", tools=[TOOL]).tool_calls[0].arguments == {"city": "Rome"}


def test_a_chat_that_is_a_job_is_asked_for_until_it_is_over(client_for: Callable[[str], engine.Client]) -> None:
    client = client_for("runpod:job/m")
    assert client.chat("runpod:job/m", "Say hello.").text == "Hello."


@pytest.mark.parametrize("target", ["anthropic/m", "google-gemini/m", "amazon-bedrock/m", "openai:responses/m", "groq/m"])
def test_what_is_asked_decides_the_answer(target: str, client_for: Callable[[str], engine.Client]) -> None:
    client = client_for(target)
    question = {"role": "user", "content": "What is the weather in Rome?"}
    system = {"role": "system", "content": "Use your tools."}
    first = client.chat.stream(target, [system, question], tools=[TOOL], max_tokens=500).finish()
    assert first.tool_calls[0].name == "get_weather" and first.finish_reason == "tool_calls"
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "18"}
    second = client.chat(target, [system, question, first.message, result], tools=[TOOL])
    assert "18 °C" in second.text and not second.tool_calls
    assert not client.chat(target, "Book a flight.", tools=[OTHER]).tool_calls  # only tools that are offered are called
    assert client.chat(target, "17 * 23?", reasoning_effort="high").thinking


def call(server: Loopback, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, json.loads(data) if reply.getheader("content-type") == "application/json" else data


def test_what_nobody_answers_is_refused_with_a_reason(server: Loopback) -> None:
    status, body = call(server, "POST", "/grok/chat/completions", b"{}")
    assert status == 404 and "did you mean `groq`?" in body["error"]["message"]
    status, body = call(server, "POST", "/groq/no/such/path", b"{}")
    assert status == 404 and "answers POST /no/such/path" in body["error"]["message"]
    assert call(server, "GET", "/")[0] == 404
    assert call(server, "POST", "/groq:nope/chat/completions", b"{}")[0] in (404, 500)
    assert call(server, "DELETE", "/groq/chat/completions")[0] == 404


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000, b'{"messages": 3, "stream": "x"}'])
def test_odd_bodies_are_answered_somehow(server: Loopback, body: bytes) -> None:
    assert call(server, "POST", "/groq/chat/completions", body)[0] in (200, 400)


def test_bodies_without_end_are_refused(server: Loopback) -> None:
    assert call(server, "POST", "/groq/chat/completions", b"{}", content_length=str(BODY_LIMIT + 1))[0] == 413
    assert call(server, "POST", "/groq/chat/completions", None, content_length="-1")[0] == 411
    assert call(server, "POST", "/groq/chat/completions", None, transfer_encoding="chunked")[0] == 411


def test_a_client_that_goes_away_leaves_the_stand_in_standing(server: Loopback, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as gone:
        gone.sendall(b"POST /groq/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{")
    assert call(server, "POST", "/groq/chat/completions", b"{}")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_rare_keys_tell_more_than_common_ones() -> None:
    plain = look({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    tools = look({"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "f"}]})
    likeness = Likeness([plain, plain, plain, tools])
    asked = look({"model": "m", "temperature": 1, "messages": [{"role": "user", "content": "ho"}], "tools": [{"name": "g"}]})
    assert likeness.between(tools, asked) > likeness.between(plain, asked)
    assert likeness.between(plain, plain) >= (1.0, 0)
    assert "f" in tools.words and ".messages[last].role=user" in plain.shape
