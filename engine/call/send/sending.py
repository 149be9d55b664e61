"""A body that is read from disk while it is sent: for transports that block, and for those of an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from engine.call.content import Content
from engine.call.send import Timing
from engine.reliability.deadline import Timer

__all__ = ["Pieces"]


class Pieces:
    """The pieces of a body, from the first each time it is iterated. Every piece may take as long as a whole small body may, and
    the wait for the answer begins when the last was handed over: what is large is not slow. The deadline bounds it all."""

    __slots__ = ("_body", "_end", "_timing", "_write")

    def __init__(self, body: Content, timing: Timing, write: Timer | None = None) -> None:
        self._body = body
        self._timing = timing
        self._write = write  # the timer of the transport's writes
        self._end = timing.timer.until  # the deadline, while the body is sent

    def _move(self) -> None:
        if self._write is not None:
            self._write.renew(self._timing.send, self._end)

    def _sent(self) -> None:
        timer = self._timing.timer
        if self._timing.answer:
            timer.renew(self._timing.answer, self._end)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body.pieces():
            self._move()
            yield piece
        self._sent()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        from asyncio import to_thread

        pieces = self._body.pieces()
        while (piece := await to_thread(next, pieces, None)) is not None:
            self._move()
            yield piece
        self._sent()
