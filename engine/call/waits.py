"""How long a provider asks to wait, and what it says about its rate limits (RELIABILITY R5, SPEC_LANGUAGE 5.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from engine.call import counts
from engine.plan import OperationPlan
from engine.types import Headers

LONGEST = 31 * 86400.0  # seconds; a longer wait is absurd and counts as not stated
_TOLD = frozenset(("limit", "remaining", "reset"))
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:\d{1,12}(?:\.\d{1,9})?(?:ms|us|µs|ns|s|m|h|d))+")
_STEP = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|s|m|h|d)")


def lower(headers: Mapping[str, Any] | None) -> Headers:
    """Headers by lower-case name."""
    if headers.__class__ is Headers:
        return headers  # type: ignore[return-value]
    return Headers((str(k).lower(), str(v)) for k, v in headers.items()) if headers else Headers()


def retry_after(plan: OperationPlan, headers: Mapping[str, Any] | None, document: Any, now: float) -> float | None:
    """Seconds the provider asks to wait, or None if it does not say or says nonsense.

    The first that can be read of: `retry-after-ms`; `Retry-After` in seconds or as a date; the largest reset of the spec's
    `rate_limits` whose remaining count is 0 or not stated; `errors.retry_after`, asked on the error object.
    """
    found = lower(headers)
    milliseconds = _sane(_number(found.get("retry-after-ms"), 0.001))
    if milliseconds:  # zero beside a real Retry-After says nothing
        return milliseconds
    stated = found.get("retry-after")
    if stated is not None:
        wait = _sane(counts.real(stated.strip()))
        if wait is None:
            wait = _sane(_until(stated, now))
        if wait is not None:
            return wait
    resets = [
        wait
        for names in plan.rate_limits.values()
        if _used_up(found, names) and (wait := reset(found.get(_name(names, "reset")), now, names.get("unit"))) is not None
    ]
    if resets:
        return max(resets)
    if plan.errors.retry_after is not None and document is not None:
        try:
            value = plan.errors.retry_after(document)
        except Exception:  # a query over an unexpected document: the wait is not stated
            return None
        return reset(value, now, None)
    return milliseconds


def rate_limits(plan: OperationPlan, headers: Mapping[str, str], now: float) -> dict[str, dict[str, Any]] | None:
    """{name: {limit, remaining, reset in seconds}} of the headers (by lower-case name) the spec names; None without any."""
    if not plan.rate_limits or not headers:
        return None
    every, of_plan = _told(plan)
    if every.isdisjoint(headers):
        return None
    out: dict[str, dict[str, Any]] = {}
    for limit, names, stated in of_plan:
        known: dict[str, Any] = {}
        for key, name in stated:
            told = headers.get(name)
            if told is not None:
                value = counts.whole(told) if key != "reset" else reset(told, now, names.get("unit"))
                if value is not None:
                    known[key] = value
        if known:
            out[limit] = known
    return out or None


@lru_cache(maxsize=64)
def _told(plan: OperationPlan) -> tuple[frozenset[str], list[tuple[str, Mapping[str, str], list[tuple[str, str]]]]]:
    """(the lower-case names of all headers that tell a limit, for each limit its own)."""
    rows: list[tuple[str, Mapping[str, str], list[tuple[str, str]]]] = [
        (limit, names, [(key, _lowered(name)) for key, name in names.items() if key in _TOLD])
        for limit, names in plan.rate_limits.items()
    ]
    return frozenset(name for _, _, stated in rows for _, name in stated), rows


def reset(value: Any, now: float, unit: str | None) -> float | None:
    """Seconds until a moment given as a duration (`6m0s`), a date, or a number.

    A number is seconds, from 10**9 epoch seconds, from 10**12 epoch milliseconds; `unit` "ms" says milliseconds.
    """
    if isinstance(value, str):
        value = value.strip()
        if _DURATION.fullmatch(value):
            return _sane(sum(float(n) * _UNITS[u] for n, u in _STEP.findall(value)))
    number = counts.real(value)
    if number is None:
        return _sane(_until(value, now)) if isinstance(value, str) else None
    if number >= 10**12:
        return _sane(max(0.0, number / 1000 - now))
    if unit == "ms":
        return _sane(number / 1000)
    return _sane(max(0.0, number - now)) if number >= 10**9 else _sane(number)


def _name(names: Mapping[str, str], key: str) -> str:
    return _lowered(names.get(key, ""))


@lru_cache(maxsize=1024)
def _lowered(name: object) -> str:
    return str(name).lower()


def _used_up(headers: Mapping[str, str], names: Mapping[str, str]) -> bool:
    remaining = counts.real(headers.get(_name(names, "remaining")))
    return remaining is None or remaining <= 0


def _number(text: str | None, factor: float) -> float | None:
    found = counts.real(text)
    return None if found is None else found * factor


def _sane(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 <= seconds <= LONGEST else None


def _until(text: str, now: float) -> float | None:
    """Seconds from now to an HTTP date (RFC 9110) or an RFC 3339 date; one that has passed is 0."""
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    text = text.strip()[:64]
    try:
        date = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
        moment = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, moment - now)
