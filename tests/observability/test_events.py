"""What listeners are told of calls: everything that happened, nothing that was said, and never at the cost of a call."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

import engine
from engine import errors, events
from engine.reliability.health import Health
from tests.client.test_jobs import DONE, RUNNING, SPEC, Server
from tests.routing.targets import A, B, Several
from tests.routing.test_continue import MODEL, Broken, simulator
from tests.routing.test_hedge import SLOW, Slow, measured

PROMPT = "the quokka is a small macropod"
ROUTE = engine.Route([A, B], name="smart")


def names(seen: list[Any]) -> list[str]:
    return [event.name for event in seen]


def watched(client: Any, name: str = "*", **options: Any) -> list[Any]:
    seen: list[Any] = []
    client.on(name, seen.append, **options)
    return seen


def test_a_call_tells_who_how_long_and_how_much() -> None:
    with Several() as several, several.client() as client:
        seen = watched(client)
        answer = client.chat(B, PROMPT, max_tokens=50, temperature=0.5, tenant="acme", tags={"team": "search"})
    assert names(seen) == ["call_started", "attempt_ended", "call_ended"]
    begun, attempt, ended = seen
    assert len({event.call for event in seen}) == 1 and begun.at <= ended.at
    assert (begun.provider, begun.model, begun.operation) == ("openai", B.partition("/")[2], "chat")
    assert begun.settings == {"max_tokens": 50, "temperature": 0.5} and begun.origin.startswith("http://127.0.0.1:")
    assert (begun.tenant, begun.tags) == ("acme", ("team:search",))
    assert (attempt.number, attempt.kind, attempt.status) == (1, "ok", None) and attempt.seconds > 0
    assert ended.kind == "ok" and ended.seconds >= attempt.seconds and ended.finish_reasons == ("stop",)
    assert ended.usage["input_tokens"] == answer.usage.input_tokens and ended.cost == answer.cost
    assert ended.response_id == answer.id and ended.attempts == tuple(answer.report.attempts) and ended.first_event is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        ended.kind = "other"
    assert json.loads(json.dumps([event.to_dict() for event in seen]))[2]["name"] == "call_ended"
    assert PROMPT not in repr(seen) and answer.text not in repr(seen)


def test_both_clients_whole_and_streamed_tell_the_same() -> None:
    def told(seen: list[Any]) -> list[Any]:
        return [(e.name, getattr(e, "kind", None), e.provider) for e in seen]

    def streamed(client: Any) -> None:
        with client.chat.stream(A, PROMPT) as stream:
            list(stream)

    async def run(several: Several) -> list[list[Any]]:
        out = []
        async with several.async_client() as client:
            out.append(watched(client))
            await client.chat(A, PROMPT)
        async with several.async_client() as client:
            out.append(watched(client))
            async for _ in client.chat.stream(A, PROMPT):
                pass
        return out

    with Several() as several:
        sync = []
        for do in (lambda c: c.chat(A, PROMPT), streamed):
            with several.client() as client:
                sync.append(watched(client))
                do(client)
        both = asyncio.run(run(several))
    assert [told(seen) for seen in sync] == [told(seen) for seen in both]
    assert names(sync[1]) == ["call_started", "first_event", "attempt_ended", "call_ended"]
    assert sync[1][-1].first_event == pytest.approx(sync[1][1].seconds, abs=1e-5) and sync[1][-1].stream


def test_a_route_tells_of_its_fallback_and_of_its_decisions() -> None:
    with Several(groq="u_503_always") as several, several.client(attempts=1) as client:
        seen = watched(client)
        client.chat(ROUTE, PROMPT)
    assert names(seen) == ["call_started", "attempt_ended", "fallback", "attempt_ended", "route_decided", "call_ended"]
    begun, failed, fallback, _, decided, ended = seen
    assert (begun.provider, begun.route) == (None, "smart") and (failed.kind, failed.status) == ("overloaded", 503)
    assert (fallback.left, fallback.after, fallback.provider) == (A, "overloaded", "openai")
    assert decided.record["route"]["name"] == "smart" and PROMPT not in json.dumps(decided.record, default=repr)
    assert (ended.provider, ended.kind, len(ended.attempts)) == ("openai", "ok", 2)


def test_a_failing_provider_is_told_by_retry_breaker_and_end() -> None:
    with Several(openai="u_503_always") as several, several.client(limits={"attempts": 2}) as client:
        seen = watched(client)
        client._clock.random = lambda least, most: least  # type: ignore[method-assign]
        for _ in range(3):
            with pytest.raises(errors.OverloadedError):
                client.chat(B, PROMPT)
    assert names(seen)[:5] == ["call_started", "attempt_ended", "retry_waiting", "attempt_ended", "call_ended"]
    assert (seen[2].after, seen[2].number, seen[4].kind, seen[4].status) == ("overloaded", 1, "overloaded", 503)
    assert names(seen).count("breaker_opened") == 1 and names(seen)[-2:] == ["breaker_opened", "call_ended"]


def test_refusals_are_told_though_nothing_was_sent() -> None:
    with Several() as several, several.client(budgets={"usd": "0.0000001"}) as client:
        seen = watched(client)
        with pytest.raises(errors.LocalLimitError):
            client.chat(B, PROMPT, max_tokens=100)
        with pytest.raises(errors.Error):
            client.chat("nobody/at-all", PROMPT)
        assert several.asked("openai") == 0
    assert names(seen) == ["call_started", "budget_refused", "call_ended", "call_started", "call_ended"]
    assert seen[1].wanted > seen[1].left and (seen[2].kind, seen[4].provider) == ("local_limit", None)


def test_a_refused_key_of_a_route_is_told() -> None:
    with Several(groq={"kind": "authentication"}) as several, several.client() as client:
        seen = watched(client, "key_refused")
        client.chat(ROUTE, PROMPT)
    assert [(event.provider, event.kind) for event in seen] == [("groq", "authentication")]


def test_a_stream_that_is_left_is_cancelled_unless_it_had_ended() -> None:
    with Several() as several, several.client() as client:
        seen = watched(client, "call_ended")
        with client.chat.stream(B, PROMPT) as stream:
            next(stream)
        with client.chat.stream(B, PROMPT) as stream:
            for event in stream:
                if event.kind == "end":
                    break
    assert [event.kind for event in seen] == ["cancelled", "ok"] and seen[1].usage["output_tokens"]


def test_a_cancelled_task_tells_its_end() -> None:
    async def run(several: Several) -> list[Any]:
        async with several.async_client() as client:
            seen = watched(client)
            task = asyncio.ensure_future(client.chat(B, PROMPT))
            while not seen:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return seen

    with Several() as several:
        assert asyncio.run(run(several))[-1].kind == "cancelled"


def test_jobs_and_what_is_asked_of_them_are_calls(tmp_path: Any) -> None:
    path = tmp_path / "slow.yaml"
    path.write_text(SPEC)
    settings: dict[str, Any] = {"catalog": [str(path)], "providers": {"slow": {"api_key": "k"}}}
    with engine.Client(transport=httpx.MockTransport(Server(RUNNING, DONE)), **settings) as client:
        seen = watched(client)
        client.video("slow/v1", "A fog.")
        whole = names(seen)
        seen.clear()
        job = client.video.submit("slow/v1", "A fog.")
        job.wait()
    assert whole == ["call_started", *["attempt_ended"] * 4, "call_ended"]
    assert [event.operation for event in seen if event.name == "call_ended"] == ["video", "video"]
    assert "A fog." not in repr(seen)


def test_content_is_for_those_who_ask_and_without_credentials() -> None:
    with Several() as several, several.client() as client:
        quiet, loud = watched(client), watched(client, content=True)
        answer = client.chat(B, f"{PROMPT}; my key is key-of-openai-0123456789")
    assert all(event.content is None for event in quiet if hasattr(event, "content"))
    said = loud[-1].content
    assert PROMPT in said["request"]["messages"] and said["answer"]["choices"][0]["text"] == answer.text
    assert "key-of-openai" not in repr(loud) and loud[0].content["request"] == said["request"]


def test_hits_of_a_cache_are_told() -> None:
    with Several() as several, several.client(cache="memory") as client:
        seen = watched(client)
        for _ in range(2):
            client.chat(B, PROMPT)
        assert several.asked("openai") == 1
    assert names(seen)[-3:] == ["call_started", "cache_asked", "call_ended"]
    hit, ended = seen[-2:]
    assert (hit.did, hit.store, hit.age is not None) == ("hit", "memory", True)
    assert ended.cached and ended.attempts == () and ended.cost == 0 and not seen[-4].cached


def test_an_event_that_cannot_be_made_costs_no_call(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("engine.watching.Watch._origin", lambda self: 1 / 0)
    with Several() as several, several.client() as client:
        seen = watched(client)
        assert client.chat(B, PROMPT).text and names(seen) == ["attempt_ended"]
    assert "ZeroDivisionError" in caplog.text


def test_a_stream_that_broke_tells_the_usage_it_knew() -> None:
    with Several(openai="s_cut_clean") as several, several.client() as client:
        seen = watched(client, "call_ended")
        with pytest.raises(errors.StreamInterruptedError) as caught, client.chat.stream(B, PROMPT) as stream:
            list(stream)
    assert seen[0].kind == "stream_interrupted" and seen[0].first_event is not None
    assert seen[0].usage.get("input_tokens") == caught.value.partial.usage.input_tokens


def test_a_race_tells_who_was_late_and_who_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Health, "late", lambda self, stream, now: 0.25)

    async def run(several: Several) -> list[Any]:
        async with several.async_client() as client:
            await measured(client, engine.Route([A, B], hedge=True))  # one call in twenty may have company
            seen = watched(client)
            await client.chat(engine.Route([A, B], hedge=True, name="route"), SLOW)
            return seen

    with Slow() as several:
        seen = asyncio.run(run(several))
    (hedged,) = [event for event in seen if event.name == "hedged"]
    assert (hedged.late, hedged.provider, hedged.seconds) == (A, "openai", 0.25)
    assert (seen[-1].provider, seen[-1].kind) == ("openai", "ok") and {a["target"] for a in seen[-1].attempts} == {A, B}


def test_a_text_that_is_taken_up_again_is_one_call() -> None:
    with simulator(Broken()) as sim, sim.client() as client:
        seen = watched(client)
        with client.chat.stream(MODEL, PROMPT, on_interrupt="continue") as stream:
            list(stream)
    assert len({event.call for event in seen}) == 1 and names(seen).count("call_started") == names(seen).count("call_ended") == 1
    assert [event.kind for event in seen if event.name == "attempt_ended"] == ["stream_interrupted", "ok"] and seen[-1].kind == "ok"
    assert names(seen).count("first_event") == 2


def test_listeners_come_and_go_and_what_they_raise_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Any) -> None:
        raise ValueError(f"about {PROMPT}")

    with Several() as several, several.client() as client:
        end = client.on("call_ended", broken)
        after = watched(client, "call_ended")
        client.chat(B, PROMPT)
        end()
        client.chat(B, PROMPT)
    assert len(after) == 2 and [record.getMessage() for record in caplog.records if record.name == "llmkit"] == [
        "a listener of call_ended raised ValueError"
    ]
    assert PROMPT not in caplog.text


def test_many_threads_may_begin_to_listen_at_once() -> None:
    client = engine.Client()
    with ThreadPoolExecutor(16) as pool:
        ends = list(pool.map(lambda _: client.on("*", print), range(400)))
        assert client._listeners is not None and {len(told) for told in client._listeners._told.values()} == {400}
        list(pool.map(lambda end: end(), ends))
    assert not client._listeners


@pytest.mark.parametrize("name,said", [("call_end", "did you mean `call_ended`"), ("xyz", "call_started")])
def test_a_name_that_is_no_event_is_refused(name: str, said: str) -> None:
    with pytest.raises(errors.ConfigError, match=said):
        engine.Client().on(name, print)

    async def later(event: Any) -> None: ...

    for wrong in (None, later):
        with pytest.raises(errors.ConfigError, match="plain function"):
            engine.Client().on("call_ended", wrong)  # type: ignore[arg-type]


def test_who_listens_to_nothing_pays_nothing() -> None:
    code = "import engine, sys; c = engine.Client(); c.chat.explain('openai/gpt-5-mini', 'hi', max_tokens=5); " + (
        "print('engine.watching' in sys.modules, 'engine.events' in sys.modules)"
    )
    import subprocess

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["False"] * 2


def test_every_event_is_named_and_documented() -> None:
    assert all(kind.name == name and kind.__doc__ for name, kind in events.EVENTS.items())
    assert {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Happening)} == {
        *events.EVENTS.values(), events.Happening,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _no_keys_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    yield
