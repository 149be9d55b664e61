"""One function over many items in several processes, where the system can fork; what the parent holds is there for all."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
#: the function of the run under way: a child gets it by being forked, since a closure cannot be sent
_work: list[Callable[[Any], Any]] = []


def processes(items: int, each: int = 32) -> int:
    """How many processes a run over so many items deserves: one for every `each` items, at most one per core."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, items // each))


def spread(function: Callable[[T], Any], items: Sequence[T], count: int, chunk: int = 8) -> Iterator[Any]:
    """The results of `function`, in the order of `items`. Neighbours are worked on together, `chunk` at a time.

    Results must be picklable; what `function` keeps in memory stays in the process that made it.
    """
    if count < 2:
        yield from map(function, items)
        return
    _work.append(function)
    try:
        with multiprocessing.get_context("fork").Pool(count) as pool:
            yield from pool.imap(_do, items, chunk)
    finally:
        _work.pop()


def _do(item: Any) -> Any:
    return _work[-1](item)
