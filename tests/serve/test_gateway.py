"""Clients of every dialect reach providers of every other through the gateway (SERVE.md 10, RELIABILITY G1, G3, G6, G8, G9, G10)."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from engine import errors
from engine.serve.gateway.app import Gateway
from engine.serve.gateway.config import Config
from engine.serve.gateway.intake import Intake
from engine.serve.gateway.keys import Keys
from engine.testing import Simulator
from tests.serve.gateways import CATALOG, HOMES, TOOL, Mounted, client_of, gateway

ORIGIN = "http://127.0.0.1"
KEY = "sk-gateway-0123456789"
UPSTREAMS = ("openai-chat", "anthropic-messages", "gemini")


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(catalog=CATALOG) as made:
        yield made


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("dialect", HOMES)
def test_every_dialect_reaches_every_provider(dialect: str, upstream: str, sim: Simulator) -> None:
    client_target, target = f"{HOMES[dialect]}/fast", f"{HOMES[upstream]}/sim-model"

    async def talk() -> None:
        app = gateway(sim, aliases={"fast": target})
        async with client_of(dialect, ORIGIN, transport=Mounted(app)) as client:
            sim.reset()
            told = await client.chat(client_target, "What is 2 + 3?", max_tokens=50)
            assert told.text == "2 + 3 = 5." and told.finish_reason == "stop" and told.usage.input_tokens
            assert sim.requests[-1].dialect == upstream and sim.requests[-1].text == "What is 2 + 3?"
            async with client.chat.stream(client_target, "What is 2 + 3?", max_tokens=50) as stream:
                assert "".join([t async for t in stream.text_stream]) == "2 + 3 = 5."
            assert stream.response.finish_reason == "stop" and sim.requests[-1].stream
            for streamed in (False, True):
                question: dict[str, Any] = {"messages": "Weather in Rome?", "tools": [TOOL], "max_tokens": 500}
                if streamed:
                    answer = await client.chat.stream(client_target, **question).finish()
                else:
                    answer = await client.chat(client_target, **question)
                (call,) = answer.tool_calls
                assert call.name == "get_weather" and isinstance(call.arguments, dict) and answer.finish_reason == "tool_calls"
        await app.close()

    asyncio.run(talk())


def post(
    app: Gateway, path: str, body: Any, headers: dict[str, str] | None = None, origin: str = ORIGIN, method: str = "POST"
) -> httpx.Response:
    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=Mounted(app), base_url=origin) as client:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            answer = await client.request(method, path, content=content, headers=headers or {})
        await app.close()
        return answer

    return asyncio.run(go())


def hello(model: str = "openai/m", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], **more}


def test_keys_are_asked_for_where_each_dialect_has_them(sim: Simulator) -> None:
    keys = Keys([KEY])
    app = gateway(sim, keys=keys)
    assert post(app, "/v1/chat/completions", hello()).status_code == 401
    assert post(app, "/v1/chat/completions", hello(), {"authorization": "Bearer sk-gateway-0123456780"}).status_code == 401
    assert post(app, "/nowhere", hello()).status_code == 401
    sim.reset()
    assert post(app, "/v1/chat/completions", hello(), {"authorization": f"Bearer {KEY}"}).status_code == 200
    assert post(app, "/v1/messages", hello(max_tokens=9), {"x-api-key": KEY}).status_code == 200
    contents = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    app = gateway(sim, keys=keys, aliases={"g": "openai/m"})
    assert post(app, "/v1beta/models/g:generateContent", contents, {"x-goog-api-key": KEY}).status_code == 200
    for seen in sim.requests:
        assert KEY not in repr(seen.headers) and KEY.encode() not in seen.body
    wrong = post(app, "/v1/messages", hello(max_tokens=9), {"x-api-key": "wrong"})
    assert wrong.json()["error"]["type"] == "authentication_error"


def test_the_id_of_a_signing_key_is_not_a_key(sim: Simulator) -> None:
    app = gateway(sim, keys=Keys(["AKIAIOSFODNN7EXAMPLE"]))
    signed = (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00"
    )
    body = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    assert post(app, "/model/openai%2Fm/converse", body, {"authorization": signed}).status_code == 401


def test_without_keys_only_this_machine_is_answered(sim: Simulator) -> None:
    app = gateway(sim)
    assert post(app, "/v1/chat/completions", hello(), origin="http://evil.example").status_code == 403
    assert post(app, "/v1/chat/completions", hello(), {"origin": "https://evil.example"}).status_code == 403
    assert post(app, "/v1/chat/completions", hello(), {"origin": "http://localhost:3000"}).status_code == 200
    with pytest.raises(errors.ConfigError, match="loopback"):
        gateway(sim, host="0.0.0.0")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        ({}, 400),
        (b"[" * 100 + b"]" * 100, 400),
        (hello("nothing"), 404),
        (hello("nobody/m"), 404),
        (b" " * 4097, 413),
    ],
)
def test_unusable_requests_are_refused_in_the_words_of_the_dialect(body: Any, status: int, sim: Simulator) -> None:
    sim.reset()
    app = gateway(sim, body=4096)
    answer = post(app, "/v1/chat/completions", body)
    assert answer.status_code == status and answer.json()["error"]["message"] and answer.headers["x-request-id"]
    assert not sim.requests


def test_unknown_paths_and_methods(sim: Simulator) -> None:
    app = gateway(sim)
    assert post(app, "/v1/nothing", {}).json()["error"]["type"] == "not_found"
    assert post(app, "/v1/messages", {}, method="GET").status_code == 405
    assert post(app, "/healthz", b"", method="GET").json() == {"status": "ok"}
    assert post(app, "/readyz", b"", method="GET").status_code == 200
    paths = post(app, "/openapi.json", b"", method="GET").json()["paths"]
    assert {
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/messages",
        "/v2/chat",
        "/api/chat",
        "/model/{model}/converse-stream",
    } <= paths.keys()
    app.draining = True
    assert post(app, "/readyz", b"", method="GET").status_code == 503
    assert post(app, "/v1/chat/completions", hello()).status_code == 503


def test_offered_models_are_listed(sim: Simulator) -> None:
    app = gateway(sim, aliases={"fast": "openai/m", "any-*": "anthropic/*"}, keys=Keys([KEY]))
    key = {"authorization": f"Bearer {KEY}"}
    assert post(app, "/v1/models", b"", method="GET").status_code == 401
    assert [m["id"] for m in post(app, "/v1/models", b"", key, method="GET").json()["data"]] == ["fast"]
    assert post(app, "/v1/models/any-x", b"", key, method="GET").json()["id"] == "any-x"
    assert post(app, "/v1/models/other", b"", key, method="GET").status_code == 404
    sim.reset()
    assert post(app, "/v1/chat/completions", hello("any-x"), key).status_code == 200
    assert sim.requests[-1].dialect == "anthropic-messages" and sim.requests[-1].model == "x"
    assert post(app, "/v1/chat/completions", hello("openai/m"), key).status_code == 404  # aliases close what is not named


def test_addresses_are_not_fetched_from_the_operators_network(sim: Simulator) -> None:
    url = "http://169.254.169.254/latest"
    sim.reset()
    parts = {
        "/v1/chat/completions": [{"type": "image_url", "image_url": {"url": url}}],
        "/v1/messages": [{"type": "image", "source": {"type": "url", "url": url}}],
    }
    for path, content in parts.items():
        ask = {"model": "ollama/m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
        answer = post(gateway(sim), path, ask)
        assert answer.status_code == 400 and "fetches no addresses" in answer.text and not sim.requests


def test_an_error_in_the_middle_of_a_stream_ends_it_in_the_words_of_the_dialect() -> None:
    with Simulator(fault={"after": 3, "error": {"kind": "overloaded"}}, catalog=CATALOG) as failing:
        said = {
            path: post(gateway(failing), path, hello(max_tokens=50, stream=True))
            for path in ("/v1/chat/completions", "/v1/messages")
        }
    assert all(answer.status_code == 200 for answer in said.values())
    assert "event: error" in said["/v1/messages"].text and "message_stop" not in said["/v1/messages"].text
    assert '"error":{' in said["/v1/chat/completions"].text and "[DONE]" not in said["/v1/chat/completions"].text


def exchange(app: Gateway, messages: list[dict[str, Any]], headers: list[tuple[bytes, bytes]]) -> list[Any]:
    """What the gateway sends for the pieces of a request; after them the client says nothing more."""
    sent: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/messages",
        "headers": [(b"host", b"localhost"), *headers],
        "query_string": b"",
    }
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 5))
    return sent


def test_bodies_are_limited_in_size_and_time(sim: Simulator) -> None:
    piece = {"type": "http.request", "body": b" " * 60, "more_body": True}
    app = gateway(sim, body=100, slow=0.05)
    assert exchange(app, [piece], [])[0]["status"] == 408
    assert exchange(app, [piece, piece], [])[0]["status"] == 413
    assert exchange(app, [], [(b"content-length", b"101")])[0]["status"] == 413
    assert exchange(app, [], [(b"content-encoding", b"gzip")])[0]["status"] == 415
    assert exchange(app, [piece, {"type": "http.disconnect"}], []) == []
    assert app.running == 0
    app.running = app.config.concurrency
    refused = exchange(app, [piece], [])[0]
    assert refused["status"] == 529 and (b"retry-after", b"1") in refused["headers"]


def test_a_defect_is_told_without_its_values(
    sim: Simulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("very private words")

    monkeypatch.setattr("engine.serve.gateway.app.asked", broken)
    answer = post(gateway(sim), "/v1/chat/completions", hello())
    told = capsys.readouterr().err
    assert answer.status_code == 500 and "private" not in answer.text + told
    assert "RuntimeError" in told and answer.headers["x-request-id"] in told


def test_fields_the_dialect_does_not_know_go_to_the_same_dialect_only(sim: Simulator) -> None:
    sent = hello(not_a_field=7)
    sim.reset()
    post(gateway(sim), "/v1/chat/completions", sent)
    assert sim.requests[-1].json["not_a_field"] == 7
    answer = post(gateway(sim, extra="drop"), "/v1/chat/completions", sent)
    assert "not_a_field" not in sim.requests[-1].json and "not_a_field" in answer.headers["x-llmkit-warnings"]
    answer = post(gateway(sim), "/v1/chat/completions", {**sent, "model": "anthropic/m"})
    assert (
        answer.status_code == 200
        and "not_a_field" not in sim.requests[-1].json
        and "only openai-chat understands" in answer.headers["x-llmkit-warnings"]
    )


def test_a_provider_that_refuses_the_operators_key_is_a_bad_gateway() -> None:
    for kind, status in (("authentication", 502), ("rate_limit", 429), ("overloaded", 529), ("invalid_request", 400)):
        script = [{"say": [{"error": {"kind": kind, "message": "secret words of the provider"}}]}]
        with Simulator(script=script, catalog=CATALOG) as failing:
            for stream in (False, True):
                answer = post(gateway(failing), "/v1/messages", hello(max_tokens=5, stream=stream))
                assert answer.status_code == status and "secret words" not in answer.text
                assert answer.headers["x-should-retry"] == "false"
                assert answer.json()["type"] == "error"


def test_a_client_that_leaves_ends_the_call_behind_it(sim: Simulator) -> None:
    async def leave() -> None:
        app = gateway(slow)
        body = json.dumps(hello(stream=True)).encode()
        sent: list[Any] = []
        begun, left = asyncio.Event(), asyncio.Event()
        pending = [{"type": "http.request", "body": body}]

        async def receive() -> Any:
            if pending:
                return pending.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            begun.set()

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/chat/completions",
            "headers": [(b"host", b"localhost")],
            "query_string": b"",
        }
        call = asyncio.ensure_future(app(scope, receive, send))
        await asyncio.wait_for(begun.wait(), 10)
        left.set()
        await asyncio.wait_for(call, 1)
        assert app.running == 0 and not any(m["type"] == "http.response.body" and not m["more_body"] for m in sent)
        for _ in range(100):
            if slow.requests[-1].gone:
                break
            await asyncio.sleep(0.02)
        assert slow.requests[-1].gone
        await app.close()

    with Simulator(script=[{"say": "word " * 200}], pace=10, catalog=CATALOG) as slow:
        asyncio.run(leave())


@pytest.mark.parametrize("upstream", ["openai", "gemini"])
def test_a_stream_without_the_query_of_our_own_is_an_array(upstream: str, sim: Simulator) -> None:
    contents = {"contents": [{"role": "user", "parts": [{"text": "What is 2 + 3?"}]}]}
    app = gateway(sim, aliases={"g": f"{upstream}/m"})
    answer = post(app, "/v1beta/models/g:streamGenerateContent", contents)
    assert answer.headers["content-type"] == "application/json"
    pieces = [part["text"] for c in answer.json() for one in c["candidates"] for part in one["content"].get("parts", [])]
    assert len(pieces) > 1 and "".join(pieces) == "2 + 3 = 5." and answer.json()[-1]["usageMetadata"]["promptTokenCount"]
    assert post(app, "/v1beta/models/g:streamGenerateContent?alt=sse", contents).text.startswith("data: ")
    app = gateway(sim, aliases={"g": f"{upstream}/m"})
    assert post(app, "/v1beta/models/g:streamGenerateContent?alt=json", contents).json()


def test_what_a_request_loses_is_told_before_a_stream_begins_too(sim: Simulator) -> None:
    sent = {**hello("anthropic/m", max_tokens=9), "logit_bias": {"50256": -100}}
    for stream in (False, True):
        told = post(gateway(sim), "/v1/chat/completions", {**sent, "stream": stream}).headers["x-llmkit-warnings"]
        assert told.count("logit_bias was dropped") == 1


def test_calls_without_an_id_get_one_that_no_other_turn_has() -> None:
    part = {"functionCall": {"name": "get_weather", "args": {"city": "Rome"}}}
    answer = {"candidates": [{"content": {"role": "model", "parts": [part, part]}, "finishReason": "STOP"}]}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    config = Config(providers={"google-gemini": {"api_key": "k"}}, attempts=1)
    seen: list[str] = []
    for _ in range(2):
        told = post(Gateway(config, catalog=CATALOG, transport=transport), "/v1/chat/completions", hello("google-gemini/m")).json()
        seen += [call["id"] for call in told["choices"][0]["message"]["tool_calls"]]
    assert len(set(seen)) == 4


def test_a_body_whose_last_string_is_open_costs_no_time(sim: Simulator) -> None:
    before = time.process_time()
    answer = post(gateway(sim), "/v1/chat/completions", b"[" * 70 + b'"' + b'\\"' * 200_000)
    assert answer.status_code == 400 and "nested deeper" in answer.text
    assert time.process_time() - before < 3  # searched for from each of its quotes, its end would take minutes


def test_the_port_is_open_before_everything_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Gateway(Config(), catalog=CATALOG)
    compile_all, go = app.prepare, threading.Event()
    monkeypatch.setattr(app, "prepare", lambda: go.wait(10) and compile_all())
    settled: list[str] = []
    app.when_ready = lambda: settled.append("ready")

    async def run() -> None:
        messages: asyncio.Queue[Any] = asyncio.Queue()
        told: asyncio.Queue[Any] = asyncio.Queue()
        running = asyncio.create_task(app({"type": "lifespan"}, messages.get, told.put))
        await messages.put({"type": "lifespan.startup"})
        assert (await told.get())["type"] == "lifespan.startup.complete"
        assert app._page(_Asked("/readyz"))[0] == 503 and not settled
        go.set()
        while not settled:
            await asyncio.sleep(0.01)
        await app._prepared()
        assert app._page(_Asked("/readyz"))[0] == 200
        await messages.put({"type": "lifespan.shutdown"})
        await running

    asyncio.run(run())


class _Asked:
    def __init__(self, path: str) -> None:
        self.path = path


def test_headers_of_any_length_are_read_each_in_its_place() -> None:
    told = [(b"x-long", b"a" * (3 << 20)), (b"x-odd", b"a\nb"), (b"authorization", b"Bearer k"), (b"x-odd", b"c")]
    intake = Intake.of({"method": "POST", "raw_path": b"/v1/x", "query_string": b"", "headers": told})
    assert (
        intake.headers["authorization"] == "Bearer k"
        and intake.headers["x-odd"] == "a\nb, c"
        and len(intake.headers["x-long"]) == 3 << 20
    )
