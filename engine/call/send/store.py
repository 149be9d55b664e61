"""A reply that goes to disk as it comes: one step of a flow, carried out by either driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from engine.call.send.body import Body
from engine.call.step import Answer, Exchange

__all__ = ["Place", "Store"]

SLICE = 1 << 15  # bytes decompressed at a time
GATHERED = 1 << 20  # bytes an event loop gathers before a thread writes them


class Place(Protocol):
    """Where the bytes of an answer go (engine.disk.Target)."""

    size: int

    def begin(self) -> None: ...
    def write(self, data: bytes) -> None: ...
    def read(self, most: int) -> bytes: ...


def _slices(data: bytes) -> Iterator[bytes]:
    """A piece of a reply in slices, each of which may be a hundred times as long when it is decompressed."""
    if len(data) <= SLICE:
        yield data
        return
    for at in range(0, len(data), SLICE):
        yield data[at : at + SLICE]


class Store:
    """Send a request and write what is answered to `place`; the Answer then has no body, but what of it may be an error.

    The headers have the time of the exchange; the body has `idle` seconds from piece to piece, until the deadline `end`. It may
    be `limit` bytes long. The body of a failure is read as ever and nothing is written.
    """

    __slots__ = ("end", "exchange", "idle", "limit", "place")

    def __init__(self, exchange: Exchange, place: Place, limit: int, idle: float, end: float) -> None:
        self.exchange = exchange
        self.place = place
        self.limit = limit
        self.idle = idle
        self.end = end

    def block(self, driver: Any) -> Answer:
        asked = self.exchange
        reply = driver.transport.open(asked.request, asked.route, asked.timing)
        try:
            if reply.status >= 300:
                return Answer(reply.status, reply.headers, driver._rest(reply, asked.error_bytes, asked.ratio))
            body = self._begun(reply)
            self._wait()
            while data := reply.read():
                for piece in _slices(data):
                    self.place.write(body.feed(piece))
                self._wait()
            body.end()
            return Answer(reply.status, reply.headers, self._doubtful(reply))
        finally:
            reply.close()

    async def pause(self, driver: Any) -> Answer:
        from asyncio import to_thread

        asked = self.exchange
        reply = await driver.transport.open(asked.request, asked.route, asked.timing)
        try:
            if reply.status >= 300:
                return Answer(reply.status, reply.headers, await driver._rest(reply, asked.error_bytes, asked.ratio))
            body = self._begun(reply)
            held = bytearray()
            self._wait()
            while data := await reply.read():
                for piece in _slices(data):
                    held += body.feed(piece)
                    if len(held) >= GATHERED:
                        full, held = bytes(held), bytearray()
                        await to_thread(self.place.write, full)
                self._wait()
            body.end()
            await to_thread(self.place.write, bytes(held))
            return Answer(reply.status, reply.headers, self._doubtful(reply))
        finally:
            await reply.close()

    def _begun(self, reply: Any) -> Body:
        self.place.begin()
        return Body(reply.headers, self.limit, self.exchange.ratio)

    def _wait(self) -> None:
        self.exchange.timing.timer.renew(self.idle, self.end)

    def _doubtful(self, reply: Any) -> bytes:
        """A short JSON document may say that there is no file."""
        short = self.place.size <= self.exchange.error_bytes and "json" in reply.headers.get("content-type", "").lower()
        return self.place.read(self.exchange.error_bytes) if short else b""
