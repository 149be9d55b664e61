"""A counterexample made small: whatever can be left out and it still is one, is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

MOST_TRIES = 3000


def shrunk(sample: Any, fails: Callable[[Any], bool]) -> Any:
    """The smallest sample that is found to fail, by leaving out keys, items and halves of texts. Samples are JSON."""
    tries = 0
    again = True
    while again:
        again = False
        for smaller in _smaller(sample):
            tries += 1
            if tries > MOST_TRIES:
                return sample
            if fails(smaller):
                sample, again = smaller, True
                break
    return sample


def _smaller(value: Any) -> Iterator[Any]:
    """Values with less in them, the boldest first."""
    if isinstance(value, dict):
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
        for key, inner in value.items():
            for less in _smaller(inner):
                yield {**value, key: less}
    elif isinstance(value, list):
        if len(value) > 2:
            yield value[: len(value) // 2]
            yield value[len(value) // 2 :]
        for i in range(len(value)):
            yield value[:i] + value[i + 1 :]
        for i, inner in enumerate(value):
            for less in _smaller(inner):
                yield [*value[:i], less, *value[i + 1 :]]
    elif isinstance(value, str):
        if len(value) > 1:
            yield value[: len(value) // 2]
            yield value[len(value) // 2 :]
        if value != "a" and len(value) == 1:
            yield "a"
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and value:
        yield 0
