"""What the rows of a journal come to: calls, errors, latency, tokens, cost and cache hits of groups of them. Pure."""

from __future__ import annotations

import calendar
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from engine.errors import ConfigError
from engine.ledger.budget import usd

__all__ = ["BY", "Group", "groups", "moment", "percentile", "total"]

BY = ("provider", "model", "operation", "route", "tenant", "tag", "kind", "day", "hour")
#: operations that nobody bills by the call
FREE = frozenset(
    "count_tokens list_models show_model pull_model voices delete_voice "
    "upload_file get_file list_files delete_file download_file".split()
)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(slots=True)
class Group:
    """The calls of one group. Times in seconds, money in USD. A call with several tags is in the group of each."""

    name: str
    calls: int = 0
    ok: int = 0
    cancelled: int = 0
    cached: int = 0
    errors: Counter[str] = field(default_factory=Counter)  # kind -> calls
    input_tokens: int = 0
    output_tokens: int = 0
    nano: int = 0
    unpriced: int = 0  # answered calls whose price is not known
    attempts: int = 0
    seconds: list[float] = field(default_factory=list)  # of answered calls that somebody was asked for
    first: list[float] = field(default_factory=list)

    @property
    def cost(self) -> Decimal:
        return usd(self.nano)

    def add(self, row: Mapping[str, Any]) -> None:
        kind = row["kind"]
        self.calls += 1
        self.attempts += row["attempts"] or 0
        self.input_tokens += row["input_tokens"] or 0
        self.output_tokens += row["output_tokens"] or 0
        self.nano += row["cost"] or 0
        if row["cached"]:
            self.cached += 1
        if kind == "cancelled":
            self.cancelled += 1
        elif kind != "ok":
            self.errors[kind] += 1
        else:
            self.ok += 1
            self.unpriced += row["cost"] is None and row["operation"] not in FREE
            if not row["cached"]:
                self.seconds.append(row["seconds"])
        if row["first_event"] is not None:
            self.first.append(row["first_event"])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; shares from 0 to 1, percentiles of answered calls (None without any), money as a text."""
        return {
            "name": self.name,
            "calls": self.calls,
            "ok": self.ok,
            "errors": dict(self.errors.most_common()),
            "error_share": round(self.errors.total() / self.calls, 4),
            "cancelled": self.cancelled,
            "cached": self.cached,
            "cached_share": round(self.cached / self.calls, 4),
            "attempts": self.attempts,
            "seconds_p50": percentile(self.seconds, 0.5),
            "seconds_p95": percentile(self.seconds, 0.95),
            "first_event_p50": percentile(self.first, 0.5),
            "first_event_p95": percentile(self.first, 0.95),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": str(self.cost),
            "unpriced": self.unpriced,
        }


def groups(rows: Iterable[Mapping[str, Any]], by: str = "provider") -> list[Group]:
    """The groups of rows, the one with the most calls first; days and hours (UTC) in their order. ConfigError for no such `by`."""
    if by not in BY:
        raise ConfigError(f"calls are grouped by one of {', '.join(BY)}")
    names = _NAMES.get(by) or (lambda row: (row[by],))
    found: dict[str, Group] = {}
    for row in rows:
        for name in names(row):
            shown = "-" if name is None else str(name)
            group = found.get(shown)
            if group is None:
                group = found[shown] = Group(shown)
            group.add(row)
    if by in ("day", "hour"):
        return sorted(found.values(), key=lambda group: group.name)
    return sorted(found.values(), key=lambda group: (-group.calls, group.name))


def total(groups: Iterable[Group]) -> Group:
    """All groups as one."""
    whole = Group("total")
    for group in groups:
        for name in ("calls", "ok", "cancelled", "cached", "input_tokens", "output_tokens", "nano", "unpriced", "attempts"):
            setattr(whole, name, getattr(whole, name) + getattr(group, name))
        whole.errors.update(group.errors)
        whole.seconds += group.seconds
        whole.first += group.first
    return whole


def percentile(values: list[float], share: float) -> float | None:
    """The value that a share of the values does not pass, by nearest rank; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 6)


def moment(text: str, now: float) -> float:
    """Epoch seconds of `24h`, `30m`, `7d`, `2w` ago, or of a date such as 2026-11-20 (UTC). ConfigError for anything else."""
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.replace(".", "", 1).isdecimal():
        return now - float(number) * _UNITS[unit]
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M"):
        try:
            return float(calendar.timegm(time.strptime(text, form)))
        except ValueError:
            continue
    raise ConfigError(f"a time is 24h, 30m, 7d or a date such as 2026-11-20, not {text!r:.40}")


def _tags(row: Mapping[str, Any]) -> Iterator[str | None]:
    tags = json.loads(row["tags"]) if row["tags"] else ()
    yield from tags or (None,)


def _stamped(form: str) -> Callable[[Mapping[str, Any]], tuple[str]]:
    return lambda row: (time.strftime(form, time.gmtime(row["at"])),)


_NAMES: dict[str, Callable[[Mapping[str, Any]], Iterable[Any]]] = {
    "model": lambda row: (f"{row['provider']}/{row['model']}" if row["provider"] else None,),
    "tag": _tags,
    "day": _stamped("%Y-%m-%d"),
    "hour": _stamped("%Y-%m-%dT%H"),
}
