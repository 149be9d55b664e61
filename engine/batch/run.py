"""A batch at work: claims rows, keeps what comes of them, writes it in order, and says how far it is. Sends nothing itself."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.batch.book import Book, Kept
from engine.batch.output import Output, refuse_foreign
from engine.batch.rows import START, Row, Rows, link
from engine.call.json import dumps, loads
from engine.errors import ConfigError, Error
from engine.types import Response, plain

__all__ = ["Batch", "Done", "Run", "answered", "failed"]

SYNC = 1.0  # seconds between two moments at which the output is safe
_TOLD = 0.5  # seconds between two words about the progress
_END = object()
#: of an answer; the rest of it is about the call
_KEPT = ("id", "model", "provider", "created", "choices", "outputs", "usage", "cost", "warnings", "request_id", "completeness")


class Done:
    """What came of a row: the line of the output, and what it adds to the sums."""

    __slots__ = ("cost", "line", "number", "ok", "usage")

    def __init__(self, number: int, line: bytes, ok: bool, cost: Decimal | None = None, usage: Any = None) -> None:
        self.number = number
        self.line = line
        self.ok = ok
        self.cost = cost
        self.usage = usage


def answered(row: Row, response: Response) -> Done:
    """The outcome of a row that has an answer."""
    kept = {name: plain(v) for name in _KEPT if (v := getattr(response, name)) is not None and v != []}
    return Done(row.number, _line(row, kept, None), True, response.cost, response.usage)


def failed(row: Row, error: Error) -> Done:
    """The outcome of a row that has none."""
    told = error.to_dict()
    told.pop("raw", None)
    return Done(row.number, _line(row, None, plain(told)), False)


def _line(row: Row, response: Any, error: Any) -> bytes:
    return dumps({"id": plain(row.id), "response": response, "error": error}) + b"\n"


@dataclass(slots=True, repr=False, eq=False)
class Batch:
    """How far a batch is; what `client.batch` gives when it has come to its end.

    Money is in USD. The output of a batch that nobody gave one lives as long as this object.
    """

    answered: int
    failed: int
    written: int  # rows in the output
    running: int  # rows whose outcome is not known yet
    cost: Decimal  # of the answers with a known price
    unpriced: int  # answers without
    usage: dict[str, Any]  # sums of counters
    seconds: float  # at work, over all runs
    share: float | None  # of the input that has been read, 0 to 1; None if that is not known
    ended: bool  # every row has its outcome, and the output is safe
    state: str  # in a word or two
    out: Path
    checkpoint: Path
    _held: Any = None  # the folder of an output that nobody named

    @property
    def rows(self) -> int:
        """Rows whose outcome is known."""
        return self.answered + self.failed

    def results(self) -> Iterator[dict[str, Any]]:
        """The lines of the output, in the order of the rows: {id, response, error}; one of the last two is None."""
        with self.out.open("rb") as lines:
            for line in lines:
                yield loads(line)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: money as text."""
        return {
            "rows": self.rows, "answered": self.answered, "failed": self.failed, "cost": str(self.cost), "unpriced": self.unpriced,
            "usage": self.usage, "seconds": round(self.seconds, 3), "ended": self.ended, "state": self.state, "out": str(self.out),
            "checkpoint": str(self.checkpoint),
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"<batch: {self.answered} answered, {self.failed} failed, {self.cost} USD, {self.state}>"


class Run:
    """One process's work on a batch. `turn` is its only step: one transaction, then a piece of the output."""

    def __init__(
        self,
        rows: Rows,
        out: str | Path,
        checkpoint: str | Path,
        settings: Mapping[str, Any],
        *,
        resume: bool = True,
        left: Callable[[Run, Row], Row | None],
        told: Callable[[Batch], None] | None = None,
        held: Any = None,
    ) -> None:
        self.rows = rows
        self._left = left  # what becomes of a row whose run was killed: it is asked (or has an error now), or else None
        self._told = told
        self._held = held
        if Path(checkpoint).exists() and not resume:
            raise ConfigError(f"there is a checkpoint at {checkpoint}: resume it, or delete it and {out} to begin again")
        if not Path(checkpoint).exists():
            refuse_foreign(out)
        self.book = Book(checkpoint)
        try:
            kept = self._kept(settings, out)
            self.output = Output(out, kept.place)
        except BaseException:
            self.book.close()
            raise
        self.token, self.sums = kept.token, kept.sums
        self.ended = False  # the input was read to its end; one that has grown since the last run is read on
        self.state = "running"
        self.running = 0  # rows handed out whose outcome is not known
        self._written = self._safe = kept.written
        self._mark: tuple[int, int, bytes] | None = None
        self._chain, self._head = kept.chain, kept.written  # the last row claimed, and the number of the next
        self._source = iter(rows)
        self._again: deque[Row] = deque()  # claimed by a run that was killed, to be asked now
        self._known: list[Done] = []
        self._begun = time.monotonic()
        self._synced = self._said = self._begun
        try:
            self._catch_up(kept)
            self.tell()
        except BaseException:
            self.close()
            raise

    def _kept(self, settings: Mapping[str, Any], out: str | Path) -> Kept:
        text = json.dumps({name: _digest(value) for name, value in settings.items()}, sort_keys=True)
        kept = self.book.kept()
        if kept is None:
            refuse_foreign(out)
            return self.book.begin(text, secrets.token_hex(16), START)
        if kept.settings != text:
            before, now = json.loads(kept.settings), json.loads(text)
            other = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
            raise ConfigError(
                f"the batch of {self.book.path} was begun with another {', '.join(other)}; it cannot be changed on the way"
            )
        return kept

    def _catch_up(self, kept: Kept) -> None:
        """Read the rows that were claimed before, and see that they are the same."""
        chain = START
        for number in range(kept.written):
            chain = link(chain, self._next(number))
        if chain != kept.chain:
            raise ConfigError(f"the first {kept.written} rows are not those that were answered: give the same input again")
        for number, digest, known in self.book.window():
            written = self._next(number)
            chain = link(chain, written)
            if chain != digest:
                raise ConfigError(f"row {number + 1} is not the one that was asked: give the same input again")
            if not known:
                row = self.rows.row(number, written)
                again = row if row.error is not None else self._left(self, row)
                if again is None:
                    self.running += 1
                else:
                    self._again.append(again)
            self._head = number + 1
        self._chain = chain

    def _next(self, number: int) -> Any:
        written = next(self._source, _END)
        if written is not _END:
            return written
        raise ConfigError(f"the input ends after {number} rows, and more were asked before: give the same input again")

    # --- the work ---------------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether every row of the input is safe in the output."""
        return self.ended and self._safe == self._head

    @property
    def drained(self) -> bool:
        """Whether every row of the input was handed out."""
        return self.ended and not self._again

    def turn(self, done: list[Done], want: int, fetched: int | None = None) -> list[Row]:
        """Keep what is done, write what can be written, and claim up to `want` further rows: they may be asked now."""
        ready, claimed = self._claim(want)
        for one in done:
            self._count(one)
        self.running += len(ready) - len(done)
        now = time.monotonic()
        self.sums.seconds += now - self._begun
        self._begun = now
        known = [(one.line, one.number) for one in [*done, *self._known]]
        self._known.clear()
        self.book.turn(known, claimed, self.sums, self._mark, fetched)
        if self._mark is not None:
            self._safe, self._mark = self._mark[0], None
        self._write({number: line for line, number in known})
        if self._written > self._safe and (now - self._synced >= SYNC or (self.ended and self._written == self._head)):
            self.output.sync()
            self._synced = now
            self._mark = self._written, self.output.place, self.book.chain(self._written - 1)
        self._tell(now)
        return ready

    def settle(self) -> None:
        """Make the output safe up to where it is written."""
        self._synced = 0.0
        self.turn([], 0)
        if self._mark is not None:
            self.turn([], 0)

    def _claim(self, want: int) -> tuple[list[Row], list[tuple[int, bytes, bytes | None]]]:
        ready: list[Row] = []
        claimed: list[tuple[int, bytes, bytes | None]] = []
        while want > 0 and self._again:
            row = self._again.popleft()
            if row.error is None:
                ready.append(row)
                want -= 1
            else:
                self._count(found := failed(row, row.error))
                self._known.append(found)
        while want > 0 and not self.ended:
            written = next(self._source, _END)
            if written is _END:
                self.ended = True
                break
            self._chain = link(self._chain, written)
            row = self.rows.row(self._head, written)
            self._head += 1
            want -= 1
            if row.error is None:
                ready.append(row)
                claimed.append((row.number, self._chain, None))
            else:
                self._count(found := failed(row, row.error))
                claimed.append((row.number, self._chain, found.line))
        return ready, claimed

    def _count(self, done: Done) -> None:
        sums = self.sums
        if not done.ok:
            sums.failed += 1
            return
        sums.answered += 1
        if done.cost is None:
            sums.unpriced += 1
        else:
            sums.cost += done.cost
        for name in done.usage.__slots__ if done.usage is not None else ():
            value = getattr(done.usage, name)
            if value is not None and name != "cost":
                sums.usage[name] = sums.usage.get(name, 0) + value

    def _write(self, fresh: dict[int, bytes]) -> None:
        """Write every line whose turn it is: those just kept, and those that waited for them."""
        lines = []
        while self._written < self._head:
            line = fresh.get(self._written) or self.book.line(self._written)
            if line is None:
                break
            lines.append(line)
            self._written += 1
            if len(lines) >= 1024:
                self.output.add(lines)
                lines = []
        self.output.add(lines)

    # --- what is told -----------------------------------------------------------------------------------------------

    def view(self) -> Batch:
        """How far it is."""
        sums = self.sums
        share = 1.0 if self.ended else self.rows.share
        return Batch(
            answered=sums.answered, failed=sums.failed, written=self._written, running=self.running, cost=sums.cost,
            unpriced=sums.unpriced, usage=dict(sums.usage), seconds=sums.seconds, share=share, ended=self.over,
            state="ended" if self.over else self.state, out=self.output.path, checkpoint=self.book.path, _held=self._held,
        )  # fmt: skip

    def tell(self) -> None:
        """Tell how far it is, now."""
        self._said = 0.0
        self._tell(time.monotonic())

    def _tell(self, now: float) -> None:
        if self._told is not None and now - self._said >= _TOLD:
            self._said = now
            try:
                self._told(self.view())
            except Exception:
                pass  # no batch fails because somebody could not watch it

    def close(self) -> None:
        """Let go of the files. What is not safe is done again by the next run."""
        self.output.close()
        self.book.close()


def _digest(value: Any) -> str:
    """What tells a setting from another one. It is not kept itself: a header among the fields may be a secret."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True, default=_named).encode(), digest_size=16).hexdigest()


def _named(value: Any) -> str:
    """A setting that is no JSON, in a word that is the same in the next process."""
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', None) or type(value).__qualname__}"
