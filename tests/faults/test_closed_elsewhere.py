"""RELIABILITY R8: whoever reads a stream may wait for anything; closed from elsewhere, it ends at once and gives all of it back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

import engine
from engine.call.send.threaded import PooledReply
from engine.ledger.store import SqliteLedger
from engine.reliability.health import Health
from tests.faults.callers import MESSAGES
from tests.faults.proofs import KEY, client
from tests.faults.server import Case, Exchange, Server
from tests.faults.wires import OPENAI

OTHER = "openai/gpt-5-mini"


async def _silent(x: Exchange) -> None:
    await x.hold()


async def _begun(x: Exchange) -> None:
    await x.stream(x.wire.beginning(), end=False)
    await x.hold()


async def _refusing(x: Exchange) -> None:
    await x.reply(429, {"error": {"message": "later"}}, headers=[("Retry-After", "30")])


#: what a reader waits for: who answers, options of the client, by what model it is asked
WAITS: dict[str, tuple[Callable[[Exchange], Any], dict[str, Any], Any]] = {
    "the head": (_silent, {}, OPENAI.model),
    "another attempt": (_refusing, {"max_retries": 2}, OPENAI.model),
    "its turn": (_silent, {"rates": {"openai": {"concurrency": 1}}}, OPENAI.model),
    "a route": (_silent, {}, engine.Route([OPENAI.model, OTHER])),
    "a hedge": (_silent, {}, engine.Route([OPENAI.model, OTHER], hedge=True)),
    "more of a hedge": (_begun, {}, engine.Route([OPENAI.model, OTHER], hedge=True)),
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(Health, "late", lambda self, stream, now: 0.02)
    monkeypatch.setattr("engine.routing.hedge.SHARE", 1.0)
    with Server() as made:
        yield made


def _within(seconds: float, true: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def _options(wait: str, ledger: SqliteLedger) -> dict[str, Any]:
    return {"timeout": 60.0, "max_retries": 0, "budgets": [{"usd": 10}], "ledger": ledger, **WAITS[wait][1]}


def _left(made: Any, case: Case, ledger: SqliteLedger) -> tuple[int, int, int]:
    calls = sum(view["in_flight"] for view in made.health(OPENAI.model, OTHER).values())
    return case.open, calls, ledger.spent("total:all")[1]


def _compiled(made: Any) -> None:
    """Compile both targets now, and not while somebody looks at the clock."""
    for model in (OPENAI.model, OTHER):
        made.operation(model)


@pytest.mark.parametrize("wait", WAITS)
def test_another_thread_closes_what_a_thread_waits_for(server: Server, wait: str) -> None:
    answer, _, model = WAITS[wait]
    case, ledger = server.open(Case(answer, KEY, wire=OPENAI)), SqliteLedger(":memory:")
    with client("sync", case, **_options(wait, ledger)) as made:
        _compiled(made)
        streams = [made.chat.stream(model, MESSAGES, max_tokens=9) for _ in range(2 if wait == "its turn" else 1)]
        ended: list[Any] = []

        def read(stream: Any) -> None:
            try:
                ended.append([event.kind for event in stream])
            except BaseException as error:
                ended.append(error)

        threads = [threading.Thread(target=read, args=(stream,), daemon=True) for stream in streams]
        for thread in threads:
            thread.start()
            assert _within(5, lambda: bool(case.requests))
        time.sleep(0.1)
        assert not ended and _left(made, case, ledger)[1] > 0
        for stream in reversed(streams):
            stream.close()
        assert _within(1, lambda: len(ended) == len(streams)), f"still waits for {wait}"
        assert all(isinstance(one, list) for one in ended), ended
        assert _within(1, lambda: not any(_left(made, case, ledger)[1:]) and not case.busy)


@pytest.mark.parametrize("way", ["aiohttp", "httpcore"])
@pytest.mark.parametrize("wait", WAITS)
def test_another_task_closes_what_a_task_waits_for(server: Server, wait: str, way: str) -> None:
    answer, _, model = WAITS[wait]
    case, ledger = server.open(Case(answer, KEY, wire=OPENAI)), SqliteLedger(":memory:")

    async def within(seconds: float, true: Callable[[], bool]) -> bool:
        until = time.monotonic() + seconds
        while not true():
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.005)
        return True

    async def run() -> None:
        async with client(way, case, **_options(wait, ledger)) as made:
            _compiled(made)
            streams = [made.chat.stream(model, MESSAGES, max_tokens=9) for _ in range(2 if wait == "its turn" else 1)]

            async def read(stream: Any) -> tuple[list[str], int]:
                kinds = [event.kind async for event in stream]
                task = asyncio.current_task()
                assert task is not None
                return kinds, task.cancelling()

            tasks = [asyncio.ensure_future(read(stream)) for stream in streams]
            assert await within(5, lambda: bool(case.requests))
            await asyncio.sleep(0.1)
            assert not any(task.done() for task in tasks) and _left(made, case, ledger)[1] > 0
            for stream in reversed(streams):
                await stream.close()
            assert await within(1, lambda: all(task.done() for task in tasks)), f"still waits for {wait}"
            assert all(task.result()[1] == 0 for task in tasks), "the task is left cancelled"
            assert await within(1, lambda: not any(_left(made, case, ledger)[1:]) and not case.busy)

    asyncio.run(run())


def test_a_task_that_is_cancelled_while_its_stream_is_closed_is_cancelled(server: Server) -> None:
    case = server.open(Case(_silent, KEY, wire=OPENAI))

    async def run() -> bool:
        async with client("aiohttp", case, timeout=60.0, max_retries=0) as made:
            stream = made.chat.stream(case.wire.model, MESSAGES)
            task = asyncio.ensure_future(stream.finish())
            while not case.requests:
                await asyncio.sleep(0.005)
            await stream.close()
            task.cancel()
            await asyncio.wait([task], timeout=1)
            return task.cancelled()

    assert asyncio.run(run())


def test_a_stream_that_is_closed_while_it_begins_sends_nothing() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(500)

    providers = {"openai": {"api_key": KEY}}
    with engine.Client(providers=providers, transport=httpx.MockTransport(answer)) as made:
        stream = made.chat.stream(OTHER, "hi")
        begin = stream._start
        assert begin is not None

        def started() -> Any:
            stream.close()
            return begin()

        stream._start = started
        assert list(stream) == [] and not asked


def test_a_connection_that_was_given_back_is_not_shut() -> None:
    """The next call may be using it when another thread closes the stream it was of."""
    shut: list[str] = []

    class Socket:
        def shutdown(self, how: int) -> None:
            shut.append("shut")

    class Network:
        def get_extra_info(self, name: str) -> Socket:
            return Socket()

    import httpcore

    for over in (False, True):
        reply = PooledReply(httpcore.Response(200, content=b"", extensions={"network_stream": Network()}), 1 << 16)
        if over:
            reply.close()
        reply.interrupt()
    assert shut == ["shut"]
