"""Many hedged calls of a blocking client at once: what is left of the losers a second after the answers (RELIABILITY F6, R8)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from unittest.mock import patch

import engine
from engine.ledger.store import SqliteLedger
from engine.reliability.health import Health
from engine.reliability.retry import Bucket
from engine.testing import Simulator
from tests.routing.targets import A, B, Several


@dataclass
class Losers:
    """`open` connections, calls `in_flight` and money `reserved` that were left; `seconds` until there were none."""

    calls: int
    hedged: int = 0
    answered: int = 0
    open: int = 0
    in_flight: int = 0
    reserved: int = 0
    seconds: float = 0.0


class _Late(Several):
    def __enter__(self) -> Several:
        super().__enter__()
        self.sims["groq"] = self._stack.enter_context(Simulator([{"latency": 20.0, "say": "late"}]))
        return self


def losers(calls: int, at_once: int = 32) -> Losers:
    """Every call is hedged: its first target is silent, the second answers. Every other one is a stream."""
    route, ledger, seen = engine.Route([A, B], hedge=True), SqliteLedger(":memory:"), Losers(calls)
    always = patch.object(Health, "late", lambda self, stream, now: 0.05), patch.object(Bucket, "spend", lambda self, *after: True)
    with always[0], always[1], patch("engine.routing.hedge.SHARE", 1.0), _Late() as several:
        rates = {id: {"concurrency": calls} for id in ("groq", "openai")}
        with several.client(rates=rates, budgets=[{"usd": 1000}], ledger=ledger) as client:
            client.chat(B, "hi", max_tokens=5)

            def one(number: int) -> str:
                if number % 2:
                    with client.chat.stream(route, f"question {number}", max_tokens=5) as stream:
                        return stream.finish().text
                return client.chat(route, f"question {number}", max_tokens=5).text

            with ThreadPoolExecutor(at_once) as pool:
                seen.answered = sum(text == "Hello from openai." for text in pool.map(one, range(calls)))
            late, began = several.sims["groq"].requests, time.monotonic()
            while True:
                seen.open = sum(not exchange.gone for exchange in late)
                seen.in_flight = sum(view["in_flight"] for view in client.health(A, B).values())
                seen.reserved, seen.seconds = ledger.spent("total:all")[1], time.monotonic() - began
                if not (seen.open or seen.in_flight or seen.reserved) or seen.seconds > 1.0:
                    break
                time.sleep(0.01)
            seen.hedged = len(late)
    return seen
