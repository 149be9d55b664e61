from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.limits.stores import Store
from tests.redis_server import RedisServer, needs_redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for the tests of a module."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=needs_redis)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Each kind of store in turn."""
    return Store(tmp_path, request.getfixturevalue("server") if request.param == "redis" else None)
