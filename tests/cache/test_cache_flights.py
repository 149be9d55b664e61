"""RELIABILITY C3: of many equal questions one is asked, and nobody's going away fails the others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine.cache.flight import PATIENCE, Flights
from engine.errors import Error
from engine.testing import Simulator

A = "groq/llama-3.3-70b-versatile"


@pytest.fixture
def slow() -> Iterator[Simulator]:
    with Simulator(
        [{"when": "messages[-1].text == 'fail'", "error": {"kind": "invalid_request"}}, {"say": "once"}], latency=0.3
    ) as sim:
        yield sim


@pytest.mark.parametrize("store", ["memory", "file"])
def test_threads_that_ask_the_same_are_answered_together(slow: Simulator, store: str, tmp_path: Any) -> None:
    client = slow.client(cache="memory" if store == "memory" else tmp_path / "a.sqlite")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: client.chat(A, "hi"), range(16)))
    assert len(slow.requests) == 1 and {a.text for a in answers} == {"once"}
    told = [a.report.cache for a in answers]
    assert sum(not one["hit"] for one in told if one) == 1 and not len(client._cache.flights)  # type: ignore[union-attr]
    assert len({id(a.choices[0]) for a in answers}) == 16


def test_tasks_and_streams_that_ask_the_same_are_answered_together(slow: Simulator) -> None:
    async def streamed(client: Any) -> str:
        async with client.chat.stream(A, "hi") as stream:
            return "".join([piece async for piece in stream.text_stream])

    async def whole(client: Any) -> str:
        return str((await client.chat(A, "hi")).text)

    async def run() -> list[str]:
        async with slow.async_client(cache="memory") as client:
            return await asyncio.gather(*(streamed(client) if i % 2 else whole(client) for i in range(40)))

    assert set(asyncio.run(run())) == {"once"} and len(slow.requests) == 1


def test_one_who_is_cancelled_fails_nobody_and_somebody_else_asks(slow: Simulator) -> None:
    async def run() -> None:
        async with slow.async_client(cache="memory") as client:
            first = asyncio.ensure_future(client.chat(A, "hi"))
            await asyncio.sleep(0.1)
            others = [asyncio.ensure_future(client.chat(A, "hi")) for _ in range(9)]
            await asyncio.sleep(0.05)
            first.cancel()
            others[3].cancel()
            answers = await asyncio.gather(first, *others, return_exceptions=True)
            assert isinstance(answers[0], asyncio.CancelledError) and isinstance(answers[4], asyncio.CancelledError)
            assert [a.text for a in answers if not isinstance(a, BaseException)] == ["once"] * 8
            assert not len(client._cache.flights)  # type: ignore[arg-type]

    asyncio.run(run())
    assert len(slow.requests) == 2  # the one that was cancelled, and one for all who were left


def test_when_the_one_fails_everybody_asks_for_himself(slow: Simulator) -> None:
    client = slow.client(cache="memory")

    def asked(_: int) -> str:
        try:
            return client.chat(A, "fail").text
        except Error as error:
            return error.kind

    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        kinds = list(pool.map(asked, range(6)))
    assert kinds == ["invalid_request"] * 6 and len(slow.requests) == 6 and time.monotonic() - began < 1.5
    assert not len(client._cache.flights)  # type: ignore[union-attr]


def test_a_waiting_caller_keeps_his_own_deadline() -> None:
    with Simulator([{"say": "late"}], latency=2.0) as sim:
        client = sim.client(cache="memory")
        leading = threading.Thread(target=lambda: client.chat(A, "hi"))
        leading.start()
        time.sleep(0.1)
        began = time.monotonic()
        with pytest.raises(Error) as caught:
            client.chat(A, "hi", timeout=0.4)
        assert caught.value.kind == "deadline" and time.monotonic() - began < 0.65 + 0.4  # a busy machine included
        leading.join()


def test_a_stream_nobody_reads_holds_nobody_up() -> None:
    with Simulator([{"say": ["one ", "two ", "three ", "four"]}], pace=200) as sim:
        client = sim.client(cache="memory")
        with client.chat.stream(A, "hi") as left:
            next(event for event in left if event.kind == "text")
            began = time.monotonic()
            assert client.chat(A, "hi").text == "one two three four"  # the same thread: it would wait for itself
            assert PATIENCE * 0.5 < time.monotonic() - began < PATIENCE + 1
        assert len(sim.requests) == 2 and not len(client._cache.flights)  # type: ignore[union-attr]


def test_a_slow_provider_is_waited_for_longer_than_a_slow_reader() -> None:
    with Simulator([{"say": ["one ", {"pause": PATIENCE + 0.3}, "two"]}]) as sim:
        client = sim.client(cache="memory")

        def read() -> None:
            with client.chat.stream(A, "hi") as stream:
                stream.finish()

        thread = threading.Thread(target=read)
        thread.start()
        time.sleep(0.2)
        assert client.chat(A, "hi").text == "one two"
        thread.join()
        assert len(sim.requests) == 1


def test_whoever_joins_gets_the_word_exactly_once() -> None:
    flights = Flights()
    flight, leads = flights.join("k", False)
    assert leads is None
    places = [flights.join("k", False)[1] for _ in range(3)]
    woken: list[int] = []
    for i, place in enumerate(places):
        assert place is not None
        place.wake = lambda i=i: woken.append(i)  # type: ignore[misc]
    assert places[1] is not None
    flights.leave(flight, places[1])
    flights.land("k", flight, "told", (b"x", "flight"))
    flights.land("k", flight, "failed")
    assert woken == [0, 2] and [p.outcome for p in places if p] == ["told", "", "told"] and not len(flights)
    other, leads = flights.join("k", False)
    assert leads is None and other is not flight
    flights.land("k", flight, "left")  # of the flight before: this one goes on
    assert len(flights) == 1
