"""RELIABILITY D1: a Redis that is away costs no call and hardly a cent, whatever became of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.ledger.opening import opened
from engine.ledger.shared import RedisLedger
from tests.faults.outages import KINDS, outages
from tests.redis_server import RedisServer, needs_redis
from tests.routing.targets import A, B, Several

PRICES = {"openai/*": {"input": 1, "output": 10}}
NOWHERE = "redis://user:canary-password-0123@127.0.0.1:9/0"
pytestmark = needs_redis


def test_killed_paused_and_emptied(tmp_path: Path) -> None:
    """One outage of each kind; twenty: `make faults`."""
    seen = outages(len(KINDS), tmp_path, processes=3, callers=2)
    assert seen.calls > 500 and not seen.failed
    assert seen.worst <= 0.01 and max(seen.unused) < 0.02 and seen.refused


def test_no_call_of_a_client_fails_while_redis_is_away(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, Several() as several:
        said: dict[str, Any] = {"budgets": {"usd": 1, "per": "day"}, "ledger": server.url, "prices": PRICES, "journal": ":memory:"}
        with several.client(**said) as one, several.client(**said) as other:
            for step in (lambda: None, server.pause, server.resume, server.kill, server.start, server.empty):
                step()
                for client in (one, other):
                    assert client.chat(B, "hi", max_tokens=50).text
            time.sleep(2.5)
            cost = sum(row["cost"] for client in (one, other) for row in client.journal.calls())
            day = next(iter(one._ledger._seen))
            assert one._ledger.spent(day) == other._ledger.spent(day) == (cost, 0)


def test_budgets_refuse_where_the_operator_wants_it_so(server: RedisServer) -> None:
    place = {"redis": server.url, "prefix": "refusing", "away": 0.2}
    ledger = opened(place)
    assert ledger.reserve("a", [("total:x", 100)], 10) is None
    server.pause()
    try:
        time.sleep(0.25)
        with pytest.raises(engine.errors.LocalLimitError, match="too long"):
            ledger.reserve("b", [("total:x", 100)], 10)
    finally:
        server.resume()
    time.sleep(0.6)
    assert ledger.reserve("c", [("total:x", 100)], 90) is None


def test_who_never_reached_redis_has_the_share_it_was_told_of() -> None:
    with pytest.raises(engine.errors.LocalLimitError, match="not been reached") as caught:
        RedisLedger(NOWHERE).reserve("a", [("total:x", 100)], 10)
    assert "canary" not in str(caught.value) and "127.0.0.1" not in repr(caught.value)
    told: list[Any] = []
    budget = {"usd": 1, "provider": "openai"}
    with Several() as several, several.client(budgets=budget, ledger=NOWHERE, prices=PRICES) as client:
        client.on("call_ended", told.append)
        with pytest.raises(engine.errors.LocalLimitError, match="not been reached"):
            client.chat(B, "hi", max_tokens=9)
        assert (
            client.chat(engine.Route([B, A]), "hi", max_tokens=9).provider == "groq"
        )  # a budget that cannot say is one that refuses
        assert [event.kind for event in told] == ["local_limit", "ok"]
    ledger = RedisLedger(NOWHERE, instances=4)
    assert ledger.reserve("a", [("total:x", 100)], 25) is None
    assert ledger.reserve("b", [("total:x", 100)], 1) == ("total:x", 0)


def test_a_journal_on_disk_tells_a_redis_that_lost_everything(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        place = {"redis": server.url, "file": str(tmp_path / "journal.sqlite")}
        first = opened(place)
        first.reserve("a", [("total:x", 100)], 60)
        first.settle("a", 55)
        first.close()
        server.empty()
        again = opened(place)
        assert again.spent("total:x") == (55, 0)
        assert again.reserve("b", [("total:x", 100)], 50) == ("total:x", 45)


def test_what_redis_keeps_has_an_end(server: RedisServer) -> None:
    ledger = opened({"redis": server.url, "prefix": "ending"})
    for counter in ("day:2026-11-18;tenant=acme", "total:all"):
        ledger.reserve(counter, [(counter, 100)], 1)
    days = [
        int(server.command("TTL", f"{{ending}}:ledger:{counter}")[1:]) // 86400
        for counter in ("day:2026-11-18;tenant=acme", "total:all")
    ]
    assert 38 <= days[0] <= 40 and 398 <= days[1] <= 400


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"redis": "http://x"}, "redis://"),
        ({"redis": NOWHERE, "files": "x"}, "file"),
        ({"redis": NOWHERE, "away": 61}, "60"),
        ({"redis": NOWHERE, "instances": 0}, "instances"),
        ({"redis": "redis://host:port"}, "cannot be read"),
    ],
)
def test_wrong_words_are_refused(given: Any, word: str) -> None:
    with pytest.raises(engine.errors.ConfigError, match=word):
        opened(given)
