"""Budgets: at most so much money per period, for all calls or for those of a route, tag, tenant, provider or model. Pure.

Client(budgets=[{"usd": 50, "per": "day"}, {"usd": 5, "per": "month", "tag": "team:search"}], ledger="spend.sqlite")
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import ROUND_CEILING, Decimal
from fnmatch import fnmatchcase
from typing import Any

from engine.accounting.price import EXACT, amount
from engine.errors import ConfigError

__all__ = ["NANO", "Budget", "Spender", "budgets_of", "ends_in", "nano", "usd"]

NANO = Decimal("1e-9")  # money is counted in whole billionths of a dollar
PERIODS = ("hour", "day", "week", "month", "total")


@dataclass(frozen=True, slots=True)
class Spender:
    """Who a call is charged to. `tags` are words of the caller, such as team:search."""

    provider: str
    model: str
    operation: str
    route: str | None = None
    tenant: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `usd` per `per` (hour, day, week, month or total, by UTC) for the calls that fit all of the other fields.

    `tag`, `route`, `tenant`, `provider` and `model` may be globs; one that ends in `*` has a budget of its own for each value.
    A call whose price is not known is refused, or with `unpriced: allow` not counted. `reserve` is what is set aside for its input
    before it is sent: `most`, a token for every byte, which no text exceeds, or `likely`, half as much again as is estimated.
    """

    usd: Decimal
    per: str = "total"
    route: str | None = None
    tag: str | None = None
    tenant: str | None = None
    provider: str | None = None
    model: str | None = None
    unpriced: str = "refuse"
    reserve: str = "most"

    @classmethod
    def of(cls, given: Any) -> Budget:
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping) or "usd" not in given:
            raise ConfigError("a budget is a mapping with `usd`, such as {usd: 50, per: day}")
        names = [f.name for f in fields(cls)]
        for name, value in given.items():
            if name not in names:
                from engine.spec.problem import nearest

                near = nearest(str(name), names)
                raise ConfigError(f"a budget has no `{name}`" + (f"; did you mean `{near}`?" if near else ""))
            if name != "usd" and value is not None and not isinstance(value, str):
                raise ConfigError(f"`{name}` of a budget is a text")
        made = cls(**{**{k: v for k, v in given.items() if v is not None}, "usd": amount(given["usd"], "a budget")})
        if made.per not in PERIODS:
            raise ConfigError(f"`per` of a budget is one of {', '.join(PERIODS)}")
        if made.unpriced not in ("refuse", "allow"):
            raise ConfigError("`unpriced` of a budget is refuse or allow")
        if made.reserve not in ("most", "likely"):
            raise ConfigError("`reserve` of a budget is most or likely")
        return made

    @property
    def limit(self) -> int:
        """In billionths of a dollar; what is over is not there."""
        return int(EXACT.divide(self.usd, NANO))

    def counters(self, spender: Spender, at: float) -> Iterable[str]:
        """The names of the counters that a call at a time (epoch seconds) is charged to; none if the budget is not for it."""
        told: list[list[str]] = [[f"{self.per}:{_period(self.per, at)}"]]
        for name in ("route", "tenant", "provider", "model"):
            pattern = getattr(self, name)
            if pattern is None:
                continue
            value = getattr(spender, name)
            if name == "model":
                value = f"{spender.provider}/{spender.model}" if "/" in pattern else spender.model
            if value is None or not fnmatchcase(value, pattern):
                return ()
            told.append([f"{name}={value if pattern.endswith('*') else pattern}"])
        if self.tag is not None:
            fitting = [tag for tag in spender.tags if fnmatchcase(tag, self.tag)]
            if not fitting:
                return ()
            told.append([f"tag={tag}" for tag in dict.fromkeys(fitting if self.tag.endswith("*") else [self.tag])])
        names = [""]
        for words in told:
            names = [f"{name};{word}" if name else word for name in names for word in words]
        return names


def ends_in(per: str, at: float) -> float | None:
    """Seconds until the period that a time (epoch seconds) lies in is over; None for `total`."""
    if per == "total":
        return None
    if per == "month":
        year, month = time.gmtime(at)[:2]
        return calendar.timegm((year + month // 12, month % 12 + 1, 1, 0, 0, 0)) - at
    length = {"hour": 3600, "day": 86400, "week": 604800}[per]
    return length - (at + (3 * 86400 if per == "week" else 0)) % length


def budgets_of(given: Any) -> tuple[Budget, ...]:
    """The budgets of `Client(budgets=…)`: one, or a list of them. Raises ConfigError."""
    if given is None:
        return ()
    return tuple(Budget.of(one) for one in (given if isinstance(given, (list, tuple)) else [given]))


def nano(cost: Decimal) -> int:
    """USD in billionths, rounded up."""
    return int(EXACT.divide(cost, NANO).to_integral_value(ROUND_CEILING))


def usd(amount: int) -> Decimal:
    """Billionths as USD."""
    return EXACT.multiply(Decimal(amount), NANO).normalize(EXACT)


def _period(per: str, at: float) -> str:
    """The period a time lies in, by UTC; weeks begin on Monday."""
    if per == "total":
        return "all"
    if per == "week":
        at -= ((at // 86400 + 3) % 7) * 86400
    form = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m"}[per]
    return time.strftime(form, time.gmtime(at))
