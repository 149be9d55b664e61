"""The journal: one row for every call and target, without a word of what was said, for `llmkit stats` and for your own SQL.

A listener like any other (engine.events). Rows are written in batches by a thread that lives while there are some, so a call
waits for no disk; a disk that is full or locked costs rows, never calls.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError
from engine.ledger.budget import nano

if TYPE_CHECKING:
    from engine.events import CallEnded

__all__ = ["COLUMNS", "Journal", "rows_of"]

KEEP = 1_000_000  # rows of a file; older ones are dropped
WAITING = 100_000  # rows that wait to be written; further ones are lost
BATCH = 0.25  # seconds in which rows are gathered
IDLE = 2.0  # seconds without a row after which the thread ends
BUSY = 5.0  # seconds to wait for another process
TRIM = 1_000  # rows written between two looks at how many there are

#: columns of a row, in order: `at` in epoch seconds, `seconds` and `first_event` in seconds, `cost` in billionths of a dollar,
#: `kind` is ok, cancelled or the kind of the error, `cached` 1 of an answer that was kept from before
COLUMNS = (
    "at", "provider", "model", "operation", "route", "tenant", "tags", "kind", "seconds", "first_event", "attempts", "input_tokens",
    "output_tokens", "cost", "cached",
)  # fmt: skip
_TABLE = """
CREATE TABLE IF NOT EXISTS calls (
  at REAL NOT NULL, provider TEXT, model TEXT, operation TEXT, route TEXT, tenant TEXT, tags TEXT, kind TEXT NOT NULL,
  seconds REAL, first_event REAL, attempts INTEGER, input_tokens INTEGER, output_tokens INTEGER, cost INTEGER, cached INTEGER);
CREATE INDEX IF NOT EXISTS calls_at ON calls (at);
"""


def rows_of(event: CallEnded) -> Iterator[tuple[Any, ...]]:
    """The rows of a call: one for its last target, and before it one for each that failed first."""
    last = f"{event.provider}/{event.model}"
    tried: dict[str, list[dict[str, Any]]] = {}
    for attempt in event.attempts:
        tried.setdefault(attempt["target"], []).append(attempt)
    own = tried.pop(last, [])
    about = (event.operation, event.route, event.tenant, json.dumps(event.tags) if event.tags else None)
    for target, attempts in tried.items():
        provider, _, model = target.partition("/")
        seconds = round(sum(attempt["seconds"] for attempt in attempts), 6)
        yield (event.at, provider, model, *about, attempts[-1]["kind"], seconds, None, len(attempts), None, None, None, 0)
    seconds = round(sum(attempt["seconds"] for attempt in own), 6) if tried and own else event.seconds
    usage, cost = event.usage, event.cost
    yield (
        event.at, event.provider, event.model, *about, event.kind, seconds, event.first_event, len(own), usage.get("input_tokens"),
        usage.get("output_tokens"), None if cost is None else nano(cost), int(event.cached),
    )  # fmt: skip


class Journal:
    """Rows of calls in a SQLite file, or in memory (`:memory:`); processes may share a file. A listener of `call_ended`.

    `keep`: rows at most. `lost` counts rows that could not be written. Raises ConfigError for a file that cannot be opened.
    """

    def __init__(self, path: str | Path, *, keep: int = KEEP) -> None:
        self._pen = _Pen(path, keep)
        weakref.finalize(self, self._pen.close)  # also when the interpreter ends

    def __call__(self, event: CallEnded) -> None:
        self._pen.add(rows_of(event))

    @property
    def lost(self) -> int:
        """Rows that could not be written."""
        return self._pen.lost

    def flush(self) -> None:
        """Write what waits."""
        self._pen.flush()

    def calls(self, since: float = 0.0) -> list[dict[str, Any]]:
        """The rows from a time on (epoch seconds), oldest first."""
        self._pen.flush()
        return [dict(zip(COLUMNS, row)) for row in self._pen.read(since)]


class _Pen:
    """What writes: it outlives the Journal until its rows are on disk."""

    def __init__(self, path: str | Path, keep: int) -> None:
        self._keep = keep
        self._rows: deque[tuple[Any, ...]] = deque()
        self._lock = threading.Lock()  # of the file
        self._guard = threading.Lock()  # of the thread
        self._wake = threading.Event()
        self._writing = False
        self._written = 0
        self.lost = 0
        try:
            self._db = sqlite3.connect(str(path), timeout=BUSY, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_TABLE)
        except sqlite3.Error as error:
            raise ConfigError(f"the journal {path} cannot be opened: {error}") from None

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        if len(self._rows) >= WAITING:
            self.lost += 1
            return
        self._rows.extend(rows)
        if not self._writing:
            with self._guard:
                if not self._writing:
                    self._writing = True
                    threading.Thread(target=self._write, name="llmkit-journal", daemon=True).start()
        self._wake.set()

    def _write(self) -> None:
        pause = threading.Event()
        while True:
            if not self._wake.wait(IDLE):
                with self._guard:
                    self._writing = False  # first this, then the look: a row that comes now finds no thread, or is seen
                    if not self._rows:
                        return
                    self._writing = True
            self._wake.clear()
            pause.wait(BATCH)
            self.flush()

    def flush(self) -> None:
        with self._lock:
            batch = [self._rows.popleft() for _ in range(len(self._rows))]
            if not batch:
                return
            marks = ", ".join("?" * len(COLUMNS))
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(f"INSERT INTO calls ({', '.join(COLUMNS)}) VALUES ({marks})", batch)  # noqa: S608 (constants)
                self._trim(len(batch))
                self._db.execute("COMMIT")
            except sqlite3.Error:
                self.lost += len(batch)
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def _trim(self, rows: int) -> None:
        """Drop the oldest rows past the most that are kept."""
        self._written += rows
        if self._written >= min(TRIM, self._keep):
            self._written = 0
            self._db.execute("DELETE FROM calls WHERE rowid <= (SELECT max(rowid) FROM calls) - ?", (self._keep,))

    def read(self, since: float) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(
                f"SELECT {', '.join(COLUMNS)} FROM calls WHERE at >= ? ORDER BY at, rowid",  # noqa: S608 (constants)
                (since,),
            ).fetchall()

    def close(self) -> None:
        self.flush()
        with self._lock:
            self._db.close()
