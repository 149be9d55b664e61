"""Embeddings, token counts and model lists through the gateway: any wire in front, any provider behind (SERVE.md 9, 10)."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from typing import Any

import httpx
import pytest

from engine.catalog import Catalog
from engine.serve.gateway.app import Gateway
from engine.serve.gateway.config import Config

CATALOG = Catalog()
UPSTREAM = {
    "openai": {"api_key": "k"},
    "google-gemini": {"api_key": "k"},
    "cohere": {"api_key": "k"},
    "ollama": {"api_key": "k"},
    "anthropic": {"api_key": "k"},
}
VECTORS = [[0.5, -1.0, 2.0], [1.5, 0.25, -3.0]]


def answer(request: httpx.Request) -> httpx.Response:
    """The providers behind the gateway."""
    path, body = request.url.path, json.loads(request.content or b"{}")
    if path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": i, "embedding": VECTORS[i]} for i, _ in enumerate(body["input"])]
        return httpx.Response(200, json={"data": data, "model": body["model"], "usage": {"prompt_tokens": 4, "total_tokens": 4}})
    if path.endswith(":batchEmbedContents"):
        return httpx.Response(200, json={"embeddings": [{"values": VECTORS[i]} for i, _ in enumerate(body["requests"])]})
    if path == "/v2/embed":
        found = {"float": [VECTORS[i] for i, _ in enumerate(body["texts"])]}
        return httpx.Response(200, json={"id": "e", "embeddings": found, "meta": {"billed_units": {"input_tokens": 4}}})
    if path == "/api/embed":
        vectors = [VECTORS[i] for i, _ in enumerate(body["input"])]
        return httpx.Response(200, json={"model": body["model"], "embeddings": vectors, "prompt_eval_count": 4})
    if path == "/v1/messages/count_tokens":
        return httpx.Response(200, json={"input_tokens": len(json.dumps(body["messages"]))})
    if path.endswith(":countTokens"):
        return httpx.Response(200, json={"totalTokens": len(body["generateContentRequest"]["contents"])})
    return httpx.Response(404, json={"error": {"message": f"nothing at {path}"}})


def call(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
    """One request to a gateway in front of those providers."""

    async def run() -> httpx.Response:
        gateway = Gateway(Config(providers=UPSTREAM, attempts=1, **options), catalog=CATALOG, transport=httpx.MockTransport(answer))
        gateway.prepare()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://127.0.0.1") as client:
            return await client.request(method, path, json=body, headers=headers)

    return asyncio.run(run())


MODELS = ["openai/e", "google-gemini/e", "cohere/e", "ollama/e"]


def test_an_input_with_a_field_nobody_knows_is_still_a_text_elsewhere() -> None:
    body = {"requests": [{"content": {"parts": [{"text": t}]}, "novel": 1} for t in ("a", "b")]}
    reply = call("POST", "/v1beta/models/openai/e:batchEmbedContents", body)
    assert reply.status_code == 200 and [e["values"] for e in reply.json()["embeddings"]] == VECTORS
    assert reply.json()["usageMetadata"] == {"promptTokenCount": 4, "totalTokenCount": 4}


@pytest.mark.parametrize("model", MODELS)
def test_vectors_cross_from_every_provider_to_every_wire(model: str) -> None:
    texts = ["a", "b"]
    said = call("POST", "/v1/embeddings", {"model": model, "input": texts}).json()
    assert [d["embedding"] for d in said["data"]] == VECTORS and [d["index"] for d in said["data"]] == [0, 1]
    packed = call("POST", "/v1/embeddings", {"model": model, "input": texts, "encoding_format": "base64"}).json()
    if "data" in packed:  # some providers give numbers only
        assert [list(struct.unpack("<3f", base64.b64decode(d["embedding"]))) for d in packed["data"]] == VECTORS
    said = call("POST", "/v2/embed", {"model": model, "texts": texts, "input_type": "search_query", "embedding_types": ["float"]})
    assert said.json()["embeddings"] == {"float": VECTORS}
    said = call("POST", "/api/embed", {"model": model, "input": texts})
    assert said.json()["embeddings"] == VECTORS
    asked = [{"model": f"models/{model}", "content": {"parts": [{"text": t}]}, "taskType": "RETRIEVAL_QUERY"} for t in texts]
    said = call("POST", f"/v1beta/models/{model}:batchEmbedContents", {"requests": asked})
    assert said.json()["embeddings"] == [{"values": v} for v in VECTORS]
    said = call("POST", f"/v1beta/models/{model}:embedContent", {"content": {"parts": [{"text": "a"}]}})
    assert said.json()["embedding"] == {"values": VECTORS[0]}
    said = call("POST", f"/v1/models/{model}:embedContent", {"content": {"parts": [{"text": "a"}]}})
    assert said.json()["embedding"] == {"values": VECTORS[0]}


def test_a_count_is_asked_in_the_words_of_every_wire() -> None:
    said = call("POST", "/v1/messages/count_tokens", {"model": "gemini/g", "messages": [{"role": "user", "content": "hi"}]})
    assert said.json() == {"input_tokens": 1}
    contents = [{"role": "user", "parts": [{"text": "hi"}]}]
    wanted = {"totalTokens": len(json.dumps([{"role": "user", "content": "hi"}]))}
    assert call("POST", "/v1beta/models/anthropic/c:countTokens", {"contents": contents}).json() == wanted
    whole = {"generateContentRequest": {"model": "models/anthropic/c", "contents": contents}}
    assert call("POST", "/v1beta/models/anthropic/c:countTokens", whole).json() == wanted
    said = call("POST", "/v1/responses/input_tokens", {"model": "anthropic/c", "input": "hi"})
    assert said.json() == {"object": "response.input_tokens", "input_tokens": wanted["totalTokens"]}
    said = call("POST", "/v1/messages/count_tokens", {"model": "ollama/m", "messages": [{"role": "user", "content": "hi"}]})
    assert said.status_code == 400 and said.json()["type"] == "error"


def test_the_list_of_models_is_told_in_the_shape_of_every_wire() -> None:
    aliases = {"fast": "openai/e", "any-*": "openai/*"}
    assert [m["id"] for m in call("GET", "/v1/models", aliases=aliases).json()["data"]] == ["fast"]
    assert [m["name"] for m in call("GET", "/v1beta/models", aliases=aliases).json()["models"]] == ["models/fast"]
    goog = call("GET", "/v1/models?pageSize=2", headers={"x-goog-api-key": "k"}, aliases=aliases)
    assert [m["name"] for m in goog.json()["models"]] == ["models/fast"]  # its clients share the path with others
    assert [m["model"] for m in call("GET", "/api/tags", aliases=aliases).json()["models"]] == ["fast"]
    assert call("GET", "/anthropic-models/v1/models", aliases=aliases).json()["last_id"] == "fast"
    paths = call("GET", "/openapi.json").json()["paths"]
    assert "requestBody" not in paths["/api/tags"]["get"] and "requestBody" in paths["/v1/embeddings"]["post"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "openai/e"}, 400),
        ({"model": "openai/e", "input": []}, 400),
        ({"model": "openai/e", "input": ["a", "b", "c"]}, 413),
        ({"input": "a"}, 400),
        ({"model": "nobody/e", "input": "a"}, 404),
        ({"model": "anthropic/e", "input": "a"}, 400),
    ],
)
def test_what_cannot_be_embedded_is_refused_in_the_clients_words(body: dict[str, Any], status: int) -> None:
    said = call("POST", "/v1/embeddings", body, messages=2)
    assert said.status_code == status and said.json()["error"]["message"]


def test_the_operators_extra_fields_reach_the_same_wire_only() -> None:
    seen: list[dict[str, Any]] = []

    def watched(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        return answer(request)

    async def run(extra: str) -> httpx.Response:
        config = Config(providers=UPSTREAM, attempts=1, extra=extra)
        gateway = Gateway(config, catalog=CATALOG, transport=httpx.MockTransport(watched))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://127.0.0.1") as client:
            return await client.post("/v1/embeddings", json={"model": "openai/e", "input": "a", "novelty": 1})

    asyncio.run(run("forward"))
    told = asyncio.run(run("drop")).headers["x-llmkit-warnings"]
    assert seen[0]["novelty"] == 1 and "novelty" not in seen[1] and "novelty" in told
