"""RELIABILITY F7: nobody early, nearly everything used, tenants in turn, everything given back once."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import engine
from engine.reliability.limiter import MARGIN, Limiter, Ticket
from engine.testing import Simulator
from tests.routing.targets import A, B, Several


def grant_times(rates: dict[str, Any], callers: int, tenants: int = 1, tokens: float = 10.0) -> list[tuple[float, str]]:
    """When each of that many callers who come at once is let through, on a clock of the test's own."""
    limiter = Limiter(rates)
    waiting = [Ticket(limiter, ("p", "m", 0), tokens, f"t{i % tenants}") for i in range(callers)]
    now, times = 0.0, []
    while waiting:
        waits = [limiter.ask(ticket, now) for ticket in waiting]
        times += [(now, t.tenant) for t in waiting if t.granted]
        waiting = [t for t in waiting if not t.granted]
        now += max(0.001, min((w for w in waits if w > 0), default=0.001))
    return times


@pytest.mark.parametrize(("rate", "amount", "period"), [("50/s", 50, 1.0), ("120/min", 120, 60.0), ("7/2s", 7, 2.0)])
def test_200_callers_none_early_and_nearly_all_of_the_rate_used(rate: str, amount: int, period: float) -> None:
    times = [at for at, _ in grant_times({"p": {"requests": rate}}, 200)]
    early = [i for i in range(amount, 200) if times[i] - times[i - amount] < period]
    assert not early
    rounds = (200 - 1) // amount
    assert times[-1] <= rounds * period / 0.95


def test_tokens_are_reserved_and_settled() -> None:
    limiter = Limiter({"p": {"tokens": "100/min"}})
    first, second = (Ticket(limiter, ("p", "m", 0), 80.0, "") for _ in range(2))
    assert limiter.ask(first, 0.0) == 0 and limiter.ask(second, 0.0) > 60
    limiter.settle(first, 1.0, 15.0)
    assert second.granted  # what was not used is there for the next
    limiter.settle(second, 1.0, None)
    assert limiter.ask(Ticket(limiter, ("p", "m", 0), 80.0, ""), 1.0) > 0


def test_models_of_one_provider_do_not_block_each_other() -> None:
    limiter = Limiter({"p/slow": {"concurrency": 1}, "p": {"requests": "100/min"}})
    slow, waiting, fast = (Ticket(limiter, ("p", m, 0), 1.0, "") for m in ("slow", "slow", "fast"))
    assert [limiter.ask(t, 0.0) for t in (slow, waiting, fast)] == [0.0, float("inf"), 0.0]
    woken = []
    waiting.wake = lambda: woken.append(1)
    limiter.settle(slow, 1.0)
    assert waiting.granted and woken == [1]


def test_tenants_take_turns_and_each_keeps_its_order() -> None:
    limiter = Limiter({"p": {"concurrency": 1}})
    running = Ticket(limiter, ("p", "m", 0), 1.0, "loud")
    limiter.ask(running, 0.0)
    loud = [Ticket(limiter, ("p", "m", 0), 1.0, "loud") for _ in range(20)]
    for ticket in loud:
        limiter.ask(ticket, 0.0)
    quiet = [Ticket(limiter, ("p", "m", 0), 1.0, "quiet") for _ in range(2)]
    for ticket in quiet:
        limiter.ask(ticket, 0.0)
    served: list[Ticket] = []
    for _ in range(22):
        limiter.settle(running, 0.0)
        running = next(t for t in [*loud, *quiet] if t.granted and t not in served)
        served.append(running)
    assert max(served.index(t) for t in quiet) <= 4
    assert [t for t in served if t.tenant == "loud"] == loud


def test_the_queue_has_an_end() -> None:
    limiter = Limiter({"p": {"concurrency": 1}})
    tickets = [Ticket(limiter, ("p", "m", 0), 1.0, "") for _ in range(1001)]
    for ticket in tickets:
        limiter.ask(ticket, 0.0)
    with pytest.raises(engine.errors.LocalLimitError, match="1000 callers"):
        limiter.ask(Ticket(limiter, ("p", "m", 0), 1.0, ""), 0.0)


def test_a_caller_whose_turn_would_come_too_late_is_refused_at_once() -> None:
    with Several() as several, several.client(rates={"groq": {"requests": "1/min"}}) as client:
        client.chat(A, "hi")
        began = time.monotonic()
        with pytest.raises(engine.errors.LocalLimitError) as caught:
            client.chat(A, "hi", timeout=20)
        assert time.monotonic() - began < 1 and 55 < caught.value.retry_after < 60 * MARGIN + 1
        assert client.chat(engine.Route([A, B]), "hi").provider == "openai"


def test_every_place_is_given_back_however_a_call_ends() -> None:
    rates = {"groq": {"concurrency": 2, "requests": "1000/s"}}
    with Several(groq="u_500_echo") as several, several.client(rates=rates, attempts=1) as client:
        for _ in range(5):
            with pytest.raises(engine.errors.ServerError):
                client.chat(A, "hi")
        with client.chat.stream(B, "hi") as stream:
            next(stream)
        scopes = client._gate.limiter.scopes("groq", A.partition("/")[2], 0)
        assert [scope.running for scope in scopes] == [0]

    async def cancelled(several: Several) -> None:
        async with several.async_client(rates={"groq": {"concurrency": 1}}) as client:
            held = [asyncio.ensure_future(client.chat(A, "hi")) for _ in range(8)]
            await asyncio.sleep(0.1)
            for task in held:
                task.cancel()
            assert all(isinstance(e, asyncio.CancelledError) for e in await asyncio.gather(*held, return_exceptions=True))
            assert [s.running for s in client._gate.limiter.scopes("groq", A.partition("/")[2], 0)] == [0]
            assert not client._gate.limiter._queues and client.health(A)[A]["in_flight"] == 0

    with Several(groq="u_slow_headers") as several:
        asyncio.run(cancelled(several))


def test_keys_with_limits_of_their_own_share_the_load() -> None:
    rates = {"groq": {"requests": "2/min", "per_key": True}}
    keys = {"groq": {"api_key": [f"key-number-{n}-0123456789" for n in range(3)]}}
    with Several() as several, several.client(rates=rates, providers=keys) as client:
        for _ in range(6):
            client.chat(A, "hi")
        used = [r.headers["authorization"] for r in several.sims["groq"].requests]
        assert sorted(used.count(key) for key in set(used)) == [2, 2, 2]
        with pytest.raises(engine.errors.LocalLimitError):
            client.chat(A, "hi", timeout=5)


def test_threads_wait_for_each_other() -> None:
    most = now = 0
    lock = threading.Lock()

    def say(request: Any) -> Any:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return "ok"

    with Simulator(say) as sim, ThreadPoolExecutor(12) as pool:
        client = sim.client(rates={"groq": {"concurrency": 3}})
        assert len(list(pool.map(lambda _: client.chat(A, "hi"), range(24)))) == 24
    assert most <= 3


@pytest.mark.parametrize(
    ("rates", "word"),
    [({"p": {"request": "1/s"}}, "requests"), ({"p": {"requests": "fast"}}, "60/min"), ({"p": {"concurrency": 0}}, "concurrency")],
)
def test_wrong_rates_are_refused(rates: Any, word: str) -> None:
    with pytest.raises(engine.errors.ConfigError, match=word):
        engine.Client(rates=rates)
