"""Which ledger a client means: one of its own, a file, or memory."""

from __future__ import annotations

from typing import Any

from engine.ledger.store import Ledger, SqliteLedger

__all__ = ["opened"]


def opened(given: Any) -> Ledger:
    """The ledger of `Client(ledger=…)`: a Ledger or a path; None keeps it in memory, for this process alone."""
    if given is None:
        return SqliteLedger(":memory:")
    if hasattr(given, "reserve"):
        ledger: Ledger = given
        return ledger
    return SqliteLedger(given)
