"""The checkpoint of a batch: a SQLite file that says, after any kill, what was claimed, what came of it and what was written.

It holds the rows between the first that is not yet safe in the output and the last that was claimed, and sums over all.
One process at a time has it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.errors import ConfigError, Error

__all__ = ["Book", "Kept", "Sums"]

BUSY = 1.0  # seconds to wait for a process that has just ended
VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS run (
  one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, settings TEXT NOT NULL, token TEXT NOT NULL,
  written INTEGER NOT NULL DEFAULT 0, place INTEGER NOT NULL DEFAULT 0, chain BLOB NOT NULL, sums TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, chain BLOB NOT NULL, line BLOB);
CREATE TABLE IF NOT EXISTS parts (
  number INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, record TEXT, fetched INTEGER NOT NULL DEFAULT 0);
"""


class Sums:
    """What a batch has come to: rows with an answer and without, what they cost, tokens and units used, seconds at work."""

    __slots__ = ("answered", "cost", "failed", "seconds", "unpriced", "usage")

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self.cost = Decimal(0)
        self.unpriced = 0  # answers whose cost is not known
        self.usage: dict[str, Any] = {}
        self.seconds = 0.0

    def text(self) -> str:
        return json.dumps({**{name: getattr(self, name) for name in self.__slots__}, "cost": str(self.cost)})

    @classmethod
    def of(cls, text: str) -> Sums:
        made = cls()
        for name, value in json.loads(text).items():
            setattr(made, name, Decimal(value) if name == "cost" else value)
        return made


class Kept:
    """The state a checkpoint was left in."""

    __slots__ = ("chain", "place", "settings", "sums", "token", "written")

    def __init__(self, settings: str, token: str, written: int, place: int, chain: bytes, sums: str) -> None:
        self.settings = settings  # what was asked of every row: another run may not mix in something else
        self.token = token  # random: idempotency keys are made of it
        self.written = written  # rows that are safe in the output
        self.place = place  # bytes of the output they take
        self.chain = chain  # their digest
        self.sums = Sums.of(sums)


class Book:
    """An open checkpoint. Every change is one transaction (`turn`)."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._db = sqlite3.connect(str(path), timeout=BUSY, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("BEGIN IMMEDIATE")
            for statement in filter(str.strip, _TABLES.split(";")):
                self._db.execute(statement)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            busy = "locked" in str(error) or "busy" in str(error)
            why = "another process is at work on it" if busy else str(error)
            raise ConfigError(f"the checkpoint {path} cannot be opened: {why}") from None

    def kept(self) -> Kept | None:
        """The state it was left in; None for a new one."""
        found = self._db.execute("SELECT version, settings, token, written, place, chain, sums FROM run").fetchone()
        if found is None:
            return None
        if found[0] != VERSION:
            raise ConfigError(f"the checkpoint {self.path} was made by another version of this program")
        return Kept(*found[1:])

    def begin(self, settings: str, token: str, chain: bytes) -> Kept:
        """Make a new checkpoint's first record."""
        with self._change():
            self._db.execute(
                "INSERT INTO run (one, version, settings, token, chain, sums) VALUES (1, ?, ?, ?, ?, ?)",
                (VERSION, settings, token, chain, Sums().text()),
            )
        found = self.kept()
        assert found is not None
        return found

    def window(self) -> list[tuple[int, bytes, bool]]:
        """(number, digest, whether its outcome is known) of every row that was claimed and is not safe in the output."""
        return self._db.execute("SELECT number, chain, line IS NOT NULL FROM rows ORDER BY number").fetchall()

    def line(self, number: int) -> bytes | None:
        """The outcome of a row, as it is written."""
        found = self._db.execute("SELECT line FROM rows WHERE number = ?", (number,)).fetchone()
        return found[0] if found is not None else None

    def chain(self, number: int) -> bytes:
        """The digest of the input up to a row that was claimed."""
        found: bytes = self._db.execute("SELECT chain FROM rows WHERE number = ?", (number,)).fetchone()[0]
        return found

    def turn(
        self,
        known: Iterable[tuple[bytes, int]],
        claimed: Iterable[tuple[int, bytes, bytes | None]],
        sums: Sums,
        mark: tuple[int, int, bytes] | None,
        fetched: int | None = None,
    ) -> None:
        """Keep outcomes (line, number), claim rows (number, digest, outcome if it is known already), and note how far the output
        is safe (rows, bytes, digest): all or nothing. `fetched`: the results of this part are known now."""
        with self._change():
            db = self._db
            db.executemany("UPDATE rows SET line = ? WHERE number = ?", known)
            db.executemany("INSERT INTO rows (number, chain, line) VALUES (?, ?, ?)", claimed)
            if mark is not None:
                db.execute("UPDATE run SET written = ?, place = ?, chain = ?", mark)
                db.execute("DELETE FROM rows WHERE number < ?", mark[:1])
            if fetched is not None:
                db.execute("UPDATE parts SET fetched = 1 WHERE number = ?", (fetched,))
            db.execute("UPDATE run SET sums = ?", (sums.text(),))

    def parts(self) -> list[tuple[int, int, int, dict[str, Any] | None, bool]]:
        """(number, first row, last row, the job's record or None, whether its results are known) of the parts of a remote batch."""
        found = self._db.execute("SELECT number, first, last, record, fetched FROM parts ORDER BY number").fetchall()
        return [(n, first, last, json.loads(record) if record else None, bool(done)) for n, first, last, record, done in found]

    def part(self, number: int, first: int, last: int, record: dict[str, Any] | None) -> None:
        """Note a part: before it is submitted without a record, and with it as soon as there is one."""
        with self._change():
            self._db.execute(
                "INSERT INTO parts (number, first, last, record) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (number) DO UPDATE SET record = excluded.record",
                (number, first, last, json.dumps(record) if record is not None else None),
            )

    def forget(self, number: int) -> None:
        """A part was not submitted after all."""
        with self._change():
            self._db.execute("DELETE FROM parts WHERE number = ?", (number,))

    def _change(self) -> _Change:
        return _Change(self._db, self.path)

    def close(self) -> None:
        self._db.close()


class _Change:
    """A transaction; a full disk and its like leave the file as it was."""

    __slots__ = ("_db", "_path")

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            self._db.execute("COMMIT" if error is None else "ROLLBACK")
        except sqlite3.Error as problem:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            error = error or problem
        if isinstance(error, sqlite3.Error):
            raise _unwritable(self._path, error) from None


def _unwritable(path: Path, error: Exception) -> Error:
    return ConfigError(f"the checkpoint {path} cannot be written ({error}); the batch can be resumed from what it holds")
