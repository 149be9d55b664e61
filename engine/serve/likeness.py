"""How much one request looks like another: by the keys it uses, not by what it says.

A stand-in has a few examples for a path and any request to answer. Keys that few examples have (tools, a schema, a result in the
last message) tell more than those all have, so each counts by its rarity; keys that no example has tell nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

DEPTH = 12  # levels of a document that are looked at
BREADTH = 50  # items of a list that are looked at
_WORDS = re.compile(r"\w+")


@dataclass(slots=True, frozen=True)
class Look:
    """What is compared of a request body: its key paths and its words (short texts also as a whole: names, modes)."""

    shape: frozenset[str]
    words: frozenset[str]


def look(document: Any) -> Look:
    """The look of a JSON document; of None an empty one."""
    words: set[str] = set()
    for text in _texts(document):
        words.update(_WORDS.findall(text.lower()))
        if len(text) <= 64:
            words.add(text)
    return Look(frozenset(_shape(document)), frozenset(words))


class Likeness:
    """Compares requests with a fixed set of known ones."""

    def __init__(self, known: Iterable[Look]) -> None:
        looks = list(known)
        seen = Counter(path for one in looks for path in one.shape)
        self._weights = {path: math.log((1 + len(looks)) / count) for path, count in seen.items()}

    def between(self, known: Look, asked: Look) -> tuple[float, int]:
        """Orders by the share of weighted keys they have in common, then by words in common."""
        both, either = self._weight(known.shape & asked.shape), self._weight(known.shape | asked.shape)
        return round(both / either, 6) if either else 0.0, len(known.words & asked.words)

    def _weight(self, shape: Iterable[str]) -> float:
        return sum(self._weights.get(path, 0.0) for path in shape)


def _shape(value: Any, path: str = "", depth: int = 0) -> Iterator[str]:
    """Key paths, with the words that tell message roles and part types apart; the last item of a list also by itself."""
    if depth >= DEPTH:
        return
    if isinstance(value, dict):
        for key, child in value.items():
            here = f"{path}.{key}"
            yield here
            if key in ("role", "type") and isinstance(child, str):
                yield f"{here}={child}"
            yield from _shape(child, here, depth + 1)
    elif isinstance(value, list) and value:
        for child in value[:BREADTH]:
            yield from _shape(child, f"{path}[]", depth + 1)
        if isinstance(value[-1], dict):
            yield from _shape(value[-1], f"{path}[last]", depth + 1)


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < DEPTH:
        for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from _texts(child, depth + 1)
