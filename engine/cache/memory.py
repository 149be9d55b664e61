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
        self._groups: dict[tuple[str, str], dict[str, Any]] = {}  # vectors by key, oldest first
        self._pointed: dict[tuple[str, str], str] = {}  # the group of the vector that leads to an entry
        self._size = 0

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

    def put(self, scope: str, key: str, value: bytes, until: float) -> bool:
        """Keep a value until then (epoch seconds). False for one that is larger than all there is."""
        if len(value) + OVERHEAD > self._room:
            return False
        with self._lock:
            if (scope, key) in self._entries:
                self._drop((scope, key))
            self._entries[scope, key] = value, until
            self._size += len(value) + OVERHEAD
            self._shrink()
        return True

    def point(self, scope: str, group: str, key: str, vector: bytes, until: float, most: int) -> None:
        """Keep a vector that leads to an entry, as long as that is kept; the oldest of its group beyond `most` go."""
        with self._lock:
            if (scope, key) not in self._entries:
                return
            self._unpoint((scope, key))
            held = self._groups.setdefault((scope, group), {})
            held[key] = vector
            self._pointed[scope, key] = group
            self._size += len(vector) + OVERHEAD
            while len(held) > most:
                self._unpoint((scope, next(iter(held))))
            self._shrink()

    def points(self, scope: str, group: str) -> list[tuple[str, bytes]]:
        """The vectors of a group with the keys they lead to."""
        with self._lock:
            return list(self._groups.get((scope, group), {}).items())

    def stats(self) -> dict[str, Any]:
        """How much is kept."""
        with self._lock:
            return {"entries": len(self._entries), "bytes": self._size, "vectors": len(self._pointed)}

    def clear(self, scope: str | None = None) -> int:
        """Forget everything, or all of one scope: how many entries that were."""
        with self._lock:
            gone = [place for place in self._entries if scope is None or place[0] == scope]
            for place in gone:
                self._drop(place)
            return len(gone)

    def close(self) -> None:
        """Nothing to close."""

    def _shrink(self) -> None:
        while len(self._entries) > self._most or self._size > self._room:
            self._drop(next(iter(self._entries)))

    def _drop(self, place: tuple[str, str]) -> None:
        value, _ = self._entries.pop(place)
        self._size -= len(value) + OVERHEAD
        self._unpoint(place)

    def _unpoint(self, place: tuple[str, str]) -> None:
        group = self._pointed.pop(place, None)
        if group is not None:
            held = self._groups[place[0], group]
            self._size -= len(held.pop(place[1])) + OVERHEAD
            if not held:
                del self._groups[place[0], group]
