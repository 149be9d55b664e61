"""What a client and a call say about the cache: `Client(cache=…)`, `client.chat(…, cache=…)`, and `cache` of llmkit.yaml."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from engine.cache.semantic import Semantic
from engine.cache.store import Store, is_store
from engine.errors import ConfigError
from engine.secret import Secret
from engine.vocabulary import OPERATIONS

__all__ = ["DEFAULT", "Options", "Wish", "folder", "opened", "place"]

TTL = 3600.0
#: operations whose answer is all in the reply, and as good an hour later: no pictures (their addresses expire), no searches
DEFAULT = ("chat", "completion", "embeddings", "rerank", "moderation", "count_tokens", "ocr", "transcription", "speech")


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator decides.

    `store`: "memory", the path of a SQLite file, the URL of a Redis, a store of engine.cache, or None: a SQLite file in the user's
    cache folder. `ttl`: seconds an answer may be told. `entries` and `bytes`: how much is kept. `share`: tenants share answers.
    `secret`: marks what is written into a store that others can write to; a Redis needs one, a file makes its own. `operations`
    that are kept. `semantic`: see engine.cache.semantic.
    """

    store: Any = None
    ttl: float = TTL
    entries: int | None = None
    bytes: int | None = None
    share: bool = False
    secret: Secret | None = None
    operations: tuple[str, ...] = DEFAULT
    semantic: Semantic | None = None

    @classmethod
    def of(cls, given: Any) -> Options | None:
        """The cache of `Client(cache=…)`: True, a store as text or object, or a mapping of the fields. Raises ConfigError."""
        if given is None or given is False:
            return None
        if given is True:
            return cls()
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            return cls(store=_store(given))
        names = [f.name for f in fields(cls)]
        for name in given:
            if name not in names:
                from engine.spec.problem import nearest

                near = nearest(str(name), names)
                raise ConfigError(
                    f"a cache has no `{name}`" + (f"; did you mean `{near}`?" if near else f"; it has {', '.join(names)}")
                )
        told: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if "ttl" in told:
            told["ttl"] = seconds("ttl", told["ttl"])
        for name in ("entries", "bytes"):
            if name in told and (isinstance(told[name], bool) or not isinstance(told[name], int) or told[name] < 1):
                raise ConfigError(f"`{name}` of a cache is a whole number above 0")
        if not isinstance(told.get("share", False), bool):
            raise ConfigError("`share` of a cache is true or false")
        if "secret" in told:
            told["secret"] = told["secret"] if isinstance(told["secret"], Secret) else Secret(str(told["secret"]))
        if "store" in told:
            told["store"] = _store(told["store"])
        if "operations" in told:
            told["operations"] = _operations(told["operations"])
        if "semantic" in told:
            told["semantic"] = Semantic.of(told["semantic"])
        return cls(**told)


@dataclass(frozen=True, slots=True)
class Wish:
    """What one call says: whether it takes a kept answer (`read`), one of at most `max_age` seconds, whether its own is kept
    (`write`), and for how long (`ttl`)."""

    read: bool = True
    write: bool = True
    ttl: float | None = None
    max_age: float | None = None
    semantic: bool = True

    @classmethod
    def of(cls, given: Any) -> Wish:
        """True, False, or a mapping: `ttl`, `max_age` (seconds), `refresh` (ask anew), `store` (keep the answer), `semantic`."""
        if given is None or given is True:
            return _USUAL
        if given is False:
            return _NONE
        if not isinstance(given, Mapping):
            raise ConfigError("`cache` of a call is true, false or a mapping with ttl, max_age, refresh, store, semantic")
        for name, value in given.items():
            if name in ("refresh", "store", "semantic"):
                if value is not None and not isinstance(value, bool):
                    raise ConfigError(f"`{name}` of a call's cache is true or false")
            elif name not in ("ttl", "max_age"):
                raise ConfigError(f"`cache` of a call has no `{name}`; it has ttl, max_age, refresh, store, semantic")
        ttl, age = given.get("ttl"), given.get("max_age")
        return cls(
            read=not given.get("refresh"),
            write=given.get("store") is not False,
            ttl=None if ttl is None else seconds("ttl", ttl),
            max_age=None if age is None else seconds("max_age", age),
            semantic=given.get("semantic") is not False,
        )


_USUAL, _NONE = Wish(), Wish(read=False, write=False)


def seconds(name: str, value: Any) -> float:
    """A number of seconds above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e10:
        raise ConfigError(f"`{name}` of a cache is a number of seconds above 0")
    return float(value)


def folder() -> Path:
    """Where programs of this user keep what they can make again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llmkit"


def opened(options: Options, clock: Any) -> Store:
    """The store of the options. Raises ConfigError."""
    from engine.reliability.link import is_redis

    given = options.store
    if given == "memory":
        from engine.cache.memory import MemoryStore

        return MemoryStore(options.entries, options.bytes, clock)
    if given is not None and is_redis(given):
        from engine.cache.redis import RedisStore

        return RedisStore(given, clock)
    path = place(options)
    if path is None:
        own: Store = given
        return own
    from engine.cache.sqlite import SqliteStore

    return SqliteStore(path, options.entries, options.bytes, clock)


def place(options: Options) -> Path | None:
    """The file answers are kept in, of options that mean one."""
    from engine.reliability.link import is_redis

    given = options.store
    if given is None:
        return folder() / "answers.sqlite"
    return Path(given) if isinstance(given, (str, Path)) and given != "memory" and not is_redis(given) else None


def _store(given: Any) -> Any:
    """A store as it is named; the URL of a Redis may hold a password."""
    from engine.reliability.link import is_redis

    if is_redis(given):
        return Secret(given) if isinstance(given, str) else given
    if isinstance(given, (str, Path)) and str(given):
        return given
    if is_store(given):
        return given
    raise ConfigError('the store of a cache is "memory", the path of a file, the URL of a Redis, or a store of engine.cache')


def _operations(given: Any) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, (list, tuple)) else ()
    for name in names:
        if name not in OPERATIONS:
            raise ConfigError(f"`operations` of a cache names operations, not {name!r:.60}")
    if not names:
        raise ConfigError("`operations` of a cache is a list of operations")
    return names
