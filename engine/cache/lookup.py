"""A call whose answer may be kept: looked up, asked once for all who ask the same, kept, told whole or as a stream.

A generator around the call's own flow, over the same steps: sync and async share it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine.cache.entry import read, refusal, written
from engine.cache.flight import Flight
from engine.cache.key import key_of, scope_of
from engine.cache.options import Wish
from engine.cache.replay import replayed
from engine.cache.semantic import asked_of, nearest, unit
from engine.call.step import Deliver, Flow, Pump
from engine.routing.steps import Turn, Work
from engine.types import Response, Usage

if TYPE_CHECKING:
    from engine.cache.kept import Cache
    from engine.call.flow import Call
    from engine.routing.guard import Account

__all__ = ["Lookup"]

FEW = 64  # points that are compared without leaving the event loop
Told = tuple[bytes, str]  # an answer as it is kept, and where it is from


class Lookup:
    """One call on its way through the cache."""

    __slots__ = (
        "account", "cache", "call", "cosine", "inner", "key", "question", "scope", "spent", "stream", "thought", "wish",
    )  # fmt: skip

    def __init__(
        self, cache: Cache, call: Call, inner: Flow, stream: bool, account: Account, wish: Wish, question: dict[str, Any], key: str
    ) -> None:
        self.cache = cache
        self.call = call
        self.inner = inner  # the call's own flow, not begun
        self.stream = stream
        self.account = account
        self.wish = wish
        self.question = question
        self.key = key
        self.scope = scope_of(account.tenant, cache.options.share)
        self.thought: tuple[str, bytes] | None = None  # the group and the vector of this question
        self.cosine: float | None = None  # of the nearest other one
        self.spent: Decimal | None = Decimal(0)  # what looking for it cost

    def flow(self) -> Flow:
        """The Response, kept or new. Who asks what is being asked waits for that answer, unless he wants one of his own."""
        if not (self.wish.read and self.wish.write):
            found = (yield from self._kept()) if self.wish.read else None
            return (yield from self._deliver(found[0])) if found is not None else (yield from self._new())
        flights, monotonic, deadline = self.cache.flights, self.call.clock.monotonic, self.call.attempts.deadline
        while True:
            flight, place = flights.join(self.key, self.stream)
            if place is None:
                return (yield from self._leading(flight))
            try:
                while not place.granted and (patience := min(flight.patience(monotonic()), deadline.left())) > 0:
                    yield Turn(place, patience)
            finally:
                flights.leave(flight, place)
            if place.outcome == "left":
                continue
            response = self._told(*place.told) if place.told is not None else None
            return (yield from self._deliver(response)) if response is not None else (yield from self._new())

    def _leading(self, flight: Flight) -> Flow:
        """Look it up, else ask for all who wait."""
        flights, outcome, told = self.cache.flights, "left", None
        try:
            found = yield from self._kept()
            if found is not None:
                response, told = found
                outcome = "told"
                flights.land(self.key, flight, outcome, told)  # who waits need not wait for this caller to read
                return (yield from self._deliver(response))
            response, told = yield from self._asked(flight)
            outcome = "told" if told is not None else "failed"
            return response
        except Exception:
            outcome = "failed"
            raise
        finally:
            flights.land(self.key, flight, outcome, told)

    # --- what is kept -----------------------------------------------------------------------------------------------

    def _kept(self) -> Flow:
        """(the Response, as it is kept) of this question or of one that means the same; None if there is none."""
        cache = self.cache
        payload = yield from cache.get(self.call, self.scope, self.key)
        if payload is not None and (response := self._told(payload, cache.store.name)) is not None:
            return response, (payload, cache.store.name)
        if cache.options.semantic is None or not self.wish.semantic:
            return None
        key = None
        try:
            key = yield from self._similar()
        except Exception as problem:  # then only the question itself is looked for
            cache.failed(self.call, problem)
        payload = (yield from cache.get(self.call, self.scope, key)) if key is not None else None
        if payload is not None and (response := self._told(payload, "semantic")) is not None:
            return response, (payload, "semantic")
        return None

    def _told(self, payload: bytes, source: str) -> Response | None:
        """A kept answer as that of this call; None if it is too old for it or cannot be read."""
        call, entry = self.call, read(payload)
        now = call.clock.time()
        if entry is None or entry.until <= now or (self.wish.max_age is not None and now - entry.at > self.wish.max_age):
            return None
        response = entry.response
        # Its counters are put back afterwards: they say nothing of how fast this target is, and nothing is billed for them.
        usage, response.usage = response.usage, Usage()
        try:
            call.finish(response)
        except Exception:  # it is not what this caller wants it to be parsed as, or no answer at all
            return None
        response.usage = usage
        report = response.report
        response.cost = self.spent
        report.price_lines, report.price_note = [], "the answer was kept; nobody was asked for it"
        report.cache = {"hit": True, "from": source, "age": round(max(0.0, now - entry.at), 3)}
        if entry.cost is not None:
            report.cache["saved"] = entry.cost
        if source == "semantic":
            report.cache["cosine"] = self.cosine
        return response

    def _deliver(self, response: Response) -> Flow:
        """Hand a kept answer to the caller."""
        found = response.report.cache or {}
        self.inner.close()
        self.cache.tell(self.call, "hit", source=found["from"], age=found["age"])
        if self.stream:
            yield Deliver(replayed(response))
        return response

    # --- what is asked ----------------------------------------------------------------------------------------------

    def _asked(self, flight: Flight | None) -> Flow:
        """(the Response of the call itself, as it is kept or None)."""
        self.cache.tell(self.call, "miss")
        response: Response = yield from (_watched(self.inner, flight, self.call.clock) if flight and self.stream else self.inner)
        cache, report = self.cache, response.report
        report.cache = {"hit": False, "kept": False}
        if self.cosine is not None:
            report.cache["cosine"] = self.cosine
        if self.spent:
            report.cache["spent"] = f"{self.spent:f}"
        if not self.wish.write:
            return response, None
        now = self.call.clock.time()
        until = now + (self.wish.ttl or cache.options.ttl)
        why = refusal(response, self.call.context or {}, self.call.operation.name)
        payload = written(response, now, until) if why is None else None
        if payload is not None and cache.repeats_secret(self.call, payload, response.model):
            payload, why = None, "the answer repeats a credential"
        if payload is None:
            report.cache["why"] = why or "the answer is not plain data"
            return response, None
        report.cache["kept"] = yield from cache.put(self.call, self.scope, self.key, payload, until)
        if report.cache["kept"]:
            cache.tell(self.call, "kept")
        semantic = cache.options.semantic
        if self.thought is not None and semantic is not None:
            group, vector = self.thought
            yield from cache.point(self.call, self.scope, group, self.key, vector, until, semantic.most)
        return response, (payload, "flight")

    def _new(self) -> Flow:
        """The Response of the call itself, for which nobody waits."""
        response, _ = yield from self._asked(None)
        return response

    # --- what means the same ----------------------------------------------------------------------------------------

    def _similar(self) -> Flow:
        """The key of the nearest question of the same group, if it is near enough."""
        semantic = self.cache.options.semantic
        asked = asked_of(self.question)
        if semantic is None or asked is None:
            return None
        text, rest = asked
        group = key_of(self.scope, {**rest, "semantic": semantic.model})
        vector = yield from self._embedded(semantic.model, text)
        if group is None or vector is None:
            return None
        self.thought = group, vector
        points = yield from self.cache.points(self.call, self.scope, group)
        found = nearest(vector, points) if len(points) <= FEW else (yield Work(lambda: nearest(vector, points)))
        if found is None:
            return None
        self.cosine = round(found[0], 6)
        return found[1] if found[0] >= semantic.threshold else None

    def _embedded(self, model: str, text: str) -> Flow:
        """The vector of a text, by a call of this client; None for one without a direction."""
        desk, left = self.cache.desk, self.call.attempts.deadline.left()
        if left <= 0:
            return None
        fields = {"input": [text], "timeout": left, "tenant": self.account.tenant, "tags": self.account.tags}
        _, flow = desk._flow("embeddings", model, fields, False)
        response: Response = yield from flow
        self.spent = response.cost
        return unit(response.embeddings[0])


def _watched(flow: Flow, flight: Flight, clock: Any) -> Flow:
    """A stream's flow that notes in its flight whether its consumer reads."""
    try:
        step = next(flow)
        while True:
            if step.__class__ is Pump:
                _watch(step, flight, clock)
            elif step.__class__ is Deliver:
                flight.idle = clock.monotonic()
            try:
                value = yield step
            except Exception as failure:
                flight.idle = None
                step = flow.throw(failure)
            else:
                flight.idle = None
                step = flow.send(value)
    except StopIteration as done:
        return done.value
    finally:
        flow.close()


def _watch(pump: Pump, flight: Flight, clock: Any) -> None:
    resume, take = pump.resume, pump.take

    def resumed() -> None:
        flight.idle = None
        resume()

    def taken(data: bytes) -> Any:
        events = take(data)
        if events:
            flight.idle = clock.monotonic()
        return events

    pump.resume, pump.take = resumed, taken
