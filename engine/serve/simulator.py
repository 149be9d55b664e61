"""A stand-in for every provider: each dialect spoken as a server, with a script in place of a model (SERVE.md 11).

    simulator = Simulator(Catalog(), script="script.yaml", faults=["s_cut_clean"])
    answer = simulator.answer("POST", "/v1/chat/completions", headers, body)

Requests are understood, answers written and errors worded by the `serve` blocks alone; the bytes then go through the faults
that are switched on. Operations that no dialect serves are answered from the examples of the provider that the path names.
Everything received is kept in `requests`. No socket here: `engine.serve.listener` writes answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from engine import errors
from engine.call.accumulate import Accumulator
from engine.call.json import JsonError, dumps, loads
from engine.call.normalize import normalize
from engine.errors import ConfigError
from engine.plan import Served
from engine.serve.encoder import Encoder
from engine.serve.exchange import Act, Answer, Chunk, Exchange, Pause
from engine.serve.failure import error_fields, write_failure
from engine.serve.faults import Running, Scene, fault, written
from engine.serve.frames import framing_of
from engine.serve.mounts import Mounts, Place
from engine.serve.reply import write_reply
from engine.serve.script import Performance, Script, Steps
from engine.serve.sessions import Sessions
from engine.serve.upstream import tokens
from engine.types import Event, Report, Response
from engine.vocabulary import FINISH_REASONS

if TYPE_CHECKING:
    from engine.catalog import Catalog
    from engine.serve.stage import Stage

_CONTENT = ("text", "thinking", "refusal", "tool_call", "media", "citation", "native")
_WORDS = {reason: reason for reason in FINISH_REASONS}


class Simulator:
    """Answers requests of every served dialect. Shareable between threads.

    `script` is whatever `Script` takes, or one; `faults` are names, mappings or Faults; `pace` (tokens per second) and
    `latency` (seconds before the first byte) hold where the script says nothing; sessions with `echo` give every piece of
    sound straight back; `now` tells the time.
    """

    def __init__(
        self,
        catalog: Catalog,
        script: Any = None,
        faults: Iterable[Any] = (),
        *,
        pace: float | None = None,
        latency: float = 0.0,
        echo: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.catalog = catalog
        self.script = script if isinstance(script, Script) else Script(script)
        self.mounts = Mounts(catalog)
        self.requests: list[Exchange] = []
        self.elsewhere: list[Exchange] = []  # what a redirect brought to another origin
        self.origin = "http://localhost"
        self._faults = [Running(fault(given)) for given in [*self.script.faults, *faults]]
        self._rules: dict[int, list[Running]] = {}
        self._pace, self._latency, self._now = pace, latency, now
        self._sessions = Sessions(catalog, self.script, echo)
        self._count = 0
        self._lock = threading.Lock()
        self._examples: Any = None

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[Exchange, Answer]:
        """The answer to one request, and its record, which fills while the answer is written. Never raises for a request."""
        url = urlsplit(target)
        query: dict[str, Any] = {k: v[0] if len(v) == 1 else v for k, v in parse_qs(url.query, keep_blank_values=True).items()}
        exchange = Exchange(method, url.path, query, {k.lower(): v for k, v in headers.items()}, body)
        if url.path == "/elsewhere":
            self.elsewhere.append(exchange)
            return exchange, written(200, b"{}")
        self.requests.append(exchange)
        place = self.mounts.find(method, url.path, query)
        if place is None:
            return exchange, self._from_examples(exchange, method, target, body)
        exchange.dialect, exchange.provider = place.served.dialect, place.provider
        try:
            return exchange, self._served(exchange, place)
        except errors.Error as error:
            return exchange, _failure(place.served, error, None)

    def session(self, target: str, headers: Mapping[str, str]) -> tuple[Exchange, Answer, Stage | None]:
        """The record of a handshake, its answer, and the stage of the session if there will be one."""
        url = urlsplit(target)
        query: dict[str, Any] = {k: v[0] if len(v) == 1 else v for k, v in parse_qs(url.query, keep_blank_values=True).items()}
        exchange = Exchange("GET", url.path, query, {k.lower(): v for k, v in headers.items()}, b"")
        self.requests.append(exchange)
        answer, stage = self._sessions.open(exchange)
        return exchange, answer, stage

    def reset(self) -> None:
        """Forget what was received, and switch every fault on again."""
        with self._lock:
            self.requests.clear()
            self.elsewhere.clear()
            for running in self._faults:
                running.used, running.state = 0, {}

    # --- one exchange -----------------------------------------------------------------------------------------------

    def _served(self, exchange: Exchange, place: Place) -> Answer:
        served = place.served
        exchange.key = served.key(exchange.headers, exchange.query)
        problem = self._understand(exchange, place)
        performance = None
        if problem is None and (exchange.key or "") not in self.script.bad_keys:
            performance = self.script.perform(exchange.request, served.dialect)
        framing = framing_of(served, exchange.query)
        running, scenes = self._taking_part(exchange, performance, framing, served)
        if problem is not None:
            answer = _failure(served, problem, None)
        elif performance is None:
            answer = _failure(served, errors.for_kind("authentication")("the key is not valid"), None)
        elif performance.error is not None:
            answer = _failure(served, performance.error, None)
        else:
            asked = dict(exchange.request)
            for fault_, scene in zip(running, scenes):
                asked.update(fault_.request)
                if fault_.say is not None:
                    performance.steps = fault_.say(performance.steps, scene)
            answer = self._said(exchange, served, asked, performance)
        if performance is not None:
            latency = performance.latency or self._latency
            if latency:
                answer = replace(answer, body=_after(latency, answer.body))
        for fault_, scene in zip(running, scenes):
            if fault_.answer is not None:
                answer = fault_.answer(answer, scene)
        exchange.faults = [fault_.name for fault_ in running]
        return answer

    def _understand(self, exchange: Exchange, place: Place) -> errors.Error | None:
        """Fill in the canonical request; the error of a request nobody could answer."""
        served, report = place.served, Report()
        try:
            body = loads(exchange.body)
        except JsonError as error:
            return errors.for_kind("invalid_request")(f"the body is not JSON: {error}")
        assert served.accept is not None
        exchange.fields = {**served.accept(body, report), **place.bound}
        exchange.warnings = report.warnings
        if not exchange.fields.get("messages"):
            return errors.for_kind("invalid_request")("messages: at least one is required", param="messages")
        try:
            exchange.request = normalize("chat", exchange.fields)
        except ConfigError as error:
            return errors.for_kind("invalid_request")(error.message, param=error.param)
        exchange.warnings = exchange.warnings + list(exchange.request.pop("$warnings", ()))
        return None

    def _taking_part(
        self, exchange: Exchange, performance: Performance | None, framing: str, served: Served
    ) -> tuple[list[Any], list[Scene]]:
        """The faults that spoil this exchange, each with what it may know."""
        now = self._now()
        with self._lock:
            known = [*self._faults, *(self._of_rule(performance.faults) if performance is not None else ())]
            taking = [running for running in known if running.take(exchange.stream, framing)]
        limits = served.plan.rate_limits.get("requests", {})
        scenes = [
            Scene(
                number=running.used,
                framing=framing,
                key=exchange.key or "",
                now=now,
                origin=self.origin,
                state=running.state,
                failure=lambda error, status: _failure(served, error, status),
                body_of=lambda error: dumps(served.error(error_fields(served, error))),
                limits=limits,
            )
            for running in taking
        ]
        return [running.fault for running in taking], scenes

    def _of_rule(self, given: list[Any]) -> list[Running]:
        if id(given) not in self._rules:
            self._rules[id(given)] = [Running(fault(one)) for one in given]
        return self._rules[id(given)]

    # --- what is said -----------------------------------------------------------------------------------------------

    def _said(self, exchange: Exchange, served: Served, request: dict[str, Any], performance: Performance) -> Answer:
        with self._lock:
            self._count += 1
            number = self._count
        now = self._now()
        start = Event("start", {"id": f"sim-{number}", "model": request.get("model"), "created": int(now)})
        pace = performance.pace or self._pace
        steps = _started(start, performance.steps)
        ids = next(iter(served.plan.request_id), "x-request-id")
        if request.get("stream") and served.stream is not None:
            report = Report(warnings=exchange.warnings)
            framing = framing_of(served, exchange.query)
            encoder = Encoder(served, request, dialect=served.dialect, now=now, report=report, framing=framing)
            headers = {"content-type": encoder.content_type, ids: f"req-{number}"}
            return Answer(200, headers, _streamed(encoder, exchange, steps, pace), streamed=True)
        waited = 0.0
        events: list[Event] = []
        for step in steps:
            if isinstance(step, Pause):
                waited += step.seconds
            else:
                events.append(step)
                waited += _seconds(step, pace)
                if step.kind == "error":
                    fields = step.fields
                    kind = fields.get("kind")
                    raise errors.for_kind(kind if kind in errors.KINDS else "server")(
                        str(fields.get("message") or "scripted error")
                    )
        exchange.events = events
        report = Report(warnings=exchange.warnings)
        document = write_reply(served, folded(served, events), request, now=now, report=report)
        answer = written(200, dumps(document))
        answer.headers[ids] = f"req-{number}"
        return replace(answer, body=_after(waited, answer.body)) if waited else answer

    def _from_examples(self, exchange: Exchange, method: str, target: str, body: bytes) -> Answer:
        from engine.serve.simulate import Simulator as Examples

        with self._lock:
            if self._examples is None:
                self._examples = Examples(self.catalog)
            reply = self._examples.answer(method, target, body, f"http://{exchange.headers.get('host') or 'localhost'}")
        exchange.provider = exchange.path.split("/")[1] if reply.status < 300 else None
        return Answer(reply.status, reply.headers, [Chunk(piece, "other") for piece in reply.pieces], streamed=reply.streamed)


def folded(served: Served, events: Iterable[Event]) -> Response:
    """The Response that canonical events add up to."""
    plan = replace(served.plan, finish_reasons=_WORDS, usage_totals={}, thinking_tags=None)
    into = Accumulator(plan)
    for event in events:
        into.emit(event.kind, event.choice, dict(event.fields))
    return into.response()


def _failure(served: Served, error: errors.Error, status: int | None) -> Answer:
    """An HTTP error in the words of the dialect; with another status the words say that one."""
    if status is not None:
        served = replace(served, status={**served.status, error.kind: status})
    code, headers, body = write_failure(served, error)
    return Answer(code, headers, [Chunk(body, "other")])


def _started(start: Event, steps: Steps) -> Iterator[Event | Pause]:
    """The steps after the start; a script's own start adds to it."""
    yield start
    yield from steps


def _streamed(
    encoder: Encoder, exchange: Exchange, steps: Iterable[Event | Pause], pace: float | None
) -> Iterator[Chunk | Pause | Act]:
    try:
        for step in steps:
            if isinstance(step, Pause):
                yield step
                continue
            wait = _seconds(step, pace)
            if wait:
                yield Pause(wait)
            data = encoder.feed([step])
            exchange.events.append(step)
            if data:
                moment = "delta" if step.kind in _CONTENT else "end"
                yield Chunk(data, moment, step.text if step.kind == "text" else None)
        data = encoder.end()
    except errors.Error as error:  # the script makes no sense of this request
        data = encoder.fail(error)
    if data:
        yield Chunk(data, "end")


def _seconds(event: Event, pace: float | None) -> float:
    if not pace or event.kind not in _CONTENT:
        return 0.0
    return tokens(event.text or (event.arguments if isinstance(event.arguments, str) else "")) / pace


def _after(seconds: float, body: Iterable[Chunk | Pause | Act]) -> Iterator[Chunk | Pause | Act]:
    yield Pause(seconds)
    yield from body
