"""A raw TCP server on loopback that misbehaves as told, and knows what became of its connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

Handler = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One request as the server sees it, and the means to answer it byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, body: bytes, number: int) -> None:
        self.reader, self.writer, self.head, self.body, self.number = reader, writer, head, body, number

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, status: int, body: bytes, *headers: str) -> None:
        head = "".join(f"{h}\r\n" for h in (f"Content-Length: {len(body)}", *headers))
        await self.send(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)

    async def chunks(self, *headers: str) -> None:
        await self.send(
            "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n{}\r\n".format("".join(f"{h}\r\n" for h in headers)).encode()
        )

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def reset(self) -> None:
        self.writer.transport.abort()


class Loopback:
    """Runs in a thread of its own, so that blocking clients can be tested too."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[Exchange] = []
        self.open = 0
        self.connections = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self) -> Loopback:
        self._thread.start()
        self._ready.wait(5)
        return self

    def __exit__(self, *_: Any) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next((int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0)
                exchange = Exchange(reader, writer, head, await reader.readexactly(size), len(self.requests) + 1)
                self.requests.append(exchange)
                serving = asyncio.ensure_future(self.handler(exchange))
                gone = asyncio.ensure_future(self._gone(reader, writer))
                await asyncio.wait({serving, gone}, return_when=asyncio.FIRST_COMPLETED)
                gone.cancel()
                if not serving.done():
                    serving.cancel()
                    return
                serving.result()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.transport.abort()

    async def _gone(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ends when the client closes its side."""
        while not reader.at_eof() and not writer.transport.is_closing():
            await asyncio.sleep(0.01)
