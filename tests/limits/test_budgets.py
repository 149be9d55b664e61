"""Budgets hold before money is spent: with many callers at once, over processes, whatever a call comes to."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.ledger.budget import Budget, Spender, ends_in, nano, usd
from engine.ledger.opening import opened
from tests.limits.stores import Store
from tests.routing.targets import A, B, Several

PRICES = {"openai/*": {"input": 1, "output": 10}, "groq/*": {"input": 100, "output": 1000}}


@pytest.mark.parametrize("way", ["threads", "tasks"])
def test_200_callers_on_a_nearly_spent_budget_overspend_nothing(way: str, store: Store) -> None:
    ledger = opened(store.place())
    budget = {"usd": "0.0105", "per": "total"}
    said: dict[str, Any] = {"budgets": budget, "ledger": ledger, "prices": PRICES}
    answers: list[Any] = []
    with Several() as several:
        if way == "threads":
            client = several.client(**said)

            def one(_: int) -> Any:
                try:
                    return client.chat(B, "hi", max_tokens=100)
                except engine.errors.LocalLimitError as error:
                    return error

            with ThreadPoolExecutor(64) as pool:
                answers = list(pool.map(one, range(200)))
        else:

            async def run() -> list[Any]:
                async with several.async_client(**said) as client:
                    calls = [client.chat(B, "hi", max_tokens=100) for _ in range(200)]
                    return await asyncio.gather(*calls, return_exceptions=True)

            answers = asyncio.run(run())
    made = [a for a in answers if isinstance(a, engine.Response)]
    with Several() as several, several.client(**said) as client, pytest.raises(engine.errors.LocalLimitError):
        for _ in range(200):  # one after another until the next one might cost too much
            made.append(client.chat(B, "hi", max_tokens=100))
    assert all(isinstance(a, (engine.Response, engine.errors.LocalLimitError)) for a in answers)
    spent, reserved = ledger.spent("total:all")
    assert reserved == 0 and usd(spent) == sum(a.cost for a in made) and 0 < len(made) < 200
    assert spent <= nano(Decimal("0.0105"))
    assert nano(Decimal("0.0105")) - spent < nano(Decimal("0.0019"))  # what is left is less than one more call could cost


def test_one_budget_over_two_processes(store: Store) -> None:
    place = store.place()
    opened(place).close()
    script = (
        "import json, sys; from engine.ledger.opening import opened\n"
        "ledger = opened(json.loads(sys.argv[1])); won = 0\n"
        "for i in range(300):\n"
        "    if ledger.reserve(f'{sys.argv[2]}-{i}', [('c', 300)], 1) is None:\n"
        "        won += 1; ledger.settle(f'{sys.argv[2]}-{i}', 1)\n"
        "ledger.close(); print(won)\n"
    )
    root = str(Path(engine.__file__).parents[1])
    running = [
        subprocess.Popen([sys.executable, "-c", script, json.dumps(place), name], cwd=root, stdout=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    won = sum(int(process.communicate(timeout=60)[0]) for process in running)
    assert won == 300 and opened(place).spent("c") == (300, 0)


def test_a_reservation_is_settled_once_and_one_given_up_is_never_made(store: Store) -> None:
    ledger = opened(store.place())
    assert ledger.reserve("x", [("c", 10), ("d", 5)], 5) is None
    assert ledger.reserve("y", [("c", 10), ("d", 5)], 1) == ("d", 0)
    assert ledger.spent("c") == (0, 5)
    ledger.settle("x", 3)
    ledger.settle("x", 3)
    assert (ledger.spent("c"), ledger.spent("d")) == ((3, 0), (3, 0))
    ledger.settle("z", 0)  # its caller went away while it waited for the lock
    assert ledger.reserve("z", [("c", 10)], 5) is None and ledger.spent("c") == (3, 0)


def test_whose_calls_a_budget_counts() -> None:
    at = 1_795_000_000.0  # 2026-11-18T11:06:40Z, a Wednesday
    call = Spender("p", "m-large", "chat", "smart", "acme", ("team:search", "job:7"))
    assert list(Budget.of({"usd": 1, "per": "day"}).counters(call, at)) == ["day:2026-11-18"]
    assert list(Budget.of({"usd": 1, "per": "week"}).counters(call, at)) == ["week:2026-11-16"]
    assert list(Budget.of({"usd": 1, "per": "month", "tag": "team:*"}).counters(call, at)) == ["month:2026-11;tag=team:search"]
    assert list(Budget.of({"usd": 1, "route": "smart", "model": "p/m-*"}).counters(call, at)) == [
        "total:all;route=smart;model=p/m-large"
    ]
    assert list(Budget.of({"usd": 1, "tenant": "other"}).counters(call, at)) == []
    assert list(Budget.of({"usd": 1, "tag": "x"}).counters(call, at)) == []
    for wrong in ({"usd": 1, "per": "minute"}, {"per": "day"}, {"usd": 1, "tags": "x"}, {"usd": -1}):
        with pytest.raises(engine.errors.ConfigError):
            Budget.of(wrong)


def test_a_route_goes_to_the_target_its_budget_still_allows() -> None:
    budgets = [{"usd": "0.001", "per": "day", "provider": "groq"}, {"usd": 1, "per": "day"}]
    with Several() as several, several.client(budgets=budgets, prices=PRICES) as client:
        answer = client.chat(engine.Route([A, B]), "hi", max_tokens=50, tags={"team": "search"})
        assert answer.provider == "openai" and several.asked("groq") == 0
        assert client._ledger.spent(
            next(iter(Budget.of(budgets[1]).counters(Spender("openai", "", "chat"), client._clock.time())))
        )[0]


def test_what_may_have_been_billed_stays_charged_and_what_was_not_is_given_back() -> None:
    budget = {"usd": 1, "per": "total"}
    said: dict[str, Any] = {"budgets": budget, "prices": PRICES, "attempts": 1}
    with Several(openai="u_reset_in_body", groq="u_503_always") as several, several.client(**said) as client:
        with pytest.raises(engine.errors.OverloadedError):
            client.chat(A, "hi", max_tokens=50)
        assert client._ledger.spent("total:all") == (0, 0)
        with pytest.raises(engine.errors.ConnectionError):
            client.chat(B, "hi", max_tokens=50)
        spent, reserved = client._ledger.spent("total:all")
        assert reserved == 0 and spent >= nano(Decimal("0.0005"))


def test_a_closed_stream_gives_back_what_it_reserved() -> None:
    with Several() as several, several.client(budgets={"usd": 1}, prices=PRICES) as client:
        with client.chat.stream(B, "hi", max_tokens=50) as stream:
            next(stream)
            assert client._ledger.spent("total:all")[1] > 0
        spent, reserved = client._ledger.spent("total:all")
        assert reserved == 0 and spent > 0  # content was delivered: it may have been billed


def test_a_price_nobody_knows_is_refused_unless_the_budget_allows_it() -> None:
    unknown = "groq/no-such-model-has-a-price"
    with Several() as several:
        with several.client(budgets={"usd": 1}) as client, pytest.raises(engine.errors.LocalLimitError, match="not known"):
            client.chat(unknown, "hi")
        with several.client(budgets={"usd": 1, "unpriced": "allow"}) as client:
            assert client.chat(unknown, "hi").text


def test_the_ledger_survives_threads_and_a_torn_process(store: Store) -> None:
    place = store.place()
    ledger = opened(place)
    done = threading.Barrier(8)

    def spend(n: int) -> None:
        done.wait()
        for i in range(40):
            if ledger.reserve(f"{n}-{i}", [("c", 1000)], 10) is None:
                ledger.settle(f"{n}-{i}", 7)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(spend, range(8)))
    spent, reserved = ledger.spent("c")
    assert reserved == 0 and 990 < spent <= 1000
    ledger.reserve("torn", [("d", 1000)], 10)
    again = opened(place)  # the first never settles: its reservation goes on counting
    assert again.spent("d") == (0, 10)
    if isinstance(place, str):
        assert sqlite3.connect(place).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_small_budget_may_set_aside_what_is_likely() -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 40  # 1,800 bytes, some 450 tokens
    price = {"openai/*": {"input": 1000, "output": 1}}  # a token of input is 0.001 USD
    with Several() as several:
        with several.client(budgets={"usd": 1}, prices=price) as client, pytest.raises(engine.errors.LocalLimitError):
            client.chat(B, text, max_tokens=9)
        with several.client(budgets={"usd": 1, "reserve": "likely"}, prices=price) as client:
            answer = client.chat(B, text, max_tokens=9)
            spent, reserved = client._ledger.spent("total:all")
            assert usd(spent) == answer.cost and reserved == 0  # what it was is settled to the last digit
    with pytest.raises(engine.errors.ConfigError, match="likely"):
        Budget.of({"usd": 1, "reserve": "some"})


@pytest.mark.parametrize(
    ("per", "left"), [("hour", 3_200), ("day", 46_400), ("week", 392_000), ("month", 1_083_200), ("total", None)]
)
def test_a_refusal_says_when_there_will_be_money_again(per: str, left: float | None) -> None:
    at = 1_795_000_000.0  # 2026-11-18T11:06:40Z, a Wednesday
    assert ends_in(per, at) == left
    with Several() as several, several.client(budgets={"usd": "0.0000001", "per": per}, prices=PRICES) as client:
        with pytest.raises(engine.errors.LocalLimitError) as caught:
            client.chat(B, "hi", max_tokens=50)
        assert caught.value.code == "budget" and (caught.value.retry_after is None) == (left is None)


def test_a_ledger_that_cannot_be_written_holds_budgets_and_loses_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.ledger.store.BUSY", 0.05)
    path, other = tmp_path / "spend.sqlite", None
    with Several() as several, several.client(budgets={"usd": 1}, ledger=path, prices=PRICES, journal=False) as client:
        other = sqlite3.connect(path, isolation_level=None)
        stream = client.chat.stream(B, "hi", max_tokens=50)
        next(stream)  # its money is set aside
        other.execute("BEGIN EXCLUSIVE")
        assert stream.finish().text == "Hello from openai."
        with pytest.raises(engine.errors.LocalLimitError, match="cannot be written") as caught:
            client.chat(B, "hi", max_tokens=50)
        assert caught.value.code == "ledger" and several.asked("openai") == 1
        other.execute("ROLLBACK")
        assert client.chat(B, "hi", max_tokens=50).text
        spent, reserved = client._ledger.spent("total:all")
        assert reserved == 0 and usd(spent) == 2 * stream.response.cost  # the first was written with the second
