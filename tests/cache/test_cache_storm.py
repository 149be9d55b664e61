"""Many callers at once who ask, stream, leave, are cancelled and fail: everybody gets the answer to his own question, nothing is left."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from engine import errors
from engine.errors import Error
from engine.testing import Simulator

A = "groq/llama-3.3-70b-versatile"


class Moody:
    """Answers each question with itself in pieces; some fail the first time they are asked, and again with a chance."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lock = threading.Lock()

    def __call__(self, request: dict[str, Any]) -> Any:
        text = request["messages"][-1]["text"]
        with self.lock:
            fails = "fails" in text and self.random.random() < 0.5
        return errors.for_kind("invalid_request")("no") if fails else [{"pause": 0.01}, text[:3], {"pause": 0.01}, text[3:]]


def question(rng: random.Random) -> str:
    number = rng.randrange(6)
    return f"question {number}{' fails' if number % 3 == 0 else ''} {rng.choice('ab')}"


@pytest.mark.parametrize("store", ["memory", "file"])
def test_tasks_that_come_and_go(store: str, tmp_path: Path) -> None:
    rng = random.Random(store)

    async def one(client: Any) -> str:
        asked, way = question(rng), rng.random()
        options: dict[str, Any] = {
            "tenant": rng.choice(["x", "y"]),
            "cache": rng.choice([None, None, {"refresh": True}, {"store": False}]),
        }
        try:
            if way < 0.4:
                answer = await client.chat(A, asked, **options)
                return "good" if answer.text == asked else "wrong"
            async with client.chat.stream(A, asked, **options) as stream:
                if way < 0.6:
                    async for event in stream:
                        if event.kind == "text":
                            break
                    return "left"
                pieces = [piece async for piece in stream.text_stream]
                return "good" if "".join(pieces) == asked else "wrong"
        except Error as error:
            return error.kind

    async def run() -> list[str]:
        async with sim.async_client(cache="memory" if store == "memory" else tmp_path / "a.sqlite", attempts=1) as client:
            found: list[str] = []
            for _ in range(6):
                tasks = [asyncio.ensure_future(one(client)) for _ in range(40)]
                await asyncio.sleep(rng.random() * 0.02)
                for task in rng.sample(tasks, 8):
                    task.cancel()
                found += [
                    r if isinstance(r, str) else type(r).__name__ for r in await asyncio.gather(*tasks, return_exceptions=True)
                ]
            assert not len(client._cache.flights)
            assert client.health(A)[A]["in_flight"] == 0
            return found

    with Simulator(Moody(1)) as sim:
        found = asyncio.run(run())
    assert set(found) <= {"good", "left", "invalid_request", "CancelledError"} and found.count("good") > 60
    assert len(sim.requests) < found.count("good")


def test_threads_that_come_and_go(tmp_path: Path) -> None:
    def one(seed: int) -> str:
        rng = random.Random(seed)
        asked = question(rng)
        try:
            if rng.random() < 0.5:
                return "good" if client.chat(A, asked).text == asked else "wrong"
            with client.chat.stream(A, asked) as stream:
                if rng.random() < 0.3:
                    next(iter(stream))
                    return "left"
                return "good" if "".join(stream.text_stream) == asked else "wrong"
        except Error as error:
            return error.kind

    with Simulator(Moody(2)) as sim:
        client = sim.client(cache=tmp_path / "a.sqlite", attempts=1)
        began = time.monotonic()
        with ThreadPoolExecutor(24) as pool:
            found = list(pool.map(one, range(240)))
        assert set(found) <= {"good", "left", "invalid_request"} and found.count("good") > 100 and len(sim.requests) < 120
        assert not len(client._cache.flights) and client.health(A)[A]["in_flight"] == 0  # type: ignore[union-attr]
        assert time.monotonic() - began < 20
