"""What a call costs: usage times rates, line by line, in exact decimals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from engine.accounting.price import EXACT, Price, amount
from engine.accounting.usage import UNITS, classes
from engine.types import Usage, _Plain

__all__ = ["Bill", "bill"]

_ZERO = Decimal(0)
multiply, add = EXACT.multiply, EXACT.add
#: one call of these is one search, if the provider does not say otherwise
_QUERIES = ("rerank", "search")


@dataclass(slots=True)
class Bill(_Plain):
    """A cost in USD with its lines; `cost` is None if anything of it is unknown, and `note` says what.

    A line is {class, quantity, unit, price (USD per unit), cost, source}. `estimated` is true where no counter was given.
    """

    cost: Decimal | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)
    note: str | None = None
    currency: str = "USD"
    estimated: bool = False


def bill(price: Price, usage: Usage, operation: str = "chat", options: Mapping[str, Any] | None = None, **terms: Any) -> Bill:
    """The bill of a usage. `options` are fields of the request some rates depend on; `terms`: batch, tier, region, at.

    Tokens are charged where the price has rates for them and they were counted; then images, seconds, characters and pages
    are the same bill seen otherwise and are not charged again. Searches always come on top.
    """
    table = price.table(usage.input_tokens or 0, **terms)
    if table is None:
        return Bill(note=f"no price of the service tier `{terms['tier']}` is known")
    lines: list[dict[str, Any]] = []
    unknown: list[str] = []
    source, total = price.source, _ZERO
    counted = usage.input_tokens is not None or usage.output_tokens is not None
    by_token = price.per_token and counted
    if by_token:
        if usage.input_tokens is None:
            unknown.append("the number of input tokens")
        if usage.output_tokens is None and operation in ("chat", "completion"):
            unknown.append("the number of output tokens")
        for name, quantity in classes(usage).items():
            rate = table.get(name)
            if rate is None:
                unknown.append(f"a price of {name}")
                continue
            cost = multiply(rate[1], quantity)
            total = add(total, cost)
            lines.append(
                {"class": name, "quantity": quantity, "unit": "million tokens", "price": rate[0], "cost": cost, "source": source}
            )
    for name in price.units:
        if (by_token and name != "search") or (name not in table and f"{name}_by" not in price.choices):
            continue
        counter, size = UNITS[name]
        quantity = getattr(usage, counter)
        if quantity is None and name == "search":
            quantity = 1 if operation in _QUERIES and not by_token else 0
        if quantity is None and (len(lines) or _measured(usage, name)):
            continue
        if quantity is None:
            unknown.append(f"the number of {counter}")
            continue
        stated = _chosen(price, name, options or {}, table)
        if quantity and stated is None:
            unknown.append(f"a price of {name} for what was asked")
        elif quantity and stated is not None:
            cost = multiply(EXACT.divide(stated, Decimal(size)), Decimal(str(quantity)))
            total = add(total, cost)
            unit = name.replace("_", " ")
            lines.append({"class": name, "quantity": quantity, "unit": unit, "price": stated, "cost": cost, "source": source})
    if not lines and not unknown and not counted:
        unknown.append("a counter that the price is for")
    if unknown:
        return Bill(lines=lines, note=f"unknown: {', '.join(unknown)}")
    return Bill(tidy(total), lines)


def tidy(value: Decimal) -> Decimal:
    """Without zeros at the end."""
    value = value.normalize(EXACT)
    return value if value.as_tuple().exponent <= 0 else value.quantize(Decimal(1), context=EXACT)  # type: ignore[operator]


def _measured(usage: Usage, but: str) -> bool:
    """Is there another counter of this answer that tells its size?"""
    return any(getattr(usage, counter) is not None for name, (counter, _) in UNITS.items() if name not in (but, "search"))


def _chosen(price: Price, name: str, options: Mapping[str, Any], table: Any) -> Decimal | None:
    """The rate of a unit: the first choice whose options all fit what was asked for, else the general one."""
    for entry in price.choices.get(f"{name}_by", ()):
        if all(str(options.get(key)) == str(wanted) for key, wanted in entry.items() if key != "usd"):
            return multiply(amount(entry["usd"], name), price.factor)
    return table[name][0] if name in table else None
