"""One function over many items in several processes, where the system can fork; what the parent holds is there for all."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from typing import Any, TypeVar

T = TypeVar("T")


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
    with it. Results must be picklable; what `function` keeps in memory stays in the process that made it. What `function`
    raises is raised here; so is RuntimeError where a process ends before its work does.
    """
    fork = multiprocessing.get_context("fork")
    jobs = fork.SimpleQueue()  # a pool would do, but its threads can spin for as long as the work takes
    children: dict[connection.Connection, Any] = {}
    try:
        for _ in range(count):
            mine, his = fork.Pipe(duplex=False)
            child = fork.Process(target=_work, args=(function, items, groups, jobs, his), daemon=True)
            child.start()
            his.close()  # held by him alone: his end is the end of what comes
            children[mine] = child
        for number in [*range(len(groups)), *[None] * count]:
            jobs.put(number)
        running = list(children)
        while running:
            waited: list[Any] = connection.wait(running)
            for ready in waited:
                try:
                    number, results = ready.recv()
                except EOFError:
                    raise RuntimeError("a process of the run has ended before its work") from None
                if isinstance(results, BaseException):
                    raise results
                if number is None:
                    running.remove(ready)
                else:
                    yield from zip((items[place] for place in groups[number]), results)
    finally:
        for mine, child in children.items():
            child.terminate()
            child.join()
            mine.close()
        jobs.close()


def _work(function: Callable[[Any], Any], items: Sequence[Any], groups: Sequence[Sequence[int]], jobs: Any, out: Any) -> None:
    """A child: groups by number, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends its children
    while (number := jobs.get()) is not None:
        try:
            results: Any = [function(items[place]) for place in groups[number]]
        except Exception as error:
            results = error
        out.send((number, results))
    out.send((None, None))
