"""What both clients know of routes, limits and money: the state that decisions read, and where it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from engine.accounting.desk import Desk
from engine.call.flow import Call, streamed, whole
from engine.errors import ConfigError, Error
from engine.reliability.deadline import Limits
from engine.routing.guard import Account, Gate, guarded

if TYPE_CHECKING:
    from engine.cache.kept import Cache
    from engine.jobstore import JobStore
    from engine.ledger.journal import Journal
    from engine.ledger.store import Ledger
    from engine.reliability.deadline import Clock
    from engine.routing.calm import Calm
    from engine.routing.route import Route, Target
    from engine.routing.run import Run
    from engine.types import Usage
    from engine.watching import Listeners, Watch
    from engine.webhooks import Seen

__all__ = ["RoutingDesk"]

_HINTS = ("language", "task", "residency")
#: options of a call that say who calls and how it is to be routed and kept
_ASIDE = frozenset(("tenant", "tags", "hints", "cache"))
#: modality -> the flag that says a model reads it
_READS = {"image": "vision", "audio": "audio_in", "video": "video_in"}


class RoutingDesk(Desk):
    """Routes, limits and budgets of a client. Its calls, plain and routed, begin here."""

    _gate: Gate | None = None
    _routes: Mapping[str, Route] = {}
    _limits: Limits | None = None  # of a routed call
    _ledger: Ledger | None = None
    _listeners: Listeners | None = None
    journal: Journal | None = None  #: the rows of calls, where they are kept
    _cache: Cache | None = None
    _jobs: Any = None
    seen: Seen | None = None  #: webhooks that were here
    if TYPE_CHECKING:
        _clock: Clock
        _changes: dict[str, Any]
        _unsupported: str
        _targets: dict[tuple[str, str, str | None], Any]

        def _prepare(self, operation: str, model: str, fields: dict[str, Any], stream: bool) -> Call: ...
        def _target(self, model: str, operation: str, dialect: str | None) -> Any: ...

    def _take_routing(self, routes: Any, rates: Any, budgets: Any, ledger: Any, route_log: Any, cache: Any, journal: Any) -> None:
        """Read what the client was given. Raises ConfigError."""
        self._turns: dict[str, int] = {}
        self.hedges: dict[str, list[int]] = {}  # by route: its calls, and those that were hedged
        self.calm: dict[tuple[int, str, bool], Calm] = {}  # by the identity of a route, which is held with it
        self._facts_of: dict[tuple[Target, str, str], dict[str, Any]] = {}
        self._route_log = route_log
        if routes is not None:
            from engine.routing.route import routes_of

            self._routes = routes_of(routes)
        if ledger is not None or budgets is not None:
            from engine.ledger.opening import opened

            self._ledger = opened(ledger)
        if (place := journal if journal is not None else _beside(ledger)) is not None and place is not False:
            from engine.ledger.journal import Journal

            self.journal = place if isinstance(place, Journal) else Journal(place)
            self.on("call_ended", self.journal)
        if rates is not None or budgets is not None:
            from uuid import uuid4

            from engine.ledger.budget import budgets_of
            from engine.reliability.limiter import Limiter

            limiter = Limiter(rates, getattr(self._ledger, "processes", None)) if rates else None
            self._gate = Gate(limiter, budgets_of(budgets), self._ledger, self._billed, lambda: uuid4().hex)
        if cache is not None and cache is not False:
            from engine.cache.kept import cache_of

            self._cache = cache_of(cache, self)

    def _flow(
        self, operation: str, model: Any, fields: dict[str, Any], stream: bool, on_interrupt: str = "raise"
    ) -> tuple[Any, Any]:
        """What a call is known by when its error leaves, and its flow. The one way of plain models and of routes."""
        if self._listeners is not None:
            return self._listeners.watched(self, operation, model, fields, stream, on_interrupt)
        return self._begun(operation, model, fields, stream, on_interrupt, None)

    def _begun(
        self, operation: str, model: Any, fields: dict[str, Any], stream: bool, on_interrupt: str, watch: Watch | None
    ) -> tuple[Any, Any]:
        """The same, told of to somebody or to nobody."""
        if on_interrupt == "continue":
            from engine.routing.continuing import Continuing

            long = Continuing(self, operation, model, fields, watch)
            return long, long.flow()
        restart = on_interrupt == "restart"
        tenant = tags = hints = wish = None
        if not _ASIDE.isdisjoint(fields):
            tenant, tags, hints, wish = (fields.pop(name, None) for name in ("tenant", "tags", "hints", "cache"))
        if model.__class__ is str and model not in self._routes:
            limited = fields.get("timeout") is not None
            call = self._prepare(operation, model, fields, stream)
            if watch is not None:
                watch.account = Account(tenant, _tags(tags))
                watch.follows(call)
            work = self.work(call, model, stream, restart, limited)
            health = call.attempts.health
            if self._gate is not None or health is None or not health.calm:
                work = guarded(self._gate, call, work, Account(tenant, _tags(tags)))
            if self._cache is not None:
                work = self._cache.around(call, work, stream, Account(tenant, _tags(tags), cache=wish))
            return call, work
        from engine.routing.run import Run

        route = self._route(model)
        account = Account(tenant, _tags(tags), route.name, wish)
        run = Run(self, route, operation, fields, stream, account, _checked(hints), restart)
        if watch is not None:
            watch.account, run.watch = account, watch
        return run, run.flow()

    def _seen(self, call: Call, flow: Any) -> Any:
        """The flow of a call that was prepared elsewhere, with its begin and end told to those who listen."""
        return flow if self._listeners is None else self._listeners.around(call, flow)

    def on(self, event: str, listener: Callable[[Any], Any], *, content: bool = False) -> Callable[[], None]:
        """Call `listener` with every event of a name (engine.events), or with all for `*`: what ends that when it is called.

        The events of plain calls and of routed ones. With `content` the listener also gets what was asked and answered, which
        events otherwise never hold. Listeners are called where the call runs, and should be quick; what they raise is logged.
        """
        from engine.watching import listeners_of

        return listeners_of(self).add(event, listener, content)

    def work(self, call: Call, model: str, stream: bool, restart: bool, limited: bool) -> Any:
        """The flow of a call; `limited` says that its caller set a deadline."""
        if stream:
            return streamed(call, restart)
        if call.operation.plan.job is None:
            if call.out is None:
                return whole(call)
            from engine.call.saving import kept

            return kept(call)
        from engine.call.job import finished
        from engine.jobs import begin, followed

        return finished(followed(self, call, model, limited), begin(call, call.operation.name, model))

    @property
    def keeps_jobs(self) -> bool:
        """Whether the records of jobs are kept before they are submitted."""
        return self._jobs is not None

    @property
    def jobs(self) -> JobStore:
        """The records of this client's jobs: `list()`, `get(key)`, `forget(key)`. ConfigError unless it was made with `jobs`."""
        from engine.jobstore import JobStore, opened

        if self._jobs is None:
            raise ConfigError("this client keeps no records of jobs: make it with jobs=True, or jobs=<path>")
        if not isinstance(self._jobs, JobStore):
            self._jobs = opened(self._jobs)
        return self._jobs

    def _route(self, model: Any) -> Route:
        from engine.routing.route import Route

        if isinstance(model, Route):
            return model
        found = self._routes.get(model) if isinstance(model, str) else None
        if found is None:
            raise ConfigError("a model is named by a text, provider/model, or is an engine.Route")
        return found

    def health(self, *models: Any) -> dict[str, dict[str, Any]]:
        """What this client knows of targets from its own traffic: breaker, cool-downs, calls in flight, speed. Nothing is sent.

        `models` are names or routes; without any, all targets of the client's routes.
        """
        now = self._clock.monotonic()
        found = {}
        for name in self.named_targets(models):
            target = self._target(name, "chat", None)
            found[name] = target.health.view(now, len(target.credentials))
        return found

    def named_targets(self, models: Iterable[Any]) -> list[str]:
        """The targets of models and routes, each once; of all the client's routes if there are none."""
        from engine.routing.route import Route

        names: list[str] = []
        for model in models or self._routes.values():
            routed = isinstance(model, Route) or model in self._routes
            names += [t.model for t in self._route(model).every] if routed else [str(model)]
        return list(dict.fromkeys(names))

    def chosen(self, operation: str, model: Any, fields: Mapping[str, Any]) -> tuple[str, dict[str, Any], list[str]]:
        """(the target that would be asked now, the fields it would be asked with, why in words); a plain model as it is."""
        hints = fields.get("hints")
        plain = {k: v for k, v in fields.items() if k not in ("tenant", "tags", "hints", "cache")}
        if model.__class__ is str and model not in self._routes:
            return model, plain, []
        from engine.routing.run import Run

        route = self._route(model)
        turn = self._turns.get(route.name, 0)
        run = Run(self, route, operation, dict(plain), bool(plain.get("stream")), Account(), _checked(hints))
        self._turns[route.name] = turn  # nobody was asked
        decision = run.decided()
        if decision.chosen is None:
            raise run.nobody(decision, None)
        notes = [f"route {route.name}: {decision.reasons.get(decision.chosen) or decision.action}"]
        notes += [f"{target} is skipped: {why}" for target, why in decision.skipped.items()]
        target = next(t for t in route.every if t.model == decision.chosen)
        return target.model, {**plain, **({"dialect": target.dialect} if target.dialect else {})}, notes

    # --- what a run asks for ----------------------------------------------------------------------------------------

    def limits_for(self, timeout: float | None) -> Limits:
        """The limits of a whole routed call."""
        if self._limits is None:
            self._limits = Limits().with_(self._changes)
        return self._limits if timeout is None else self._limits.with_({"deadline": timeout})

    def next_turn(self, route: Route) -> int:
        """How many calls this client has made by a route before this one."""
        turn = self._turns.get(route.name, 0)
        self._turns[route.name] = turn + 1
        return turn

    def ask(
        self, route: Route, operation: str, fields: Mapping[str, Any], stream: bool, hints: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the request asks of a target, in the words decisions read."""
        from engine.routing.asked import ask_of, plainly_asked

        policy, tier = tuple(route.policy), None
        ask = plainly_asked(fields, stream, policy) if operation == "chat" else None
        if ask is None:
            from engine.call.normalize import normalize

            known = {k: v for k, v in fields.items() if k not in ("dialect", "on_interrupt", "out") and k[:1] != "$"}
            request = normalize(operation, known, reads=None)
            ask = ask_of(request, stream=stream, hints=hints, policy=policy, classify=route.classify)
            tier = request.get("service_tier")
        region = hints.get("residency") or route.residency
        if region:
            ask["residency"] = [region.lower()] if isinstance(region, str) else [word.lower() for word in region]
        ask["tier"] = tier
        return ask

    def states(
        self, route: Route, operation: str, ask: Mapping[str, Any], refused: Mapping[str, str], now: float
    ) -> list[dict[str, Any]]:
        """The recorded state of every target of a route."""
        found = []
        usual, larger = len(route.targets), len(route.targets) + len(route.larger)
        speeds, prices = "fastest" in route.policy, "cheapest" in route.policy
        for i, target in enumerate(route.every):
            role = "usual" if i < usual else "larger" if i < larger else "unfiltered"
            why = refused.get(target.model)
            try:
                bound = self._target(target.model, operation, target.dialect)
            except Error as error:
                if error.kind != "unsupported":
                    raise
                lost = {"refused": why or error.message, "lacks": [], "breaker": "closed", "in_flight": 0}
                found.append(_declared(target, role) | lost)
                continue
            state = {**self._static(bound, target, operation, role), **bound.health.view(now, len(bound.credentials), speeds)}
            if why:
                state["refused"] = why
            if prices:
                cost = self._estimated(bound.operation, ask)
                if cost is not None:
                    state["cost"] = cost
            if self._gate is not None and self._gate.limiter is not None:
                tokens = ask["tokens"] + (ask.get("output") or 0)
                seconds, _ = self._gate.limiter.estimate(
                    bound.operation.provider, bound.operation.model, len(bound.credentials), tokens, now
                )
                if seconds > 0:
                    state["limited"] = round(seconds, 3)
            found.append(state)
        return found

    def told(self, error: Error, call: Call | None) -> Error:
        """An error of one target as it would leave a plain call."""
        from engine.calling import _leaving

        return _leaving(error, call)

    def logs(self, run: Run) -> bool:
        """Whether somebody is told of a routed call."""
        return run.watch is not None or self._route_log is not None

    def log(self, run: Run) -> None:
        """Tell of a routed call that is over: the event `route_decided`, and a line of the log."""
        if not self.logs(run):
            return
        steps = [{**step, "turn": run.turn, "decision": step["decision"].to_dict()} for step in run.steps]
        record = {
            "at": round(self._clock.time(), 3),
            "route": run.route.to_dict(),
            "operation": run.name,
            "steps": steps,
            "attempts": run.records,
        }
        if run.watch is not None:
            run.watch("route_decided", record)
        if self._route_log is not None:
            from engine.routing.log import append

            append(self._route_log, record)

    def _static(self, bound: Any, target: Target, operation: str, role: str) -> dict[str, Any]:
        """What does not change from call to call: what is declared, abilities, window, region."""
        key = (target, operation, role)
        found = self._facts_of.get(key)
        if found is None:
            op = bound.operation
            facts = op.model_info or {}
            own = facts.get("capabilities") or {}
            flags = {**op.plan.capabilities, **own}
            lacks = {flag for flag, can in flags.items() if can is False}
            if op.plan.stream is None:
                lacks.add("stream")
            if facts.get("input"):
                lacks |= {flag for modality, flag in _READS.items() if modality not in facts["input"] and not own.get(flag)}
            found = {**_declared(target, role), "lacks": sorted(lacks)}
            window = facts.get("context") or facts.get("max_input")
            if window:
                found["context"] = window
            region = target.region or op.values.get("region") or op.values.get("location")
            if region:
                found["region"] = str(region)
            self._facts_of[key] = found
        return found

    def _estimated(self, operation: Any, ask: Mapping[str, Any]) -> str | None:
        """About what the request will cost with a model, in USD."""
        from engine.routing.decide import USUAL_OUTPUT
        from engine.types import Usage

        usage = Usage(input_tokens=ask["tokens"], output_tokens=ask.get("output") or USUAL_OUTPUT)
        cost = self._billed(operation, usage, tier=ask.get("tier")).cost
        return None if cost is None else str(cost)

    def _billed(self, operation: Any, usage: Usage, **terms: Any) -> Any:
        return self._seller(operation).bill(usage, self._clock.time(), **terms)


def _beside(ledger: Any) -> Any:
    """The file that rows of calls go to when nobody said: that of the ledger, or the one the environment names."""
    import os

    if isinstance(ledger, Mapping):
        ledger = ledger.get("file")
    elif isinstance(ledger, str) and "://" in ledger:
        ledger = None
    return ledger if isinstance(ledger, (str, os.PathLike)) else os.environ.get("LLMKIT_JOURNAL") or None


def _declared(target: Target, role: str) -> dict[str, Any]:
    """What a route says of a target, in the words decisions read."""
    about = {"target": target.model, "role": role, "weight": target.weight}
    return {**about, "languages": list(target.languages), "tasks": list(target.tasks)}


def _tags(given: Any) -> tuple[str, ...]:
    """Tags as words: a text, a list of texts, or a mapping, whose entries are name:value."""
    if not given:
        return ()
    if isinstance(given, str):
        return (given,)
    if isinstance(given, Mapping):
        return tuple(f"{name}:{value}" for name, value in given.items())
    return tuple(map(str, given))


def _checked(hints: Any) -> Mapping[str, Any]:
    if hints is None:
        return {}
    if not isinstance(hints, Mapping) or any(name not in _HINTS for name in hints):
        raise ConfigError(f"`hints` is a mapping with {', '.join(_HINTS)}")
    return hints
