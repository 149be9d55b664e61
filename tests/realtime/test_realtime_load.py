"""A bounded sample of `make realtime-load`: every echo of several sessions at once comes back, hardly later than through bare
sockets. Its bars (64 sessions, a minute, the 99th percentile, memory) are for a quiet machine."""

from __future__ import annotations

import pytest

from tools.realtime_load import fine, measure, slope

pytest.importorskip("websockets")


def test_echoes_of_many_sessions_come_back() -> None:
    found = measure(sessions=4, seconds=1.5)
    assert found["heard"] == found["sent"] == 4 * 6 * 7  # rounds of a quarter of a second: 0, 40, … 240 ms
    assert found["engine_ms"]["p50"] - found["bare_ms"]["p50"] <= 20


def test_the_bars_are_judged() -> None:
    good = {"heard": 5, "sent": 5, "added_p99_ms": 3.0, "client_mb_per_minute": 0.1, "server_mb_per_minute": 0.0}
    assert fine(good)
    for worse in ({"heard": 4}, {"added_p99_ms": 21.0}, {"client_mb_per_minute": 1.5}, {"server_mb_per_minute": 1.5}):
        assert not fine({**good, **worse})
    assert slope([(float(t), 10 + t / 60) for t in range(60)]) == 1.0
    assert slope([(float(t), 10.0) for t in range(60)]) == 0.0
