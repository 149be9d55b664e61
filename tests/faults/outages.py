"""Budgets in a Redis that is killed, paused and emptied while several processes spend from them (RELIABILITY D1)."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import Error
from engine.ledger.shared import RedisLedger
from tests.redis_server import RedisServer

KINDS = ("killed", "paused", "emptied")
AMPLE = 10**15
PACE = 0.02  # seconds of a call


@dataclass(slots=True)
class Outages:
    """What became of the calls: how many, which failed though there was money, and by how much each small budget was overspent."""

    calls: int = 0
    refused: int = 0  # of the small budgets, once they were spent
    failed: list[str] = field(default_factory=list)
    overspent: list[float] = field(default_factory=list)  # share of the budget, one for each outage
    unused: list[float] = field(default_factory=list)  # share of the budget that nobody got, with all of it asked for

    @property
    def worst(self) -> float:
        return max(self.overspent, default=0.0)


def outages(rounds: int, folder: Path, *, processes: int = 4, callers: int = 4, seed: int = 4) -> Outages:
    """`rounds` outages in turn of each kind. Every caller spends from a budget that has enough, and from one of the round's own
    that runs out about when Redis is away. A process is a ledger of its own with connections of its own."""
    made, chance = Outages(), random.Random(seed)
    with RedisServer(folder) as server:
        ledgers = [RedisLedger(server.url, away=60) for _ in range(processes)]
        for ledger in ledgers:
            ledger.reserve("warm", [("total:ample", AMPLE)], 1)
            ledger.settle("warm", 0)
        time.sleep(1.6)
        try:
            for n in range(rounds):
                _round(made, server, ledgers, callers, KINDS[n % len(KINDS)], n, chance)
        finally:
            for ledger in ledgers:
                ledger.close()
    return made


def _round(
    made: Outages, server: RedisServer, ledgers: list[RedisLedger], callers: int, kind: str, n: int, chance: random.Random
) -> None:
    name = f"total:small{n}"
    limit = int(100 * len(ledgers) * callers * chance.uniform(0.8, 2.0) / PACE)  # about as many seconds of spending
    over, lock, spent = threading.Event(), threading.Lock(), [0]

    def spend(ledger: RedisLedger, who: int) -> None:
        mine = random.Random(f"{n} {who}")
        turn = 0
        while not over.is_set():
            turn += 1
            counter, most = (name, limit) if turn % 2 else ("total:ample", AMPLE)
            amount, id = mine.randint(100, 200), f"{n}-{who}-{turn}"
            try:
                refused = ledger.reserve(id, [(counter, most)], amount)
            except Error as error:
                refused = None
                made.failed.append(f"{kind}: {error}")
            made.calls += 1
            if refused is None:
                time.sleep(mine.uniform(0, PACE))
                actual = mine.randint(50, amount)
                ledger.settle(id, actual)
                if counter == name:
                    with lock:
                        spent[0] += actual
            elif counter == name:
                made.refused += 1
                time.sleep(PACE)
            else:
                made.failed.append(f"{kind}: the ample budget refused: {refused}")

    running = [threading.Thread(target=spend, args=(ledgers[i % len(ledgers)], i)) for i in range(len(ledgers) * callers)]
    for thread in running:
        thread.start()
    time.sleep(chance.uniform(0.1, 1.0))
    lasting = chance.uniform(0.1, 1.2)
    if kind == "killed":
        server.kill()
        time.sleep(lasting)
        server.start()
    elif kind == "paused":
        server.pause()
        time.sleep(lasting)
        server.resume()
    else:
        server.empty()
    time.sleep(3.0)
    over.set()
    for thread in running:
        thread.join()
    made.overspent.append(max(0, spent[0] - limit) / limit)
    made.unused.append(max(0, limit - spent[0]) / limit)
