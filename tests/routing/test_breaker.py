"""RELIABILITY F3, F4, F5: when a target is left alone, for how long, and how it comes back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import engine
from engine.reliability.breaker import Breaker
from engine.reliability.deadline import Clock
from engine.reliability.health import Health
from tests.routing.targets import A, B, Several


def middle(least: float, most: float) -> float:
    return (least + most) / 2


class Hands:
    """A clock that is moved by hand; waiting moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waited: list[float] = []

    def clock(self) -> Clock:
        clock = _Moved(lambda: self.now, lambda: 1.8e9 + self.now, lambda least, most: least)
        clock.hands = self
        return clock


class _Moved(Clock):
    __slots__ = ("hands",)
    hands: Hands

    def sleep(self, seconds: float) -> None:
        self.hands.waited.append(seconds)
        self.hands.now += seconds


def test_five_in_a_row_open_it_and_two_probes_close_it() -> None:
    breaker = Breaker(middle)
    for second in range(4):
        breaker.failed(second)
    breaker.succeeded(4)
    for second in range(5, 9):
        breaker.failed(second)
    assert breaker.state(9) == "closed"
    breaker.failed(9)
    assert breaker.state(10) == "open" and breaker.until == 39.0
    assert breaker.state(39) == "half_open"
    breaker.succeeded(39)
    assert breaker.state(39) == "half_open"
    breaker.succeeded(40)
    assert breaker.state(40) == "closed"


def test_half_of_ten_in_thirty_seconds_open_it_and_what_is_older_does_not_count() -> None:
    breaker = Breaker(middle)
    for second in range(10):
        (breaker.succeeded if second % 2 else breaker.failed)(second)
    assert breaker.state(10) == "closed"  # the tenth was a success: only a failure opens
    breaker.failed(11)
    assert breaker.state(11) == "open"
    aged = Breaker(middle)
    for second in range(9):
        (aged.succeeded if second % 2 else aged.failed)(second)
    aged.failed(45)
    assert aged.state(45) == "closed" and aged.counted(45) == (0, 1)


def test_each_opening_in_a_row_doubles_the_time_up_to_five_minutes() -> None:
    breaker, now, times = Breaker(middle), 0.0, []
    for _ in range(5):
        breaker.failed(now)
    for _ in range(6):
        times.append(breaker.until - now)
        now = breaker.until
        breaker.failed(now)
    assert times == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]
    jittered = Breaker(lambda least, most: most)
    for _ in range(5):
        jittered.failed(0.0)
    assert jittered.until == pytest.approx(33.0)


def test_one_probe_at_a_time_among_many_callers() -> None:
    health = Health(middle)
    for _ in range(5):
        health.failed("server", 0.0)
    assert not health.enter(29.0) and not health.calm
    let_in: list[bool] = []
    gate = threading.Barrier(16)

    def knock(_: int) -> None:
        gate.wait()
        let_in.append(health.enter(31.0))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(knock, range(16)))
    assert sum(let_in) == 1 and health.in_flight == 1
    health.leave(True)
    assert health.enter(31.0)


def test_a_cool_down_may_grow_and_never_shrinks() -> None:
    health = Health(middle)
    health.failed("rate_limit", 0.0, 0, 20.0)
    health.failed("rate_limit", 1.0, 0, 2.0)
    assert health.cooling(1.0, 1) == (19.0, "rate_limit")
    assert health.cooling(1.0, 2) == (0.0, None)  # the other key is free
    health.failed("quota", 1.0, 1)
    assert health.cooling(1.0, 2) == (19.0, "rate_limit")
    assert health.cooling(22.0, 2) == (0.0, None) and health.breaker.state(22.0) == "closed"
    health.failed("not_found", 30.0)
    assert health.cooling(31.0, 2) == (299.0, "not_found") and health.cooling(31.0, 2, alone=True)[0] == 0.0


def test_a_dead_target_is_skipped_until_its_breaker_lets_a_probe_through() -> None:
    hands = Hands()
    with Several(groq="u_503_always") as several, several.client(clock=hands.clock(), attempts=1) as client:
        route = engine.Route([A, B])
        for _ in range(5):
            client.chat(route, "hi")
        assert several.asked("groq") == 5
        answer = client.chat(route, "hi")
        assert several.asked("groq") == 5 and "breaker" in answer.report.route["skipped"][A]
        assert client.health(A)[A]["breaker"] == "open"
        hands.now += 31
        assert client.chat(route, "hi").provider == "openai" and several.asked("groq") == 6  # one probe
        client.chat(route, "hi")
        assert several.asked("groq") == 6
        hands.now += 61
        several.sims["groq"]._core.faults.clear() if hasattr(several.sims["groq"]._core, "faults") else None


def test_every_target_open_gives_one_probe_without_retries() -> None:
    hands = Hands()
    with Several(groq="u_503_always", openai="u_503_always") as several, several.client(clock=hands.clock()) as client:
        for _ in range(4):
            with pytest.raises(engine.errors.OverloadedError):
                client.chat(engine.Route([A, B]), "hi")
        assert {v["breaker"] for v in client.health(A, B).values()} == {"open"}
        before = several.asked("groq") + several.asked("openai")
        with pytest.raises(engine.errors.OverloadedError) as caught:
            client.chat(engine.Route([A, B]), "hi")
        assert several.asked("groq") + several.asked("openai") == before + 1 == before + len(caught.value.attempts)


def test_a_plain_model_is_a_route_of_one() -> None:
    """Its breaker takes the retries away, never the one attempt; what the provider asked for is waited out."""
    hands = Hands()
    with Several(groq="u_503_always") as several, several.client(clock=hands.clock()) as client:
        for _ in range(2):
            with pytest.raises(engine.errors.OverloadedError):
                client.chat(A, "hi")
        assert several.asked("groq") == 6
        with pytest.raises(engine.errors.OverloadedError):
            client.chat(A, "hi")
        assert several.asked("groq") == 7


@pytest.mark.parametrize(("seconds", "sent"), [(20, 2), (3600, 1)])
def test_what_a_provider_asked_for_is_waited_out_by_the_next_call_or_refused(seconds: int, sent: int) -> None:
    hands = Hands()
    refusing: dict[str, Any] = {"kind": "rate_limit", "retry_after": seconds}
    with Several(groq=refusing) as several, several.client(clock=hands.clock(), attempts=1) as client:
        for error in (engine.errors.RateLimitError, engine.errors.RateLimitError if sent == 2 else engine.errors.UnavailableError):
            with pytest.raises(error) as caught:
                client.chat(A, "hi")
        assert several.asked("groq") == sent and caught.value.retry_after
        assert sum(hands.waited) == (20 if sent == 2 else 0)
