"""Streams as the caller sees them: iterators of events that end with the same Response a whole reply gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError, Error
from engine.leaving import bare, foreign, leaving, passing

if TYPE_CHECKING:
    from types import TracebackType

    from engine.call.flow import Call
    from engine.call.send.drive import Deliveries
    from engine.call.send.drive_async import AsyncDeliveries
    from engine.types import Event, Response

__all__ = ["AsyncStream", "Stream"]

Start = Callable[[], tuple[Any, Any]]  # -> (call, its running flow)
INTERRUPT = ("raise", "restart", "continue")


def on_interrupt(fields: dict[str, Any]) -> str:
    """What is done when a stream breaks after content was shown; taken out of the fields. ConfigError for another word."""
    choice = fields.pop("on_interrupt", None) or "raise"
    if choice not in INTERRUPT:
        raise ConfigError(f"on_interrupt must be one of {', '.join(INTERRUPT)}")
    return str(choice)


class _Base:
    """What both streams share: the pending events and the way an error leaves."""

    def __init__(self, start: Start) -> None:
        self._start: Start | None = start
        self._call: Call | None = None
        self._pending: Iterator[Event] = iter(())
        self._response: Response | None = None
        self._closed = False

    @property
    def response(self) -> Response:
        """The whole answer, once the stream has ended. ConfigError before that."""
        if self._response is None:
            raise ConfigError("the stream has not ended: read its events to the end first, or call finish()")
        return self._response

    def arrived(self) -> list[Event]:
        """The events that are here already, taken without waiting: what came in one piece can be passed on in one."""
        return list(self._pending)

    def _failed(self, problem: Exception) -> Error:
        self._closed = True
        error = problem if isinstance(problem, Error) else foreign(problem, sent=self._call is not None)
        return leaving(error, self._call) if self._call is not None else bare(error)


class Stream(_Base):
    """An answer as it arrives.

        with client.chat.stream(model, messages) as stream:
            for event in stream: ...
        stream.response

    The request goes out with the first event asked for. Leaving the `with` block, `close()` and the garbage collector free
    the connection.
    """

    _run: Deliveries | None = None

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        for event in self._pending:
            return event
        if self._closed:
            raise StopIteration
        problem: Error
        try:
            if self._start is not None:
                start, self._start = self._start, None
                self._call, self._run = start()
                if self._closed:  # by another thread, meanwhile
                    self._run.close()
            assert self._run is not None
            events = self._run.advance()
            if events is None:
                self._closed = True
                self._response = self._run.value
            else:
                self._pending = iter(events)
        except Exception as caught:
            problem = self._failed(caught)
        except BaseException as stop:
            raise passing(stop)  # noqa: B904
        else:
            if events is None:
                raise StopIteration
            return self.__next__()
        raise problem

    @property
    def text_stream(self) -> Iterator[str]:
        """Only the text of the first choice, piece by piece."""
        for event in self:
            if event.kind == "text" and not event.choice and event.text:
                yield event.text

    def finish(self) -> Response:
        """Read what is left and return the whole answer."""
        for _ in self:
            pass
        return self.response

    def close(self) -> None:
        """Free the connection; what was not read is lost."""
        self._closed = True
        self._pending = iter(())
        if self._run is not None:
            self._run.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if self._run is not None and not self._run.ended:
            self._run.close()


class AsyncStream(_Base):
    """The async twin of Stream: `async with`, `async for`, `await stream.finish()`."""

    _run: AsyncDeliveries | None = None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        for event in self._pending:
            return event
        if self._closed:
            raise StopAsyncIteration
        problem: Error
        try:
            if self._start is not None:
                start, self._start = self._start, None
                self._call, self._run = start()
            assert self._run is not None
            events = await self._run.advance()
            if events is None:
                self._closed = True
                self._response = self._run.value
            else:
                self._pending = iter(events)
        except Exception as caught:
            problem = self._failed(caught)
        except BaseException as stop:
            raise passing(stop)  # noqa: B904
        else:
            if events is None:
                raise StopAsyncIteration
            return await self.__anext__()
        raise problem

    @property
    async def text_stream(self) -> AsyncIterator[str]:
        """Only the text of the first choice, piece by piece."""
        async for event in self:
            if event.kind == "text" and not event.choice and event.text:
                yield event.text

    async def finish(self) -> Response:
        """Read what is left and return the whole answer."""
        async for _ in self:
            pass
        return self.response

    async def close(self) -> None:
        """Free the connection; what was not read is lost."""
        self._closed = True
        self._pending = iter(())
        if self._run is not None:
            await self._run.close()

    aclose = close

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def __del__(self) -> None:
        if self._run is not None and not self._run.ended:
            self._run.abandon()
