"""A request's journey over the wire as two flows: one for a whole reply, one for a stream.

Both are generators over the steps of `engine.call.step`: they decide, the drivers do. Neither touches a socket, a clock of
its own or the environment, so tests run them by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.call.send import Route, SendFailure, Timing
from engine.call.send.body import Body
from engine.call.step import Alone, Answer, Deliver, Drain, Exchange, Flow, Open, Read, Shut, Wait
from engine.errors import Error, ProtocolError, StreamInterruptedError, TimeoutError
from engine.reliability.attempts import Attempts
from engine.reliability.deadline import Clock, Timer
from engine.types import Event, HttpRequest, Response

__all__ = ["Call", "streamed", "whole"]

#: events that are not content: what came before the first of the others may be thrown away unseen (RELIABILITY T4)
QUIET = frozenset({"start", "usage", "end"})
#: how long a finished stream may take to end its bytes, so that its connection can be used again
LINGER = 0.2


class Call:
    """One call: an operation, its unsigned request and everything the attempts share."""

    __slots__ = ("attempts", "clock", "credentials", "finish", "operation", "request", "route", "sent", "tokens")

    def __init__(
        self,
        operation: Any,
        request: HttpRequest,
        route: Route,
        attempts: Attempts,
        clock: Clock,
        credentials: list[Mapping[str, Any]],
        tokens: list[Any],
        finish: Callable[[Response], None],
    ) -> None:
        self.operation = operation
        self.request = request
        self.route = route
        self.attempts = attempts
        self.clock = clock
        self.credentials = credentials  # secrets, one mapping per key
        self.tokens = tokens  # TokenCache, one per key
        self.finish = finish  # completes the Response: report, parsed object
        self.sent: HttpRequest | None = None  # as last signed, so that what signing added can be masked

    def timing(self, seconds: float) -> Timing:
        """Limits of an exchange that may take this long, within the deadline."""
        limits, deadline = self.attempts.limits, self.attempts.deadline
        left = max(0.0, deadline.left())
        return Timing(min(limits.connect, left), min(limits.send, left), Timer(deadline.until(seconds), self.clock.monotonic), limits.header_bytes)

    def exchange(self, request: HttpRequest, seconds: float) -> Exchange:
        limits = self.attempts.limits
        return Exchange(request, self.route, self.timing(seconds), limits.body_bytes, limits.error_bytes, limits.ratio)

    def signing(self) -> Flow:
        """The signing generator of CALL's auth, for the key in use. Secrets are opened here and nowhere else."""
        from engine.call.auth import sign
        from engine.secret import reveal

        operation, key, request = self.operation, self.attempts.key, self.request
        values = {**operation.values, **reveal(self.credentials[key])}
        copy = HttpRequest(request.method, request.url, dict(request.headers), request.body, request.stream)
        return sign(operation.plan.auth, copy, values, self.clock.time(), self.tokens[key])

    def signed(self) -> Flow:
        """The request with credentials; fetches a token first if one is needed."""
        steps = self.signing()
        try:
            next(steps)
        except StopIteration as done:
            self.sent = done.value
            return done.value
        finally:
            steps.close()
        self.sent = yield Alone(id(self.tokens[self.attempts.key]), self._with_token(), self.attempts.deadline.left())
        return self.sent

    def _with_token(self) -> Flow:
        """Signing once this call has its turn: another one may have fetched the token meanwhile."""
        steps = self.signing()
        reply: Any = None
        while True:
            try:
                wanted = steps.send(reply)
            except StopIteration as done:
                return done.value
            answer = yield self.exchange(wanted, self.attempts.limits.until_headers(True))
            _refuse_redirect(answer.status)
            reply = (answer.status, answer.headers, answer.body)

    def refreshable(self) -> bool:
        return bool(self.operation.plan.auth.tokens) or any(option.tokens for _, option in self.operation.plan.auth.options)

    def after(self, error: Error, headers: Mapping[str, str] | None, unsent: bool, signed: bool) -> Flow:
        """Wait before the next attempt, or raise the error that ends the call."""
        attempts = self.attempts
        refreshable = signed and self.refreshable()
        action, delay = attempts.failed(error, headers, unsent=unsent, refreshable=refreshable)
        if action == "stop":
            raise attempts.final(error, unsent)
        if action == "refresh":
            self.tokens[attempts.key].invalidate()
        elif delay > 0:
            yield Wait(delay)


def whole(call: Call) -> Flow:
    """Send until there is an answer or a reason to give up: the Response, or the typed error."""
    attempts, operation = call.attempts, call.operation
    seconds = operation.plan.call.timeout or attempts.limits.until_headers(False)
    while True:
        attempts.begin()
        answer: Answer | None = None
        unsent, signed = False, False
        try:
            request = yield from call.signed()
            signed = True
            answer = yield call.exchange(request, seconds)
            _refuse_redirect(answer.status)
            response: Response = operation.read(answer.status, answer.headers, answer.body, call.request)
        except SendFailure as failure:
            error, unsent = attempts.failure(failure.kind, str(failure)), failure.unsent
        except Error as raised:
            error, unsent = raised, not signed
        else:
            attempts.succeeded()
            call.finish(response)
            return response
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
            error, unsent = run.broken(failure), failure.unsent
        except Error as raised:
            error = run.interrupted(raised)
            unsent = not run.signed
        else:
            attempts.succeeded()
            return response
        if run.reply is not None:
            yield Shut(run.reply)
        if run.rest:
            yield Deliver(run.rest)
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

    __slots__ = ("_held", "_reader", "call", "headers", "reply", "rest", "shown", "signed")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.reply: Any = None
        self.headers: Mapping[str, str] | None = None
        self.shown = False  # content was delivered
        self.signed = False
        self.rest: list[Event] = []  # read before the failure, not delivered yet
        self._held: list[Event] = []
        self._reader: Any = None

    def events(self) -> Flow:
        """The attempt itself: opens, reads, delivers; returns the Response."""
        call = self.call
        attempts, operation = call.attempts, call.operation
        limits, deadline = attempts.limits, attempts.deadline
        request = yield from call.signed()
        self.signed = True
        timing = call.timing(limits.until_headers(True))
        reply = self.reply = yield Open(request, call.route, timing)
        self.headers = reply.headers
        if reply.status >= 300:
            _refuse_redirect(reply.status)
            timing.timer.until = deadline.until(limits.until_headers(True))
            body = yield Drain(reply, limits.error_bytes, limits.ratio)
            operation.read(reply.status, reply.headers, body, call.request)
            raise ProtocolError("an answer that is no success could not be read", status=reply.status)
        reader = self._reader = operation.reader(reply.headers, call.request)
        unpack = Body(reply.headers, None, limits.ratio)
        plain = "content-encoding" not in reply.headers
        timer, read, feed = timing.timer, Read(reply), reader.feed
        timer.until = deadline.until(limits.first_event)
        while True:
            data = yield read
            if not data:
                unpack.end()
                break
            events = feed(data if plain else unpack.feed(data))
            if events:
                if not self.shown:
                    events = self._gate(events)
                if events:
                    yield Deliver(events)
                timer.until = deadline.until(limits.idle if self.shown else limits.first_event)
            if reader.done:
                yield from self._linger(timer, read)
                break
        return (yield from self._finish())

    def _gate(self, events: list[Event]) -> list[Event]:
        """What may be delivered: nothing before the first content event."""
        self._held += events
        if all(event.kind in QUIET for event in events):
            return []
        return self._open_gate()

    def _open_gate(self) -> list[Event]:
        held, self._held = self._held, []
        self.shown = True
        self.call.attempts.answered()
        report = self.call.request.report
        if report is not None:
            report.timings["first_event"] = round(self.call.attempts.deadline.elapsed(), 6)
        return held

    def _finish(self) -> Flow:
        """The reader's last events and the Response."""
        response: Response = self._reader.close()
        self.call.finish(response)
        last = self._reader.drain()
        if not self.shown:
            self._held += last
            last = self._open_gate()
        yield Deliver([*last, Event("end", {"response": response})])
        return response

    def _linger(self, timer: Timer, read: Read) -> Flow:
        """Wait a moment for the end of the bytes behind the end mark: then the connection can be used again."""
        timer.until = self.call.attempts.deadline.until(LINGER)
        try:
            while (yield read):
                pass
        except SendFailure:
            pass

    def broken(self, failure: SendFailure) -> Error:
        """The error of a connection that failed: before any content as it is, afterwards with what had arrived."""
        attempts = self.call.attempts
        error = attempts.failure(failure.kind, str(failure))
        if self._reader is None:
            return error
        try:
            self._reader.close()
        except Error as found:
            if not self.shown:
                return error
            partial = found.partial
            if found.kind not in ("stream_interrupted", "protocol"):
                error = found
            elif failure.kind == "connection":
                error = StreamInterruptedError("the connection broke in the middle of the stream")
            elif failure.kind == "timeout" and not attempts.deadline.passed():
                error = TimeoutError("the stream stood still longer than the time limit")
            error.partial = error.partial or partial
        self._collect()
        return error

    def interrupted(self, error: Error) -> Error:
        """An error the reader raised, once the events before it are kept for delivery."""
        if self._reader is not None:
            self._collect()
        return error

    def _collect(self) -> None:
        """Events the reader had made before the failure; content among them is delivered before the error."""
        events = self._reader.drain()
        if self.shown:
            self.rest = events
        elif not all(event.kind in QUIET for event in events):
            self._held += events
            self.rest = self._open_gate()


def _refuse_redirect(status: int) -> None:
    """Redirects are never followed: they would carry the key and the prompt elsewhere (RELIABILITY A7)."""
    if 300 <= status < 400:
        error = ProtocolError(f"the server answered with a redirect ({status}), which is never followed", status=status)
        error.retryable = False
        raise error
