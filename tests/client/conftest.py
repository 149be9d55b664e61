from __future__ import annotations

import pytest

import engine.calling
from tests.client.fakes import FakeCatalog, FakeClock


@pytest.fixture(autouse=True)
def _a_catalog_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Client(catalog=FakeCatalog())` uses it as it is."""
    real = engine.calling._catalog
    monkeypatch.setattr(engine.calling, "_catalog", lambda given, override: given if isinstance(given, FakeCatalog) else real(given, override))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


try:
    import engine.call.auth
except ImportError:
    import sys
    import types

    stub = types.ModuleType("engine.call.auth")

    class TokenCache:
        def invalidate(self): ...

    def sign(auth, request, values, now, tokens):
        value = f"Bearer {values['api_key']}"
        if any(c < " " for c in value):
            from engine.errors import ConfigError
            raise ConfigError("bad key")
        request.headers["Authorization"] = value
        return request
        yield

    stub.TokenCache, stub.sign = TokenCache, sign
    sys.modules["engine.call.auth"] = stub
