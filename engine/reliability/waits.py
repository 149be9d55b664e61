"""How long a provider asks to wait: the headers of a reply, in every unit in use (RELIABILITY R5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

__all__ = ["seconds_until", "stated_wait"]

LONGEST = 366 * 86400.0  # a wait of more than a year is nonsense and counts as not stated
_DURATION = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,7})h)?(?:(\d{1,8})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,12}(?:\.\d{1,9})?)ms)?")
_SCALES = (86400.0, 3600.0, 60.0, 1.0, 0.001)


def stated_wait(
    headers: Mapping[str, str], rate_limits: Mapping[str, Mapping[str, str]], stated: float | None, now: float
) -> float | None:
    """Seconds the provider asks to wait, or None if it says nothing usable.

    The first that can be read of: `retry-after-ms`, `Retry-After` (seconds or HTTP date), the largest reset header of
    `rate_limits` whose remaining count is 0 or not stated, `stated` (of the spec's `errors.retry_after`). `headers` have
    lower-case names; `now` is Unix seconds.
    """
    wait = _number(headers.get("retry-after-ms"), 0.001)
    if wait is None and (text := headers.get("retry-after")) is not None:
        wait = _number(text)
        if wait is None:
            wait = _http_date(text, now)
    if wait is None:
        resets = []
        for names in rate_limits.values():
            reset = headers.get(str(names.get("reset", "")).lower())
            if reset is None:
                continue
            remaining = headers.get(str(names.get("remaining", "")).lower())
            if remaining is not None and _number(remaining) != 0:
                continue
            found = seconds_until(reset, now, names.get("unit"))
            if found is not None:
                resets.append(found)
        if resets:
            wait = max(resets)
    if wait is None and isinstance(stated, (int, float)) and not isinstance(stated, bool):
        wait = _sane(float(stated))
    return wait


def seconds_until(value: Any, now: float, unit: str | None = None) -> float | None:
    """Seconds from `now` to a reset in any notation: `6m0s`, `250ms`, `2.5`, epoch seconds or milliseconds, RFC 3339."""
    text = str(value).strip()
    if len(text) > 64:
        return None
    number = _number(text, bound=False)
    if number is not None:
        if unit == "ms":
            return _sane(number / 1000)
        if number >= 1e12:
            return _past(number / 1000 - now)
        if number >= 1e9:
            return _past(number - now)
        return _sane(number)
    match = _DURATION.fullmatch(text)
    if match and text:
        return _sane(sum(float(n) * scale for n, scale in zip(match.groups(), _SCALES) if n))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _http_date(text, now)
    if moment.tzinfo is None:
        from datetime import timezone

        moment = moment.replace(tzinfo=timezone.utc)
    return _past(moment.timestamp() - now)


def _number(text: Any, scale: float = 1.0, bound: bool = True) -> float | None:
    if not isinstance(text, str) or not re.fullmatch(r"\s*\d{1,15}(?:\.\d{1,9})?\s*", text, re.ASCII):
        return None
    value = float(text) * scale
    return _sane(value) if bound else value


def _http_date(text: str, now: float) -> float | None:
    if len(text) > 64:
        return None
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text)
        return _past(moment.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _sane(seconds: float) -> float | None:
    return seconds if 0 <= seconds <= LONGEST else None


def _past(seconds: float) -> float | None:
    """A moment that has just passed means: now. One long past is nonsense."""
    return 0.0 if -300 <= seconds < 0 else _sane(seconds)
