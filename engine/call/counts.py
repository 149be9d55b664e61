"""Numbers of an answer: converted where they come as text or floats, unknown where they are nonsense (RELIABILITY M3)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

MOST = 10**9  # of any counter
_MONEY = "cost"
_REAL = frozenset(("seconds",))


def whole(value: Any) -> int | None:
    """A whole number that comes as a number, a float without a fraction, or text; anything else is None."""
    if value.__class__ is int:
        return int(value)
    found = real(value)
    return int(found) if found is not None and found == found // 1 else None


def real(value: Any) -> float | None:
    """A finite number that comes as a number or as text; anything else is None."""
    if value.__class__ is str and len(value) > 64:
        return None
    if value.__class__ not in (int, float, str, Decimal):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if found - found == 0 else None


def told(fields: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """(the counters that are there, whether they are whole numbers within bounds and nothing else, as most report them)."""
    found: dict[str, Any] = {}
    plain = fields.get(_MONEY) is None
    for name, value in fields.items():
        if value is not None:
            found[name] = value
            if value.__class__ is not int or not 0 <= value <= MOST:
                plain = False
    return found, plain


def counter(name: str, value: Any) -> int | float | Decimal | None:
    """The value of a usage field, or None if it is nonsense: counts are whole, 0 to 10**9; money is decimal."""
    if value.__class__ is int:
        return value if 0 <= value <= MOST and name != _MONEY else _money(value) if name == _MONEY else None
    if name == _MONEY:
        return _money(value)
    found = real(value)
    if found is None or not 0 <= found <= MOST:
        return None
    if name in _REAL:
        return found
    return int(found) if found == found // 1 else None


def _money(value: Any) -> Decimal | None:
    if real(value) is None:
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if 0 <= found <= MOST else None


def canonical(reported: Mapping[str, Any], totals: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Counters as SPEC_LANGUAGE 6.3 defines them: input includes what was cached, output includes reasoning.

    `totals` says which reported counters add up; a total of which nothing was reported stays unknown. Where a total is a
    counter of its own and the reported `total_tokens` exceeds input and output by exactly the reasoning (or the audio
    input, or both), the provider had left that out, and it is added.
    """
    found = dict(reported)
    for name, parts in totals.items():
        added = None
        for part in parts:
            value = reported.get(part)
            if value is not None:
                added = value if added is None else added + value
        if added is not None:
            found[name] = added
    total = found.get("total_tokens")
    if total is None:
        return found
    given, made = found.get("input_tokens"), found.get("output_tokens")
    if given is not None and made is not None and total > given + made:
        missing = total - given - made
        reasoning = (found.get("reasoning_tokens") or 0) if len(totals.get("output_tokens", ())) < 2 else 0
        audio = (found.get("audio_input_tokens") or 0) if len(totals.get("input_tokens", ())) < 2 else 0
        if missing in (reasoning, reasoning + audio) and reasoning:
            found["output_tokens"] = made + reasoning
        if missing in (audio, reasoning + audio) and audio and missing != reasoning:
            found["input_tokens"] = given + audio
    return found
