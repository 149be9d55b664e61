"""Which price holds for a call: the caller's own prices on top of the catalog's."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.accounting.bill import Bill, bill
from engine.accounting.price import Price
from engine.errors import ConfigError, Error

if TYPE_CHECKING:
    from engine.accounting.facts import Facts
    from engine.types import Usage

__all__ = ["PriceBook", "Seller", "given_prices"]


class PriceBook:
    """Prices by provider and model. Shareable between threads.

    `given`: a file (YAML or JSON) or a mapping, `provider/model` or a glob of it -> a price in the catalog's terms, or
    `{factor: 0.85}`, which keeps the catalog's rates and multiplies them. The last entry that fits holds. Raises ConfigError.
    """

    def __init__(self, facts: Facts, given: Any = None) -> None:
        self._facts = facts
        self._given = given_prices(given)
        self._prices: dict[tuple[str, str, str | None], Any] = {}

    def price(
        self, provider: str, model: str, variant: str | None = None, at: float | None = None
    ) -> tuple[Price | None, str | None]:
        """The price that holds at a time (epoch seconds; default now), or None and why there is none."""
        key = (provider, model, variant)
        found = self._prices.get(key)
        if found is None:
            found = self._prices[key] = self._find(provider, model, variant)
        if isinstance(found, Price):
            return found, None
        if isinstance(found, str):
            return None, found
        today = time.strftime("%Y-%m-%d", time.gmtime(time.time() if at is None else at))
        held = [price for since, price in found if since <= today]
        return (held[-1], None) if held else (None, f"no price of {provider}/{model} holds on {today}")

    def _find(self, provider: str, model: str, variant: str | None) -> Any:
        """A Price, several with their first days, or why there is none."""
        from decimal import Decimal

        facts = self._facts.of(provider, model, variant)
        known, source = (facts or {}).get("price"), ""
        if known is not None:
            source = self._facts.source(provider, facts or {})
        factor = Decimal(1)
        for fits, own, where in self._given:
            if fits(f"{provider}/{model}"):
                if isinstance(own, Mapping) and own.keys() == {"factor"}:
                    factor = Price.checked(own, where).factor
                    source = f"{source}; times {factor}, {where}"
                else:
                    known, source, factor = own, where, Decimal(1)
        if known is None:
            if facts is not None:
                return f"no price of {provider}/{model} is known"
            near = self._facts.near(provider, model)
            hint = f"; did you mean {provider}/{near}?" if near else ""
            return f"nothing is known of a model {provider}/{model}{hint}"
        if isinstance(known, list):
            periods = [(str(period.get("valid_from") or ""), Price(period, source, factor)) for period in known]
            return sorted(periods, key=lambda period: period[0])
        made = Price(known, source, factor if "factor" not in known else Decimal(str(known["factor"])))
        return [(str(known["valid_from"]), made)] if known.get("valid_from") else made


class Seller:
    """Prices of one bound model: what a client's calls are billed by."""

    __slots__ = ("book", "model", "operation", "provider", "region", "variant")

    def __init__(self, book: PriceBook, operation: Any) -> None:
        self.book = book
        self.provider = operation.provider
        self.model = operation.known_as
        self.variant = operation.variant
        self.operation = operation.name
        region = operation.values.get("region") or operation.values.get("location")
        self.region = str(region) if region else None

    def bill(self, usage: Usage, at: float | None = None, options: Mapping[str, Any] | None = None, **terms: Any) -> Bill:
        """The bill of a usage; a price that cannot be read is unknown. Raises nothing."""
        try:
            price, why = self.book.price(self.provider, self.model, self.variant, at)
            if price is None:
                return Bill(note=why)
            terms.setdefault("region", self.region)
            return bill(price, usage, self.operation, options, at=at, **terms)
        except Error as error:
            return Bill(note=f"the price cannot be read: {error.message}")
        except Exception as error:  # a bill that cannot be made breaks no answer
            return Bill(note=f"the price cannot be read: {type(error).__name__}: {error}")


def given_prices(given: Any) -> list[tuple[Any, Any, str]]:
    """(does it fit, price, where it stands) of every entry of a caller's prices, in order."""
    if given is None:
        return []
    where = "your prices"
    if not isinstance(given, Mapping):
        given, where = _read(given), Path(given).name
    made = []
    for name, own in given.items():
        if "/" not in str(name):
            raise ConfigError(f"{where}: a price is given for provider/model, not `{name}`")
        place = f"{where}: {name}"
        for period in own if isinstance(own, list) else [own]:
            Price.checked(period, place)
        made.append((_glob(str(name)), own, place))
    return made


def _read(given: Any) -> Mapping[str, Any]:
    from engine.files import DATA_LIMIT
    from engine.spec.load import load
    from engine.spec.problem import Problems

    try:
        text = Path(given).read_bytes()
    except (OSError, TypeError) as error:
        raise ConfigError(f"prices are a mapping or the path of a file: {error}") from None
    problems = Problems()
    node = load(text, str(given), problems, limit=DATA_LIMIT)
    if problems.errors or node is None or not node.is_map:
        raise ConfigError("\n".join(map(str, problems.errors)) or f"{given}: a price file is a mapping of provider/model to prices")
    plain: Mapping[str, Any] = node.plain()
    return plain


def _glob(text: str) -> Any:
    """Does a name fit? `*` stands for anything, `?` for one character."""
    pattern = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in text)
    return re.compile(pattern).fullmatch
