from __future__ import annotations

import pytest

import engine.calling
from tests.client.fakes import FakeCatalog, FakeClock


@pytest.fixture(autouse=True)
def _a_catalog_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Client(catalog=FakeCatalog())` uses it as it is."""
    real = engine.calling._catalog
    monkeypatch.setattr(
        engine.calling, "_catalog", lambda given, override: given if isinstance(given, FakeCatalog) else real(given, override)
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
