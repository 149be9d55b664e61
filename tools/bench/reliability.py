"""What reliability costs when nothing goes wrong (budget: 25 µs of CPU for a call, 0.3 µs for an event of a stream).

    python tools/bench/reliability.py [--rounds 15]

`layer` is what the budget speaks of: a call of a client beside one that does all the same but for reliability. That one looks
up the model, writes and signs the request, hands it to the same transport, reads the answer and makes report and bill; it has
no attempts, deadline, retry budget, breaker, health, limits of the exchange, nor the flow and driver that carry them.

`client` is a call of a client beside the bare operation, which writes a request and reads its answer, and nothing else: the
lookup, signing, report and bill are in it too. `limited` has rates for requests, tokens and concurrency on top. `event` is an
event of a stream that a read of its own brings, `burst` one of 20 that one read brings. The transport answers at once from
memory.

Rounds are interleaved; printed are the median of the differences inside a round, and the difference of the best rounds, which
says more on a machine that has other work.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine import Client
from engine.types import Headers

MODEL = "openai/gpt-4o-mini"
HEADERS = Headers({"content-type": "application/json", "x-request-id": "req_1"})
STREAMED = Headers({"content-type": "text/event-stream", "x-request-id": "req_1"})
FIELDS: dict[str, Any] = {
    "messages": [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "Say hello in Welsh."}],
    "max_tokens": 64,
    "temperature": 0.2,
}
WHOLE = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1763650000,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Helo"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 21, "completion_tokens": 3, "total_tokens": 24},
    }
).encode()
EVENTS = 2000
RATES = {"openai": {"requests": "1000000000/min", "tokens": "1000000000000/min", "concurrency": 1000}}


def _event(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + json.dumps({"id": "c1", "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"


BURST = 20  # events that one read of the socket brings
_END = [_event({}, "stop"), b"data: [DONE]\n\n", b""]
SINGLE = [*([_event({"content": "word "})] * EVENTS), *_END]
BURSTS = [*([_event({"content": "word "}) * BURST] * (EVENTS // BURST)), *_END]


class _Reply:
    status = 200

    def __init__(self, headers: Headers, pieces: list[bytes]) -> None:
        self.headers = headers
        self.read = iter(pieces).__next__

    def close(self) -> None:
        return None


class Memory:
    """A transport that answers at once."""

    def __init__(self, pieces: list[bytes] = SINGLE) -> None:
        self.pieces = pieces

    def open(self, request: Any, route: Any, timing: Any) -> _Reply:
        return _Reply(STREAMED, self.pieces) if request.stream else _Reply(HEADERS, [WHOLE, b""])

    def close(self) -> None:
        return None


def client(transport: Memory, **options: Any) -> Client:
    return Client(providers={"openai": {"api_key": "sk-x"}}, transport=transport, **options)


def differences(ways: list[Callable[[], Any]], times: int, rounds: int) -> list[tuple[float, float]]:
    """(median, of the best rounds) of every way after the first: seconds of CPU it takes longer for one time."""
    for way in ways:
        for _ in range(times // 10 + 1):
            way()
    found: list[list[float]] = [[] for _ in ways]
    for number in range(rounds):
        order = range(len(ways)) if number % 2 else reversed(range(len(ways)))
        for i in order:
            gc.collect()
            began = time.process_time()
            for _ in range(times):
                ways[i]()
            found[i].append((time.process_time() - began) / times)
    bare = found[0]
    return [(statistics.median(a - b for a, b in zip(one, bare)), min(one) - min(bare)) for one in found[1:]]


class _Nothing:
    """In the place of attempts and their deadline: what the rest of a call asks them, and no bookkeeping."""

    key = 0
    deadline: Any
    records: tuple[()] = ()

    def __init__(self, *_: Any) -> None:
        self.deadline = self

    def wrote(self, tokens: int | None) -> None:
        return None

    def elapsed(self) -> float:
        return 0.0


def _body(transport: Memory, request: Any) -> tuple[_Reply, bytes]:
    reply = transport.open(request, None, None)
    pieces = []
    while piece := reply.read():
        pieces.append(piece)
    reply.close()
    return reply, b"".join(pieces)


def layer(rounds: int, times: int = 300) -> tuple[float, float]:
    """Seconds that reliability adds to a call."""
    calling: Any = import_module("engine.calling")
    transport = Memory()
    guarded, open_ = client(transport), client(transport)

    def unguarded() -> str:
        call = open_._prepare("chat", MODEL, dict(FIELDS), False)
        reply, body = _body(transport, call.at_once())
        response = call.operation.read(reply.status, reply.headers, body, call.request)
        call.finish(response)
        text: str = response.text
        return text

    def swapped(attempts: Any, deadline: Any, way: Callable[[], str]) -> Callable[[], str]:
        def run() -> str:
            calling.Attempts, calling.Deadline = attempts, deadline
            return way()

        return run

    own = calling.Attempts, calling.Deadline
    try:
        ways = [swapped(_Nothing, _Nothing, unguarded), swapped(*own, lambda: guarded.chat(MODEL, **FIELDS).text)]
        return differences(ways, times, rounds)[0]
    finally:
        calling.Attempts, calling.Deadline = own


def calls(rounds: int, times: int = 300) -> dict[str, tuple[float, float]]:
    """{client, limited: seconds that a client adds to a call of the bare operation}."""
    transport = Memory()
    plain, limited = client(transport), client(transport, rates=RATES)
    operation = plain.operation(MODEL)

    def bare() -> str:
        request = operation.render(**FIELDS)
        request.headers["Authorization"] = "Bearer sk-x"
        reply, body = _body(transport, request)
        return operation.read(reply.status, reply.headers, body, request).text

    ways: list[Callable[[], Any]] = [bare, lambda: plain.chat(MODEL, **FIELDS).text, lambda: limited.chat(MODEL, **FIELDS).text]
    return dict(zip(("client", "limited"), differences(ways, times, rounds)))


def events(rounds: int, pieces: list[bytes], times: int = 3) -> tuple[float, float]:
    """Seconds that a client adds to an event of a stream that arrives in such pieces."""
    transport = Memory(pieces)
    plain = client(transport)
    operation = plain.operation(MODEL)

    def bare() -> None:
        request = operation.render(**FIELDS, stream=True)
        request.headers["Authorization"] = "Bearer sk-x"
        reply = transport.open(request, None, None)
        reader = operation.reader(reply.headers, request)
        while piece := reply.read():
            for event in reader.feed(piece):
                assert event.kind
        reader.close()

    def whole() -> None:
        with plain.chat.stream(MODEL, **FIELDS) as stream:
            for event in stream:
                assert event.kind

    median, best = differences([bare, whole], times, rounds)[0]
    return median / EVENTS, best / EVENTS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    found = {"layer": layer(rounds), **calls(rounds), "event": events(rounds, SINGLE), "burst": events(rounds, BURSTS)}
    for name, (median, best) in found.items():
        print(f"{name:8} {median * 1e6:7.2f} µs more, {best * 1e6:7.2f} in the best of {rounds} rounds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
