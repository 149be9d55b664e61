"""Behind the gateway: whose answers they are, what a client may ask of the cache, and what it is told (RELIABILITY C4, G7)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.cache.options import Options
from engine.errors import ConfigError
from engine.serve.gateway.app import Gateway
from engine.serve.gateway.config import config_of
from engine.serve.gateway.keeping import wish
from engine.testing import Simulator
from tests.serve.gateways import CATALOG, HOMES, Mounted, behind, client_of

ORIGIN = "http://127.0.0.1"
ENVIRON = {
    "KEYS": "key-of-nobody-000000",
    "ACME": "key-of-acme-0000000",
    "BETA": "key-of-beta-0000000",
    "SECRET": "a secret of the operator",
}


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(lambda request: f"answer to {request['messages'][-1]['text']}", catalog=CATALOG) as made:
        yield made


def serving(sim: Simulator, tmp_path: Path, **more: Any) -> Gateway:
    given = {
        "keys": {"env": "KEYS"},
        "tenants": {name: {"keys": {"env": name.upper()}, "rates": {"tokens": "100000/min"}} for name in ("acme", "beta")},
        "aliases": {"fast": "openai/gpt-5-mini"},
        "cache": "memory",
        **more,
    }
    config = config_of(given, tmp_path, ENVIRON)
    config.providers = behind(sim).providers
    made = Gateway(config, catalog=CATALOG)
    made.prepare()
    return made


async def asked(client: httpx.AsyncClient, key: str, stream: bool = False, **headers: str) -> httpx.Response:
    body = {
        "model": "fast",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 50,
        **({"stream": True} if stream else {}),
    }
    answer = await client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}", **headers})
    assert answer.status_code == 200, answer.text
    return answer


def test_tenants_are_told_only_their_own(sim: Simulator, tmp_path: Path) -> None:
    async def run(app: Gateway) -> list[str]:
        async with httpx.AsyncClient(transport=Mounted(app), base_url=ORIGIN) as client:
            return [
                (await asked(client, ENVIRON[who])).headers["x-llmkit-cache"]
                for who in ("ACME", "BETA", "KEYS", "ACME", "BETA", "KEYS")
            ]

    assert asyncio.run(run(serving(sim, tmp_path))) == ["miss"] * 3 + ["hit"] * 3 and len(sim.requests) == 3
    shared = asyncio.run(run(serving(sim, tmp_path, cache={"store": "memory", "share": True})))
    assert shared == ["miss"] + ["hit"] * 5 and len(sim.requests) == 4


def test_what_a_client_may_say_and_what_it_is_told(sim: Simulator, tmp_path: Path) -> None:
    async def run() -> None:
        async with httpx.AsyncClient(transport=Mounted(serving(sim, tmp_path)), base_url=ORIGIN) as client:
            key = ENVIRON["ACME"]
            first, again = await asked(client, key), await asked(client, key)
            assert first.json()["choices"] == again.json()["choices"] and again.headers["age"] == "0" and "age" not in first.headers
            for value, hit in (
                ("no-cache", False),
                ("max-age=60", True),
                ("max-age=0", False),
                ("private, x", True),
                ("no-store", None),
            ):
                told = (await asked(client, key, **{"cache-control": value})).headers.get("x-llmkit-cache")
                assert told == (None if hit is None else "hit" if hit else "miss"), value
            before = len(sim.requests)
            first, again = await asked(client, key, stream=True), await asked(client, key)
            assert first.headers["x-llmkit-cache"] == again.headers["x-llmkit-cache"] == "hit" and len(sim.requests) == before

            def text(answer: httpx.Response) -> str:
                events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
                return "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e["choices"])

            assert text(first) == "answer to hi" and first.text.rstrip().endswith("data: [DONE]")

    asyncio.run(run())


@pytest.mark.parametrize("dialect", HOMES)
def test_every_dialect_is_told_what_was_kept(dialect: str, sim: Simulator, tmp_path: Path) -> None:
    async def run() -> None:
        config = behind(sim, aliases={"fast": "anthropic/claude-sonnet-4-5"}, cache=Options.of("memory"))
        app = Gateway(config, catalog=CATALOG)
        app.prepare()
        async with client_of(dialect, ORIGIN, transport=Mounted(app)) as client:
            target = f"{HOMES[dialect]}/fast"
            first = await client.chat(target, "hi", max_tokens=50)
            again = await client.chat(target, "hi", max_tokens=50)
            assert (
                first.text == again.text == "answer to hi"
                and first.usage == again.usage
                and first.finish_reason == again.finish_reason
            )
            async with client.chat.stream(target, "hi", max_tokens=50) as stream:
                assert "".join([piece async for piece in stream.text_stream]) == "answer to hi"
            assert stream.response.finish_reason == "stop" and stream.response.usage.output_tokens == first.usage.output_tokens

    asyncio.run(run())
    assert len(sim.requests) == (2 if dialect == "anthropic-messages" else 1)  # its own bytes are another question when streamed


def test_a_file_says_where_answers_are_kept(tmp_path: Path) -> None:
    def of(given: Any) -> Any:
        return config_of({"cache": given}, tmp_path, {**ENVIRON, "URL": "redis://:pw@127.0.0.1:1/0"}).cache

    assert (
        of("memory").store == "memory"
        and of("a.sqlite").store == tmp_path / "a.sqlite"
        and of(True).store is None
        and of(False) is None
    )
    made = of(
        {"store": {"env": "URL"}, "secret": {"env": "SECRET"}, "ttl": 60, "semantic": {"model": "openai/text-embedding-3-small"}}
    )
    assert made.ttl == 60 and "pw" not in repr(made) and made.semantic.threshold == 0.95
    for wrong in ({"secret": "written down here"}, {"store": "redis://:pw@host/0"}, {"tll": 1}, 7, ["memory"]):
        with pytest.raises(ConfigError):
            of(wrong)


@pytest.mark.parametrize(
    "header, meant",
    [(None, None), ("", None), ("No-Cache", {"refresh": True}), ("no-cache, no-store", False), ("max-age=x", None), ("max-age=" + "9" * 30, None),
     ('max-age="7"', {"max_age": 7}), ("public", None)],
)  # fmt: skip
def test_words_of_http(header: str | None, meant: Any) -> None:
    assert wish(header) == meant


def test_what_was_kept_takes_nothing_of_a_tenants_limit(sim: Simulator, tmp_path: Path) -> None:
    limited = {"acme": {"keys": {"env": "ACME"}, "rates": {"tokens": "100/min"}}}

    async def run() -> None:
        async with httpx.AsyncClient(transport=Mounted(serving(sim, tmp_path, tenants=limited)), base_url=ORIGIN) as client:
            for i in range(12):
                await asked(client, ENVIRON["ACME"], stream=i % 2 == 1)

    asyncio.run(run())
    assert len(sim.requests) == 1
