"""What a store of answers offers: `memory`, `sqlite` and `redis` do, and whatever else is handed to `Client(cache=…)`."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Store", "is_store"]


class Store(Protocol):
    """Where answers are kept, by a tenant's scope and a question's key, both 64 hexadecimal digits. Thread-safe.

    `name` is what reports say, `quick` that it answers without waiting for a disk or a network (an event loop then asks it
    directly), `shared` that others can write to it, so that what it gives has to carry the mark of the cache's `secret`. What it
    raises is told to listeners and otherwise a miss; it is then left alone for a moment.
    """

    name: str
    quick: bool
    shared: bool

    def get(self, scope: str, key: str) -> bytes | None:
        """What was kept under a key; None if there is nothing, or its time is over."""

    def put(self, scope: str, key: str, value: bytes, until: float) -> bool:
        """Keep a value until then (epoch seconds): whether it is."""

    def point(self, scope: str, group: str, key: str, vector: bytes, until: float, most: int) -> None:
        """Keep a vector that leads to a key, beside others of its group: at most so many."""

    def points(self, scope: str, group: str) -> list[tuple[str, bytes]]:
        """The keys and vectors of a group."""

    def stats(self) -> dict[str, Any]:
        """How much is kept: `entries`, and what else it knows."""

    def clear(self, scope: str | None = None) -> int:
        """Forget everything, or all of one scope: how many answers that were."""

    def close(self) -> None:
        """Give back what it holds open. It may be asked again."""


def is_store(given: Any) -> bool:
    """Whether something offers all of it."""
    return all(hasattr(given, name) for name in ("name", "quick", "shared", *(n for n in vars(Store) if n[:1] != "_")))
