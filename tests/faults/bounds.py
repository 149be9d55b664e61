"""What a client may ask and spend, with many callers at once: proofs of RELIABILITY F7 on the wall clock."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx

import engine
from engine.ledger.budget import usd

MODEL = "openai/gpt-5-mini"
ANSWER = {
    "id": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3},
}


@dataclass(slots=True)
class Rated:
    """When requests went out, in seconds since the first."""

    amount: int
    seconds: float
    times: list[float] = field(default_factory=list)

    @property
    def early(self) -> int:
        """Requests of which there were more than the limit within the period before them."""
        return sum(later - earlier < self.seconds for earlier, later in zip(self.times, self.times[self.amount :]))

    @property
    def used(self) -> float:
        """The share of the allowed rate that was used, from the first request to the last."""
        periods = (len(self.times) - 1) // self.amount
        return periods * self.seconds / self.times[-1]


def rated(way: str, callers: int = 200, amount: int = 50, seconds: int = 1) -> Rated:
    """That many callers at once under a limit of so many requests within so many seconds."""
    made = Rated(amount, seconds)

    def answer(_: httpx.Request) -> httpx.Response:
        made.times.append(time.monotonic())
        return httpx.Response(200, json=ANSWER)

    _ask(way, answer, callers, rates={"openai": {"requests": f"{amount}/{seconds}s"}})
    first = min(made.times)
    made.times = sorted(at - first for at in made.times)
    return made


@dataclass(slots=True)
class Spent:
    """What became of callers on a budget that is not enough for them all, in USD."""

    answered: int
    refused: int
    budget: Decimal
    spent: Decimal
    reserved: Decimal


def nearly_spent(way: str, ledger: Any = None, callers: int = 200, budget: str = "0.0105") -> Spent:
    """That many callers at once, of whom a few can be paid for."""
    from engine.ledger.opening import opened

    kept = opened(ledger)
    prices = {"openai/*": {"input": 1, "output": 10}}

    def answer(_: httpx.Request) -> httpx.Response:
        if way == "sync":  # or threads would come one after another where the machine has no time for more
            time.sleep(0.02)
        return httpx.Response(200, json=ANSWER)

    said: dict[str, Any] = {"budgets": {"usd": budget}, "ledger": kept, "prices": prices}
    came = _ask(way, answer, callers, max_tokens=100, **said)
    spent, reserved = kept.spent("total:all")
    answered = sum(isinstance(one, engine.Response) for one in came)
    refused = sum(isinstance(one, engine.errors.LocalLimitError) for one in came)
    assert answered + refused == callers
    return Spent(answered, refused, Decimal(budget), usd(spent), usd(reserved))


def _ask(way: str, answer: Any, callers: int, **said: Any) -> list[Any]:
    fields = {"max_tokens": said.pop("max_tokens", 9)}
    options: dict[str, Any] = {
        "providers": {"openai": {"api_key": "sk-0123456789abcdef"}},
        "transport": httpx.MockTransport(answer),
    }

    if way == "sync":
        with engine.Client(**options, **said) as client, ThreadPoolExecutor(callers) as pool:

            def one(_: int) -> Any:
                try:
                    return client.chat(MODEL, "Hi", **fields)
                except engine.errors.LocalLimitError as error:
                    return error

            return list(pool.map(one, range(callers)))

    async def run() -> list[Any]:
        async with engine.AsyncClient(**options, **said) as client:
            return await asyncio.gather(*(client.chat(MODEL, "Hi", **fields) for _ in range(callers)), return_exceptions=True)

    return asyncio.run(run())
