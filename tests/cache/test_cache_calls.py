"""RELIABILITY C1 to C4 at a client: what is kept, whom it is told to, and what it says about itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

import engine
from engine.cache.key import Specs
from engine.errors import ConfigError, Error
from engine.testing import Simulator
from tests.client.fakes import FakeClock

A, B = "groq/llama-3.3-70b-versatile", "openai/gpt-5-mini"
TOOL = {
    "name": "weather",
    "description": "Weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def counted(request: dict[str, Any]) -> Any:
    """Says what it was asked, and so what it answers."""
    return f"answer to {request['messages'][-1]['text']}" if request.get("messages") else None


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(counted) as running:
        yield running


def test_the_second_call_is_not_sent(sim: Simulator) -> None:
    client = sim.client(cache="memory")
    first = client.chat(A, "hi")
    again = client.chat(A, "hi")
    assert len(sim.requests) == 1 and first.text == again.text == "answer to hi"
    assert first.report.cache == {"hit": False, "kept": True} and first.cost
    said = again.report.cache
    assert said and said["hit"] and said["from"] == "memory" and said["age"] >= 0 and said["saved"] == str(first.cost)
    assert again.cost == Decimal(0) and again.report.price_lines == [] and again.report.attempts == []
    assert again.usage == first.usage and again.raw == first.raw and again.choices == first.choices
    assert again.to_dict()["report"]["cache"]["from"] == "memory"


def test_without_a_cache_nothing_of_it_is_loaded_and_the_option_is_taken(sim: Simulator) -> None:
    answer = sim.client().chat(A, "hi", cache=False)
    assert answer.report.cache is None


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0.1}, {"system": "be short"}, {"tools": [TOOL]}, {"max_tokens": 9}, {"extra_body": {"x": 1}}, {"user": "u2"},
        {"extra_headers": {"x-a": "1"}}, {"extra_query": {"q": "1"}}, {"seed": 3}, {"stop": ["."]}, {"response_format": {"type": "json_object"}},
        {"messages": [{"role": "user", "content": "hi", "name": "ann"}]}, {"messages": "hi "}, {"tenant": "acme"},
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "hi"}]},
    ],
    ids=str,
)  # fmt: skip
def test_whatever_differs_is_another_question(sim: Simulator, other: dict[str, Any]) -> None:
    client = sim.client(cache="memory", unsupported="ignore")
    client.chat(A, "hi")
    client.chat(A, **{"messages": "hi", **other})
    assert len(sim.requests) == 2
    client.chat(A, **{"messages": "hi", **other})
    assert len(sim.requests) == (3 if "response_format" in other else 2)  # an answer that is not the JSON asked for is not kept


def test_another_target_is_another_question(sim: Simulator) -> None:
    client = sim.client(cache="memory")
    for model in (A, B, "groq/llama-3.1-8b-instant", "openai:responses/gpt-5-mini"):
        client.chat(model, "hi")
    assert len(sim.requests) == 4


def test_ways_to_say_the_same_are_one_question(sim: Simulator) -> None:
    client = sim.client(cache="memory")
    client.chat(A, "hi", max_tokens=5)
    client.chat(A, [{"role": "user", "content": "hi"}], max_completion_tokens=5)
    client.chat(A, messages=[{"role": "user", "parts": [{"type": "text", "text": "hi"}]}], max_tokens=5, timeout=9, tags="x")
    assert len(sim.requests) == 1


def test_another_spec_is_another_question(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.cache.memory import MemoryStore

    store = MemoryStore()
    sim.client(cache=store).chat(A, "hi")
    sim.client(cache=store).chat(A, "hi")
    assert len(sim.requests) == 1
    monkeypatch.setattr(Specs, "digest", lambda self, operation: "changed")
    sim.client(cache=store).chat(A, "hi")
    assert len(sim.requests) == 2


def test_a_digest_tells_specs_apart_and_patches_of_models() -> None:
    catalog = engine.Client().catalog
    specs = Specs(catalog)

    def digest(model: str, operation: str = "chat") -> str:
        return specs.digest(catalog.operation(model, operation, settings={"api_key": "k"}))

    found = [digest(A), digest(B), digest("openai:responses/gpt-5-mini"), digest("openai/text-embedding-3-small", "embeddings")]
    assert len(set(found)) == 4 and digest(A) == found[0] == Specs(catalog).digest(catalog.operation(A, settings={"api_key": "k"}))


def test_streams_and_whole_answers_share_entries(sim: Simulator) -> None:
    client = sim.client(cache="memory")
    with client.chat.stream(A, "hi") as stream:
        fresh = list(stream)
    whole = client.chat(A, "hi")
    with client.chat.stream(A, "hi") as stream:
        told = list(stream)
    assert len(sim.requests) == 1 and whole.text == "answer to hi"
    assert "".join(e.text for e in told if e.kind == "text") == "".join(e.text for e in fresh if e.kind == "text")
    assert told[0].kind == "start" and told[-1].kind == "end" and told[-1].response.text == stream.response.text == "answer to hi"
    assert stream.response.report.cache and stream.response.report.cache["hit"]
    assert next(e for e in told if e.kind == "finish").reason == "stop"


def test_a_stream_that_was_left_is_not_kept(sim: Simulator) -> None:
    client = sim.client(cache="memory")
    with client.chat.stream(A, "a long answer with many words " * 20) as stream:
        next(event for event in stream if event.kind == "text")
    assert not len(client._cache.flights) and client._cache.store.stats()["entries"] == 0  # type: ignore[union-attr]
    client.chat(A, "a long answer with many words " * 20)
    assert len(sim.requests) == 2


@pytest.mark.parametrize(
    "fault", ["s_cut_clean", "s_cut_rst", "s_error_openai_style", "u_400_once", "u_truncated_json", "u_empty_200"]
)
def test_errors_and_pieces_are_not_kept(fault: str) -> None:
    with Simulator(counted, fault) as sim:
        client = sim.client(cache="memory", attempts=1)
        with pytest.raises(Error):
            client.chat.stream(A, "hi").finish() if fault[0] == "s" else client.chat(A, "hi")
        assert client._cache.store.stats()["entries"] == 0 and not len(client._cache.flights)  # type: ignore[union-attr]


@pytest.mark.parametrize("finish, kept", [("stop", True), ("length", False), ("content_filter", False), ("error", False)])
def test_answers_that_were_cut_are_not_kept(finish: str, kept: bool) -> None:
    with Simulator([{"say": ["some text", {"finish": finish}]}]) as sim:
        client = sim.client(cache="memory")
        answer = client.chat(A, "hi")
        assert answer.report.cache and answer.report.cache["kept"] is kept and (kept or finish in answer.report.cache["why"])


def test_calls_of_tools_are_kept_with_their_arguments() -> None:
    with Simulator([{"say": [{"tool_call": {"name": "weather", "arguments": {"city": "Bangor"}}}]}]) as sim:
        client = sim.client(cache="memory")
        first, again = (client.chat(A, "weather?", tools=[TOOL]) for _ in range(2))
        assert (
            len(sim.requests) == 1 and again.tool_calls[0].arguments == {"city": "Bangor"} and again.tool_calls == first.tool_calls
        )
        assert again.tool_calls[0] is again.parts[0]
        with client.chat.stream(A, "weather?", tools=[TOOL]) as stream:
            ends = [e for e in stream if e.kind == "tool_call_end"]
        assert ends[0].arguments == {"city": "Bangor"} and ends[0].name == "weather" and len(sim.requests) == 1


def test_what_a_caller_parses_is_parsed_anew() -> None:
    from dataclasses import dataclass

    @dataclass
    class City:
        name: str

    with Simulator([{"say": '{"name": "Bangor"}'}]) as sim:
        client = sim.client(cache="memory")
        first, again = (client.chat(B, "where?", response_format=City) for _ in range(2))
        assert len(sim.requests) == 1 and first.parsed == again.parsed == City("Bangor") and first.parsed is not again.parsed


def test_an_answer_belongs_to_who_got_it(sim: Simulator) -> None:
    client = sim.client(cache="memory")
    client.chat(A, "hi").choices[0].parts[0].text = "spoiled"
    client.chat(A, "hi").choices[0].text = "spoiled"
    assert client.chat(A, "hi").text == "answer to hi"


def test_wishes_of_a_call(sim: Simulator) -> None:
    clock = FakeClock()
    client = sim.client(cache={"store": "memory", "ttl": 100}, clock=clock)
    client.chat(A, "hi", cache=False)
    client.chat(A, "hi", cache={"store": False})
    assert len(sim.requests) == 2
    client.chat(A, "hi")
    clock.now += 60
    assert client.chat(A, "hi").report.cache["age"] == 60 and len(sim.requests) == 3  # type: ignore[index]
    client.chat(A, "hi", cache={"max_age": 30})  # too old for this one, whose answer takes its place
    assert len(sim.requests) == 4 and client.chat(A, "hi").report.cache["age"] == 0  # type: ignore[index]
    client.chat(A, "hi", cache={"refresh": True})
    assert len(sim.requests) == 5
    clock.now += 101
    client.chat(A, "hi", cache={"ttl": 5})
    clock.now += 6
    client.chat(A, "hi", cache={"store": False})
    assert len(sim.requests) == 7


@pytest.mark.parametrize("wish", [1, "yes", {"ttl": 0}, {"ttl": True}, {"age": 3}, {"refresh": "x"}])
def test_wishes_nobody_understands(sim: Simulator, wish: Any) -> None:
    with pytest.raises(ConfigError):
        sim.client(cache="memory").chat(A, "hi", cache=wish)
    assert not sim.requests


@pytest.mark.parametrize(
    "given", [{"tll": 3}, {"ttl": -1}, {"share": "yes"}, {"operations": ["chats"]}, {"entries": 0}, {"semantic": {"threshold": 1}},
              {"semantic": {"model": "a/b", "threshold": 2}}, 7, {"store": "redis://127.0.0.1:1/0"}, {"store": "memory", "secret": "short"}, ""],
)  # fmt: skip
def test_caches_that_make_no_sense(given: Any) -> None:
    with pytest.raises(ConfigError):
        engine.Client(cache=given)


def test_embeddings_are_kept_piece_by_piece(sim: Simulator) -> None:
    client = sim.client(cache="memory")
    texts = [f"text {i}" for i in range(3)]
    model = "openai/text-embedding-3-small"
    first, again = (client.embeddings(model, texts) for _ in range(2))
    assert len(sim.requests) == 1 and first.embeddings == again.embeddings and again.report.cache and again.report.cache["hit"]
    many = [f"text {i}" for i in range(3000)]
    assert client.embeddings(model, many).report.cache["hits"] == 0  # type: ignore[index]
    asked = len(sim.requests)
    assert client.embeddings(model, many).report.cache["hit"] and len(sim.requests) == asked  # type: ignore[index]


def test_only_operations_whose_answer_lasts(sim: Simulator) -> None:
    client = sim.client(cache="memory")
    assert [len(client.list_models("openai").report.cache or {}) for _ in range(2)] == [0, 0]
    client = sim.client(cache={"store": "memory", "operations": ["embeddings"]})
    client.chat(A, "hi")
    client.chat(A, "hi")
    assert len(sim.requests) == 4


def test_routes_keep_an_answer_under_the_target_that_gave_it() -> None:
    """RELIABILITY F2."""
    with Simulator(counted) as sim:
        client = sim.client(cache="memory", routes={"smart": [A, B]})
        client.chat("smart", "hi")
        again = client.chat("smart", "hi")
        assert len(sim.requests) == 1 and again.report.route and again.report.route["chosen"] == A and again.report.cache["hit"]  # type: ignore[index]
        assert client.chat(A, "hi").report.cache["hit"] and not client.chat(B, "hi").report.cache["hit"]  # type: ignore[index]


def test_hits_take_no_turn_no_budget_and_leave_a_row(sim: Simulator) -> None:
    from engine.ledger.store import SqliteLedger

    ledger = SqliteLedger(":memory:")
    options: dict[str, Any] = {
        "rates": {"groq": {"requests": "1/hour"}},
        "budgets": [{"usd": 1}],
        "ledger": ledger,
        "journal": ":memory:",
    }
    client = sim.client(cache="memory", **options)
    for _ in range(3):
        client.chat(A, "hi", max_tokens=20, timeout=5)
    rows = client.journal.calls()
    assert [row["cached"] for row in rows] == [0, 1, 1] and rows[0]["cost"] and rows[1]["cost"] == 0
    assert ledger.spent("total:all") == (rows[0]["cost"], 0)


def test_the_async_client_does_the_same(sim: Simulator) -> None:
    async def run() -> None:
        async with sim.async_client(cache="memory") as client:
            await client.chat(A, "hi")
            again = await client.chat(A, "hi")
            assert again.report.cache["hit"] and again.cost == 0  # type: ignore[index]
            async with client.chat.stream(A, "hi") as stream:
                assert "".join([piece async for piece in stream.text_stream]) == "answer to hi"
            assert stream.response.report.cache["hit"]  # type: ignore[index]

    asyncio.run(run())
    assert len(sim.requests) == 1


def test_who_listens_is_told(sim: Simulator) -> None:
    seen: list[Any] = []
    client = sim.client(cache="memory")
    client.on("cache_asked", seen.append)
    client.chat(A, "a private question", tenant="acme")
    client.chat(A, "a private question", tenant="acme")
    assert [(e.did, e.store, e.source) for e in seen] == [
        ("miss", "memory", None),
        ("kept", "memory", None),
        ("hit", "memory", "memory"),
    ]
    assert seen[2].age is not None and seen[2].tenant == "acme" and "private" not in str([e.to_dict() for e in seen])


ASKED: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
                          {"role": "tool", "content": "3"}], "tools": [{"name": "f", "parameters": {"type": "object"}}]},
    "embeddings": {"input": ["a"]}, "rerank": {"query": "a", "documents": ["b"]}, "speech": {"text": "a", "voice": "x"},
}  # fmt: skip


@pytest.mark.parametrize("operation", ASKED)
def test_a_question_has_one_name_whoever_is_asked(operation: str) -> None:
    """Nothing that changes from call to call (times, made-up ids, boundaries) is part of it, and nothing of how it is streamed."""
    from types import SimpleNamespace

    from engine.cache.key import key_of, question_of
    from engine.catalog import Catalog
    from engine.examples.given import dummy_settings
    from engine.types import Report

    catalog = Catalog()
    specs = Specs(catalog)
    found: dict[str, str] = {}
    for provider in [p for p in catalog.provider_ids() if operation in catalog.plan(p).operations][::9]:
        bound = catalog.operation(f"{provider}/m", operation, settings=dummy_settings(catalog.plan(provider)))
        keys = set()
        for stream in (False, False, *([True] if bound.plan.stream is not None else [])):
            context = bound.context({**ASKED[operation], **({"stream": True} if stream else {})}, Report(), "ignore")
            call: Any = SimpleNamespace(operation=bound, request=None, context=context)
            keys.add(key_of("scope", question_of(call, specs.digest(bound))))
        assert len(keys) == 1 and None not in keys, provider
        found[provider] = str(keys.pop())
    assert len(set(found.values())) == len(found) > 1


def test_sounds_are_kept_as_bytes() -> None:
    import httpx

    sent: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        if request.url.path.endswith("transcriptions"):
            return httpx.Response(200, json={"text": "spoken"})
        return httpx.Response(200, content=b"\x00\xffsound", headers={"content-type": "audio/mpeg"})

    client = engine.Client(providers={"openai": {"api_key": "k" * 20}}, transport=httpx.MockTransport(handle), cache="memory")
    first, again = (client.speech("openai/gpt-4o-mini-tts", "hi", voice="alloy") for _ in range(2))
    assert again.report.cache["hit"] and again.outputs == first.outputs and len(sent) == 1  # type: ignore[index]
    sound = b"RIFFxxxxWAVE" + bytes(100)
    heard, again = (client.transcription("openai/whisper-1", sound) for _ in range(2))
    assert again.report.cache["hit"] and again.text == heard.text == "spoken" and len(sent) == 2  # type: ignore[index]
    client.transcription("openai/whisper-1", sound + b"1")
    assert len(sent) == 3
