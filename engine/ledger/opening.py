"""Which ledger a client means: one of its own, a file, a Redis that several processes share, or memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.errors import ConfigError
from engine.ledger.store import Ledger, SqliteLedger
from engine.reliability.link import is_redis

__all__ = ["opened"]

_WORDS = ("redis", "file", "away", "instances", "prefix")


def opened(given: Any) -> Ledger:
    """The ledger of `Client(ledger=…)`: a Ledger, a path, the URL of a Redis, or {redis: URL, file, away, instances, prefix}
    (engine.ledger.shared); None keeps it in memory, for this process alone."""
    if given is None:
        return SqliteLedger(":memory:")
    if hasattr(given, "reserve"):
        ledger: Ledger = given
        return ledger
    if is_redis(given):
        given = {"redis": given}
    if not isinstance(given, Mapping):
        return SqliteLedger(given)
    for name in given:
        if name not in _WORDS:
            from engine.spec.problem import nearest

            near = nearest(str(name), _WORDS)
            raise ConfigError(f"a ledger has no `{name}`" + (f"; did you mean `{near}`?" if near else ""))
    if not is_redis(given.get("redis")):
        raise ConfigError("`redis` of a ledger is a URL: redis://[user:password@]host:port/database")
    from engine.ledger.shared import RedisLedger

    said = {name: given[name] for name in ("away", "instances", "prefix") if given.get(name) is not None}
    return RedisLedger(given["redis"], journal=given.get("file"), **said)
