"""Issue bar: 10,000 look-ups across tenants, 0 cross hits (RELIABILITY C1, C4, G7)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import httpx
import pytest

import engine
from engine.cache.key import key_of, scope_of
from engine.cache.options import Options
from tests.cache.stores import STORES, opened

A, B = "groq/llama-3.3-70b-versatile", "openai/gpt-5-mini"
#: names that would meet if they were only put together with something
TENANTS: list[Any] = [
    None, "", "None", "none", "all", "one:a", "a", "a:", ":a", "a\0", "a b", "A", "ä", "a\u0308", "\ud800", "a" * 5000, "0", 0, 1, True,
    "1", "*", "?" * 64, "some:1", scope_of("a", False),
]  # fmt: skip
TENANTS += [f"tenant-{i}" for i in range(75)]


def test_names_of_tenants_never_meet() -> None:
    scopes = {scope_of(tenant, False) for tenant in TENANTS}
    assert len(scopes) == len(TENANTS) == 100 and scope_of("a", True) not in scopes
    assert len({key_of(scope, {"q": 1}) for scope in scopes}) == len(scopes)
    assert all(len(scope) == 64 for scope in scopes)


@pytest.mark.parametrize("name", STORES)
def test_10_000_look_ups_across_tenants_hit_nobody_else(name: str, tmp_path: Path) -> None:
    """Everybody asks the same few questions; a provider who knows whom he talks to tells everyone something else."""
    rng = random.Random(f"tenants {name}")
    asking: list[Any] = [0]
    sent = [0]

    def handle(request: httpx.Request) -> httpx.Response:
        sent[0] += 1
        choice = {"index": 0, "message": {"role": "assistant", "content": f"for {asking[0]}"}, "finish_reason": "stop"}
        return httpx.Response(200, json={"choices": [choice]})

    with opened(name, tmp_path) as store:
        cache: dict[str, Any] = {"store": store, **({} if name == "sqlite" else {"secret": "s" * 20})}
        keys = {id: {"api_key": f"key-of-{id}-0123456789"} for id in ("groq", "openai")}
        client = engine.Client(providers=keys, transport=httpx.MockTransport(handle), cache=cache)
        crossed = hits = 0
        for _ in range(10_000 if name == "memory" else 600):
            asking[0] = number = rng.randrange(len(TENANTS))
            question: dict[str, Any] = {"messages": f"question {rng.randrange(4)}", "tenant": TENANTS[number]}
            if rng.random() < 0.2:
                with client.chat.stream(
                    rng.choice((A, B)), **question
                ) as stream:  # a whole answer in place of a stream, or from the cache
                    answer = stream.finish()
            else:
                answer = client.chat(rng.choice((A, B)), **question)
            crossed += answer.text != f"for {number}"
            hits += bool(answer.report.cache and answer.report.cache["hit"])
    assert crossed == 0
    assert sent[0] <= 100 * 4 * 2 and hits > (9_000 if name == "memory" else 0)


def test_tenants_share_only_where_the_operator_said_so() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]})

    for share, count in ((False, 3), (True, 1)):
        sent: list[httpx.Request] = []
        transport = httpx.MockTransport(handle)
        client = engine.Client(
            providers={"groq": {"api_key": "k" * 20}}, transport=transport, cache={"store": "memory", "share": share}
        )
        for tenant in ("a", "b", None):
            client.chat(A, "hi", tenant=tenant)
        assert len(sent) == count
    assert Options.of("memory").share is False  # type: ignore[union-attr]
