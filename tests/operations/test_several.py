"""Inputs past the limit of one request and lists of several pages are one call (SPEC_LANGUAGE 5.1: `batch_size`, `pages`)."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import engine
import engine.several
from engine.errors import ConfigError, Error

SPEC = {
    "name": "Acme",
    "base_url": "https://acme.example",
    "secrets": {"api_key": {"env": "ACME_KEY"}},
    "auth": {"bearer": "{{ api_key }}"},
    "embeddings": {"extends": "openai-embeddings", "batch_size": 3},
    "list_models": {"extends": "openai-models", "query": {"limit": 2}, "pages": {"after": "next"}},
}


def embed(request: httpx.Request) -> httpx.Response:
    texts = json.loads(request.content)["input"]
    data = [{"index": i, "embedding": [float(len(t))]} for i, t in enumerate(texts)]
    return httpx.Response(
        200, json={"data": data[::-1], "model": "m", "usage": {"prompt_tokens": len(texts), "total_tokens": len(texts)}}
    )


def client(answer: Callable[[httpx.Request], httpx.Response], **options: Any) -> engine.Client:
    return engine.Client([{"acme": SPEC}], providers={"acme": {"api_key": "k"}}, transport=httpx.MockTransport(answer), **options)


def twin(answer: Callable[[httpx.Request], httpx.Response], **options: Any) -> engine.AsyncClient:
    return engine.AsyncClient(
        [{"acme": SPEC}], providers={"acme": {"api_key": "k"}}, transport=httpx.MockTransport(answer), **options
    )


@pytest.mark.parametrize("count", [1, 3, 4, 10])
def test_vectors_come_in_the_order_of_the_inputs_whatever_the_batches(count: int) -> None:
    sizes: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        size = len(json.loads(request.content)["input"])
        sizes.append(size)
        time.sleep(0.01 if len(sizes) == 1 else 0)  # the first may be the last to come back
        return embed(request)

    texts = ["x" * i for i in range(count)]
    wanted = [[float(i)] for i in range(count)]
    for call in (lambda: client(answer).embeddings("acme/m", texts), lambda: asyncio.run(once(answer, texts))):
        found = call()
        assert found.embeddings == wanted and found.usage.input_tokens == count
        assert [e.index for e in sorted(found.outputs, key=lambda e: e.index)] == list(range(count))
        assert sum(sizes) == count and max(sizes) <= 3 and len(found.report.attempts) == -(-count // 3)
        sizes.clear()


async def once(answer: Any, texts: list[str]) -> Any:
    return await twin(answer).embeddings("acme/m", texts)


def test_a_few_requests_run_at_the_same_time_and_no_more() -> None:
    lock, state = threading.Lock(), {"now": 0, "most": 0}

    def answer(request: httpx.Request) -> httpx.Response:
        with lock:
            state["now"] += 1
            state["most"] = max(state["most"], state["now"])
        time.sleep(0.02)
        with lock:
            state["now"] -= 1
        return embed(request)

    client(answer).embeddings("acme/m", ["x"] * 30)
    assert 2 <= state["most"] <= engine.several.AT_ONCE


def test_token_numbers_are_one_input_and_lists_of_them_are_several() -> None:
    bodies: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content)["input"])
        return embed(request)

    client(answer).embeddings("acme/m", [1, 2, 3, 4, 5])
    client(answer).embeddings("acme/m", texts=["a", "b"])
    assert bodies == [[[1, 2, 3, 4, 5]], ["a", "b"]]


def test_one_batch_that_fails_fails_the_call_with_its_own_error() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "bad" in json.loads(request.content)["input"]:
            return httpx.Response(400, json={"error": {"message": "bad input", "code": "x"}})
        return embed(request)

    texts = ["a"] * 7 + ["bad"] + ["a"] * 7
    with pytest.raises(Error, match="bad input"):
        client(answer).embeddings("acme/m", texts)
    with pytest.raises(Error, match="bad input"):
        asyncio.run(once(answer, texts))


def test_pages_are_followed_to_the_end_and_no_further() -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        after = request.url.params.get("after")
        asked.append(after)
        assert request.url.params["limit"] == "2" and request.headers["authorization"] == "Bearer k"
        page = int(after or 0)
        more = {"next": str(page + 1)} if page < 2 else {"next": ""}
        return httpx.Response(200, json={"data": [{"id": f"m{page}a"}, {"id": f"m{page}b"}], **more})

    found = client(answer).list_models("acme")
    assert [m.id for m in found.models] == ["m0a", "m0b", "m1a", "m1b", "m2a", "m2b"] and asked == [None, "1", "2"]
    asked.clear()

    async def run() -> Any:
        return await twin(answer).list_models("acme")

    assert len(asyncio.run(run()).models) == 6 and asked == [None, "1", "2"]


def test_a_page_that_names_itself_ends_the_list() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": [{"id": "m"}], "next": "same"})

    assert len(client(answer).list_models("acme").models) == 2


def test_all_exchanges_share_one_deadline() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        time.sleep(0.05)
        return httpx.Response(200, json={"data": [{"id": "m"}], "next": str(time.monotonic())})

    begun = time.monotonic()
    with pytest.raises(Error) as caught:
        client(answer).list_models("acme", timeout=0.3)
    assert caught.value.kind in ("deadline", "timeout") and time.monotonic() - begun < 2


def test_what_makes_no_sense_is_refused_before_anything_is_sent() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing may be sent")

    for fields in ({}, {"input": ["a"], "dimension": 3}, {"input": ["a"], "timeout": "soon"}):
        with pytest.raises(ConfigError):
            client(answer).embeddings("acme/m", **fields)
    with pytest.raises(ConfigError, match="provider/model"):
        client(answer).embeddings("acme", "a")
