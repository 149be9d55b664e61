"""A provider in a process of its own. Its streams begin and go on with a text four times a second, until somebody ends them; who
asks it to wait gets no answer at all. Run by `Ticking`; it imports nothing of ours, so that it is there at once.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import threading
from typing import Any

TICK = 0.25  # seconds between two texts
WAIT = "and wait"  # in a request that gets no answer
_COUNTS = struct.Struct("qq")  # connections that are open, requests that came


class Ticking:
    """`with Ticking(beginning, tick) as server`: the bytes a stream begins with, and those of each further text."""

    def __init__(self, beginning: bytes, tick: bytes) -> None:
        self._said = {"beginning": beginning.decode(), "tick": tick.decode()}

    def __enter__(self) -> Ticking:
        with tempfile.NamedTemporaryFile() as shared:
            shared.write(bytes(_COUNTS.size))
            shared.flush()
            self._counts = mmap.mmap(shared.fileno(), _COUNTS.size)
            command = [sys.executable, __file__, shared.name]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(json.dumps(self._said) + "\n")
            self.base_url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: Any) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()  # ends it
        self._process.wait(10)
        self._process.stdout.close()
        self._counts.close()

    @property
    def open(self) -> int:
        """Connections that are open."""
        return int(_COUNTS.unpack(self._counts[:])[0])

    @property
    def asked(self) -> int:
        """Requests that came so far."""
        return int(_COUNTS.unpack(self._counts[:])[1])

    def kill(self) -> None:
        """Break every connection now."""
        assert self._process.stdin is not None
        self._process.stdin.write("kill\n")


class _Provider:
    def __init__(self, counts: mmap.mmap, said: dict[str, str]) -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.beginning, self.tick = head.encode() + _chunk(said["beginning"]), _chunk(said["tick"])
        self.counts = counts
        self.open: set[Any] = set()
        self.streams: set[Any] = set()
        self.asked = 0

    def tell(self) -> None:
        self.counts[:] = _COUNTS.pack(len(self.open), self.asked)

    def tell_all(self) -> None:
        for transport in self.streams:
            if not transport.is_closing():
                transport.write(self.tick)
        asyncio.get_running_loop().call_later(TICK, self.tell_all)

    def kill(self) -> None:
        for transport in list(self.open):
            transport.abort()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        ended = asyncio.Event()

        def hear() -> None:
            for line in sys.stdin:
                if line == "kill\n":
                    loop.call_soon_threadsafe(self.kill)
            loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=hear, daemon=True).start()
        self.tell_all()
        await ended.wait()


class _Connection(asyncio.Protocol):
    def __init__(self, provider: _Provider) -> None:
        self.provider, self.came = provider, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.provider.open.add(transport)
        self.provider.tell()

    def data_received(self, data: bytes) -> None:
        self.came += data
        head, found, body = self.came.partition(b"\r\n\r\n")
        length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
        if not found or len(body) < int(length):
            return
        self.came = b""
        self.provider.asked += 1
        if WAIT.encode() not in body:
            self.transport.write(self.provider.beginning)
            self.provider.streams.add(self.transport)
        self.provider.tell()

    def connection_lost(self, error: Exception | None) -> None:
        self.provider.open.discard(self.transport)
        self.provider.streams.discard(self.transport)
        self.provider.tell()


def _chunk(text: str) -> bytes:
    data = text.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def main() -> None:
    with open(sys.argv[1], "r+b") as shared:
        counts = mmap.mmap(shared.fileno(), os.fstat(shared.fileno()).st_size)
    asyncio.run(_Provider(counts, json.loads(sys.stdin.readline())).serve())


if __name__ == "__main__":
    main()
