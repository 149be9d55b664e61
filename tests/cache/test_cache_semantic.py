"""Questions that mean the same: near enough, and everything but the last text of the user to the letter."""

from __future__ import annotations

import asyncio
import builtins
import json
import math
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

import engine
from engine.cache.semantic import Semantic, nearest, unit
from tests.cache.stores import STORES, opened

A = "groq/llama-3.3-70b-versatile"
MODEL = "openai/text-embedding-3-small"
#: what texts mean, by their first word
MEANINGS = {"capital": [1.0, 0.0, 0.0], "seat": [0.99, 0.1, 0.0], "weather": [0.0, 1.0, 0.0], "loose": [0.8, 0.6, 0.0]}


class World:
    """A provider of chats that numbers its answers, and one of embeddings that knows a few meanings."""

    def __init__(self) -> None:
        self.chats = self.embedded = 0
        self.broken = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if "input" in body:
            self.embedded += 1
            if self.broken:
                return httpx.Response(400, json={"error": {"message": "no"}})
            texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
            data = [{"index": i, "embedding": MEANINGS[text.split()[0]]} for i, text in enumerate(texts)]
            return httpx.Response(200, json={"data": data, "usage": {"prompt_tokens": 5, "total_tokens": 5}})
        self.chats += 1
        message = {"role": "assistant", "content": f"answer {self.chats}"}
        return httpx.Response(200, json={"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    def client(self, store: Any = "memory", kind: Any = engine.Client, **options: Any) -> Any:
        cache = {"store": store, "semantic": {"model": MODEL, "threshold": 0.95}, **options}
        keys = {id: {"api_key": f"key-of-{id}-0123456789"} for id in ("groq", "openai")}
        return kind(providers=keys, transport=httpx.MockTransport(self), cache=cache)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("name", STORES)
def test_a_question_that_means_the_same_is_not_asked(world: World, name: str, tmp_path: Path) -> None:
    with opened(name, tmp_path) as store:
        client = world.client(store, **({} if name == "sqlite" else {"secret": "s" * 20}))
        first = client.chat(A, "capital of Wales?")
        assert first.report.cache["kept"] and first.report.cache["spent"] and "cosine" not in first.report.cache
        near = client.chat(A, "seat of the Senedd?")
        told = near.report.cache
        assert near.text == "answer 1" and told["hit"] and told["from"] == "semantic" and 0.99 < told["cosine"] < 1
        assert near.cost == Decimal(told_spent(world, client)) and world.chats == 1
        far = client.chat(A, "weather in Wales?")
        assert far.text == "answer 2" and far.report.cache["cosine"] < 0.2
        assert client.chat(A, "loose talk").text == "answer 3"  # 0.8: near, not near enough
        exact = client.chat(A, "capital of Wales?")
        assert exact.report.cache["from"] == store.name and exact.cost == 0 and world.chats == 3
        with client.chat.stream(A, "seat of the government?") as stream:
            assert "".join(stream.text_stream) == "answer 1"


def told_spent(world: World, client: Any) -> str:
    """What a look-up cost: the embedding of one text of five tokens."""
    return f"{client.price(MODEL, {'input_tokens': 5}, operation='embeddings').cost:f}"


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "acme"}, {"system": "Answer in Welsh."}, {"temperature": 0.5}, {"max_tokens": 7},
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "seat of it?"}]},
        {"messages": [{"role": "user", "name": "ann", "content": "seat of it?"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "seat"}, {"type": "text", "text": "of it?"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "seat?"}, {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}]}]},
        {"messages": [{"role": "user", "content": "seat of it?"}, {"role": "assistant", "content": "It is"}]},
        {"tools": [{"name": "f", "parameters": {"type": "object"}}]}, {"cache": {"semantic": False}}, {"cache": {"refresh": True}},
    ],
    ids=str,
)  # fmt: skip
def test_everything_else_has_to_be_the_same_to_the_letter(world: World, other: dict[str, Any]) -> None:
    client = world.client()
    client.chat(A, "capital of Wales?")
    client.chat(A, **{"messages": "seat of it?", **other})
    assert world.chats == 2


def test_another_model_is_another_question(world: World) -> None:
    client = world.client()
    client.chat(A, "capital of Wales?")
    client.chat("openai/gpt-5-mini", "seat of it?")
    client.chat("groq/llama-3.1-8b-instant", "seat of it?")
    assert world.chats == 3


def test_embeddings_that_fail_fail_no_call(world: World) -> None:
    world.broken = True
    client = world.client()
    assert client.chat(A, "capital of Wales?").text == "answer 1" and world.embedded == 1
    assert client.chat(A, "capital of Wales?").report.cache["from"] == "memory"  # to the letter it is found
    keyless = engine.Client(providers={"groq": {"api_key": "k" * 20}, "openai": {"api_key": None}}, transport=httpx.MockTransport(world),
                            cache={"store": "memory", "semantic": "nobody/at-all"})  # fmt: skip
    assert keyless.chat(A, "capital of Wales?").text == "answer 2"


def test_an_event_loop_does_the_same(world: World) -> None:
    async def run() -> None:
        async with world.client(kind=engine.AsyncClient) as client:
            await client.chat(A, "capital of Wales?")
            near = await client.chat(A, "seat of the Senedd?")
            assert near.text == "answer 1" and near.report.cache["from"] == "semantic"

    asyncio.run(run())


def test_a_neighbour_whose_answer_is_gone_is_none(world: World) -> None:
    client = world.client(entries=1)
    client.chat(A, "capital of Wales?")
    client.chat(A, "weather in Wales?")  # takes its place
    assert client.chat(A, "seat of the Senedd?").text == "answer 3"


@pytest.fixture(params=["numpy", "plain"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With numpy, where it is, and without."""
    if request.param == "numpy":
        pytest.importorskip("numpy")
    else:
        real = builtins.__import__

        def without(name: str, *rest: Any, **more: Any) -> Any:
            if name == "numpy":
                raise ImportError
            return real(name, *rest, **more)

        monkeypatch.setattr(builtins, "__import__", without)
    yield


@pytest.mark.usefixtures("arithmetic")
def test_the_nearest_is_the_one_of_the_largest_cosine() -> None:
    rng = random.Random(7)
    vectors = [[rng.gauss(0, 1) for _ in range(64)] for _ in range(50)]
    asked = [rng.gauss(0, 1) for _ in range(64)]

    def cosine(a: list[float], b: list[float]) -> float:
        return math.fsum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)

    want = max(range(50), key=lambda i: cosine(asked, vectors[i]))
    own = unit(asked)
    assert own is not None
    found = nearest(own, [(str(i), unit(v) or b"") for i, v in enumerate(vectors)])
    assert found is not None and found[1] == str(want) and found[0] == pytest.approx(cosine(asked, vectors[want]), abs=1e-6)
    assert nearest(own, [("short", own[:-4])]) is None and nearest(own, []) is None


def test_vectors_without_a_direction() -> None:
    assert [unit(v) for v in ([0.0, 0.0], [], [float("nan")], [float("inf")], ["x"], [None])] == [None] * 6
    assert unit([3, 4]) == unit([0.3, 0.4]) and Semantic.of(None) is None and Semantic.of(MODEL) == Semantic(MODEL)
