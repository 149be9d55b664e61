"""RELIABILITY F6: a second target when the first is late; rare, paid for, and the loser is gone at once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import engine
from engine.reliability.health import Health
from engine.testing import Simulator
from tests.routing.targets import A, B, Several

SLOW = "take your time"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every target is late after a quarter of a second, whatever this machine does meanwhile."""
    monkeypatch.setattr(Health, "late", lambda self, stream, now: 0.25)


def test_late_is_what_95_of_100_are_not() -> None:
    health = Health(lambda least, most: least)
    for i in range(19):
        health.succeeded(100.0 + i, 0.01 * i, None)
    assert health.late(False, 120.0) is None
    for i in range(19, 40):
        health.succeeded(100.0 + i, 0.01 * i, None)
    assert health.late(False, 140.0) == pytest.approx(0.38) and health.late(True, 140.0) is None
    assert health.late(False, 500.0) is None  # what is older than five minutes says nothing


class Slow(Several):
    """Groq is slow when it is told to be; the other says at once who it is."""

    def __enter__(self) -> Several:
        super().__enter__()
        says: list[Any] = [{"when": f"messages[-1].text == '{SLOW}'", "latency": 0.7, "say": "late"}, {"say": "soon"}]
        self.sims["groq"] = self._stack.enter_context(Simulator(says))
        return self


async def measured(client: Any, route: Any, count: int = 30) -> None:
    for _ in range(count):
        await client.chat(route, "hi")


@pytest.mark.usefixtures("known")
def test_a_late_target_gets_company_on_an_event_loop() -> None:
    route = engine.Route([A, B], hedge=True)

    async def run(several: Several) -> tuple[Any, float, dict[str, Any]]:
        async with several.async_client() as client:
            await measured(client, route)
            began = time.monotonic()
            answer = await client.chat(route, SLOW)
            return answer, time.monotonic() - began, client.health(A)

    with Slow() as several:
        answer, seconds, health = asyncio.run(run(several))
    assert answer.text == "Hello from openai." and seconds < 0.65
    kinds = {a["target"]: (a["kind"], a["reason"]) for a in answer.report.attempts}
    assert kinds[A][0] == "cancelled" and kinds[B][0] == "ok" and kinds[B][1].startswith("hedge: ")
    assert answer.report.route["chosen"] == B and health[A]["in_flight"] == 0


@pytest.mark.usefixtures("known")
def test_a_late_target_gets_company_in_threads_and_a_stream_too() -> None:
    route = engine.Route([A, B], hedge=True)
    with Slow() as several, several.client() as client:
        for _ in range(25):
            with client.chat.stream(route, "hi") as stream:
                stream.finish()
        began = time.monotonic()
        with client.chat.stream(route, SLOW) as stream:
            assert "".join(stream.text_stream) == "Hello from openai."
        assert time.monotonic() - began < 0.65 and stream.response.report.route["chosen"] == B


@pytest.mark.usefixtures("known")
def test_hedging_is_rare_and_off_unless_asked_for() -> None:
    route = engine.Route([A, B], hedge=True)

    async def run(several: Several, route: Any, calls: int) -> int:
        async with several.async_client() as client:
            await measured(client, route, 40)
            for _ in range(calls):
                await client.chat(route, SLOW, timeout=30)
        return several.asked("openai")

    with Slow() as several:
        assert 1 <= asyncio.run(run(several, route, 4)) <= 2  # of 44 calls, 5 in 100 are two
    with Slow() as several:
        assert asyncio.run(run(several, engine.Route([A, B]), 1)) == 0


@pytest.mark.usefixtures("known")
def test_a_backup_that_fails_leaves_the_race_to_the_first() -> None:
    route = engine.Route([A, B], hedge=True)

    async def run(several: Several) -> None:
        async with several.async_client(attempts=1) as client:
            await measured(client, route)
            assert (await client.chat(route, SLOW)).text == "late"

    with Slow(openai={"kind": "invalid_request"}) as several:
        asyncio.run(run(several))  # the backup refused it: the slow one still answers
        assert several.asked("openai") == 1
