"""Bounded samples of the proofs over many calls; in full: `make faults`. RELIABILITY R6, R7, R8."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.bounds import nearly_spent, rated
from tests.faults.deadlines import LATE, deadlines
from tests.faults.kills import KILLS, cancelled_anywhere, kills
from tests.faults.proofs import WAYS
from tests.faults.storm import storm, storm_on_loopback
from tests.faults.table import BY_ID

CALLS = 600
BUDGET = 100  # retries a full bucket pays: 500 tokens at 5 each


@pytest.mark.parametrize("kind", ["connection", "timeout", "overloaded", "rate_limit"])
@pytest.mark.parametrize("way", ["sync", "httpcore"])
def test_r6_a_dead_provider_is_hardly_asked_again(way: str, kind: str) -> None:
    requests, failed = storm(CALLS, way, kind)
    assert failed == CALLS and CALLS < requests <= CALLS + BUDGET // (2 if kind == "timeout" else 1)


def test_r6_several_keys_do_not_multiply_the_load() -> None:
    requests, _ = storm(CALLS, "sync", "rate_limit", keys=6)
    assert requests <= CALLS + BUDGET + 6


def test_r6_what_reaches_a_dead_server() -> None:
    assert storm_on_loopback(CALLS // 2, "aiohttp", BY_ID["u_503_always"].answer) <= CALLS // 2 + BUDGET


def test_r7_no_call_outlives_its_deadline() -> None:
    late = deadlines(40, seed=7)
    assert len(late.calls) == 40 and not late.foreign
    assert not late.too_late, f"more than {LATE} s late"


@pytest.mark.parametrize("way", WAYS)
def test_r8_nothing_is_left_of_killed_streams(way: str) -> None:
    left = kills(way, streams=32, rounds=2)
    assert left.rounds == 2 and left.streams == 2 * len(KILLS) * 32 and not left.found


@pytest.mark.parametrize("way", ["sync", "aiohttp"])
def test_what_a_careless_client_leaves_is_found(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose streams cannot be closed, and are held: the proof of the test above must not pass."""
    held: list[Any] = []

    async def later(self: Any) -> None:
        pass

    monkeypatch.setattr("tests.faults.kills.KILLS", ("client",))
    monkeypatch.setattr("tests.faults.kills.PATIENCE", 0.2)
    monkeypatch.setattr("tests.faults.kills.FURTHER", 0.1)
    monkeypatch.setattr("engine.call.send.drive.Deliveries.close", lambda self: held.append(self))
    monkeypatch.setattr("engine.call.send.drive_async.AsyncDeliveries.close", later)
    monkeypatch.setattr("engine.call.send.drive_async.AsyncDeliveries.abandon", lambda self: None)
    found = kills(way, streams=8, rounds=1).found
    assert len(found) == 1 and all(f"'{what}': 8" in found[0] for what in ("connections", "files"))


@pytest.mark.parametrize("way", WAYS[1:])
def test_r8_a_call_may_be_cancelled_at_any_moment(way: str) -> None:
    left = cancelled_anywhere(way, 160)
    assert left.streams == 160 and not left.found


@pytest.mark.parametrize("way", ["sync", "async"])
def test_f7_many_callers_under_a_limit_and_on_a_small_budget(way: str) -> None:
    made = rated(way, callers=90, amount=30)
    assert len(made.times) == 90 and not made.early and made.used > 0.8  # of short periods, on a machine that does other things
    spent = nearly_spent(way, callers=60)
    assert spent.refused and spent.answered and spent.spent <= spent.budget and not spent.reserved
