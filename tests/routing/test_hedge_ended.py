"""RELIABILITY F6, R8: in threads too the loser of a race is ended at once, and gives back all it had taken, once."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

import engine
from engine.call.send import Stopped
from engine.call.send.drive import Driver
from engine.call.send.stoppable import Stop
from engine.call.send.threaded import PooledTransport
from engine.ledger.store import SqliteLedger
from engine.reliability.health import Health
from engine.reliability.limiter import Limiter
from engine.routing.steps import Race
from engine.testing import Simulator
from tests.routing.losers import losers
from tests.routing.targets import A, B, Several

SLOW = "take your time"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every target is late after a fifth of a second, and no call is one too many to be hedged."""
    monkeypatch.setattr(Health, "late", lambda self, stream, now: 0.2)
    monkeypatch.setattr("engine.routing.hedge.SHARE", 1.0)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The tickets that were given back, each time one was."""
    real, found = Limiter.settle, []  # type: ignore[var-annotated]

    def settle(self: Limiter, ticket: Any, *rest: Any) -> Any:
        before = ticket.over
        result = real(self, ticket, *rest)
        if ticket.over and not before:
            found.append(ticket)
        return result

    monkeypatch.setattr(Limiter, "settle", settle)
    return found


class Late(Several):
    """One provider is as late as can be, in a way that is told; the other answers at once."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def __enter__(self) -> Several:
        super().__enter__()
        rule: dict[str, Any] = {"when": f"messages[-1].text == '{SLOW}'"}
        if self.way == "headers":
            rule.update(latency=8.0, say="late")
        elif self.way == "body":
            rule["faults"] = ["u_body_drip"]
        else:
            rule["say"] = [{"pause": 8.0}, "late"]
        self.sims["groq"] = self._stack.enter_context(Simulator([rule, {"say": "soon"}]))
        return self


def within(seconds: float, done: Callable[[], bool]) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if done():
            return True
        time.sleep(0.01)
    return False


WAYS = [("headers", False), ("body", False), ("headers", True), ("pause", True)]


@pytest.mark.parametrize("way, stream", WAYS)
def test_the_loser_is_gone_and_has_given_everything_back(way: str, stream: bool, settled: list[Any]) -> None:
    route = engine.Route([A, B], hedge=True)
    ledger = SqliteLedger(":memory:")
    with Late(way) as several, several.client(rates={"groq": {"concurrency": 1}}, budgets=[{"usd": 10}], ledger=ledger) as client:
        for model in (A, B):
            client.chat(model, "hi", max_tokens=20)  # compiled now, and not while somebody looks at the clock
        del settled[:]
        began = time.monotonic()
        if stream:
            with client.chat.stream(route, SLOW, max_tokens=20) as running:
                text = "".join(running.text_stream)
        else:
            text = client.chat(route, SLOW, max_tokens=20).text
        assert text == "Hello from openai." and time.monotonic() - began < 3
        late = several.sims["groq"].requests[1]
        assert within(1.0, lambda: late.gone and not late.finished)
        assert within(1.0, lambda: client.health(A)[A]["in_flight"] == 0 and ledger.spent("total:all")[1] == 0)
        assert within(1.0, lambda: len(settled) == 2) and settled[0] is not settled[1]
        assert within(1.0, lambda: sum(t.name.startswith("Thread-") and "run" in t.name for t in threading.enumerate()) == 0)
        assert client.chat(A, "hi", timeout=5).text == "soon"  # its only place is free again
    assert len(settled) == 3


def test_a_loser_that_waits_for_its_turn_leaves_the_queue() -> None:
    route = engine.Route([A, B], hedge=True)
    with Several() as several, several.client(rates={"groq": {"requests": "1/hour"}}) as client:
        client.chat(A, "hi")
        began = time.monotonic()
        answer = client.chat(engine.Route([A, B], hedge=True), "hi", timeout=30)
        assert answer.text == "Hello from openai." and time.monotonic() - began < 3 and route
        assert within(1.0, lambda: client.health(A)[A]["in_flight"] == 0)


def test_what_is_stopped_ends_whatever_it_waits_for() -> None:
    taken = threading.Lock()
    taken.acquire()
    for wait in (lambda s: s.sleep(9), lambda s: s.until(threading.Event(), 9), lambda s: s.locked(taken, 9)):
        stop, ended = Stop(), threading.Event()

        def run(wait: Any = wait, stop: Stop = stop, ended: threading.Event = ended) -> None:
            with pytest.raises(Stopped):
                wait(stop)
            ended.set()

        threading.Thread(target=run, daemon=True).start()
        time.sleep(0.02)
        stop()
        assert ended.wait(0.5) and stop.done
        with pytest.raises(Stopped):
            stop.hold(lambda: None)


def test_what_was_released_is_not_ended() -> None:
    ended: list[str] = []
    stop = Stop()
    stop.hold(lambda: ended.append("old"))
    stop.release()
    stop()
    assert ended == []


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a server that lets nobody in: its queue is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for one in waiting:
            one.close()


def test_a_loser_that_is_not_even_connected_ends_too(deaf: str) -> None:
    with Several() as several, several.client(providers={"groq": {"base_url": deaf}}) as client:
        client.chat(B, "hi")
        began = time.monotonic()
        assert client.chat(engine.Route([A, B], hedge=True), "hi").text == "Hello from openai."
        assert within(1.0, lambda: client.health(A)[A]["in_flight"] == 0) and time.monotonic() - began < 3


def test_a_transport_of_the_callers_own_holds_nothing_up() -> None:
    released, closed = threading.Event(), threading.Event()

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b'{"choices": [{"index": 0, "message": {"content": "late"}, "finish_reason": "stop"}]}'

        def close(self) -> None:
            closed.set()

    def handle(request: httpx.Request) -> httpx.Response:
        if "groq" in request.url.host:
            released.wait(9)
            return httpx.Response(200, stream=Body())
        return httpx.Response(200, json={"choices": [{"index": 0, "message": {"content": "soon"}, "finish_reason": "stop"}]})

    keys = {"groq": {"api_key": "k" * 20}, "openai": {"api_key": "k" * 20}}
    client = engine.Client(providers=keys, transport=httpx.MockTransport(handle))
    client.chat(B, "hi")
    assert client.chat(engine.Route([A, B], hedge=True), "hi").text == "soon"
    assert within(1.0, lambda: client.health(A)[A]["in_flight"] == 0) and not closed.is_set()
    released.set()
    assert closed.wait(1.0)  # what came too late was closed


def test_nothing_is_left_of_many_losers() -> None:
    """`tools/faults.py caches` tries more."""
    seen = losers(24, 8)
    assert seen.answered == 24 and seen.hedged > 12 and not (seen.open or seen.in_flight or seen.reserved)


class _Events:
    """Deliveries of a stream that has begun."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_race_that_is_won_too_late_frees_the_winner() -> None:
    """A thread closed the stream while its race came to an end: its flow is not told, so nobody else would."""
    events, freed = _Events(), []

    class Late:
        def block(self, driver: Any) -> Any:
            deliveries.close()
            return 0, ([], events)

        def free(self, came: Any) -> None:
            freed.append(came)
            came[1][1].close()

    def flow() -> Any:
        yield Late()
        raise AssertionError("nobody waits for this")

    deliveries = Driver(PooledTransport(), lambda seconds: None).stream(flow())
    assert deliveries.advance() is None and events.closed == 1 and len(freed) == 1


@pytest.mark.parametrize("cancelled", [False, True])
def test_on_a_loop_whoever_came_in_just_behind_is_freed_and_so_is_a_winner_nobody_waits_for(cancelled: bool) -> None:
    made: list[Any] = []

    class Running:
        def __init__(self, flow: Any) -> None:
            self.closed = 0
            made.append(self)

        async def advance(self) -> list[Any]:
            await begin.wait()
            if self is not made[0] and cancelled:
                try:
                    await asyncio.sleep(10)
                finally:
                    running.cancel()  # the caller goes while the loser is being ended
            return ["event"]

        async def close(self) -> None:
            self.closed += 1

    class Loop:
        stream = Running

    async def run() -> None:
        nonlocal running, begin
        begin = asyncio.Event()
        running = asyncio.ensure_future(race())
        while len(made) < 2:
            await asyncio.sleep(0.005)
        begin.set()
        await asyncio.wait([running])

    async def race() -> Any:
        return await Race(iter(()), 0.01, lambda: iter(()), True).pause(Loop())  # type: ignore[arg-type, return-value]

    running: Any = None
    begin: Any = None
    asyncio.run(run())
    assert running.cancelled() is cancelled
    assert [one.closed for one in made] == ([1, 0] if cancelled else [0, 1])
