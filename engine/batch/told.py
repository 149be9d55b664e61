"""The progress of a batch as a line on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from engine.batch.run import Batch
from engine.errors import ConfigError

__all__ = ["Line", "money", "told_to"]

EVERY = 10.0  # seconds between two lines where the output is no terminal


def told_to(progress: Any) -> Callable[[Batch], None]:
    """Who is told: the caller's function, or a line of our own."""
    if progress is True:
        return Line(sys.stderr)
    if not callable(progress):
        raise ConfigError("progress is True or a function")
    return progress  # type: ignore[no-any-return]


def money(batch: Batch) -> str:
    """What it has cost, and for how many answers that is not known."""
    return f"${batch.cost:.4f}" + (f" + {batch.unpriced:,} without a price" if batch.unpriced else "")


class Line:
    """A line that is written over in a terminal, and added from time to time to a file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._first: tuple[float, int, float] | None = None
        self._last = 0.0
        self._state = ""
        self._length = 0

    def __call__(self, batch: Batch) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now, batch.rows, batch.share or 0.0
        news = batch.ended or batch.state != self._state
        if not self._terminal and not news and now - self._last < EVERY:
            return
        self._last, self._state = now, batch.state
        text = self._text(batch, now)
        if self._terminal:
            print(f"\r{text:<{self._length}}", end="\n" if batch.ended else "", file=self._stream, flush=True)
            self._length = len(text)
        else:
            print(text, file=self._stream, flush=True)

    def _text(self, batch: Batch, now: float) -> str:
        assert self._first is not None
        since, rows, share = now - self._first[0], batch.rows - self._first[1], (batch.share or 0.0) - self._first[2]
        parts = [f"{batch.rows:,} rows"]
        if batch.share is not None and not batch.ended:
            parts.append(f"{batch.share:.0%}")
        if batch.failed:
            parts.append(f"{batch.failed:,} failed")
        parts.append(money(batch))
        if batch.ended or batch.state != "running":
            parts.append(batch.state)
        elif since > 1 and rows:
            parts.append(f"{rows / since:.3g}/s")
            if share > 0 and batch.share is not None:
                parts.append(f"{_time((1 - batch.share) / share * since)} left")
        return " · ".join(parts)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
