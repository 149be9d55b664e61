"""Limits as their user writes them: what may be asked of a provider, of a model, and with each key.

Client(rates={
    "groq": {"requests": "30/min", "tokens": ["6000/min", "500000/day"], "concurrency": 8},
    "openai/gpt-5*": {"requests": "500/min", "per_key": True},
})

`shared: true` divides an entry among the processes that share the client's ledger in a Redis: each has its part of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from engine.errors import ConfigError

__all__ = ["Rate", "Rule", "rules_of"]

_RATE = re.compile(r"\s*([\d_.,]+)\s*/\s*(\d*)\s*([a-z]+)\s*", re.IGNORECASE)
_UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}
_KEYS = ("requests", "tokens", "concurrency", "per_key", "shared")


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so much within so many seconds."""

    amount: float
    seconds: float

    @classmethod
    def of(cls, written: Any) -> Rate:
        """`60/min`, `1000/h`, `10/2s`; a number alone is one per minute."""
        if isinstance(written, (int, float)) and not isinstance(written, bool):
            amount, seconds = float(written), 60.0
        else:
            found = _RATE.fullmatch(written) if isinstance(written, str) else None
            unit = found[3].lower() if found else ""
            if found is None or _UNITS.get(unit, _UNITS.get(unit.rstrip("s"))) is None:
                raise ConfigError(f"a rate is written like 60/min or 1000/h, not {written!r:.60}")
            try:
                amount = float(found[1].replace("_", "").replace(",", ""))
            except ValueError:
                raise ConfigError(f"a rate is written like 60/min or 1000/h, not {written!r:.60}") from None
            seconds = float(int(found[2] or 1) * _UNITS.get(unit, _UNITS.get(unit.rstrip("s"), 60)))
        if not 0 < amount < 1e15 or not seconds:
            raise ConfigError(f"a rate is above 0, not {written!r:.60}")
        return cls(amount, seconds)


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry: whom it is for and what it allows. `model` None: all calls of the provider together."""

    provider: str
    model: str | None
    requests: tuple[Rate, ...] = ()
    tokens: tuple[Rate, ...] = ()
    concurrency: int | None = None
    per_key: bool = False
    shared: bool = False

    def subject(self, provider: str, model: str, key: int) -> str | None:
        """The name under which a call is counted, or None if the rule is not for it. Models that fit one glob each count alone."""
        if provider != self.provider:
            return None
        if self.model is not None and model != self.model and not fnmatchcase(model, self.model):
            return None
        name = provider if self.model is None else f"{provider}/{model}"
        return f"{name}#{key}" if self.per_key else name


def rules_of(rates: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules of `Client(rates=…)`. Raises ConfigError."""
    if not isinstance(rates, Mapping):
        raise ConfigError("`rates` is a mapping of provider or provider/model to limits")
    return tuple(_rule(str(name), given) for name, given in rates.items())


def _rule(name: str, given: Any) -> Rule:
    if not isinstance(given, Mapping):
        raise ConfigError(f"the rates of {name} are a mapping such as {{requests: 60/min}}")
    for key in given:
        if key not in _KEYS:
            from engine.spec.problem import nearest

            near = nearest(str(key), _KEYS)
            raise ConfigError(f"the rates of {name} have no `{key}`" + (f"; did you mean `{near}`?" if near else ""))
    concurrency = given.get("concurrency")
    if concurrency is not None and (isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1):
        raise ConfigError(f"the concurrency of {name} is a whole number above 0")
    provider, slash, model = name.partition("/")
    return Rule(
        provider,
        model if slash else None,
        _rates(given.get("requests")),
        _rates(given.get("tokens")),
        concurrency,
        given.get("per_key") is True,
        given.get("shared") is True,
    )


def _rates(written: Any) -> tuple[Rate, ...]:
    if written is None:
        return ()
    return tuple(Rate.of(one) for one in (written if isinstance(written, (list, tuple)) else [written]))
