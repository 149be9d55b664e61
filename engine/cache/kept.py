"""The answers of one client: where they are kept, what is kept there, and what happens when it fails (RELIABILITY C1, D1).

A cache that fails is as good as none, and says so in the event `cache`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cache.entry import said
from engine.cache.flight import Flights
from engine.cache.key import Specs, key_of, question_of, scope_of
from engine.cache.lookup import Lookup
from engine.cache.options import Options, Wish, opened
from engine.cache.seal import Seal, key_beside
from engine.call.step import Flow
from engine.errors import ConfigError
from engine.leaving import secrets_of
from engine.routing.steps import Work
from engine.secret import MASK, Masker

if TYPE_CHECKING:
    from engine.call.flow import Call
    from engine.routing.desk import RoutingDesk
    from engine.routing.guard import Account

__all__ = ["Cache", "cache_of"]

MASKERS = 256
PAUSES = (0.1, 1.0, 10.0, 30.0)  # seconds a store is not asked, by failures in a row


class Cache:
    """The answers one client keeps. Thread-safe."""

    def __init__(self, options: Options, desk: RoutingDesk) -> None:
        self.options = options
        self.store = opened(options, desk._clock.time)
        self.desk = desk
        self.flights = Flights()
        self._specs: Specs | None = None
        self._maskers: dict[int, tuple[Any, Masker]] = {}  # by identity of a target's credentials, which are held with it
        self._row = 0  # failures of the store, in a row
        self._until = 0.0
        self._seal: Seal | None = None
        if self.store.shared or options.secret is not None:
            path = getattr(self.store, "path", None)
            secret = options.secret or (key_beside(path) if isinstance(path, Path) else None)
            if secret is None:
                raise ConfigError("a cache that others can write to, as in a Redis, needs a `secret`, the same in every process")
            self._seal = Seal(secret)

    def around(self, call: Call, flow: Flow, stream: bool, account: Account) -> Flow:
        """The flow of a call whose own is `flow`, which was not begun. ConfigError for a wish nobody understands."""
        wish = Wish.of(account.cache)
        plan = call.operation.plan
        if not (wish.read or wish.write) or plan.name not in self.options.operations or getattr(call, "out", None) is not None:
            return flow
        if plan.job is not None or plan.replay != "safe":
            return flow
        try:
            specs = self._specs = self._specs or Specs(self.desk.catalog)
            question = question_of(call, specs.digest(call.operation))
            key = key_of(scope_of(account.tenant, self.options.share), question)
        except Exception as problem:  # a question that cannot be named is asked
            self.failed(call, problem)
            return flow
        return flow if key is None else Lookup(self, call, flow, stream, account, wish, question, key).flow()

    def close(self) -> None:
        """Close the store, if it is this client's own. It is opened again when it is needed."""
        if self.store is not self.options.store:
            self.store.close()

    def repeats_secret(self, call: Call, payload: bytes, model: str | None) -> bool:
        """Whether an answer of a model echoes what its call was signed with: a secret does not go into a cache."""
        own = [secret for keys in call.credentials for secret in keys.values()]
        held = self._maskers.get(id(call.credentials))
        if held is None or held[0] is not call.credentials:
            if len(self._maskers) >= MASKERS:
                self._maskers.clear()
            held = self._maskers[id(call.credentials)] = call.credentials, Masker(own)
        operation = call.operation
        names = {operation.provider, operation.model, operation.known_as, model}  # no secrets, even where a key is made of them
        masker, text = held[1], "\n".join(one for one in said(payload) if one not in names)
        made = [secret for secret in secrets_of(call)[len(own) :] if not isinstance(secret, str) or masker.text(secret) != MASK]
        return masker.holds(text) or (bool(made) and Masker(made).holds(text))

    # --- the store, which may fail ----------------------------------------------------------------------------------

    def get(self, call: Call, scope: str, key: str) -> Flow:
        """The payload under a key, or None."""
        seal = self._seal
        sealed = yield from self._asked(call, lambda: self.store.get(scope, key))
        return sealed if seal is None or sealed is None else seal.take(sealed, scope, key)

    def put(self, call: Call, scope: str, key: str, payload: bytes, until: float) -> Flow:
        """Keep a payload: whether that worked."""
        seal = self._seal
        sealed = payload if seal is None else seal.put(payload, scope, key)

        return (yield from self._asked(call, lambda: self.store.put(scope, key, sealed, until) is not False)) is True

    def point(self, call: Call, scope: str, group: str, key: str, vector: bytes, until: float, most: int) -> Flow:
        """Keep what leads to a key."""
        seal = self._seal
        sealed = vector if seal is None else seal.put(vector, scope, group, key)
        yield from self._asked(call, lambda: self.store.point(scope, group, key, sealed, until, most))

    def points(self, call: Call, scope: str, group: str) -> Flow:
        """What leads to the keys of a group."""

        def points() -> list[tuple[str, bytes]]:
            return [(key, vector) for key, vector in self.store.points(scope, group) if isinstance(vector, bytes)]

        found: list[tuple[str, bytes]] = (yield from self._asked(call, points)) or []
        seal = self._seal
        if seal is None:
            return found
        taken = ((key, seal.take(vector, scope, group, key)) for key, vector in found)
        return [(key, vector) for key, vector in taken if vector is not None]

    def _asked(self, call: Call, do: Callable[[], Any]) -> Flow:
        """What the store answers; None where it cannot."""
        if self._row and self.desk._clock.monotonic() < self._until:
            return None
        if self.store.quick:
            return self._safely(call, do)
        return (yield Work(lambda: self._safely(call, do)))

    def _safely(self, call: Call, do: Callable[[], Any]) -> Any:
        try:
            found = do()
        except Exception as problem:
            if not (isinstance(problem, sqlite3.OperationalError) and "locked" in str(problem)):  # that is over in a moment
                self._until = self.desk._clock.monotonic() + PAUSES[min(self._row, len(PAUSES) - 1)]
                self._row += 1
            self.failed(call, problem)
            return None
        self._row = 0
        return found

    def failed(self, call: Call, problem: Exception) -> None:
        """Tell who watches. What an exception says may hold addresses and credentials: its type has to do."""
        self.tell(call, "failed", why=type(problem).__name__)

    def tell(self, call: Call, did: str, **more: Any) -> None:
        """Tell who watches this call what the cache did."""
        if call.attempts.notify is not None:
            call.attempts.notify("cache_asked", {"target": call.attempts.target, "did": did, "store": self.store.name, **more})


def cache_of(given: Any, desk: RoutingDesk) -> Cache | None:
    """The cache of `Client(cache=…)`. Raises ConfigError."""
    options = Options.of(given)
    return None if options is None else Cache(options, desk)
