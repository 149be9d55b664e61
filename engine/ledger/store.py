"""The ledger in a SQLite file: reservations that hold across threads and processes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from engine.errors import ConfigError, LocalLimitError

__all__ = ["Ledger", "SqliteLedger"]

BUSY = 5.0  # seconds to wait for another process
_CANCELLED = 4096  # reservations given up before they were made that are remembered
_TABLES = """
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, spent INTEGER NOT NULL DEFAULT 0, reserved INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS reservations (
  id TEXT NOT NULL, counter TEXT NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (id, counter));
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Ledger(Protocol):
    """Where money is reserved and recorded. Amounts are billionths of a dollar. All methods may block and are thread-safe."""

    def reserve(self, id: str, charges: Iterable[tuple[str, int]], amount: int) -> tuple[str, int] | None:
        """Set an amount aside in every counter (name, limit), or in none: then the counter that has too little, and its rest."""

    def settle(self, id: str, actual: int) -> None:
        """Put what was really spent in place of a reservation; 0 gives it back. Only the first time has effect."""

    def spent(self, counter: str) -> tuple[int, int]:
        """(spent, reserved) of a counter."""

    def close(self) -> None: ...


class SqliteLedger:
    """A ledger in a file, or in memory for `:memory:`. A reservation whose process died goes on counting within its period."""

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        self._cancelled: dict[str, None] = {}
        self._owed: dict[str, int] = {}  # what reservations came to and could not be written yet
        try:
            self._db = sqlite3.connect(str(path), timeout=BUSY, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_TABLES)
        except sqlite3.Error as error:
            raise ConfigError(f"the ledger {path} cannot be opened: {error}") from None

    def reserve(self, id: str, charges: Iterable[tuple[str, int]], amount: int) -> tuple[str, int] | None:
        """See Ledger. LocalLimitError where the file cannot be written."""
        with self._lock:
            if id in self._cancelled:
                return None
            try:
                self._pay()
                with self._step() as db:
                    return self._set_aside(db, id, list(charges), amount)
            except sqlite3.Error:
                raise LocalLimitError("the ledger cannot be written now: budgets hold until it can", code="ledger") from None

    def settle(self, id: str, actual: int) -> None:
        """See Ledger. What cannot be written now is written with the next reservation; until then it goes on counting."""
        with self._lock:
            self._owed.setdefault(id, actual)
            try:
                self._pay()
            except sqlite3.Error:
                pass

    def _set_aside(self, db: sqlite3.Connection, id: str, charges: list[tuple[str, int]], amount: int) -> tuple[str, int] | None:
        for name, limit in charges:
            row = db.execute("SELECT spent + reserved FROM counters WHERE name = ?", (name,)).fetchone()
            left = limit - (row[0] if row else 0)
            if amount > left:
                return name, left
        for name, _ in charges:
            db.execute(
                "INSERT INTO counters (name, reserved) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET reserved = reserved + excluded.reserved",
                (name, amount),
            )
            db.execute("INSERT INTO reservations VALUES (?, ?, ?)", (id, name, amount))
        return None

    def _pay(self) -> None:
        """Write what reservations came to."""
        while self._owed:
            id, actual = next(iter(self._owed.items()))
            with self._step() as db:
                held = db.execute("DELETE FROM reservations WHERE id = ? RETURNING counter, amount", (id,)).fetchall()
                for name, amount in held:
                    db.execute(
                        "UPDATE counters SET reserved = reserved - ?, spent = spent + ? WHERE name = ?", (amount, actual, name)
                    )
            del self._owed[id]
            if not held:  # given up before it was made: it shall not be made any more
                self._cancelled[id] = None
                while len(self._cancelled) > _CANCELLED:
                    del self._cancelled[next(iter(self._cancelled))]

    @contextmanager
    def _step(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is written, or nothing."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def spent(self, counter: str) -> tuple[int, int]:
        with self._lock:
            row = self._db.execute("SELECT spent, reserved FROM counters WHERE name = ?", (counter,)).fetchone()
        return (row[0], row[1]) if row else (0, 0)

    def identity(self) -> str:
        """A name of this ledger that no other has; the same whenever its file is opened."""
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO about VALUES ('identity', ?)", (uuid4().hex,))
            return str(self._db.execute("SELECT value FROM about WHERE name = 'identity'").fetchone()[0])

    def close(self) -> None:
        with self._lock:
            self._db.close()
