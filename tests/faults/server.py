"""A provider on loopback that answers each case as its row of the table says, byte by byte, and knows what reached it.

One server thread serves many cases at once: a case is a first path segment, so its requests and connections are its own.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

PROMPT = "PROMPT-CANARY say hello"


class Gone(Exception):
    """The exchange is over: the client went away, or the row broke the connection."""


@dataclass(slots=True)
class Request:
    at: float
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(eq=False)
class Case:
    """One call against the server: how it is answered, and what was seen of it."""

    answer: Callable[[Exchange], Awaitable[None]]
    key: str = ""
    base_url: str = ""
    elsewhere: str = ""  # base URL of the other origin
    wire: Any = None
    data: dict[str, Any] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    foreign: list[Request] = field(default_factory=list)  # what reached the other origin
    reads_body: bool = True
    pause: float = 0.0  # seconds the caller is busy with each text
    open: int = 0  # connections that carried this case and are still open
    busy: int = 0  # of these, the ones in the middle of an exchange


class Exchange:
    """One request of a case and the means to answer it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, case: Case, request: Request) -> None:
        self.reader, self.writer, self.case, self.request = reader, writer, case, request
        self.number = len(case.requests)
        self.wire = case.wire

    @property
    def streams(self) -> bool:
        return bool(self.wire.asks_stream(self.request))

    async def send(self, data: bytes) -> None:
        if self.writer.transport.is_closing():
            raise Gone
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int = 200, kind: str = "application/json", headers: Iterable[tuple[str, Any]] = ()) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", *(f"{name}: {value}" for name, value in headers)]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def reply(self, status: int, body: Any, kind: str = "application/json", headers: Iterable[tuple[str, Any]] = ()) -> None:
        """A whole answer: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        await self.head(status, kind, [("Content-Length", len(data)), *headers])
        await self.send(data)

    async def begin(self, kind: str | None = None) -> None:
        """The head of a chunked answer; of the wire's own stream unless told otherwise."""
        await self.head(200, kind or self.wire.content_type, [("Transfer-Encoding", "chunked")])

    async def chunk(self, data: bytes) -> None:
        if data:
            await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def stream(self, pieces: Iterable[bytes], *, begin: bool = True, end: bool = True) -> None:
        """A stream, one chunk a piece."""
        if begin:
            await self.begin()
        for piece in pieces:
            await self.chunk(piece)
        if end:
            await self.end()

    async def good(self) -> None:
        if self.streams:
            await self.stream(self.wire.stream())
        else:
            await self.reply(200, self.wire.whole())

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def hold(self) -> None:
        """Silence until the client goes away."""
        await asyncio.sleep(60)

    def reset(self) -> None:
        """Break the connection the hard way."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise Gone

    def finish(self) -> None:
        """Close the connection in good order, whatever was promised."""
        self.writer.close()
        raise Gone


class Server:
    """Runs in a thread of its own, so that blocking clients can be judged too. `with Server() as server`."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="fault server", daemon=True)
        self._writers: dict[Case, set[asyncio.StreamWriter]] = {}

    def __enter__(self) -> Server:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: Any) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def open(self, case: Case) -> Case:
        """Give a case its base URL."""
        name = f"c{len(self._cases)}"
        self._cases[name] = case
        case.base_url = f"http://127.0.0.1:{self.port}/{name}"
        case.elsewhere = f"http://localhost:{self.other}/{name}"
        return case

    def kill(self, case: Case) -> None:
        """Break every connection of a case now."""
        self._loop.call_soon_threadsafe(lambda: [w.transport.abort() for w in self._writers.get(case, ())])

    @staticmethod
    def quiet(case: Case, seconds: float = 1.0, *, idle: bool = False) -> bool:
        """Is no connection of the case in an exchange (with `idle`: open at all) within that time?"""
        until = time.monotonic() + seconds
        while case.busy or (idle and case.open):
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        ours = await self._loop.create_server(self._protocol, "127.0.0.1", 0, backlog=1024)
        theirs = await asyncio.start_server(self._foreign, "127.0.0.1", 0)
        self.port, self.other = ours.sockets[0].getsockname()[1], theirs.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        ours.close()
        theirs.close()
        self._loop.set_exception_handler(lambda *_: None)  # what is cut off now is nobody's loss
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def _protocol(self) -> _Protocol:
        return _Protocol(asyncio.StreamReader(1 << 22), self._connection)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        case: Case | None = None
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path, headers = _parsed(head)
                case = self._cases[path.split("/")[1]]
                if writer not in (held := self._writers.setdefault(case, set())):
                    held.add(writer)
                    case.open += 1
                body = await reader.readexactly(int(headers.get("content-length", 0))) if case.reads_body else b""
                request = Request(time.monotonic(), path, headers, body)
                case.requests.append(request)
                case.busy += 1
                try:
                    if not await self._served(Exchange(reader, writer, case, request)):
                        return
                finally:
                    case.busy -= 1
        except (OSError, asyncio.IncompleteReadError, Gone):
            pass
        finally:
            if case is not None:
                case.open -= 1
                self._writers[case].discard(writer)
            writer.transport.close()

    async def _served(self, exchange: Exchange) -> bool:
        """Answer until the answer is over (True) or the client is gone."""
        serving = asyncio.ensure_future(exchange.case.answer(exchange))
        try:
            gone = exchange.writer.transport.get_protocol().gone  # type: ignore[attr-defined]
            await asyncio.wait({serving, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                return False
            serving.result()
            return True
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def _foreign(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The other origin: writes down what reaches it and answers as if it were the provider."""
        try:
            path, headers = _parsed(await reader.readuntil(b"\r\n\r\n"))
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            case = self._cases[path.split("/")[1]]
            request = Request(time.monotonic(), path, headers, body)
            case.foreign.append(request)
            await Exchange(reader, writer, case, request).reply(200, case.wire.whole())
        except (OSError, asyncio.IncompleteReadError, KeyError, Gone):
            pass
        finally:
            writer.close()


class _Protocol(asyncio.StreamReaderProtocol):
    """Knows when the client has closed its side, also while nobody reads."""

    def __init__(self, reader: asyncio.StreamReader, served: Callable[..., Awaitable[None]]) -> None:
        super().__init__(reader, served)
        self.gone = asyncio.get_running_loop().create_future()

    def _leave(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    def eof_received(self) -> bool | None:
        self._leave()
        return super().eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()
        super().connection_lost(error)


def _parsed(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return first.split(" ")[1], {name.strip().lower(): value.strip() for name, _, value in pairs}
