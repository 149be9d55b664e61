"""Proofs of caches over many calls, for the tests and for tools/faults.py: who is told what, and what a store that is away does."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import engine
from engine.cache.key import scope_of
from engine.errors import Error
from tests.cache.stores import SECRET
from tests.redis_server import RedisServer

MODELS = ("groq/llama-3.3-70b-versatile", "openai/gpt-5-mini")
KEYS = {id: {"api_key": f"key-of-{id}-0123456789"} for id in ("groq", "openai")}
#: names that would meet if they were only put together with something
TENANTS: list[Any] = [
    None, "", "None", "none", "all", "one:a", "a", "a:", ":a", "a\0", "a b", "A", "ä", "a\u0308", "\ud800", "a" * 5000, "0", 0, 1, True,
    "1", "*", "?" * 64, "some:1", scope_of("a", False),
]  # fmt: skip
TENANTS += [f"tenant-{i}" for i in range(75)]


def saying(text: str) -> httpx.Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return httpx.Response(200, json={"choices": [choice]})


@dataclass
class Crossed:
    """What came of look-ups by many tenants: how many were told what somebody else was told."""

    calls: int
    crossed: int = 0
    hits: int = 0
    sent: int = 0


def look_ups(store: Any, count: int, seed: str = "") -> Crossed:
    """Everybody asks the same few questions; a provider who knows whom he talks to tells everyone something else."""
    rng, found = random.Random(f"tenants {seed}"), Crossed(count)
    asking = 0

    def handle(request: httpx.Request) -> httpx.Response:
        found.sent += 1
        return saying(f"for {asking}")

    cache: dict[str, Any] = {"store": store, "secret": SECRET}
    client = engine.Client(providers=KEYS, transport=httpx.MockTransport(handle), cache=cache)
    for _ in range(count):
        asking = rng.randrange(len(TENANTS))
        question: dict[str, Any] = {"messages": f"question {rng.randrange(4)}", "tenant": TENANTS[asking]}
        if rng.random() < 0.2:  # this provider answers a stream whole
            with client.chat.stream(rng.choice(MODELS), **question) as stream:
                answer = stream.finish()
        else:
            answer = client.chat(rng.choice(MODELS), **question)
        found.crossed += answer.text != f"for {asking}"
        found.hits += bool(answer.report.cache and answer.report.cache["hit"])
    return found


@dataclass
class Outages:
    """What came of calls while their cache was killed, paused and emptied."""

    calls: int
    hits: int
    failed: Counter[str]
    slowest: float  # seconds of one call


def outages(rounds: int, folder: Path) -> Outages:
    """Callers go on asking a few questions while the Redis of their cache comes and goes."""
    lock, stop = threading.Lock(), threading.Event()
    seen = Outages(0, 0, Counter(), 0.0)
    transport = httpx.MockTransport(lambda request: saying("fine"))

    def calling(seed: int, url: str) -> None:
        rng = random.Random(seed)
        client = engine.Client(providers=KEYS, transport=transport, cache={"store": url, "secret": SECRET})
        while not stop.is_set():
            began, failed, hit = time.monotonic(), None, False
            try:
                answer = client.chat(MODELS[0], f"question {rng.randrange(20)}", tenant=f"tenant-{rng.randrange(3)}")
                hit = bool(answer.report.cache and answer.report.cache["hit"])
                failed = None if answer.text == "fine" else "another answer"
            except Error as error:
                failed = error.kind
            with lock:
                seen.calls += 1
                seen.hits += hit
                seen.slowest = max(seen.slowest, time.monotonic() - began)
                if failed is not None:
                    seen.failed[failed] += 1
            time.sleep(0.002)

    with RedisServer(folder) as server:
        callers = [threading.Thread(target=calling, args=(seed, server.url)) for seed in range(4)]
        for caller in callers:
            caller.start()
        rng = random.Random("outages")
        for i in range(rounds):
            time.sleep(0.1 + 0.1 * rng.random())
            if i % 3 == 0:
                server.kill()
                time.sleep(0.1)
                server.start()
            elif i % 3 == 1:
                server.pause()
                time.sleep(0.15)
                server.resume()
            else:
                server.empty()
        time.sleep(0.3)
        stop.set()
        for caller in callers:
            caller.join()
    return seen
