"""What a client does around a request when nothing goes wrong, counted in calls of Python functions: a count that no load of the
machine moves (its time is measured by tools/bench/reliability.py)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from tools.bench.reliability import BURSTS, EVENTS, FIELDS, MODEL, RATES, SINGLE, Memory, client


def counted(work: Callable[[], Any]) -> int:
    """Calls of Python functions, once everything is warm."""
    for _ in range(3):
        work()
    calls = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def test_a_call_does_not_grow() -> None:
    plain = client(Memory())
    assert counted(lambda: plain.chat(MODEL, **FIELDS).text) <= 150
    limited = client(Memory(), rates=RATES)
    assert counted(lambda: limited.chat(MODEL, **FIELDS).text) <= 200


@pytest.mark.parametrize(("pieces", "most"), [(SINGLE, 12.0), (BURSTS, 4.0)], ids=["single", "burst"])
def test_an_event_of_a_stream_does_not_grow(pieces: list[bytes], most: float) -> None:
    plain = client(Memory(pieces))

    def read() -> None:
        for _ in plain.chat.stream(MODEL, **FIELDS):
            pass

    assert counted(read) <= most * EVENTS + 400  # the request, the first events and the end of the stream
