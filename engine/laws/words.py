"""Random JSON and texts, the same for the same seed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

#: what breaks readers: quotes, line ends, marks of framings, escapes, letters outside the basic plane
_PIECES = (
    "a", "b", "Rome", "x y", "é", "Grüße", "東京", "🙂", "e\u0301", "\u2028", '"', "'", "\\", "\\n", "\n", "\r\n", "\t",
    "{", "}", "[]", '{"a":1}', "data:", "event: x", ": ", "[DONE]", "<b>", "</b>", "%2F", "{{ x }}", "null", "0", "&",
    "\u200b", "\u0661",
)  # fmt: skip
_NAMES = "abcdefghijklmnopqrstuvwxyz"
#: the smallest PNG and a PDF that says nothing
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PAPER = base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()


def chance(random: Random, share: float) -> bool:
    """True in `share` of all cases."""
    return random.random() < share


def one(random: Random, options: Sequence[T]) -> T:
    return options[int(random.random() * len(options))]


def words(random: Random, most: int = 4) -> str:
    """A text that is not white space alone."""
    text = "".join(one(random, _PIECES) for _ in range(1 + int(random.random() * most)))
    return text if text.strip() and text.strip() == text else f"w{text}w"


def name(random: Random, length: int = 6) -> str:
    """Small letters, as names of tools and arguments are everywhere allowed."""
    return "".join(one(random, _NAMES) for _ in range(length))


def sealed(random: Random) -> str:
    """Some bytes in base64, as signatures are."""
    return base64.b64encode(random.randbytes(1 + int(random.random() * 12))).decode()


def value(random: Random, depth: int = 2) -> Any:
    """A JSON value without null, which some wires cannot tell from nothing."""
    kind = int(random.random() * (7 if depth else 5))
    if kind == 0:
        return chance(random, 0.5)
    if kind == 1:
        return random.randint(-(2**53), 2**53)
    if kind == 2:
        return random.randint(-1000, 1000) / 8
    if kind <= 4:
        return words(random)
    if kind == 5:
        return [value(random, depth - 1) for _ in range(1 + int(random.random() * 2))]
    return mapping(random, depth - 1, least=1)


def mapping(random: Random, depth: int = 2, least: int = 0) -> dict[str, Any]:
    """A JSON object, as tool arguments are."""
    return {name(random, 3): value(random, depth) for _ in range(least + int(random.random() * 3))}


def pieces(random: Random, text: str) -> list[str]:
    """A text cut into pieces of which none is empty."""
    if not text:
        return []
    places = sorted({1 + int(random.random() * len(text)) for _ in range(int(random.random() * 4))} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(places)]
