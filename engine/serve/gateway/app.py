"""The gateway as an ASGI application.

    gateway = Gateway(read_config("llmkit.yaml"))
    gateway.prepare()                 # compiles what is served; raises what is wrong with the configuration
    uvicorn.run(gateway, access_log=False)

Nothing of a request or an answer is logged or kept (RELIABILITY G10).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, NamedTuple

from engine import errors
from engine.catalog import Catalog
from engine.leaving import foreign
from engine.operation import Operation
from engine.serve.frames import framing_of
from engine.serve.gateway.asked import Asked, asked, check_addresses, refused_by
from engine.serve.gateway.config import Config
from engine.serve.gateway.intake import Gone, Intake, Receive, Send, document, read_body
from engine.serve.gateway.keeping import wish
from engine.serve.gateway.models import PATH, listed, models
from engine.serve.gateway.openapi import describe
from engine.serve.gateway.routes import Routes
from engine.serve.gateway.signers import SCHEME, Proof
from engine.serve.gateway.stream import answer_streamed, answer_whole
from engine.serve.gateway.tenants import Tenant, Turnstile
from engine.serve.gateway.through import GIVEN, Given, Through
from engine.serve.gateway.watching import Watches
from engine.serve.gateway.wording import Refused, failure, plain, refusal
from engine.serve.mounts import Place
from engine.serve.reply import random_id
from engine.settings import missing_credential

_PAGES = ("/healthz", "/readyz", "/openapi.json")
_NO_SOCKETS = {"type": "websocket.close", "code": 1000}
_KEPT = 1024  # names and targets of models that are kept at hand


class Bound(NamedTuple):
    """The operation of a target (None of a route, whose targets differ), the types of parts whose addresses the engine would
    fetch for it, and the same operation as its dialect has it without the provider's patches, where that dialect is served."""

    operation: Operation | None
    fetched: frozenset[str]
    plain: Operation | None


class Gateway:
    """Serves what a configuration says. Belongs to one event loop; `transport` is that of the client behind it."""

    def __init__(self, config: Config, *, catalog: Catalog | None = None, transport: Any = None) -> None:
        self.config = config
        self.draining = False
        self.running = 0  # calls now
        self._catalog = catalog if catalog is not None else Catalog(config.catalog, config.override)
        self.client = Through(
            self._catalog,
            providers=config.providers,
            transport=transport,
            timeout=config.timeout,
            attempts=config.attempts,
            routes=config.routes or None,
            rates=config.rates,
            budgets=config.spending() or None,
            ledger=config.ledger,
            journal=config.journal,
            route_log=config.route_log,
            cache=config.cache,
        )
        self._traced: Callable[[Mapping[str, str]], AbstractContextManager[None]] | None = None
        if config.telemetry is not None:
            from engine.telemetry import continued, instrument

            instrument(self.client, **config.telemetry)
            self._traced = continued
        self.when_ready: Callable[[], None] | None = None  # called once, when everything is compiled
        self._routes: Routes | None = None
        self._warming: asyncio.Task[None] | None = None
        self._bound: dict[tuple[str, str], Bound] = {}  # by operation and target
        self._targets: dict[str, str] = {}
        self._watches = Watches(config.slow)
        self._turnstile = Turnstile(config.tenants.values(), getattr(self.client._ledger, "processes", None))
        self._preparing: asyncio.Lock | None = None

    def bind(self) -> None:
        """Bind every alias and route. Raises the error of the first that leads nowhere."""
        for target in self.config.aliases.values():
            if "*" not in target:
                self._bind("chat", target)
        for name in self.config.routes:
            self._bind("chat", name)

    def prepare(self) -> Routes:
        """Bind what the configuration names and compile every served dialect."""
        if self._routes is None:
            self.bind()
            self._routes = Routes(self._catalog)
            if self.when_ready is not None:
                self.when_ready()
        return self._routes

    async def close(self) -> None:
        """Close the connections to providers."""
        await self.client.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await asyncio.to_thread(self.bind)
                except errors.Error as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                self._warming = asyncio.create_task(self._warm())
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _warm(self) -> None:
        """Compile while the port is open already: `/readyz` says when it is done, and calls that come earlier wait for it."""
        try:
            await self._prepared()
        except errors.Error as error:
            print(f"llmkit serve: not ready: {error}", file=sys.stderr)

    async def _prepared(self) -> Routes:
        if self._routes is not None:
            return self._routes
        self._preparing = self._preparing or asyncio.Lock()
        async with self._preparing:
            return await asyncio.to_thread(self.prepare)

    # --- a request --------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._lifespan(receive, send) if scope["type"] == "lifespan" else await send(_NO_SOCKETS)
        intake = Intake.of(scope)
        id = random_id()
        reply = _Reply(send, id)
        if intake.path in _PAGES and intake.method in ("GET", "HEAD"):
            return await reply.whole(*self._page(intake), head=intake.method == "HEAD")
        place: Place | None = None
        try:
            routes = self._routes or await self._prepared()
            place = routes.find(intake.method, intake.path, intake.query)
            if place is None and intake.method == "GET" and intake.path == PATH:
                place = routes.lister(intake.headers, intake.query)
            if self.draining:
                raise Refused("unavailable", "this gateway is stopping", retry_after=1)
            tenant, proof = self._admit(intake, place)
            if place is None:
                return await reply.whole(*self._list(intake, routes, tenant))
            if place.served.operation == "list_models":
                found = listed(self.config, place.served, tenant)
                return await reply.whole(200, {"content-type": "application/json"}, found)
            if self.running >= self.config.concurrency:
                raise Refused("overloaded", "this gateway is at its limit", retry_after=1)
            self.running += 1
            try:
                if self._traced is None:
                    await self._call(intake, place, receive, reply, tenant, proof)
                else:
                    with self._traced(intake.headers):
                        await self._call(intake, place, receive, reply, tenant, proof)
            finally:
                self.running -= 1
        except Gone:
            pass
        except Refused as refused:
            await reply.whole(*refusal(place.served if place else None, refused, id=id))
        except Exception as defect:  # said without its values, which may be a client's
            error = foreign(defect, sent=False)
            print(f"llmkit serve: defect: {error.message} (request {id})", file=sys.stderr)
            await reply.whole(
                *refusal(place.served if place else None, Refused("server", "this gateway failed", status=500), id=id)
            )
        return None

    def _page(self, intake: Intake) -> tuple[int, dict[str, str], bytes]:
        if intake.path == "/healthz":
            return 200, {"content-type": "application/json"}, b'{"status":"ok"}'
        if intake.path == "/readyz":
            if self._routes is None or self.draining:
                return 503, {"content-type": "application/json", "retry-after": "1"}, b'{"status":"not ready"}'
            return 200, {"content-type": "application/json"}, b'{"status":"ready"}'
        if self._routes is None:
            return plain(503, "unavailable", "this gateway is starting")
        return 200, {"content-type": "application/json"}, describe(self._routes, self.config.guarded)

    def _admit(self, intake: Intake, place: Place | None) -> tuple[Tenant | None, Proof | None]:
        """Who calls; refuses who may not. A key stands where the dialect has it; where no dialect is known, at a bearer's place.
        A signature is checked with the body: what it gives is for that."""
        config = self.config
        if not config.guarded:
            if not intake.from_here():
                raise Refused("permission", "without keys this gateway answers programs of its own machine only")
            return None, None
        authorization = intake.headers.get("authorization", "")
        if place is None:
            key = authorization.partition(" ")[2].strip() or intake.headers.get("x-api-key")
        elif place.served.signature is not None and "Credential=" in authorization:
            if place.served.signature == SCHEME and config.signing:
                owner, proof = config.signing.proof(intake, time.time())
                return config.tenants.get(owner), proof
            raise Refused("authentication", "signed requests are not accepted here: send a key of this gateway as a bearer token")
        else:
            key = place.served.key(intake.headers, intake.query)
        found = config.known.owner(key)
        if found is None:
            raise Refused("authentication", "the key is missing or not known to this gateway")
        return config.tenants.get(found), None

    def _list(self, intake: Intake, routes: Routes, tenant: Tenant | None) -> tuple[int, dict[str, str], bytes]:
        """The page of models. Raises Refused for any other path."""
        listing = intake.path == PATH or intake.path.startswith(f"{PATH}/")
        found = models(self.config, intake.path, tenant) if listing and intake.method == "GET" else None
        if found is None:
            raise self._nowhere(intake, routes)
        return 200, {"content-type": "application/json"}, found

    def _nowhere(self, intake: Intake, routes: Routes) -> Refused:
        if intake.method != "POST" and routes.find("POST", intake.path, intake.query) is not None:
            return Refused("invalid_request", "this path takes POST only", status=405)
        return Refused("not_found", "there is nothing at this path; /openapi.json lists what is")

    async def _call(
        self, intake: Intake, place: Place, receive: Receive, reply: _Reply, tenant: Tenant | None, proof: Proof | None
    ) -> None:
        """Answer one call, and stop when its client goes away (RELIABILITY G9)."""
        config = self.config
        watch = self._watches.begin(receive)
        try:
            body = await read_body(intake, watch, config)
            self._watches.answers(watch)
            if proof is not None:
                proof(body)
            question = asked(place, document(body), config, self._target, tenant)
            if question.stream:
                question.framing = framing_of(place.served, intake.query)
            if config.cache is not None:
                question.fields["cache"] = wish(intake.headers.get("cache-control"))
            turn = self._turnstile.enter(tenant, question)
            try:
                await self._answer(question, reply, body, place)
            finally:
                self._turnstile.leave(turn, question.used)
        except asyncio.CancelledError:
            if not watch.saw_it_leave():
                raise
        finally:
            self._watches.end(watch)

    async def _answer(self, question: Asked, reply: _Reply, body: bytes, place: Place) -> None:
        operation: Operation | None = None
        problem: errors.Error
        try:
            wanted = (question.served.operation, question.target)
            operation, fetched, plain = self._bound.get(wanted) or await self._binding(*wanted)
            if fetched and not self.config.fetch:
                check_addresses(question.fields, fetched)
            counted = question.request.get("stream_usage") is not False or not question.stream  # else usage would be lost
            if counted and plain is not None and plain.plan.dialect == question.served.dialect and question.extra == "forward":
                question.fields[GIVEN] = Given(body, plain, "model" not in place.bound)
            if question.stream:
                dialect = operation.plan.dialect if operation is not None else None
                await answer_streamed(self.client, question, dialect, self.config.errors, reply.begin, reply.write)
            else:
                await answer_whole(self.client, question, reply.whole)
            return
        except errors.Error as error:
            problem = error
            question.used = None if error.possibly_billed else 0
        dialect = operation.plan.dialect if operation is not None else None
        await reply.whole(*failure(question.served, problem, id=reply.id, dialect=dialect, words=self.config.errors))

    def _target(self, name: str) -> str | None:
        """The `provider/model` of a client's model name, or None if it is not offered."""
        found = self._targets.get(name)
        if found is None:
            found = self.config.target(name)
            if found is not None:
                if len(self._targets) >= _KEPT:
                    self._targets.clear()
                self._targets[name] = found
        return found

    async def _binding(self, name: str, target: str) -> Bound:
        try:
            return await asyncio.to_thread(self._bind, name, target)
        except errors.Error as error:
            raise refused_by(error) from None

    def _bind(self, name: str, target: str) -> Bound:
        """An operation of a target, compiled, with a credential to call it; of a route those of all its targets."""
        route = self.config.routes.get(target)
        if route is not None:
            fetched: frozenset[str] = frozenset()
            for one in route.every:
                fetched |= self._bind(name, one.model).fetched
            found = self._bound[name, target] = Bound(None, fetched, None)
            return found
        operation = self.client.operation(target, name)
        settings = self.config.providers.get(operation.provider) or {}
        missing = missing_credential(operation.who, operation.plan.auth, operation.secrets, "base_url" in settings)
        if missing is not None:
            raise errors.ConfigError(missing, provider=operation.provider)
        if len(self._bound) >= _KEPT:
            self._bound.clear()
        fetched = operation.plan.inline | {kind for kind, _ in operation.plan.upload}
        found = self._bound[name, target] = Bound(operation, fetched, self._plain(operation))
        return found

    def _plain(self, operation: Operation) -> Operation | None:
        """An operation as its dialect alone has it, or None if that is not served."""
        try:
            plan = self._catalog.served(operation.plan.dialect or "").plan
        except errors.Error:
            return None
        facts = operation.model_info
        return Operation(plan, operation.who, operation.model, values=operation.values, model_info=facts, unsupported="ignore")


@lru_cache(maxsize=256)
def _named(header: str) -> bytes:
    """The name of a header as ASGI has it."""
    return header.lower().encode("latin-1")


class _Reply:
    """One HTTP answer through ASGI."""

    __slots__ = ("_send", "id", "status")

    def __init__(self, send: Send, id: str) -> None:
        self._send = send
        self.id = id
        self.status: int | None = None

    def begin(self, status: int, headers: dict[str, str]) -> Awaitable[None]:
        self.status = status
        told = [(_named(name), value.encode("latin-1")) for name, value in headers.items()]
        told.append((b"x-request-id", self.id.encode()))
        return self._send({"type": "http.response.start", "status": status, "headers": told})

    def write(self, data: bytes, more: bool) -> Awaitable[None]:
        return self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def whole(self, status: int, headers: dict[str, str], body: bytes, head: bool = False) -> None:
        """Everything at once. An answer that was begun is left as it is: it cannot be taken back."""
        if self.status is None:
            headers["content-length"] = str(len(body))
            await self.begin(status, headers)
            await self.write(b"" if head else body, False)
        else:
            print(f"llmkit serve: an answer failed after it was begun (request {self.id})", file=sys.stderr)
