"""Limits that processes share by their ledger: each has its part, whether Redis answers or not (RELIABILITY D1)."""

from __future__ import annotations

import time
from typing import Any

import pytest

import engine
from engine.ledger.opening import opened
from engine.reliability.limiter import Limiter, Ticket
from tests.limits.stores import Store
from tests.redis_server import RedisServer, needs_redis
from tests.routing.targets import A, Several


def granted(limiter: Limiter, callers: int, now: float = 0.0) -> int:
    """How many of that many callers who come at once may go."""
    waiting = [Ticket(limiter, ("p", "m", 0), 10.0, "") for _ in range(callers)]
    for ticket in waiting:
        limiter.ask(ticket, now)
    return sum(ticket.granted for ticket in waiting)


def test_an_entry_is_divided_among_those_who_live() -> None:
    alive = [1]
    shared: dict[str, Any] = {"requests": "12/min", "tokens": "1000/min", "concurrency": 9, "shared": True}
    assert granted(Limiter({"p": shared}, lambda: alive[0]), 40) == 9
    alive[0] = 3
    assert granted(Limiter({"p": shared}, lambda: alive[0]), 40) == 3
    assert granted(Limiter({"p": {"requests": "12/min", "shared": True}}, lambda: alive[0]), 40) == 4
    assert granted(Limiter({"p": {"requests": "12/min"}}, lambda: alive[0]), 40) == 12  # not shared: its own
    limiter = Limiter({"p": {"requests": "12/min", "shared": True}}, lambda: alive[0])
    assert granted(limiter, 4) == 4
    alive[0] = 1  # the others ended
    assert granted(limiter, 20, now=1.0) == 8


@needs_redis
def test_two_clients_together_keep_to_one_limit(server: RedisServer) -> None:
    rates = {"groq": {"requests": "6/min", "shared": True}}
    place = {"redis": server.url, "prefix": "rates"}
    ledgers = [opened(place), opened(place)]
    ends = time.monotonic() + 20
    while [ledger.processes() for ledger in ledgers] != [2, 2] and time.monotonic() < ends:
        time.sleep(0.05)
    assert [ledger.processes() for ledger in ledgers] == [2, 2]
    server.pause()  # who shares is known: what each may do does not depend on Redis
    try:
        with Several() as several:
            made = 0
            for ledger in ledgers:
                with several.client(rates=rates, ledger=ledger) as client:
                    for _ in range(5):
                        try:
                            client.chat(A, "hi", timeout=5)
                            made += 1
                        except engine.errors.LocalLimitError:
                            break
            assert made == several.asked("groq") == 6
    finally:
        server.resume()
        for ledger in ledgers:
            ledger.close()


def test_shared_without_a_redis_is_refused(store: Store) -> None:
    rates = {"groq": {"requests": "6/min", "shared": True}}
    if store.server is None:
        with pytest.raises(engine.errors.ConfigError, match="Redis"):
            engine.Client(rates=rates, ledger=store.place())
    else:
        engine.Client(rates=rates, ledger=store.place())
