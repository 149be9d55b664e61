"""Telling listeners what happens in calls. A client that nobody watches loads none of this and asks one question per call.

A watched call is its own flow with a flow around it, which sees its begin and its end; what happens between is told by the
attempts, the route and the budget that the call goes through.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine import events
from engine.call.step import Deliver, Exchange, Flow, Open
from engine.errors import ConfigError, Error
from engine.events import EVENTS
from engine.leaving import secrets_of
from engine.secret import Masker

if TYPE_CHECKING:
    from engine.call.flow import Call
    from engine.reliability.deadline import Clock
    from engine.routing.desk import RoutingDesk
    from engine.types import Response

__all__ = ["Listener", "Listeners", "Watch", "listeners_of"]

Listener = Callable[[Any], Any]

KEPT = 1024  # maskers
_CHANGING = threading.Lock()  # who listens; not held while somebody is told
#: what of a request an event may show: numbers and switches, never texts
SETTINGS = (
    "max_tokens", "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed", "n", "dimensions",
)  # fmt: skip
COUNTERS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens",
    "audio_input_tokens", "audio_output_tokens", "image_input_tokens", "image_output_tokens", "total_tokens", "seconds",
    "characters", "images", "pages", "searches",
)  # fmt: skip


def listeners_of(desk: RoutingDesk) -> Listeners:
    """Those of a client, which has some from now on."""
    with _CHANGING:
        if desk._listeners is None:
            desk._listeners = Listeners(desk._clock)
        return desk._listeners


class Listeners:
    """Who is told of what happens in the calls of one client. Shareable between threads: changed by replacing."""

    __slots__ = ("_told", "clock", "headers", "maskers")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.headers: Callable[[str], Mapping[str, str]] | None = None  # of a call's requests to its provider (engine.telemetry)
        self._told: dict[str, tuple[tuple[Listener, bool], ...]] = {}
        self.maskers: dict[int, tuple[Any, Masker]] = {}  # by identity of a target's credentials, which are kept with it

    def __bool__(self) -> bool:
        return bool(self._told)

    def add(self, name: str, listener: Listener, content: bool) -> Callable[[], None]:
        """Tell a listener of an event, or of all for `*`: what ends it. ConfigError for an event that there is not."""
        if name != "*" and name not in EVENTS:
            from engine.spec.problem import nearest

            near = nearest(name, [*EVENTS])
            raise ConfigError(f"there is no event `{name}`" + (f"; did you mean `{near}`?" if near else f": {', '.join(EVENTS)}"))
        if not callable(listener) or iscoroutinefunction(listener):
            raise ConfigError("a listener is a plain function of one event, also of an async client")
        entry = (listener, content)
        names = EVENTS if name == "*" else (name,)
        with _CHANGING:
            self._told = {**self._told, **{n: (*self._told.get(n, ()), entry) for n in names}}

        def end() -> None:
            with _CHANGING:
                left = {n: tuple(e for e in told if e is not entry) for n, told in self._told.items()}
                self._told = {n: told for n, told in left.items() if told}

        return end

    def watched(
        self, desk: RoutingDesk, operation: str, model: Any, fields: dict[str, Any], stream: bool, on_interrupt: str
    ) -> tuple[Any, Any]:
        """What RoutingDesk._flow gives, of a call that listeners are told of."""
        if not self._told:
            return desk._begun(operation, model, fields, stream, on_interrupt, None)
        watch = Watch(self, operation, fields, stream)
        try:
            watch.subject, flow = desk._begun(operation, model, fields, stream, on_interrupt, watch)
        except Exception as problem:
            watch.refused(problem)
            raise
        return watch.subject, watch.flow(flow)

    def around(self, call: Call, flow: Flow) -> Flow:
        """The flow of a job's handle, of which listeners are told as of a call."""
        return self._of(call).flow(flow) if self._told else flow

    def begun(self, call: Call) -> Watch | None:
        """A call that is no flow, such as a session, begins: whoever made it tells of its end (`Watch.over`). None if nobody
        listens."""
        if not self._told:
            return None
        watch = self._of(call)
        watch._started("call_started")
        return watch

    def _of(self, call: Call) -> Watch:
        watch = Watch(self, call.operation.name, call.context or {}, False)
        watch.subject = call
        watch.follows(call)
        return watch

    def wants(self, name: str, content: bool = False) -> bool:
        """Whether somebody listens to an event; with `content`, somebody who asked for what is said."""
        told = self._told.get(name, ())
        return bool(told) and (not content or any(entry[1] for entry in told))

    def tell(self, event: events.Happening, content: dict[str, Any] | None = None) -> None:
        """Call the listeners of an event. What one raises is its own affair: it is logged, without its text, and no call fails."""
        for listener, wants in self._told.get(event.name, ()):
            try:
                listener(_with(event, content) if wants and content is not None else event)
            except Exception as problem:
                _log("a listener of %s raised %s", event.name, problem)


def _log(told: str, name: str, problem: Exception) -> None:
    import logging

    logging.getLogger("llmkit").warning(told, name, type(problem).__name__)


def _quietly(tell: Callable[..., None]) -> Callable[..., None]:
    """A method of a Watch that tells something: whatever goes wrong with that, the call goes on."""

    def told(self: Watch, name: str, *given: Any) -> None:
        try:
            tell(self, name, *given)
        except Exception as problem:
            _log("what happened could not be told (%s): %s", name, problem)

    return told


def _with(event: Any, content: dict[str, Any]) -> Any:
    from dataclasses import replace

    return replace(event, content=content)


class Watch:
    """One call that is watched. Attempts, routes and budgets call it with the name and data of what they did."""

    __slots__ = (
        "_begun", "_breakers", "_calls", "_fields", "_headers", "_last", "_number", "_settings", "_since", "_stream", "_tell",
        "account", "id", "listeners", "operation", "subject",
    )  # fmt: skip

    def __init__(self, listeners: Listeners, operation: str, fields: Mapping[str, Any], stream: bool) -> None:
        self.listeners = listeners
        self.id = secrets.token_hex(16)
        self.operation = operation
        self.subject: Any = None  # what stands for the call: a Call, a Run or a Continuing
        self.account: Any = None  # tenant, tags and route
        self._stream = stream
        self._settings = _settings(fields)
        content = listeners.wants("call_started", True) or listeners.wants("call_ended", True)
        self._fields = dict(fields) if content else None
        self._begun = listeners.clock.time()
        self._since = listeners.clock.monotonic()
        self._number = 0
        self._calls: list[Any] = []
        self._breakers: dict[str, bool] = {}
        self._last: Response | None = None
        self._tell = listeners.tell
        self._headers = listeners.headers

    def follows(self, call: Any) -> None:
        """Be told of the attempts of a call to a target."""
        attempts = call.attempts
        attempts.notify = self
        self._calls.append(call)
        if attempts.health is not None:
            self._breakers.setdefault(attempts.target, attempts.health.breaker.until > 0)

    def flow(self, flow: Flow) -> Flow:
        """A flow with its begin and end told."""
        self._started("call_started")
        try:
            step = next(flow)
            while True:
                if step.__class__ is Deliver:
                    if step.events and step.events[-1].kind == "end":
                        self._last = step.events[-1].response  # a caller may leave now, with the whole answer
                elif self._headers is not None and step.__class__ in (Exchange, Open):
                    self._introduce(step.request)
                try:
                    value = yield step
                except Exception as failure:
                    step = flow.throw(failure)
                else:
                    step = flow.send(value)
        except StopIteration as done:
            self._ended("ok", done.value)
            return done.value
        except GeneratorExit:
            self._ended("ok" if self._last is not None else "cancelled", self._last)
            raise
        except Exception as problem:
            self._ended(problem.kind if isinstance(problem, Error) else "protocol", None, problem)
            raise
        finally:
            flow.close()

    def over(self, response: Response, problem: Exception | None = None) -> None:
        """The end of what has begun: its counters and cost, and what went wrong."""
        kind = "ok" if problem is None else problem.kind if isinstance(problem, Error) else "protocol"
        self._ended(kind, response, problem)

    def refused(self, problem: Exception) -> None:
        """The call could not be made at all."""
        self._started("call_started")
        self._ended(problem.kind if isinstance(problem, Error) else "config", None, problem)

    @_quietly
    def __call__(self, name: str, data: Mapping[str, Any]) -> None:
        """What an attempt, a route or a budget did."""
        if name == "attempt_ended":
            self._number += 1
            data = {**data, "number": self._number}
        if self.listeners.wants(name):
            self._tell(self._made(name, data))

    def _made(self, name: str, data: Mapping[str, Any]) -> events.Happening:
        who = self._who(data.get("target"))
        if name == "route_decided":
            return events.RouteDecided(**who, record=dict(data))
        return EVENTS[name](**who, **{word: value for word, value in data.items() if word != "target"})

    # --- begin and end ----------------------------------------------------------------------------------------------

    @_quietly
    def _started(self, name: str) -> None:
        if not self.listeners.wants(name):
            return
        content = None
        if self._fields is not None:
            content = {"request": self._masker().value(_readable(self._fields))}
        self._tell(
            events.CallStarted(
                **{**self._who(), "at": self._begun}, stream=self._stream, origin=self._origin(), settings=self._settings
            ),
            content,
        )

    @_quietly
    def _ended(self, kind: str, response: Any, problem: Exception | None = None) -> None:
        self._opened()
        if not self.listeners.wants("call_ended"):
            return
        usage = getattr(response if response is not None else getattr(problem, "partial", None), "usage", None)
        attempts = getattr(self.subject, "attempts", None)
        reasons = [choice.finish_reason for choice in getattr(response, "choices", ()) if choice.finish_reason]
        request_id = getattr(response, "request_id", None) or getattr(problem, "request_id", None)
        response_id, model = getattr(response, "id", None), getattr(response, "model", None)
        masker = self._masker(problem is not None) if request_id or response_id or model or reasons else None
        content: dict[str, Any] | None = None
        if self._fields is not None:
            said = {
                "request": _readable(self._fields),
                "answer": response.to_dict() if hasattr(response, "to_dict") else None,
                "error": getattr(problem, "message", None),
            }
            content = self._masker(True).value(said)
        self._tell(
            events.CallEnded(
                **self._who(),
                kind=kind,
                seconds=round(self.listeners.clock.monotonic() - self._since, 6),
                stream=self._stream,
                origin=self._origin(),
                settings=self._settings,
                status=getattr(problem, "status", None),
                request_id=_masked(masker, request_id),
                response_id=_masked(masker, response_id),
                response_model=_masked(masker, model),
                finish_reasons=tuple(_masked(masker, reason) or "" for reason in reasons),
                first_event=next((c.attempts.first for c in reversed(self._calls) if c.attempts.first is not None), None),
                usage={n: value for n in COUNTERS if (value := getattr(usage, n, None)) is not None},
                cost=getattr(response, "cost", None),
                cached=bool((getattr(getattr(response, "report", None), "cache", None) or {}).get("hit")),
                attempts=tuple(dict(record) for record in getattr(attempts, "records", ())),
            ),
            content,
        )

    def _opened(self) -> None:
        """Tell of breakers that this call opened."""
        if not self.listeners.wants("breaker_opened"):
            return
        now = self.listeners.clock.monotonic()
        for call in self._calls:
            attempts = call.attempts
            if attempts.health is not None and attempts.health.breaker.until > now and not self._breakers[attempts.target]:
                self._breakers[attempts.target] = True
                until = attempts.health.breaker.until
                self._tell(events.BreakerOpened(**self._who(attempts.target), seconds=round(until - now, 3)))

    # --- who, where, and without secrets ----------------------------------------------------------------------------

    def _who(self, target: str | None = None) -> dict[str, Any]:
        operation = getattr(self.subject, "operation", None)
        provider, model = getattr(operation, "provider", None), getattr(operation, "model", None)
        if target is not None:
            provider, _, model = target.partition("/")
        account = self.account
        return {
            "call": self.id,
            "at": self.listeners.clock.time(),
            "operation": self.operation,
            "provider": provider,
            "model": model,
            "route": account.route if account is not None else None,
            "tenant": account.tenant if account is not None else None,
            "tags": account.tags if account is not None else (),
        }

    def _origin(self) -> str | None:
        """Scheme, host and port of the server: a path may name an account, and an address may hold a password."""
        try:
            parts = urlsplit(str(self.subject.operation.base_url))
            return f"{parts.scheme}://{parts.hostname}:{parts.port or (80 if parts.scheme == 'http' else 443)}"
        except (AttributeError, ValueError, Error):  # nobody was chosen, or the address is not one
            return None

    def _masker(self, failed: bool = False) -> Masker:
        """What hides the credentials of every target that was asked; of a call that went well, one is made once per target."""
        known = [call for call in self._calls if hasattr(call, "credentials")]
        if not failed and len(known) == 1 and not any(True for cache in known[0].tokens for _ in cache.values()):
            given = known[0].credentials
            found = self.listeners.maskers.get(id(given))
            if found is None:
                if len(self.listeners.maskers) >= KEPT:
                    self.listeners.maskers.clear()
                found = self.listeners.maskers[id(given)] = (given, Masker([s for keys in given for s in keys.values()]))
            return found[1]
        return Masker([secret for call in known for secret in secrets_of(call)])

    def _introduce(self, request: Any) -> None:
        """Write the headers of this call's trace into a request to its own provider."""
        assert self._headers is not None
        operation = getattr(self.subject, "operation", None)
        try:
            at_home = urlsplit(request.url)[:2] == urlsplit(str(operation.base_url))[:2]  # type: ignore[union-attr]
        except (AttributeError, ValueError, Error):
            return
        if at_home:
            request.headers.update(self._headers(self.id))


def _settings(fields: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: value for name in SETTINGS if isinstance(value := fields.get(name), (int, float))}
    wanted = fields.get("response_format")
    if wanted is not None and wanted != "text":
        found["json"] = True
    return found


def _readable(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked, as plain data: types and functions by their names."""
    from engine.types import plain

    return {name: _shown(plain(value)) for name, value in fields.items() if name[:1] != "$"}


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _shown(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(v) for v in value]
    return value if value is None or isinstance(value, (str, int, float)) else getattr(value, "__name__", type(value).__name__)


def _masked(masker: Masker | None, text: Any) -> str | None:
    return masker.text(text) if masker is not None and isinstance(text, str) else None
