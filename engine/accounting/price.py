"""A price: rates by class, with everything that changes them, made ready for exact arithmetic.

What changes a rate, from the inside out: the number of input tokens (`tiers`: all or nothing, the whole call has the rates of
the last tier whose line the input is above), the region, then one of batch, service tier or off-peak hours. What a layer does
not repeat stays. A class without a rate of its own has the rate of the wider class it belongs to; a cache read that a layer
does not price is never dearer than that layer's input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Context, Decimal, DecimalException
from typing import Any

from engine.accounting.usage import UNITS
from engine.errors import ConfigError

__all__ = ["CLASSES", "EXACT", "STANDARD", "Price", "amount"]

EXACT = Context(prec=60)  # whatever precision the caller's thread has set
TOKENS = (
    "input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "audio_input", "audio_output", "image_input",
    "image_output",
)  # fmt: skip
CLASSES = (*TOKENS, "image", "second", "thousand_characters", "page", "search")
#: the wider class a class belongs to, inner ones first
WIDER = {
    "cache_write": "input", "cache_write_1h": "cache_write", "cache_read": "input", "audio_input": "input", "image_input": "input",
    "reasoning": "output", "audio_output": "output", "image_output": "output",
}  # fmt: skip
#: service tiers that are no tier: the usual rates
STANDARD = frozenset((None, "", "auto", "default", "standard", "standard_only", "on_demand"))
_CHOICES = ("image_by", "second_by", "search_by")
_GROUPS = ("batch", "service_tiers", "regions", "off_peak", "factors", "valid_from", "tiers", "factor")
_MILLION = -6

Table = dict[str, tuple[Decimal, Decimal]]  # class -> (rate as stated, USD for one token or unit)


def amount(value: Any, what: str) -> Decimal:
    """A rate, exactly as written. Raises ConfigError for what is no amount of money."""
    try:
        found = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
    except DecimalException:
        found = Decimal("NaN")
    if not found.is_finite() or found < 0 or found.adjusted() > 12:
        raise ConfigError(f"the price of {what} must be a number of USD, not {value!r}")
    return found


class Price:
    """The rates of one model over one period. Shareable between threads; `source` says where they come from."""

    def __init__(self, written: Mapping[str, Any], source: str, factor: Decimal = Decimal(1)) -> None:
        self.written = written
        self.source = source
        self.factor = factor
        self.per_token = any(key in written for key in TOKENS)
        self.choices = {key: written[key] for key in _CHOICES if written.get(key)}
        stated = _keys(written)
        self.units = tuple(name for name in UNITS if name in stated or f"{name}_by" in stated)
        self._tiers: Any = written.get("service_tiers") or {}
        self._regions: Any = written.get("regions") or {}
        self._factors: Any = written.get("factors") or {}
        self._off_peak: Any = written.get("off_peak")
        self._tables: dict[Any, list[tuple[int, Table]]] = {}

    @classmethod
    def checked(cls, written: Any, source: str) -> Price:
        """A price that a caller wrote. Raises ConfigError with the key that is wrong."""
        _check(written, source, (*CLASSES, *_CHOICES, *_GROUPS))
        return cls(written, source, amount(written.get("factor", 1), f"{source}: factor"))

    def table(
        self, tokens: int, *, batch: bool = False, tier: str | None = None, region: str | None = None, at: float | None = None
    ) -> Table | None:
        """The rates for a call with so many input tokens; `at` is its time, epoch seconds. None for an unknown service tier."""
        off_peak = self._off_peak is not None and at is not None and _within(self._off_peak.get("windows") or (), at)
        if tier in STANDARD or batch:
            tier = None
        elif tier not in self._tiers:
            return None
        if region is not None and region not in self._regions and region not in self._factors:
            region = "regional" if region != "global" and "regional" in self._factors else None
        key = (batch, tier, region, off_peak)
        steps = self._tables.get(key)
        if steps is None:
            group = self.written.get("batch") if batch else self._tiers.get(tier) if tier else self._off_peak if off_peak else None
            layers = [self.written, self._regions.get(region), group]
            factor = self.factor * amount(self._factors.get(region, 1), "a factor")
            steps = self._tables[key] = list(_steps([layer for layer in layers if layer], factor))
        found = steps[0][1]
        for above, table in steps:
            if tokens <= above:
                break
            found = table
        return found


def _steps(layers: list[Mapping[str, Any]], factor: Decimal) -> Iterator[tuple[int, Table]]:
    """(line, rates above it), lowest first; the first holds from nothing on."""
    lines = {-1, *(int(tier["above"]) for layer in layers for tier in layer.get("tiers") or ())}
    for line in sorted(lines):
        rates: dict[str, Decimal] = {}
        for layer in layers:
            _lay(rates, layer)
            held = [tier for tier in layer.get("tiers") or () if tier["above"] <= line]
            if held:
                _lay(rates, max(held, key=lambda tier: int(tier["above"])))
        for narrow, wide in WIDER.items():
            if narrow not in rates and wide in rates:
                rates[narrow] = rates[wide]
        table: Table = {}
        for name, rate in rates.items():
            stated = EXACT.multiply(rate, factor)
            table[name] = (stated, stated.scaleb(_MILLION, EXACT) if name in TOKENS else stated)
        yield line, table


def _lay(rates: dict[str, Decimal], layer: Mapping[str, Any]) -> None:
    stated = {key: amount(layer[key], key) for key in CLASSES if key in layer}
    rates.update(stated)
    if "cache_read" in rates and "cache_read" not in stated and "input" in stated:
        rates["cache_read"] = min(rates["cache_read"], stated["input"])


def _keys(value: Any) -> set[str]:
    """Every key in a tree of mappings and lists."""
    if isinstance(value, Mapping):
        return {str(key) for key in value}.union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


def _within(windows: Any, at: float) -> bool:
    """Is a time in one of the windows? Days of the week from Monday, hours in UTC; epoch day 0 was a Thursday."""
    day, second = divmod(int(at), 86400)
    weekday, minute = (day + 3) % 7 + 1, second // 60
    for window in windows:
        if weekday in window["days"]:
            for span in window["hours"]:
                start, end = (int(t[:2]) * 60 + int(t[3:]) for t in span.split("-"))
                if start <= minute < (end or 1440):
                    return True
    return False


def _check(written: Any, where: str, known: tuple[str, ...]) -> None:
    if not isinstance(written, Mapping):
        raise ConfigError(f"{where}: a price is a mapping such as {{input: 0.25, output: 2}}")
    for key, value in written.items():
        if key not in known:
            from engine.spec.problem import nearest

            near = nearest(str(key), known)
            raise ConfigError(f"{where}: `{key}` is not a key of a price" + (f"; did you mean `{near}`?" if near else ""))
        if key in CLASSES:
            amount(value, f"{where}: {key}")
        elif key == "batch":
            _check(value, f"{where}: batch", (*CLASSES, *_CHOICES, "tiers"))
        elif key in ("service_tiers", "regions"):
            for name, rates in value.items():
                _check(rates, f"{where}: {name}", (*CLASSES, *_CHOICES, "tiers"))
        elif key == "tiers":
            for tier in value:
                _check({k: v for k, v in tier.items() if k != "above"}, f"{where}: tiers", CLASSES)
                if not isinstance(tier.get("above"), int):
                    raise ConfigError(f"{where}: a tier says above how many input tokens it begins")
