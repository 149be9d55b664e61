"""Servers of models are asked for one, and to get one."""

from __future__ import annotations

import httpx
import pytest

import engine
from engine.catalog import Catalog
from engine.serve.loopback import Loopback

PULLED = b'{"status":"pulling manifest"}\n{"status":"pulling 6a07","total":2000,"completed":500}\n{"status":"success"}\n'


def answering(reply: httpx.Response, asked: list[httpx.Request]) -> engine.Client:
    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return reply

    return engine.Client(transport=httpx.MockTransport(serve))


def test_a_model_that_is_pulled_tells_how_far_it_is() -> None:
    asked: list[httpx.Request] = []
    client = answering(httpx.Response(200, content=PULLED, headers={"content-type": "application/x-ndjson"}), asked)
    with client.pull_model.stream("ollama/llama3.2") as stream:
        events = [event for event in stream if event.kind == "progress"]
    assert [(event.status, event.completed, event.total) for event in events] == [
        ("pulling manifest", None, None),
        ("pulling 6a07", 500, 2000),
    ]
    (model,) = stream.response.models
    assert (model.id, model.status) == ("llama3.2", "success")
    assert asked[0].url.path == "/api/pull" and asked[0].content == b'{"model":"llama3.2","stream":true}'
    assert stream.response.cost is None


def test_a_pull_that_was_sent_is_not_sent_again() -> None:
    asked: list[httpx.Request] = []
    client = answering(httpx.Response(500, json={"error": "no space left on device"}), asked)
    with pytest.raises(engine.Error, match="no space left"):
        client.pull_model("ollama/llama3.2")
    assert len(asked) == 1


def test_a_model_that_is_shown_is_the_one_that_was_asked_for() -> None:
    with Loopback(Catalog()) as sim:
        client = engine.Client(providers={"ollama": {"base_url": sim.url("ollama")}})
        answer = client.show_model("ollama/llama3.2")
    assert answer.models[0].id == "llama3.2" and answer.models[0].name == "Llama-3.2"
    assert answer.raw["capabilities"] == ["completion", "tools"]
