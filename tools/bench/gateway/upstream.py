"""The provider behind the gateways under test: a raw protocol on one loop that answers from bytes made before.

    python upstream.py PORT ANSWERS            # ANSWERS: JSON of {dialect: {whole: base64, frames: {count: [base64]}, type: …}}

The model's name says what is wanted, wherever it stands in the request: `bench-n64-p20` is a stream of 64 deltas 20 ms
apart, `p0` one burst; the first segment of the path names the dialect. `GET /stats` tells requests, and streams that were
left before their end.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import gc
import json
import re
import sys
from typing import Any

WANTED = re.compile(rb"bench-n(\d+)-p(\d+)")
STREAMED = re.compile(rb'"stream"\s*:\s*true|:streamGenerateContent|/converse-stream')
LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.I)
counts = {"requests": 0, "left": 0}
answers: dict[str, Any] = {}


def framed(data: bytes) -> bytes:
    """A chunk of HTTP's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@functools.lru_cache(None)
def plan(dialect: str, streamed: bool, count: int, pace: int) -> tuple[float, list[bytes]]:
    """(seconds between writes, the writes)."""
    answer = answers[dialect]
    if not streamed:
        body = base64.b64decode(answer["whole"])
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_0123456789abcdef\r\n"
        return 0.0, [head + b"content-length: %d\r\n\r\n" % len(body) + body]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n" % answer["type"].encode()
    frames = [framed(base64.b64decode(frame)) for frame in answer["frames"][str(count)]]
    if not pace:
        return 0.0, [head + b"".join(frames) + b"0\r\n\r\n"]
    return pace / 1000, [head + frames[0], *frames[1:-1], frames[-1] + b"0\r\n\r\n"]


class Connection(asyncio.Protocol):
    """One connection; requests on it are answered in turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.kept = b""
        self.transport: Any = None
        self.running = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        counts["left"] += self.running

    def data_received(self, data: bytes) -> None:
        self.kept += data
        end = self.kept.find(b"\r\n\r\n")
        if end < 0:
            return
        length = LENGTH.search(self.kept, 0, end)
        end += 4 + (int(length[1]) if length else 0)
        if len(self.kept) >= end:
            request, self.kept = self.kept[:end], self.kept[end:]
            self.answer(request)

    def answer(self, request: bytes) -> None:
        path = request.split(b" ", 2)[1].decode()
        if path == "/stats":
            body = json.dumps(counts).encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            return
        counts["requests"] += 1
        wanted = WANTED.search(request)
        count, pace = (int(wanted[1]), int(wanted[2])) if wanted else (64, 0)
        gap, writes = plan(path.split("/", 2)[1], STREAMED.search(request) is not None, count, pace)
        self.running = True
        self.step(gap, writes, 0, self.loop.time())

    def step(self, gap: float, writes: list[bytes], at: int, started: float) -> None:
        if self.transport is None:
            return
        self.transport.write(writes[at])
        at += 1
        if at < len(writes):
            self.loop.call_at(started + at * gap, self.step, gap, writes, at, started)
        else:
            self.running = False


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(loop), "127.0.0.1", port, backlog=4096, reuse_address=True)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    gc.disable()
    with open(sys.argv[2]) as file:
        answers.update(json.load(file))
    uvloop.run(main(int(sys.argv[1])))
