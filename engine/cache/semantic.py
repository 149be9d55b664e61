"""Questions that mean the same: the last text of the user by its embedding, everything else to the letter.

Two questions are compared only within one group: the same tenant, target, spec, system prompt, history, tools and parameters.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, isfinite, sqrt
from operator import mul
from typing import Any

from engine.errors import ConfigError

__all__ = ["Semantic", "asked_of", "nearest", "unit"]

THRESHOLD = 0.95
MOST = 1000  # questions of one group that are compared
_TEXT = {"type", "text"}
_SAID = ("role", "name", "extra", "cache")


@dataclass(frozen=True, slots=True)
class Semantic:
    """`model` is any embeddings target (provider/model or a route) of the client, `threshold` the cosine from which two questions
    are one, `most` how many questions of a group are compared."""

    model: str
    threshold: float = THRESHOLD
    most: int = MOST

    @classmethod
    def of(cls, given: Any) -> Semantic | None:
        """Of a mapping of its fields, or the model alone. Raises ConfigError."""
        if given is None or given is False or isinstance(given, cls):
            return given or None
        told = {"model": given} if isinstance(given, str) else given
        if not isinstance(told, Mapping) or not isinstance(told.get("model"), str):
            raise ConfigError("`semantic` of a cache is a mapping with `model`, an embeddings model, and a `threshold`")
        unknown = sorted(set(told) - {"model", "threshold", "most"})
        if unknown:
            raise ConfigError(f"`semantic` of a cache has no `{unknown[0]}`; it has model, threshold, most")
        known: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
        made = cls(**known)
        if isinstance(made.threshold, bool) or not isinstance(made.threshold, (int, float)) or not 0 < made.threshold <= 1:
            raise ConfigError("`threshold` of a semantic cache is a number above 0, at most 1")
        if isinstance(made.most, bool) or not isinstance(made.most, int) or made.most < 1:
            raise ConfigError("`most` of a semantic cache is a whole number above 0")
        return made


def asked_of(question: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """(the last text of the user, the question without it); None where the question does not end in a bare text of the user."""
    messages = question["fields"].get("messages")
    if question["operation"] != "chat" or not isinstance(messages, list) or not messages:
        return None
    last = messages[-1]
    parts = last.get("parts")
    if last.get("role") != "user" or not parts or any(part.keys() != _TEXT or part["type"] != "text" for part in parts):
        return None
    text = "\n".join(part["text"] for part in parts)
    if not text.strip():
        return None
    told = {name: last[name] for name in _SAID if name in last}
    return text, {**question, "fields": {**question["fields"], "messages": [*messages[:-1], {**told, "parts": len(parts)}]}}


def unit(vector: Iterable[Any]) -> bytes | None:
    """A vector of length 1 as little-endian 32-bit floats; None for one without a direction."""
    try:
        numbers = [float(value) for value in vector]
    except (TypeError, ValueError, OverflowError):
        return None
    length = sqrt(fsum(map(mul, numbers, numbers)))
    if not isfinite(length) or length == 0:
        return None
    made = array("f", [value / length for value in numbers])
    if sys.byteorder == "big":
        made.byteswap()
    return made.tobytes()


def nearest(vector: bytes, points: Sequence[tuple[str, bytes]]) -> tuple[float, str] | None:
    """(cosine, key) of the point that is nearest to a vector; None if there is none of its length. Uses numpy where it is."""
    fitting = [(key, point) for key, point in points if len(point) == len(vector)]
    if not fitting:
        return None
    try:
        import numpy
    except ImportError:
        own = _numbers(vector)
        best, key = max(((fsum(map(mul, own, _numbers(point))), key) for key, point in fitting), key=lambda found: found[0])
        return best, key
    table = numpy.frombuffer(b"".join(point for _, point in fitting), dtype="<f4").reshape(len(fitting), -1)
    cosines = table @ numpy.frombuffer(vector, dtype="<f4")
    place = int(cosines.argmax())
    return float(cosines[place]), fitting[place][0]


def _numbers(data: bytes) -> array[float]:
    found = array("f")
    found.frombytes(data)
    if sys.byteorder == "big":
        found.byteswap()
    return found
