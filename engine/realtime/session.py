"""A session of asyncio: frames go out as they are sent, events wait in a bounded queue until they are read."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from engine.call.flow import Call
from engine.call.socket import FRAME_BYTES, Wire
from engine.calling import _leaving
from engine.errors import Error, for_kind
from engine.leaving import passing
from engine.realtime.connect import ended, opened
from engine.realtime.opening import Opening, Sound, sound
from engine.types import Event, Response, Usage

if TYPE_CHECKING:
    from decimal import Decimal
    from types import TracebackType

    from engine.types import HttpRequest
    from engine.watching import Watch

__all__ = ["AsyncSession"]

TOO_BIG = 1009  # the close code that we send for a message over the limit


class AsyncSession:
    """One live conversation, open inside an `async with` block; what is sent and what comes are independent of each other.

    Iterating gives events: `session`, `speech` (state started, stopped: the user), `turn` (state started, done, interrupted: the
    model), `transcript` (role, full, text, final), `text`, `audio` (data: bytes in `output_format`), `word`, `tool_call`
    (id, name, arguments), `tool_result` (of a tool that was run here), `interrupted` (stop playing), `usage`, `error` (the
    session goes on) and last `closed`. A failure that ended the session is raised after the events before it.

    At most `queue` events (1,024) wait unread; then nothing more is read from the socket, and the server feels it. When
    somebody breaks in, sound that nobody has read is dropped.
    """

    def __init__(self, opening: Opening, ready: Callable[[], Awaitable[HttpRequest]]) -> None:
        self._opening = opening
        self._call: Call = opening.call
        self._ready = ready  # signs the handshake
        self._wire: Wire | None = None
        self._socket: Any = None
        self._events: deque[Event] = deque()
        self._news = asyncio.Event()  # an event waits, or the end has come
        self._room = asyncio.Event()
        self._open = asyncio.Event()
        self._over = False
        self._closing = False
        self._error: Error | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._owed = False  # an answer must be asked for as soon as the model's turn is over
        self._finished = False
        self._last = 0.0  # when something was sent
        self._watch: Watch | None = None  # who is told of the begin and the end

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str | None:
        """The provider's id of the session."""
        return self._core.session.get("id")

    @property
    def usage(self) -> Usage:
        """The counters of all turns so far."""
        return self._core.usage

    @property
    def cost(self) -> Decimal | None:
        """What the turns so far cost, in USD; None where the price is not known."""
        usage = self.usage
        if usage.cost is not None:
            return usage.cost
        return self._opening.client._seller(self._call.operation).bill(usage, self._call.clock.time()).cost

    @property
    def warnings(self) -> list[str]:
        """What of the request the provider does not take."""
        report = (self._call.context or {}).get("$report")
        return list(report.warnings) if report is not None else []

    @property
    def input_format(self) -> Sound:
        """How the bytes of `send_audio` must sound."""
        return sound(self._call, self._wire.session if self._wire is not None else {})[0]

    @property
    def output_format(self) -> Sound:
        """How the bytes of `audio` events sound."""
        return sound(self._call, self._wire.session if self._wire is not None else {})[1]

    def can(self, event: str) -> bool:
        """Whether this provider's sessions know a client event: audio, text, commit, respond, interrupt, tool_result, close."""
        return self._core.can(event)

    def gives(self, kind: str) -> bool:
        """Whether this provider's sessions tell of a kind of event themselves."""
        return kind in self._core.live.gives

    def __repr__(self) -> str:
        return f"<session of {self._call.operation.provider}/{self._call.operation.model}>"

    # --- opening and closing ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> AsyncSession:
        problem: Error
        try:
            await self._start()
            return self
        except Exception as caught:
            problem = _leaving(caught, self._call)
            self._tell(problem)
        except BaseException as stop:  # cancelled: there is no time for leave-taking
            for task in self._tasks:
                task.cancel()
            if self._socket is not None:
                self._socket.transport.abort()
            raise passing(stop)  # noqa: B904
        await self._drop()
        raise problem

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _start(self) -> None:
        call, limits = self._call, self._opening.limits
        self._opening.begin()
        listeners = self._opening.client._listeners
        self._watch = listeners.begun(call) if listeners is not None else None
        signed = await self._ready()
        wire = self._wire = Wire(call.operation, call.context or {})
        self._socket = await opened(call, signed, limits.connect + limits.until_headers(True), call.attempts.deadline.left())
        self._spawn(self._read())
        try:
            if isinstance(signed.body, bytes):
                await self._write([signed.body.decode()])
            if not wire.ready:
                async with asyncio.timeout(max(0.0, call.attempts.deadline.left())):
                    await self._open.wait()
            await self._write(wire.frames("history"))
        except TimeoutError:
            raise for_kind("timeout")("the session did not begin in time") from None
        except Error:
            if not wire.ready:
                raise
            return  # it began and was over at once, which whoever reads is told
        if wire.live.keepalive_every is not None and wire.can("keepalive"):
            self._spawn(self._keep_alive(wire.live.keepalive_every))

    async def finish(self) -> None:
        """Say that nothing more will be sent; what the provider still has to say can be read. Nothing where the wire has no
        word for it."""
        if not self._finished:
            self._finished = True
            if self._core.can("close"):
                await self._send("close")

    async def close(self) -> None:
        """Take leave and close the socket; what was not read is lost. Never raises."""
        if self._socket is not None and not self._over:
            try:
                await self.finish()
            except Error:
                pass  # whoever closes does not need to know that the other side was faster
        await self._drop()

    async def _drop(self) -> None:
        self._closing = True  # what still comes is read and thrown away, so that the other side can end in order
        self._room.set()
        if self._socket is not None:
            await self._socket.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._over:
            self._end(None)

    # --- what is sent -----------------------------------------------------------------------------------------------

    async def send_audio(self, data: bytes) -> None:
        """A piece of the user's sound, in `input_format`. Waits while the socket is full."""
        await self._send("audio", audio=bytes(data))

    async def send_text(self, text: str, *, respond: bool = True) -> None:
        """What the user says in writing, or for a voice what it shall say; the model then answers, unless `respond` is false."""
        await self._send("text", text=text)
        if respond:
            await self.respond()

    async def send_tool_result(self, id: str, result: Any, *, name: str | None = None, is_error: bool = False) -> None:
        """The result of a call (a text or JSON). After the last one that is due the model goes on."""
        wire = self._core
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
        structured = result if isinstance(result, dict) else None
        name = name or wire.waiting.get(id)
        await self._send("tool_result", id=id, name=name, text=text, json=structured, is_error=True if is_error else None)
        if wire.answered(id):
            await self.respond()

    async def commit(self, *, respond: bool = True) -> None:
        """The user's sound is complete so far (where the provider does not listen for silence); the model then answers."""
        await self._send("commit")
        if respond:
            await self.respond()

    async def respond(self) -> None:
        """Ask the model to answer, as soon as it is its turn; nothing where it does so by itself."""
        if not self._core.can("respond"):
            return
        if self._core.active:
            self._owed = True
        else:
            await self._send("respond")

    async def interrupt(self) -> None:
        """Break in: the model stops, sound that nobody has read is dropped. UnsupportedError where the wire has no word for it."""
        await self._send("interrupt")
        for event in self._core.interrupted():
            await self._deliver(event)

    async def send_file(self, path: Any, *, pace: bool = False, milliseconds: int = 40) -> float:
        """A WAV file's sound as `input_format` has it (one channel, resampled), in pieces; with `pace` as fast as it is spoken.

        Returns its length in seconds. Raises ConfigError for a file that is none or another format than pcm16.
        """
        from engine.realtime.audio import pieces, sound_of

        format = self.input_format
        data = sound_of(path, format)
        for piece in pieces(data, format.rate, milliseconds):
            await self.send_audio(piece)
            if pace:
                await asyncio.sleep(milliseconds / 1000)
        return len(data) / 2 / format.rate

    async def _send(self, event: str, **said: Any) -> None:
        problem: Error
        try:
            await self._write(self._core.frames(event, **said))
            return
        except Exception as caught:
            problem = _leaving(caught, self._call)
        raise problem

    async def _write(self, frames: list[str | bytes]) -> None:
        if self._over:
            raise self._error or for_kind("connection")("the session is closed")
        if not frames:
            return
        from websockets.exceptions import ConnectionClosed

        self._last = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._opening.limits.send):
                for frame in frames:
                    await self._socket.send(frame)
            return
        except TimeoutError:
            problem: Error = for_kind("timeout")("the session's server takes no more messages")
        except ConnectionClosed:
            socket = self._socket
            told = ended(self._call, socket.close_code, socket.close_reason, self._core.error)
            problem = told or for_kind("connection")("the session is closed")
        raise problem

    # --- what comes -------------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._over:
                if self._error is not None:
                    error, self._error = self._error, None
                    raise _leaving(error, self._call)
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        self._room.set()
        return self._events.popleft()

    async def _read(self) -> None:
        from websockets.exceptions import ConnectionClosed

        wire, socket = self._core, self._socket
        error: Error | None = None
        try:
            while True:
                events = wire.feed(await socket.recv())
                while wire.pings:
                    await self._write(wire.frames("pong", id=wire.pings.pop(0)))
                for event in events:
                    await self._deliver(event)
                if wire.ready:
                    self._open.set()
        except ConnectionClosed as end:
            if end.sent is not None and end.sent.code == TOO_BIG and not end.rcvd_then_sent:
                error = self._call.operation.place(for_kind("limit")(f"a message is larger than {FRAME_BYTES} bytes"))
            else:
                error = ended(self._call, socket.close_code, socket.close_reason, wire.error)
        except asyncio.CancelledError:
            raise
        except Exception as caught:
            error = _leaving(caught, self._call)
            self._spawn(socket.close())
        for event in wire.closed():
            await self._deliver(event)
        self._end(error)

    def _end(self, error: Error | None) -> None:
        if self._socket is not None:
            told = {"code": self._socket.close_code, "reason": self._socket.close_reason or None}
            self._events.append(Event("closed", {k: v for k, v in told.items() if v is not None}))
        self._error, self._over = error, True
        self._open.set()
        self._news.set()
        self._tell(error)

    def _tell(self, error: Error | None) -> None:
        """Tell listeners of the end, once."""
        watch, self._watch = self._watch, None
        if watch is None:
            return
        bound, began = self._call.operation, self._wire is not None
        told = Response(
            id=self.id if began else None, model=bound.model, provider=bound.provider,
            usage=self.usage if began else Usage(), cost=self.cost if began else None,
        )  # fmt: skip
        watch.over(told, error)

    async def _deliver(self, event: Event) -> None:
        kind = event.kind
        if kind == "interrupted":
            self._events = deque(e for e in self._events if e.kind != "audio")
        elif kind == "tool_call" and self._opening.run_tools and event.name in self._opening.functions:
            self._spawn(self._run(event))
        elif kind == "turn" and event.fields["state"] != "started" and self._owed and not self._core.waiting:
            self._owed = False
            await self._write(self._core.frames("respond"))
        while len(self._events) >= self._opening.queue and not self._closing:
            self._room.clear()
            await self._room.wait()
        if not self._closing:
            self._events.append(event)
            self._news.set()

    # --- beside both ------------------------------------------------------------------------------------------------

    @property
    def _core(self) -> Wire:
        if self._wire is None:
            raise for_kind("config")("the session is not open: use it in a `with` block")
        return self._wire

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_alive(self, every: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            wait = self._last + every - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
                continue
            try:
                await self._write(self._core.frames("keepalive"))
            except Error:
                return  # the reader tells why

    async def _run(self, call: Event) -> None:
        """A tool that the model called: its result goes back, a failure as one."""
        function = self._opening.functions[str(call.name)]
        arguments = call.arguments if isinstance(call.arguments, dict) else {}
        failed = False
        try:
            if inspect.iscoroutinefunction(function):
                result = await function(**arguments)
            else:
                result = await asyncio.to_thread(function, **arguments)
        except Exception as problem:
            result, failed = f"{type(problem).__name__}: {problem}", True
        try:
            await self.send_tool_result(str(call.id), result, name=call.name, is_error=failed)
            told = {"id": call.id, "name": call.name, "result": result, "is_error": failed or None}
            await self._deliver(Event("tool_result", {k: v for k, v in told.items() if v is not None}))
        except Error:
            return  # the session has ended, which the reader tells
