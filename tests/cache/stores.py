"""Stores to run the same tests on: memory, a SQLite file, and a Redis where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.cache.memory import MemoryStore
from engine.cache.sqlite import SqliteStore
from tests.redis_server import RedisServer, needs_redis

STORES = ["memory", "sqlite", pytest.param("redis", marks=needs_redis)]
SECRET = "a secret of the operator"


@contextmanager
def opened(name: str, folder: Path, clock: Callable[[], float] | None = None, **bounds: Any) -> Iterator[Any]:
    """A store of this kind, which is gone afterwards."""
    timed: dict[str, Any] = {} if clock is None else {"clock": clock}
    if name == "memory":
        yield MemoryStore(**bounds, **timed)
    elif name == "sqlite":
        store = SqliteStore(folder / "answers.sqlite", **bounds, **timed)
        yield store
        store.close()
    else:
        from engine.cache.redis import RedisStore

        with RedisServer(folder) as server:
            shared = RedisStore(server.url, **timed)
            yield shared
            shared.close()
