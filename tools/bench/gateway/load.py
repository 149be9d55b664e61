"""The client of the gateways under test: raw connections on one loop, with what comes back counted and checked.

    python load.py JSON         # {op: closed|rate|streams, port, request: base64, …} -> one line of JSON

closed: `width` connections, `calls` calls; rate: `rate` calls a second for `seconds`; streams: `width` connections hold
`calls` streams, or as many as end in `seconds`. A stream is whole when its numbered words are all there, in order, and its
last bytes are there too.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import re
import sys
import time
from typing import Any

WORD = re.compile(rb"w(\d+) ")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
CHUNKED = re.compile(rb"\r\n[0-9a-f]+\r\n")


class Connection(asyncio.Protocol):
    """One kept connection: `call` sends the request and waits for its whole answer."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.pieces: list[bytes] = []
        self.size = 0
        self.wanted: int | None = None
        self.first = 0.0
        self.waiter: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(ConnectionError("closed in the middle of an answer"))

    def data_received(self, data: bytes) -> None:
        if not self.pieces:
            self.first = time.perf_counter()
        self.pieces.append(data)
        self.size += len(data)
        if self.wanted is None:
            whole = b"".join(self.pieces)
            head = whole.find(b"\r\n\r\n")
            if head < 0:
                return
            length = LENGTH.search(whole, 0, head)
            self.wanted = head + 4 + int(length[1]) if length else 0
        if self.size >= self.wanted if self.wanted else data.endswith(b"0\r\n\r\n"):
            assert self.waiter is not None
            self.waiter.set_result(b"".join(self.pieces))

    async def call(self, request: bytes) -> bytes:
        self.pieces, self.size, self.wanted = [], 0, None
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        answer = await asyncio.wait_for(self.waiter, 120)
        if answer[9:12] != b"200":
            raise ConnectionError(answer[:400].decode("latin-1"))
        return answer


class Load:
    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        self.request = base64.b64decode(task["request"])
        self.taken: list[float] = []
        self.firsts: list[float] = []
        self.bad = self.cut = self.events = 0
        self.told = ""

    async def connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, "127.0.0.1", self.task["port"]))[1]

    async def one(self, connection: Connection) -> Connection:
        start = time.perf_counter()
        try:
            answer = await connection.call(self.request)
        except Exception as error:
            self.bad += 1
            self.told = self.told or repr(error)[:300]
            connection.transport.abort()
            return await self.connect()
        self.taken.append(time.perf_counter() - start)
        if self.task["op"] == "streams":
            self.firsts.append(connection.first - start)
            self.check(answer)
        return connection

    def check(self, answer: bytes) -> None:
        words = [int(number) for number in WORD.findall(CHUNKED.sub(b"", answer))]
        wanted = list(range(self.task["events"]))
        if words != wanted or (self.task["tail"] and self.task["tail"].encode() not in answer[-400:]):
            self.cut += 1
            self.told = self.told or f"{len(words)} of {len(wanted)} words, the end: {answer[-200:]!r}"
        self.events += len(words)

    async def closed(self) -> None:
        left = self.task.get("calls")
        spread = self.task.get("spread", 0.0)  # seconds in which the lanes begin, one after the other
        until = time.perf_counter() + spread + self.task.get("seconds", 1e9)

        async def lane(number: int, width: int) -> None:
            connection = await self.connect()
            await asyncio.sleep(spread * number / width)
            mine = 0
            while (left is None or mine < left // width) and time.perf_counter() < until:
                connection = await self.one(connection)
                mine += 1
            connection.transport.close()

        width = self.task["width"]
        await asyncio.gather(*(lane(number, width) for number in range(width)))

    async def rate(self) -> None:
        free: list[Connection] = []

        async def single() -> None:
            connection = free.pop() if free else await self.connect()
            free.append(await self.one(connection))

        start = time.perf_counter()
        running = []
        for number in range(int(self.task["rate"] * self.task["seconds"])):
            await asyncio.sleep(max(0.0, start + number / self.task["rate"] - time.perf_counter()))
            running.append(asyncio.ensure_future(single()))
        await asyncio.gather(*running)

    async def run(self) -> dict[str, Any]:
        start = time.perf_counter()
        await (self.rate() if self.task["op"] == "rate" else self.closed())
        seconds = time.perf_counter() - start
        found = {"calls": len(self.taken), "bad": self.bad, "cut": self.cut, "events": self.events, "seconds": seconds}
        return {**found, "told": self.told, "us": _spread(self.taken), "first_us": _spread(self.firsts)}


def _spread(values: list[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile in microseconds."""
    ordered = sorted(values)
    places = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {name: ordered[min(len(ordered) - 1, int(at * len(ordered)))] * 1e6 for name, at in places.items()} if ordered else {}


if __name__ == "__main__":
    import uvloop

    gc.disable()
    print(json.dumps(uvloop.run(Load(json.loads(sys.stdin.read())).run())))
