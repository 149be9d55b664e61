"""Answers in a SQLite file, which threads and processes of one machine share."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from engine.errors import ConfigError

__all__ = ["SqliteStore"]

T = TypeVar("T")
ENTRIES = 100_000
BYTES = 256 << 20
BUSY = 0.25  # seconds to wait for another process: what takes longer is a miss
OPENING = 2.0  # the same until the file is there
SWEEP = 64  # entries written between two looks at how many there are
KEPT = 90  # percent that stay when it is full: sorting all of it shall be rare
OURS = 0x4C4C4D43  # the application_id of our files
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
  scope TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL, until REAL NOT NULL, size INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (scope, key));
CREATE INDEX IF NOT EXISTS answers_at ON answers (at, size);
CREATE INDEX IF NOT EXISTS answers_until ON answers (until);
CREATE TABLE IF NOT EXISTS vectors (
  scope TEXT NOT NULL, place TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL, until REAL NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (scope, place, key));
"""


class SqliteStore:
    """A store in a file that nobody but its owner may read. When it is full, the answers that are oldest go.

    Raises ConfigError for a file that is not a cache or cannot be made. A cache that is found broken later is thrown away.
    """

    name = "sqlite"
    quick = False
    shared = True

    def __init__(
        self, path: str | Path, entries: int | None = None, bytes: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = Path(path)
        self._most, self._room = entries or ENTRIES, bytes or BYTES
        self._clock = clock
        self._lock = threading.Lock()
        self._written = 0
        self._process = 0
        self._db: sqlite3.Connection | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"the cache {self.path} cannot be opened: {error}") from None

    def get(self, scope: str, key: str) -> bytes | None:
        """What is kept under a key, unless its time is over. Raises sqlite3.Error."""
        row = self._do(
            lambda db: db.execute(
                "SELECT body FROM answers WHERE scope = ? AND key = ? AND until > ?", (scope, key, self._clock())
            ).fetchone()
        )
        return row[0] if row else None

    def put(self, scope: str, key: str, value: bytes, until: float) -> bool:
        """Keep a value until then (epoch seconds). False for one that is larger than all there is. Raises sqlite3.Error."""
        if len(value) > self._room:
            return False
        row = (scope, key, self._clock(), until, len(value), value)
        self._do(lambda db: db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row))
        self._written += 1
        if self._written % SWEEP == 1:
            self.sweep()
        return True

    def point(self, scope: str, group: str, key: str, vector: bytes, until: float, most: int) -> None:
        """Keep a vector that leads to a key; the oldest of its group beyond `most` go. Raises sqlite3.Error."""
        row = (scope, group, key, self._clock(), until, vector)

        def work(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?)", row)
            # An answer is as large as it is with its vector, so that both count where there is too much.
            db.execute("UPDATE answers SET size = length(body) + ? WHERE scope = ? AND key = ?", (len(vector), scope, key))
            db.execute(
                "DELETE FROM vectors WHERE scope = ? AND place = ? AND key IN "
                "(SELECT key FROM vectors WHERE scope = ? AND place = ? ORDER BY at DESC LIMIT -1 OFFSET ?)",
                (scope, group, scope, group, most),
            )

        self._do(work)

    def points(self, scope: str, group: str) -> list[tuple[str, bytes]]:
        """The vectors of a group with the keys they lead to. Raises sqlite3.Error."""
        words = "SELECT key, body FROM vectors WHERE scope = ? AND place = ? AND until > ?"
        return self._do(lambda db: db.execute(words, (scope, group, self._clock())).fetchall())

    def sweep(self) -> None:
        """Throw away what is over, and the oldest of what is too much."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("BEGIN IMMEDIATE")
            try:
                for table in ("answers", "vectors"):
                    db.execute(f"DELETE FROM {table} WHERE until <= ?", (self._clock(),))  # noqa: S608 (constants)
                count, size = db.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM answers").fetchone()
                if count > self._most or size > self._room:
                    db.execute(
                        "DELETE FROM answers WHERE rowid IN (SELECT rowid FROM (SELECT rowid, ROW_NUMBER() OVER recent AS n, "
                        "SUM(size) OVER recent AS total FROM answers WINDOW recent AS (ORDER BY at DESC, rowid DESC)) "
                        "WHERE n > ? OR total > ?)",
                        (self._most * KEPT // 100, self._room * KEPT // 100),
                    )
                    db.execute("DELETE FROM vectors WHERE NOT EXISTS (SELECT 1 FROM answers a WHERE a.scope = vectors.scope "
                               "AND a.key = vectors.key)")  # fmt: skip
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

        self._do(work)

    def stats(self) -> dict[str, Any]:
        """How much is kept, and since when (epoch seconds). Raises sqlite3.Error."""
        words = "SELECT COUNT(*), COALESCE(SUM(size), 0), MIN(at), COUNT(DISTINCT scope) FROM answers WHERE until > ?"
        count, size, oldest, scopes = self._do(lambda db: db.execute(words, (self._clock(),)).fetchone())
        vectors = self._do(lambda db: db.execute("SELECT COUNT(*) FROM vectors").fetchone()[0])
        return {"entries": count, "bytes": size, "vectors": vectors, "tenants": scopes, "oldest": oldest}

    def clear(self, scope: str | None = None) -> int:
        """Forget everything, or all of one scope: how many entries that were. Raises sqlite3.Error."""

        def work(db: sqlite3.Connection) -> int:
            gone = db.execute("DELETE FROM answers WHERE ?1 IS NULL OR scope = ?1", (scope,)).rowcount
            db.execute("DELETE FROM vectors WHERE ?1 IS NULL OR scope = ?1", (scope,))
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("VACUUM")  # what was forgotten shall not stand in the file any more
            return gone

        return self._do(work)

    def close(self) -> None:
        """Close the file. It is opened again when it is needed."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _open(self) -> sqlite3.Connection:
        """A connection. While several processes make the file at once, SQLite itself does not wait for them."""
        ends = time.monotonic() + OPENING
        while True:
            try:
                return self._connected()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() >= ends:
                    raise
                time.sleep(0.01)

    def _connected(self) -> sqlite3.Connection:
        db = sqlite3.connect(str(self.path), timeout=BUSY, isolation_level=None, check_same_thread=False)
        try:
            # In this order: another process may make the file between the two looks, tables and mark at once.
            used = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
            known = db.execute("PRAGMA application_id").fetchone()[0]
            if used and known != OURS:
                raise sqlite3.NotSupportedError("it is a database of something else")
            db.execute("PRAGMA synchronous=NORMAL")
            if known != OURS:
                db.execute("PRAGMA journal_mode=WAL")
                db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id={OURS}; COMMIT")
        except BaseException:
            db.close()
            raise
        self._db, self._process = db, os.getpid()
        return db

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            db = self._db
            try:
                if db is None or self._process != os.getpid():  # a connection does not outlive a fork
                    db = self._open()
                return work(db)
            except sqlite3.DatabaseError as error:
                if error.__class__ is sqlite3.DatabaseError:  # the file itself is broken: a cache can be made anew
                    self._throw_away()
                raise

    def _throw_away(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        for ending in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
