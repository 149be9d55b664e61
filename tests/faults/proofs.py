"""What the proofs over many calls share: a client for a case. Each proof takes its size, so that a bounded sample runs with
the tests and the full one by `make faults`."""

from __future__ import annotations

from typing import Any

import engine
from tests.faults.callers import transport
from tests.faults.server import Case
from tests.faults.wires import OPENAI

KEY = "sk-canary-0123456789abcdefXYZ"
WAYS = ("sync", "aiohttp", "httpcore")


def client(way: str, case: Case | None = None, base_url: str = "", **options: Any) -> Any:
    """A client of that way for a case; `transport` among the options overrides its own."""
    wire = case.wire if case is not None else OPENAI
    given = {"providers": wire.settings(case.base_url if case is not None else base_url, KEY), "trust_env": False, **options}
    if way == "sync":
        return engine.Client(**given)
    return engine.AsyncClient(**{"transport": transport(way), **given})
