"""What both clients share: settings, bound operations, and the making of a call. No socket, no event loop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.accounting.desk import estimate
from engine.accounting.pending import attach
from engine.call.auth import Credential, TokenCache
from engine.call.flow import Call
from engine.call.send import Route
from engine.call.send.identity import Identify
from engine.errors import ConfigError, Error, UnsupportedError
from engine.leaving import bare, foreign, leaving
from engine.reliability.attempts import Attempts
from engine.reliability.deadline import Clock, Deadline, Limits
from engine.reliability.health import Health
from engine.reliability.retry import Bucket, KeyRing
from engine.routing.desk import RoutingDesk
from engine.settings import Settings, missing_credential
from engine.several import Share
from engine.worded import bound as bound_to

if TYPE_CHECKING:
    from engine.catalog import Catalog
    from engine.explain import Explanation
    from engine.operation import Operation
    from engine.types import HttpRequest, Response

__all__ = ["Caller"]

UNSUPPORTED = ("warn", "error", "ignore")
#: options of a call that are no fields of its request
_OPTIONS = frozenset(("timeout", "attempts", "out", "dialect"))
KEPT = 1024  # bound operations kept; callers with more distinct models than that pay for binding again
_shared: dict[str, Catalog] = {}
_shared_lock = threading.Lock()


class _Provider:
    """What the calls to one provider share: keys, their tokens, the retry budget, what is known of its models."""

    __slots__ = ("buckets", "healths", "ring", "settings", "tokens")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ring = KeyRing(1 + len(settings.keys))
        self.tokens = [TokenCache() for _ in range(self.ring.size)]
        self.buckets: dict[str, Bucket] = {}
        self.healths: dict[tuple[str, str], Health] = {}  # by base URL and model


class _Target:
    """An operation bound to this client's settings, with what its calls need ready."""

    __slots__ = ("bucket", "credentials", "health", "limits", "missing", "name", "operation", "provider", "refusal", "route")

    def __init__(self, operation: Operation, provider: _Provider, limits: Limits, route: Route, clock: Clock) -> None:
        settings = provider.settings
        self.operation = operation
        self.provider = provider
        self.name = f"{operation.provider}/{operation.model}"
        self.limits = limits
        self.route = route
        self.credentials = [Credential(operation.secrets), *(Credential({**operation.secrets, **e}) for e in settings.keys)]
        base_url = str(operation.values.get("base_url", ""))
        if len(provider.healths) >= KEPT:
            provider.healths.clear()
        self.bucket = provider.buckets.setdefault(base_url, Bucket())
        self.health = provider.healths.setdefault((base_url, operation.model), Health(clock.random))
        self.refusal = several_exchanges(operation)
        self.missing = missing_credential(operation.who, operation.plan.auth, operation.secrets, settings.base_url is not None)


class Caller(RoutingDesk):
    """Binding and rendering for both clients; see Client for the arguments."""

    def __init__(
        self,
        catalog: Any = (),
        override: Iterable[str] = (),
        providers: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        transport: Any = None,
        prices: Any = None,
        unsupported: str = "warn",
        timeout: float | None = None,
        connect: float | None = None,
        send: float | None = None,
        headers: float | None = None,
        first_event: float | None = None,
        idle: float | None = None,
        attempts: int | None = None,
        max_retries: int | None = None,
        limits: Mapping[str, float] | None = None,
        trust_env: bool = True,
        routes: Any = None,
        rates: Mapping[str, Any] | None = None,
        budgets: Any = None,
        ledger: Any = None,
        journal: Any = None,
        route_log: Any = None,
        cache: Any = None,
        jobs: Any = None,
        on: Callable[[Any], Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        if unsupported not in UNSUPPORTED:
            raise ConfigError(f"unsupported must be one of {', '.join(UNSUPPORTED)}")
        if max_retries is not None:
            if attempts is not None:
                raise ConfigError("attempts and max_retries say the same: give one of them")
            attempts = max_retries + 1
        named = {"deadline": timeout, "connect": connect, "send": send, "headers": headers, "first_event": first_event}
        named.update(idle=idle, attempts=attempts)
        self._changes: dict[str, Any] = {**(limits or {}), **{k: v for k, v in named.items() if v is not None}}
        Limits().with_(self._changes)  # refuses nonsense now, not at the first call
        self._unsupported = unsupported
        self._trust_env = trust_env
        self._clock = clock or Clock()
        if on is not None:
            self.on("*", on)
        self._given = {str(id): Settings.of(str(id), given) for id, given in (providers or {}).items()}
        self._catalog_source = (catalog, tuple(override))
        self._catalog: Catalog | None = None
        self._settings: dict[str, Settings] | None = None
        self._providers: dict[str, _Provider] = {}
        self._targets: dict[tuple[str, str, str | None], _Target] = {}
        self._lock = threading.Lock()
        self._transport = transport
        self._prices = prices
        self._jobs = jobs
        self._take_routing(routes, rates, budgets, ledger, route_log, cache, journal)
        if prices is not None:
            from engine.accounting.book import given_prices

            given_prices(prices)  # refuses nonsense now, not at the first answer

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    # --- the catalog ------------------------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """The specs this client can reach. Clients without specs of their own share the packaged ones."""
        if self._catalog is None:
            self._catalog = _catalog(*self._catalog_source)
        return self._catalog

    def providers(self) -> list[str]:
        """Ids of all providers."""
        return self.catalog.provider_ids()

    def dialects(self) -> list[str]:
        """Ids of all dialects."""
        return self.catalog.dialect_ids()

    def operation(self, model: str, operation: str = "chat", *, dialect: str | None = None) -> Operation:
        """The compiled operation of a model: pure `render`, `read` and `reader`, with this client's settings.

        `dialect` picks the provider's variant that speaks it. Raises UnsupportedError if there is none.
        """
        return self._target(model, operation, dialect).operation

    # --- a call -----------------------------------------------------------------------------------------------------

    def _target(self, model: str, operation: str, dialect: str | None) -> _Target:
        target = self._targets.get((model, operation, dialect))
        return target if target is not None else self._bind(model, operation, dialect)

    def _bind(self, model: str, operation: str, dialect: str | None) -> _Target:
        if not isinstance(model, str):
            raise ConfigError("a model is named by a text: provider/model")
        catalog = self.catalog
        id = catalog.resolve(model.partition("/")[0].partition(":")[0])
        with self._lock:
            provider = self._providers.get(id)
            if provider is None:
                provider = self._providers[id] = _Provider(self._settings_of(id))
        settings = provider.settings
        bound = catalog.operation(model, operation, settings=settings.plain(), dialect=dialect, unsupported=self._unsupported)
        route = _route(bound, settings, self._trust_env)
        limits = Limits.of(bound.plan.limits, self._changes, route.public)
        target = _Target(bound, provider, limits, route, self._clock)
        with self._lock:
            if len(self._targets) >= KEPT:
                self._targets.clear()
            self._targets[(model, operation, dialect)] = target
        return target

    def _settings_of(self, id: str) -> Settings:
        if self._settings is None:
            self._settings = {self.catalog.resolve(name): given for name, given in self._given.items()}
        return self._settings.get(id) or Settings()

    def _prepare(self, operation: str, model: str, fields: dict[str, Any], stream: bool) -> Call:
        """The call for these fields, rendered but unsigned. Pops the options that are not fields of the request."""
        timeout = attempts = out = dialect = None
        if not _OPTIONS.isdisjoint(fields):
            timeout, attempts, out, dialect = (fields.pop(name, None) for name in ("timeout", "attempts", "out", "dialect"))
        if dialect is None:
            target = self._targets.get((model, operation, None)) or self._bind(model, operation, None)
        else:
            target = bound_to(self, model, operation, dialect)
        limits = target.limits
        if timeout is not None or attempts is not None:
            changes = {"deadline": timeout, "attempts": attempts}
            limits = limits.with_({k: v for k, v in changes.items() if v is not None})
        deadline = Deadline(self._clock, limits.deadline)
        bound = target.operation
        if target.refusal is not None:
            raise UnsupportedError(target.refusal, provider=bound.provider, operation=bound.name)
        wanted = None
        if operation == "chat" and "response_format" in fields:
            from engine.call.schema import wanted_of

            wanted = wanted_of(fields["response_format"])
        if stream:
            fields["stream"] = True
        request, context, unsupported = bound.start(fields)
        if target.missing is not None:
            raise ConfigError(target.missing, provider=bound.provider, model=bound.model, operation=bound.name)
        if request is not None and bound.plan.idempotency_key and bound.plan.replay == "keyed":
            _keyed(request, bound.plan.idempotency_key)
        ring, replay = target.provider.ring, bound.plan.replay
        run = Attempts(target.name, limits, deadline, self._clock, target.bucket, ring, replay, target.health)
        finish = partial(self._complete, bound, run, context, wanted)
        keys, tokens = target.credentials, target.provider.tokens
        call = Call(bound, request, target.route, run, self._clock, keys, tokens, finish, context, unsupported)
        if out is not None:
            from engine.disk import place

            call.out = place(out, stream)
        return call

    def _complete(self, bound: Operation, run: Attempts, context: Mapping[str, Any], wanted: Any, response: Response) -> None:
        """Complete the answer of a call."""
        usage, report = response.usage, context["$report"]
        run.wrote(usage.output_tokens)
        if response.report is not report:
            response.warnings[:0] = [w for w in report.warnings if w not in response.warnings]
            report.ignored_events.update(response.report.ignored_events)
            response.report = report
        report.attempts = run.records
        report.timings["total"] = int(run.deadline.elapsed() * 1e6) / 1e6  # `round` takes as long as all the rest here
        if response.provider is None:
            response.provider = bound.provider
        if wanted is not None:
            _parse(response, wanted)
        attach(response, report, self, bound, context, self._clock.time())

    def _share(self, operation: str, model: str, given: tuple[Any, ...], fields: dict[str, Any]) -> Share:
        """What a call of several exchanges begins with."""
        from engine.faces import named

        problem: Error
        try:
            fields = named(operation, given, fields)
            target = self._target(model, operation, fields.get("dialect"))
            timeout = fields.pop("timeout", None)
            limits = target.limits if timeout is None else target.limits.with_({"deadline": timeout})
            return Share(target.operation, fields, limits.deadline, self._clock.monotonic)
        except Exception as caught:
            problem = _leaving(caught, None)
        raise problem

    def _explain(self, operation: str, model: str, given: tuple[Any, ...], fields: dict[str, Any]) -> Explanation:
        problem: Error
        try:
            return self._explained(operation, model, given, fields)
        except Exception as caught:
            problem = _leaving(caught, None)
        raise problem

    def _explained(self, operation: str, model: str, given: tuple[Any, ...], fields: dict[str, Any]) -> Explanation:
        from engine.explain import explanation
        from engine.faces import named

        model, fields, notes = self.chosen(operation, model, named(operation, given, dict(fields)))
        for option in ("timeout", "attempts", "on_interrupt", "out"):
            fields.pop(option, None)
        target = bound_to(self, model, operation, fields.pop("dialect", None))
        bound = target.operation
        request, context, unsupported = bound.start(fields)
        if request is None:
            from engine.call.forerun import pretend

            notes += pretend(bound.plan, context)
            request = bound.build(context, context["$report"], unsupported)
        signed: HttpRequest | None = None
        if target.missing is not None:
            notes.append(target.missing)
        else:
            limits, clock = target.limits, self._clock
            run = Attempts(target.name, limits, Deadline(clock, limits.deadline), clock, target.bucket, KeyRing(1))
            call = Call(bound, request, target.route, run, clock, target.credentials, target.provider.tokens, lambda r: None)
            steps = call.signing()
            try:
                wanted = next(steps)
                told = wanted if isinstance(wanted, Identify) else f"{wanted.method} {wanted.url.partition('?')[0]}"
                notes.append(f"a token would be fetched first: {told}")
            except StopIteration as done:
                signed = done.value
            finally:
                steps.close()
        secrets = [s for keys in target.credentials for s in keys.values()]
        secrets += [token for cache in target.provider.tokens for token in cache.values()]
        return explanation(bound, request, signed, secrets, notes, estimate(self._seller(bound), context))

    def _signing(self, request: HttpRequest) -> Call:
        """A call that only signs."""
        operation = (request.context or {}).get("$operation")
        if operation is None:
            raise ConfigError("only a request rendered by an operation of a client can be signed")
        provider = self._providers.get(operation.provider) or _Provider(Settings())
        route = _route(operation, provider.settings, self._trust_env)
        target = _Target(operation, provider, Limits().with_(self._changes), route, self._clock)
        if target.missing is not None:
            raise ConfigError(target.missing, provider=operation.provider)
        limits, clock = target.limits, self._clock
        run = Attempts(target.name, limits, Deadline(clock, limits.deadline), clock, target.bucket, provider.ring)
        return Call(operation, request, target.route, run, clock, target.credentials, provider.tokens, lambda r: None)


def _leaving(problem: Exception, call: Call | None) -> Error:
    """What is raised for a failure of a call, or of its making."""
    error = problem if isinstance(problem, Error) else foreign(problem, sent=call is not None)
    if call is not None and error.kind == "not_found" and (meant := call.operation.near()) is not None:
        error.message = f"{error.message.rstrip('. ')}; did you mean the model {meant}?"
    return leaving(error, call) if call is not None else bare(error)


def _keyed(request: HttpRequest, key: str) -> None:
    """Give the request a name of its own, one for all attempts of its call (RELIABILITY R4)."""
    if key.lower() not in {name.lower() for name in request.headers}:
        import secrets

        request.headers[key] = secrets.token_hex(16)


def _parse(response: Response, wanted: Any) -> None:
    """Set `parsed`, unless the answer is no text to its end. One that is no object of the wanted type is an error; one that is not
    the JSON a schema asked for is a warning, since its caller asked for text."""
    from engine.call.schema import parse

    if response.finish_reason not in ("stop", None) or response.tool_calls or response.refusal is not None:
        return
    problem: Error | None = None
    try:
        response.parsed = parse(response.text, wanted)
    except Error as caught:
        problem = caught
    if problem is None:
        return
    if isinstance(wanted, Mapping):
        response.warnings.append(f"the answer is not the JSON that was asked for: {problem.message}")
        return
    problem.partial = response
    problem.retryable = False
    raise problem


def several_exchanges(operation: Operation) -> str | None:
    """Why a plain call cannot do this: a socket is no exchange. None if it can."""
    if operation.plan.realtime is not None:
        return "realtime is no call: open a session with `with client.realtime(…) as session`"
    return None


def _route(operation: Operation, settings: Settings, trust_env: bool) -> Route:
    """How to reach a provider. One that a stranger described is reached at public addresses only (RELIABILITY A7)."""
    public = getattr(operation.who, "trust", "builtin") == "remote"
    return Route(settings.ca_file, settings.proxy, trust_env, public)


def _catalog(source: Any, override: tuple[str, ...]) -> Catalog:
    from engine.catalog import Catalog

    if isinstance(source, Catalog):
        return source
    if source is None or source == "" or (isinstance(source, (list, tuple)) and not source):
        if override:
            return Catalog((), override)
        key = os.environ.get("LLMKIT_CATALOG", "")
        with _shared_lock:
            if key not in _shared:
                _shared[key] = Catalog()
            return _shared[key]
    return Catalog(source if isinstance(source, (list, tuple)) else [source], override)
