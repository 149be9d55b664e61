"""A session for threads: the session of asyncio on a loop of its own, driven from outside."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from engine.calling import _leaving
from engine.errors import Error
from engine.realtime.opening import Opening, Sound
from engine.realtime.session import AsyncSession
from engine.types import Event, Usage

if TYPE_CHECKING:
    from decimal import Decimal
    from types import TracebackType

    from engine.types import HttpRequest

__all__ = ["Session"]

_Got = TypeVar("_Got")
_loops: dict[int, asyncio.AbstractEventLoop] = {}  # by process: a fork has none of its parent's threads
_lock = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """The loop that all blocking sessions of this process share."""
    with _lock:
        found = _loops.get(os.getpid())
        if found is None:
            found = _loops[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=found.run_forever, name="llmkit-sessions", daemon=True).start()
        return found


class Session:
    """The twin of AsyncSession: the same methods and events, without `await`. One thread may send while another reads."""

    def __init__(self, opening: Opening, ready: Callable[[], HttpRequest]) -> None:
        self._opening = opening
        self._ready = ready
        self._made: AsyncSession | None = None

    def __enter__(self) -> Session:
        problem: Error
        try:
            self._opening.begin()
            signed = self._ready()

            async def ready() -> HttpRequest:
                return signed

            async def start() -> AsyncSession:
                return await AsyncSession(self._opening, ready).__aenter__()

            self._made = self._drive(start())
            return self
        except Exception as caught:
            problem = _leaving(caught, self._opening.call)
        raise problem

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def _session(self) -> AsyncSession:
        if self._made is None:
            from engine.errors import ConfigError

            raise ConfigError("the session is not open: use it in a `with` block")
        return self._made

    @property
    def id(self) -> str | None:
        """The provider's id of the session."""
        return self._session.id

    @property
    def usage(self) -> Usage:
        """The counters of all turns so far."""
        return self._session.usage

    @property
    def cost(self) -> Decimal | None:
        """What the turns so far cost, in USD; None where the price is not known."""
        return self._session.cost

    @property
    def warnings(self) -> list[str]:
        """What of the request the provider does not take."""
        return self._session.warnings

    @property
    def input_format(self) -> Sound:
        """How the bytes of `send_audio` must sound."""
        return self._session.input_format

    @property
    def output_format(self) -> Sound:
        """How the bytes of `audio` events sound."""
        return self._session.output_format

    def can(self, event: str) -> bool:
        """Whether this provider's sessions know a client event."""
        return self._session.can(event)

    def gives(self, kind: str) -> bool:
        """Whether this provider's sessions tell of a kind of event themselves."""
        return self._session.gives(kind)

    def send_audio(self, data: bytes) -> None:
        """A piece of the user's sound, in `input_format`."""
        self._drive(self._session.send_audio(data))

    def send_text(self, text: str, *, respond: bool = True) -> None:
        """What the user says in writing, or for a voice what it shall say."""
        self._drive(self._session.send_text(text, respond=respond))

    def send_tool_result(self, id: str, result: Any, *, name: str | None = None, is_error: bool = False) -> None:
        """The result of a call (a text or JSON)."""
        self._drive(self._session.send_tool_result(id, result, name=name, is_error=is_error))

    def send_file(self, path: Any, *, pace: bool = False, milliseconds: int = 40) -> float:
        """A WAV file's sound; returns its length in seconds."""
        return self._drive(self._session.send_file(path, pace=pace, milliseconds=milliseconds))

    def commit(self, *, respond: bool = True) -> None:
        """The user's sound is complete so far."""
        self._drive(self._session.commit(respond=respond))

    def respond(self) -> None:
        """Ask the model to answer."""
        self._drive(self._session.respond())

    def interrupt(self) -> None:
        """Break in."""
        self._drive(self._session.interrupt())

    def finish(self) -> None:
        """Say that nothing more will be sent."""
        self._drive(self._session.finish())

    def close(self) -> None:
        """Take leave and close the socket. Never raises."""
        if self._made is not None:
            self._drive(self._made.close())

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        problem: Error
        try:
            return self._drive(_next(self._session))
        except StopAsyncIteration:
            pass
        except Error as caught:
            problem = _leaving(caught, self._opening.call)
            raise problem from None
        raise StopIteration

    def _drive(self, work: Coroutine[Any, Any, _Got]) -> _Got:
        running = asyncio.run_coroutine_threadsafe(work, _loop())
        try:
            return running.result()
        except BaseException:
            running.cancel()
            raise

    def __repr__(self) -> str:
        return f"<session of {self._opening.call.operation.provider}/{self._opening.call.operation.model}>"


async def _next(session: AsyncSession) -> Event:
    return await session.__anext__()
