"""One function over many items in several processes, where the system can fork; what the parent holds is there for all."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
#: the function and the items of the run under way: a child gets them by being forked, since a closure cannot be sent
_work: list[tuple[Callable[[Any], Any], Sequence[Any]]] = []


def processes(items: int, each: int = 32) -> int:
    """How many processes a run over so many items deserves: one for every `each` items, at most one per core."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, items // each))


def spread(
    function: Callable[[T], Any], items: Sequence[T], count: int, groups: Sequence[Sequence[int]]
) -> Iterator[tuple[T, Any]]:
    """Each item with the result of `function`, in any order.

    `groups` are places in `items`: what is in one group is done by one process, which takes the next group when it is done
    with it. Results must be picklable; what `function` keeps in memory stays in the process that made it.
    """
    _work.append((function, items))
    try:
        with multiprocessing.get_context("fork").Pool(count) as pool:
            for group, results in pool.imap_unordered(_do, groups):
                yield from zip((items[place] for place in group), results)
    finally:
        _work.pop()


def _do(group: Sequence[int]) -> tuple[Sequence[int], list[Any]]:
    function, items = _work[-1]
    return group, [function(items[place]) for place in group]
