"""Decisions about failed attempts, without a network (RELIABILITY E2, F4, R2 to R7)."""

from __future__ import annotations

from typing import Any

import pytest

from engine import errors
from engine.reliability.attempts import Attempts
from engine.reliability.deadline import Clock, Deadline, Limits, Timer
from engine.reliability.retry import Bucket, Failed, KeyRing, backoff, decide


class Still(Clock):
    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(lambda: self.now, lambda: self.now, lambda a, b: b)


def attempts(
    clock: Clock | None = None, bucket: Bucket | None = None, ring: KeyRing | None = None, replay: str = "safe", **limits: Any
) -> Attempts:
    clock = clock or Still()
    wanted = Limits().with_(limits)
    return Attempts("p/m", wanted, Deadline(clock, wanted.deadline), clock, bucket or Bucket(), ring or KeyRing(1), replay)


def fail(run: Attempts, kind: str, *, wait: float | None = None, status: int | None = None, **options: Any) -> tuple[str, float]:
    run.begin()
    return run.failed(errors.for_kind(kind)("x", retry_after=wait, status=status), **options)


ONCE_MORE = {"rate_limit", "overloaded", "server", "timeout", "connection", "protocol", "stream_interrupted"}


@pytest.mark.parametrize("kind", sorted(errors.KINDS))
def test_e2_which_kinds_go_to_the_same_target_again(kind: str) -> None:
    assert fail(attempts(), kind)[0] == ("again" if kind in ONCE_MORE else "stop")


def test_r2_attempts_per_target_and_per_call() -> None:
    run = attempts()
    assert [fail(run, "server")[0] for _ in range(3)] == ["again", "again", "stop"]
    run = attempts(ring=KeyRing(9))
    steps = [fail(run, "rate_limit")[0] for _ in range(6)]
    assert steps == ["other"] * 5 + ["stop"]


def test_e2_protocol_once_and_never_501() -> None:
    run = attempts()
    assert [fail(run, "protocol")[0] for _ in range(2)] == ["again", "stop"]
    assert fail(attempts(), "server", status=501)[0] == "stop"


def test_r5_waits() -> None:
    assert [backoff("server", n, None, lambda a, b: b) for n in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 20, 20]
    assert backoff("overloaded", 1, None, lambda a, b: b) == 1
    assert backoff("rate_limit", 1, 30.0, lambda a, b: b) == 31 and backoff("rate_limit", 1, 2.0, lambda a, b: a) == 2
    assert fail(attempts(), "rate_limit", wait=60.0)[0] == "again"
    assert fail(attempts(), "rate_limit", wait=61.0)[0] == "stop"
    assert fail(attempts(deadline=10.0), "rate_limit", wait=9.0)[0] == "stop"


def test_r3_unsafe_needs_proof() -> None:
    for kind, options, step in (
        ("connection", {"unsent": True}, "again"),
        ("connection", {}, "stop"),
        ("timeout", {}, "stop"),
        ("server", {"status": 500}, "stop"),
        ("overloaded", {"status": 503}, "again"),
        ("rate_limit", {"status": 429}, "again"),
    ):
        run = attempts(replay="unsafe")
        assert fail(run, kind, **options)[0] == step
    error = errors.ConnectionError("gone")
    run = attempts(replay="unsafe")
    run.begin()
    run.failed(error)
    assert run.final(error).kind == "ambiguous"
    assert run.final(errors.InvalidRequestError("no", status=400)).kind == "invalid_request"


def test_r6_the_budget_runs_dry_and_refills() -> None:
    bucket = Bucket()
    made = 0
    for _ in range(10_000):
        run = attempts(bucket=bucket)
        made += 1
        while fail(run, "server")[0] == "again":
            made += 1
    assert made <= 10_200 and bucket.tokens < 5
    run = attempts(bucket=bucket)
    for _ in range(5):
        run.begin()
        run.answered()
    assert bucket.tokens == 5
    run = attempts(bucket=bucket)
    assert fail(run, "server")[0] == "again" and bucket.tokens == 0
    run.answered()
    assert bucket.tokens == 5 and Bucket.cost("timeout") == 10


def test_r7_limits_and_clocks() -> None:
    clock = Still()
    deadline = Deadline(clock, 10)
    assert deadline.until(3) == 3 and deadline.until(30) == 10
    clock.now = 10
    assert deadline.passed() and isinstance(deadline.error(), errors.DeadlineError)
    with pytest.raises(errors.DeadlineError) as caught:
        run = attempts(clock)
        clock.now = 1e9
        run.begin()
    assert caught.value.attempts == []
    assert Timer(5.0, lambda: 2.0).left() == 3
    assert (Limits().until_headers(True), Limits().until_headers(False), Limits(headers=7).until_headers(True)) == (60, 300, 7)


@pytest.mark.parametrize(
    "changes", [{"x": 1}, {"idle": -1}, {"idle": True}, {"idle": "3"}, {"attempts": 0}, {"idle": float("nan")}]
)
def test_nonsense_limits_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigError):
        Limits().with_(changes)


def test_f4_keys_take_turns_and_rest() -> None:
    ring = KeyRing(3)
    assert [ring.pick(0) for _ in range(4)] == [0, 1, 2, 0]
    ring.set_aside(1, "rate_limit", None, 0)
    assert [ring.pick(1) for _ in range(3)] == [2, 0, 2]
    assert not ring.other(1, frozenset({0, 2})) and ring.other(6, frozenset({0, 2}))
    ring.set_aside(1, "rate_limit", 100.0, 6)
    ring.set_aside(1, "rate_limit", 1.0, 6)
    assert not ring.other(50, frozenset({0, 2}))
    ring.set_aside(0, "authentication", None, 50)
    ring.set_aside(2, "quota", None, 50)
    assert ring.pick(60) == 1  # all rest: the one that is back soonest
    single = KeyRing(1)
    single.set_aside(0, "authentication", None, 0)
    assert single.pick(0) == 0 and not single.other(0, frozenset())


def test_x_should_retry_orders_and_forbids() -> None:
    assert fail(attempts(), "server", status=500, headers={"x-should-retry": "false"})[0] == "stop"
    assert fail(attempts(), "invalid_request", status=409, headers={"x-should-retry": "true"})[0] == "again"


def test_a_refused_token_is_fetched_anew_once() -> None:
    run = attempts()
    assert fail(run, "authentication", refreshable=True)[0] == "refresh"
    assert fail(run, "authentication", refreshable=True)[0] == "stop"


def test_possibly_billed_counts_what_may_have_cost_money() -> None:
    run = attempts()
    fail(run, "timeout")
    fail(run, "connection", unsent=True)
    fail(run, "rate_limit", status=429)
    assert run.final(errors.TimeoutError("x")).possibly_billed == 1


def test_decide_draws_no_tokens_for_nothing() -> None:
    bucket = Bucket()
    failed = Failed(errors.InvalidRequestError("x"), 1, 1)
    assert decide(failed, Limits(), Deadline(Still(), 9), "safe", bucket, lambda a, b: b).action == "stop"
    assert bucket.tokens == Bucket.CAPACITY


def test_r1_r6_a_refused_token_is_fetched_anew_from_the_same_budget() -> None:
    bucket = Bucket()
    assert fail(attempts(bucket=bucket), "authentication", refreshable=True)[0] == "refresh"
    assert bucket.tokens == Bucket.CAPACITY - Bucket.cost("authentication")
    bucket.tokens = 0
    assert fail(attempts(bucket=bucket), "authentication", refreshable=True)[0] == "stop"
