"""Answers in this process's memory: the least recently used ones go when there are too many."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

__all__ = ["MemoryStore"]

ENTRIES = 10_000
BYTES = 64 << 20
OVERHEAD = 500  # bytes an entry takes beside its own


class MemoryStore:
    """A store in memory, of at most so many entries and bytes. Thread-safe; clients that are given the same one share it."""

    name = "memory"
    quick = True  # answers at once: an event loop need not leave it to a thread
    shared = False  # nobody else can write into it: nothing has to prove where it comes from

    def __init__(self, entries: int | None = None, bytes: int | None = None, clock: Callable[[], float] = time.time) -> None:
        self._most, self._room = entries or ENTRIES, bytes or BYTES
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, str], tuple[Any, float]] = OrderedDict()
        self._groups: OrderedDict[tuple[str, str], OrderedDict[str, tuple[Any, float]]] = OrderedDict()
        self._size = self._vectors = 0

    def get(self, scope: str, key: str) -> bytes | None:
        """What is kept under a key, unless its time is over."""
        with self._lock:
            found = self._entries.get((scope, key))
            if found is None:
                return None
            if found[1] <= self._clock():
                self._drop((scope, key))
                return None
            self._entries.move_to_end((scope, key))
            return found[0]  # type: ignore[no-any-return]

    def put(self, scope: str, key: str, value: bytes, until: float) -> None:
        """Keep a value until then (epoch seconds)."""
        if len(value) + OVERHEAD > self._room:
            return
        with self._lock:
            if (scope, key) in self._entries:
                self._drop((scope, key))
            self._entries[scope, key] = value, until
            self._size += len(value) + OVERHEAD
            while len(self._entries) > self._most or self._size > self._room:
                self._drop(next(iter(self._entries)))

    def point(self, scope: str, group: str, key: str, vector: bytes, until: float, most: int) -> None:
        """Keep a vector that leads to a key; the oldest of its group beyond `most` go."""
        with self._lock:
            held = self._groups.setdefault((scope, group), OrderedDict())
            self._groups.move_to_end((scope, group))
            self._vectors += 1 - bool(held.pop(key, None))
            held[key] = vector, until
            while len(held) > most:
                held.popitem(last=False)
                self._vectors -= 1
            while self._vectors > self._most and len(self._groups) > 1:
                self._vectors -= len(self._groups.popitem(last=False)[1])

    def points(self, scope: str, group: str) -> list[tuple[str, bytes]]:
        """The vectors of a group with the keys they lead to."""
        now = self._clock()
        with self._lock:
            held = self._groups.get((scope, group), OrderedDict())
            return [(key, vector) for key, (vector, until) in held.items() if until > now]

    def stats(self) -> dict[str, Any]:
        """How much is kept."""
        with self._lock:
            return {"entries": len(self._entries), "bytes": self._size, "vectors": self._vectors}

    def clear(self, scope: str | None = None) -> int:
        """Forget everything, or all of one scope: how many entries that were."""
        with self._lock:
            gone = [place for place in self._entries if scope is None or place[0] == scope]
            for place in gone:
                self._drop(place)
            for group in [g for g in self._groups if scope is None or g[0] == scope]:
                self._vectors -= len(self._groups.pop(group))
            return len(gone)

    def close(self) -> None:
        """Nothing to close."""

    def _drop(self, place: tuple[str, str]) -> None:
        value, _ = self._entries.pop(place)
        self._size -= len(value) + OVERHEAD
