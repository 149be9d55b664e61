"""A request's journey over the wire as two flows: one for a whole reply, one for a stream.

Both are generators over the steps of `engine.call.step`: they decide, the drivers do. Neither touches a socket, a clock of
its own or the environment, so tests run them by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.call.call import Call, refuse_redirect
from engine.call.send import SendFailure
from engine.call.send.body import Body
from engine.call.step import Answer, Deliver, Drain, Exchange, Flow, Open, Pump, Read, Shut
from engine.errors import Error, ProtocolError, StreamInterruptedError, TimeoutError
from engine.reliability.deadline import Timer
from engine.types import Event, Response

__all__ = ["Call", "exchanged", "streamed", "whole"]

#: events that are not content: what came before the first of the others may be thrown away unseen (RELIABILITY T4)
QUIET = frozenset({"start", "usage", "end"})
#: how long a finished stream may take to end its bytes, so that its connection can be used again
LINGER = 0.2


def whole(call: Call) -> Flow:
    """Send until there is an answer or a reason to give up: the Response, or the typed error."""
    response, _ = yield from exchanged(call, call.operation.plan.call.timeout)
    call.finish(response)
    return response


def exchanged(
    call: Call,
    timeout: float | None,
    read: Callable[[Answer], Any] | None = None,
    ready: Callable[[], Flow] | None = None,
    carried: Callable[[Exchange], Any] | None = None,
    redirects: bool = False,
) -> Flow:
    """(what `read` makes of the whole reply, its headers), after as many attempts as that takes.

    `timeout` (seconds) is the spec's own for this exchange. Without `read` the operation reads: the Response. `ready` makes the
    signed request of an exchange that is not the operation's own: what a job asks on its way. `carried` puts another step in the
    place of the exchange: one that stores. With `redirects` one is an answer like any other for `read`, which follows it by its
    own rules; else it is refused.
    """
    attempts = call.attempts
    seconds = timeout or attempts.limits.until_headers(False)
    while True:
        attempts.begin()
        answer: Answer | None = None
        unsent, signed = False, False
        try:
            request = (yield from ready()) if ready is not None else call.at_once() or (yield from call.ready())
            signed = True
            exchange = call.exchange(request, seconds)
            answer = yield exchange if carried is None else carried(exchange)
            if answer.status >= 300 and not redirects:
                refuse_redirect(answer.status)
            if read is not None:
                value = read(answer)
            else:
                value = call.operation.read(answer.status, answer.headers, answer.body, call.request)
        except SendFailure as failure:
            error, unsent = attempts.failure(failure.kind, str(failure)), failure.unsent
        except Error as raised:
            error, unsent = raised, not signed
        else:
            attempts.succeeded(at_once=True)
            return value, answer.headers
        yield from call.after(error, answer.headers if answer is not None else None, unsent, signed)


def streamed(call: Call, restart: bool = False) -> Flow:
    """Send and deliver events until the stream's end: the Response, or the typed error with what had arrived.

    Until the first content event every failure may be repeated unseen (T4). After it the request is sent again only with
    `restart`, and a `restarted` event tells the consumer to drop what he has (T5).
    """
    attempts = call.attempts
    shown = False
    while True:
        attempts.begin()
        run = _Run(call)
        unsent = False
        try:
            response = yield from run.events()
        except SendFailure as failure:
            error, unsent = attempts.failure(failure.kind, str(failure)), failure.unsent
        except Error as raised:
            error, unsent = raised, not run.signed
        else:
            return response
        if run.reply is not None:
            yield Shut(run.reply)
        shown = shown or run.shown
        if run.shown and not restart:
            attempts.failed(error, run.headers, unsent=unsent, again=False)
            raise attempts.final(error)
        yield from call.after(error, run.headers, unsent, run.signed)
        if shown:
            yield Deliver([Event("restarted", {})])
            shown = False


class _Run:
    """One attempt of a stream."""

    __slots__ = ("_held", "call", "headers", "reply", "shown", "signed")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.reply: Any = None
        self.headers: Mapping[str, str] | None = None
        self.shown = False  # content was delivered
        self.signed = False
        self._held: list[Event] = []

    def events(self) -> Flow:
        """The attempt itself: opens, reads, delivers; returns the Response."""
        call = self.call
        attempts, operation = call.attempts, call.operation
        limits, deadline = attempts.limits, attempts.deadline
        request = call.at_once() or (yield from call.ready())
        self.signed = True
        timing = call.timing(limits.until_headers(True))
        reply = self.reply = yield Open(request, call.way(request), timing)
        self.headers = reply.headers
        if reply.status >= 300:
            refuse_redirect(reply.status)
            timing.timer.until = deadline.until(limits.until_headers(True))
            body = yield Drain(reply, limits.error_bytes, limits.ratio)
            operation.read(reply.status, reply.headers, body, call.request)
            raise ProtocolError("an answer that is no success could not be read", status=reply.status)
        reader = operation.reader(reply.headers, call.request)
        timing.timer.until = deadline.until(limits.first_event)
        failure: SendFailure | None = None
        try:
            yield from self._read(reader, timing.timer)
        except SendFailure as caught:
            failure = caught
        last = reader.end()
        if reader.error is not None:
            events = self._deliverable(last)
            if events:
                yield Deliver(events)
            raise self._error(reader.error, failure)
        response: Response = reader.response
        call.finish(response)
        events = last if self.shown else self._open_gate(last)
        attempts.succeeded()
        yield Deliver(events)
        return response

    def _read(self, reader: Any, timer: Timer) -> Flow:
        """Bytes in, events out, until the reader has its end, an error, or no more bytes."""
        attempts = self.call.attempts
        limits, deadline = attempts.limits, attempts.deadline
        unpack = Body(self.reply.headers, None, limits.ratio)
        plain = "content-encoding" not in self.reply.headers
        feed = reader.feed

        def take(data: bytes) -> list[Event]:
            events: list[Event] = feed(data if plain else unpack.feed(data))
            if reader.done or reader.error is not None:
                pump.over = True
            elif events and self.shown:  # by far the most frequent
                return events
            if not events:
                return events
            progress = self._deliverable(events)
            if not self.shown:
                timer.until = deadline.until(limits.first_event)
            return progress

        monotonic, idle, end = self.call.clock.monotonic, limits.idle, deadline.at

        def resume() -> None:
            """Time the caller spent on what he was given is not the provider's."""
            if self.shown:
                until = monotonic() + idle
                timer.until = until if until < end else end

        pump = Pump(self.reply, take, resume)
        try:
            yield pump
        finally:
            pump.let_go()
        if reader.done:
            # A moment for the end of the bytes behind the end mark: then the connection can be used again.
            timer.until = deadline.until(LINGER)
            read = Read(self.reply)
            try:
                while (yield read):
                    pass
            except SendFailure:
                pass
        elif reader.error is None:
            unpack.end()

    def _deliverable(self, events: list[Event]) -> list[Event]:
        """What the caller may see now: nothing before the first content event, and errors are raised, not delivered."""
        if events and events[-1].kind == "error":
            events = events[:-1]
        if self.shown:
            return events
        if all(event.kind in QUIET for event in events):
            self._held += events
            return []
        return self._open_gate(events)

    def _open_gate(self, events: list[Event]) -> list[Event]:
        self.shown = True
        self.call.attempts.opened()
        report = self.call.request.report if self.call.request is not None else None
        if report is not None:
            report.timings["first_event"] = round(self.call.attempts.deadline.elapsed(), 6)
        held, self._held = self._held, []
        return [*held, *events]

    def _error(self, error: Error, failure: SendFailure | None) -> Error:
        """The reader's error, in the words of the connection's failure if that is why the stream was cut."""
        attempts = self.call.attempts
        if failure is None or error.kind not in ("stream_interrupted", "protocol"):
            return error
        if failure.kind == "connection" and self.shown:
            told: Error = StreamInterruptedError("the connection broke in the middle of the stream")
        elif failure.kind == "timeout" and self.shown and not attempts.deadline.passed():
            told = TimeoutError("the stream stood still longer than the time limit")
        else:
            told = attempts.failure(failure.kind, str(failure))
        told.partial, told.request_id, told.status = error.partial, error.request_id, error.status
        return told
