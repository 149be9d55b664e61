"""One call: its request, what signs it, and everything its attempts share. The flows of `engine.call.flow` carry it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from engine.call.address import set_header
from engine.call.auth import Credential, chosen, put, sign, standing
from engine.call.content import Content
from engine.call.failure import nobody_there
from engine.call.send import Route, Timing
from engine.call.step import Alone, Exchange, Flow, Wait
from engine.errors import Error, ProtocolError
from engine.plan import Auth
from engine.reliability.attempts import Attempts
from engine.reliability.deadline import Clock, Timer
from engine.secret import reveal
from engine.types import HttpRequest, Response

__all__ = ["Call", "refuse_redirect"]


class Call:
    """One call: an operation, its unsigned request and everything the attempts share."""

    __slots__ = (
        "attempts", "clock", "context", "credentials", "finish", "operation", "out", "pairs", "request", "route", "tokens",
        "unsupported",
    )  # fmt: skip

    def __init__(
        self,
        operation: Any,
        request: HttpRequest | None,
        route: Route,
        attempts: Attempts,
        clock: Clock,
        credentials: list[Credential],
        tokens: list[Any],
        finish: Callable[[Response], None],
        context: dict[str, Any] | None = None,
        unsupported: str | None = None,
    ) -> None:
        self.operation = operation
        self.request = request  # None while something must be got before it can be written (engine.call.forerun)
        self.context = context
        self.unsupported = unsupported
        self.route = route
        self.attempts = attempts
        self.clock = clock
        self.credentials = credentials  # secrets, one set per key
        self.tokens = tokens  # TokenCache, one per key
        self.finish = finish  # completes the Response: report, parsed object
        self.out: Any = None  # where what is answered is written: an engine.disk.Target
        self.pairs: list[tuple[HttpRequest, HttpRequest]] = []  # unsigned, signed: what signing added can be masked

    def timing(self, seconds: float) -> Timing:
        """Limits of an exchange that may take this long, within the deadline."""
        attempts, clock = self.attempts, self.clock.monotonic
        limits, end, now = attempts.limits, attempts.deadline.at, clock()
        connect, send, left = limits.connect, limits.send, end - now
        if left < connect or left < send:
            left = max(0.0, left)
            connect, send = min(connect, left), min(send, left)
        sent = attempts.sent if attempts.booked is not None else None
        return Timing(connect, send, Timer(now + seconds if seconds < left else end, clock), limits.header_bytes, sent)

    def way(self, request: HttpRequest) -> Route:
        """How to reach the request's host: by the caller's settings, at public addresses only where that is due."""
        return self.route if self.route.public or not request.public else replace(self.route, public=True)

    def exchange(self, request: HttpRequest, seconds: float) -> Exchange:
        limits, timing = self.attempts.limits, self.timing(seconds)
        if isinstance(request.body, Content):
            timing.timer.until, timing.answer = self.attempts.deadline.at, seconds
        route = self.way(request) if request.public else self.route
        return Exchange(request, route, timing, limits.body_bytes, limits.error_bytes, limits.ratio)

    def ready(self) -> Flow:
        """The request, signed; first everything it cannot be written without."""
        if self.request is None:
            from engine.call.forerun import forerun

            yield from forerun(self)
        return (yield from self.signed())

    def at_once(self) -> HttpRequest | None:
        """The request, signed, if nothing has to be sent for that: no token is needed, nothing must be got first."""
        request, auth = self.request, self.operation.plan.auth
        if request is None:
            return None
        credential = self.credentials[self.attempts.key]
        if not credential.known:
            credential.headers = standing(auth, self._opened())
            credential.known = True
        if credential.headers is not None:
            signed = _copy(request)
            for name, value in credential.headers:
                set_header(signed.headers, name, value.reveal())
            return self._keep(request, signed)
        context = self._opened()
        auth = chosen(auth, context)
        if auth.tokens:
            return None
        now = context["$now"] = self.clock.time()
        signed = _copy(request)
        put(auth, signed, context, now)
        return self._keep(request, signed)

    def _opened(self) -> dict[str, Any]:
        """What the templates of a credential see. Secrets are opened here and nowhere else."""
        operation = self.operation
        return {**operation.values, **reveal(self.credentials[self.attempts.key]), "$uuid": operation.uuid}

    def signing(self, request: HttpRequest | None = None, auth: Auth | None = None) -> Flow:
        """The signing generator for the key in use."""
        operation, tokens, request = self.operation, self.tokens[self.attempts.key], request or self.request
        assert request is not None
        auth = auth or operation.plan.auth
        base_url = operation.base_url if self.refreshable() else None
        now = self.clock.time()
        return sign(auth, _copy(request), self._opened(), now, tokens, plan=operation.plan, base_url=base_url)

    def signed(self, request: HttpRequest | None = None, auth: Auth | None = None) -> Flow:
        """A request (the call's own, unless given) with credentials; fetches a token first if one is needed."""
        steps = self.signing(request, auth)
        try:
            next(steps)
        except StopIteration as done:
            return self._keep(request, done.value)
        finally:
            steps.close()
        made = yield Alone(id(self.tokens[self.attempts.key]), self._with_token(request, auth), self.attempts.deadline.left())
        return self._keep(request, made)

    def _keep(self, request: HttpRequest | None, signed: HttpRequest) -> HttpRequest:
        unsigned = request or self.request
        assert unsigned is not None
        if len(self.pairs) > 7:
            del self.pairs[0]
        self.pairs.append((unsigned, signed))
        return signed

    def _with_token(self, request: HttpRequest | None, auth: Auth | None) -> Flow:
        """Signing once this call has its turn: another one may have fetched the token meanwhile."""
        steps = self.signing(request, auth)
        reply: Any = None
        while True:
            try:
                wanted = steps.send(reply)
            except StopIteration as done:
                return done.value
            if not isinstance(wanted, HttpRequest):  # this machine's own identity is asked for, and nothing sent
                reply = yield wanted
                continue
            answer = yield self.exchange(wanted, self.attempts.limits.until_headers(True))
            refuse_redirect(answer.status)
            reply = (answer.status, answer.headers, answer.body)

    def refreshable(self) -> bool:
        """Are there tokens that could be fetched anew?"""
        return bool(chosen(self.operation.plan.auth, self._opened()).tokens)

    def after(self, error: Error, headers: Mapping[str, str] | None, unsent: bool, signed: bool) -> Flow:
        """Wait before the next attempt, or raise the error that ends the call."""
        attempts = self.attempts
        refreshable = signed and self.refreshable()
        action, delay = attempts.failed(error, headers, unsent=unsent, refreshable=refreshable)
        if action == "stop":
            if unsent and error.kind == "connection" and self.operation.who.base_url is not None:
                error.message = nobody_there(self.operation.base_url, self.operation.who.base_url.env)
            raise attempts.final(error, unsent)
        if action == "refresh":
            self.tokens[attempts.key].invalidate()
        elif delay > 0:
            yield Wait(delay)


def _copy(request: HttpRequest) -> HttpRequest:
    """The same request with headers of its own."""
    headers = dict(request.headers)
    return HttpRequest(
        request.method, request.url, headers, request.body, request.stream, request.report, request.context, request.public
    )


def refuse_redirect(status: int) -> None:
    """Redirects are never followed: they would carry the key and the prompt elsewhere (RELIABILITY A7)."""
    if 300 <= status < 400:
        error = ProtocolError(f"the server answered with a redirect ({status}), which is never followed", status=status)
        error.retryable = False
        raise error
