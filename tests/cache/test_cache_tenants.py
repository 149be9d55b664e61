"""Issue bar: 10,000 look-ups across tenants, 0 cross hits (RELIABILITY C1, C4, G7); and a store that comes and goes (D1)."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

import engine
from engine.cache.key import key_of, scope_of
from engine.cache.options import Options
from tests.cache.lookups import KEYS, MODELS, TENANTS, look_ups, outages, saying
from tests.cache.stores import STORES, opened
from tests.redis_server import needs_redis


def test_names_of_tenants_never_meet() -> None:
    scopes = {scope_of(tenant, False) for tenant in TENANTS}
    assert len(scopes) == len(TENANTS) == 100 and scope_of("a", True) not in scopes
    assert len({key_of(scope, {"q": 1}) for scope in scopes}) == len(scopes)
    assert all(len(scope) == 64 for scope in scopes)


@pytest.mark.parametrize("name", STORES)
def test_10_000_look_ups_across_tenants_hit_nobody_else(name: str, tmp_path: Path) -> None:
    """The file and the Redis here a few times only; `tools/faults.py caches` asks them as often."""
    with opened(name, tmp_path) as store:
        found = look_ups(store, 10_000 if name == "memory" else 600, name)
    assert found.crossed == 0 and found.sent <= 100 * 4 * 2
    assert found.hits > (9_000 if name == "memory" else 0)


def test_tenants_share_only_where_the_operator_said_so() -> None:
    for share, count in ((False, 3), (True, 1)):
        sent: list[httpx.Request] = []

        def handle(request: httpx.Request, sent: list[httpx.Request] = sent) -> httpx.Response:
            sent.append(request)
            return saying("x")

        client = engine.Client(providers=KEYS, transport=httpx.MockTransport(handle), cache={"store": "memory", "share": share})
        for tenant in ("a", "b", None):
            client.chat(MODELS[0], "hi", tenant=tenant)
        assert len(sent) == count
    assert Options.of("memory").share is False  # type: ignore[union-attr]


@needs_redis
def test_a_redis_that_comes_and_goes_fails_no_call(tmp_path: Path) -> None:
    seen = outages(3, tmp_path)
    assert not seen.failed and seen.calls > 50 and 0 < seen.hits < seen.calls and seen.slowest < 2
