"""Exact cost: the arithmetic of prices, and its laws (RELIABILITY M3)."""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.bill import bill
from engine.accounting.price import CLASSES, Price, _within
from engine.accounting.usage import INPUT, OUTPUT, classes
from engine.errors import ConfigError
from engine.types import Usage

TOKENS = st.integers(0, 10**9)
RATE = st.decimals("0", "1000", places=6)
COUNTERS = {
    "input": "input_tokens", "cache_read": "cache_read_tokens", "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens", "audio_input": "audio_input_tokens", "image_input": "image_input_tokens",
    "output": "output_tokens", "reasoning": "reasoning_tokens", "audio_output": "audio_output_tokens",
    "image_output": "image_output_tokens",
}  # fmt: skip


@st.composite
def usages(draw: Any) -> Usage:
    """Any counters a provider may report, sensible or not."""
    return Usage(**{name: draw(st.none() | TOKENS) for name in COUNTERS.values()})


@st.composite
def disjoint(draw: Any) -> dict[str, int]:
    """Tokens by class."""
    return {name: draw(st.integers(0, 10**6)) for name in COUNTERS}


@st.composite
def prices(draw: Any) -> dict[str, Any]:
    """Rates of which the input and the output are known, tiers that are dearer."""
    made: dict[str, Any] = {"input": draw(RATE), "output": draw(RATE)}
    made |= {name: draw(RATE) for name in COUNTERS if name not in made and draw(st.booleans())}
    if draw(st.booleans()):
        factor = draw(st.integers(1, 5))
        made["tiers"] = [{"above": draw(st.integers(0, 10**6)), **{k: v * factor for k, v in made.items()}}]
    return made


def usage_of(parts: dict[str, int]) -> Usage:
    """The counters a provider would report for tokens by class."""
    written = parts["cache_write"] + parts["cache_write_1h"]
    return Usage(
        input_tokens=sum(parts[name] for name in (*INPUT, "input")),
        output_tokens=sum(parts[name] for name in (*OUTPUT, "output")),
        cache_write_tokens=written,
        **{COUNTERS[k]: v for k, v in parts.items() if k not in ("input", "output", "cache_write")},
    )


def cost(price: dict[str, Any], usage: Usage, **terms: Any) -> Decimal | None:
    return bill(Price(price, "test"), usage, **terms).cost


@given(usages())
def test_m3_classes_are_disjoint_and_sum_to_the_totals(usage: Usage) -> None:
    found = classes(usage)
    assert all(quantity > 0 for quantity in found.values())
    assert sum(found.get(name, 0) for name in (*INPUT, "input")) == (usage.input_tokens or 0)
    assert sum(found.get(name, 0) for name in (*OUTPUT, "output")) == (usage.output_tokens or 0)


@given(disjoint())
def test_m3_sensible_counters_come_back_as_their_classes(parts: dict[str, int]) -> None:
    assert classes(usage_of(parts)) == {k: v for k, v in parts.items() if v}


@given(prices(), disjoint(), st.sampled_from(sorted(COUNTERS)), st.integers(1, 10**6))
def test_m3_a_cost_grows_with_every_class(price: dict[str, Any], parts: dict[str, int], name: str, more: int) -> None:
    before, after = cost(price, usage_of(parts)), cost(price, usage_of({**parts, name: parts[name] + more}))
    assert before is not None and after is not None and after >= before


@given(prices(), disjoint())
def test_m3_the_lines_sum_to_the_cost_whatever_the_callers_precision(price: dict[str, Any], parts: dict[str, int]) -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        made = bill(Price(price, "test"), usage_of(parts))
    assert made.cost == sum((line["cost"] for line in made.lines), Decimal(0))
    for line in made.lines:
        assert line["cost"] == line["price"] * line["quantity"] / 10**6
    assert sum(line["quantity"] for line in made.lines) == sum(parts.values())


@given(prices(), st.integers(1, 10**6), st.integers(0, 10**6))
def test_m3_a_cache_read_costs_no_more_than_input_unless_the_facts_say_so(price: dict[str, Any], tokens: int, cached: int) -> None:
    price = {**price, "batch": {"input": price["input"] / 2}}
    cached = min(cached, tokens)
    for terms in ({}, {"batch": True}):
        stated = [p["cache_read"] for p in (price, *price.get("tiers", ())) if "cache_read" in p]
        dearer = any(rate > p["input"] for rate, p in zip(stated, (price, *price.get("tiers", ())), strict=False))
        read = cost(price, Usage(input_tokens=tokens, output_tokens=0, cache_read_tokens=cached), **terms)
        fresh = cost(price, Usage(input_tokens=tokens, output_tokens=0), **terms)
        assert read is not None and fresh is not None and (read <= fresh or dearer)


@pytest.mark.parametrize(
    ("price", "usage", "terms", "wanted"),
    [
        ({"input": 3, "output": 15}, {"input_tokens": 1_000_000, "output_tokens": 100_000}, {}, "4.5"),
        ({"input": 0.1, "output": 0.3}, {"input_tokens": 1, "output_tokens": 1}, {}, "0.0000004"),
        (
            {"input": "0.1", "output": 0.3, "cache_read": 0.01},
            {"input_tokens": 10, "output_tokens": 0, "cache_read_tokens": 10},
            {},
            "1E-7",
        ),
        # more cached than read: counted once
        ({"input": 1, "output": 1, "cache_read": 0}, {"input_tokens": 10, "output_tokens": 0, "cache_read_tokens": 50}, {}, "0"),
        # one price for cache writes covers both lifetimes, the hour has its own where it is stated
        (
            {"input": 1, "output": 1, "cache_write": 2},
            {"input_tokens": 10**6, "output_tokens": 0, "cache_write_1h_tokens": 10**6},
            {},
            "2",
        ),
        (
            {"input": 1, "output": 1, "cache_write": 2, "cache_write_1h": 4},
            {"input_tokens": 10**6, "output_tokens": 0, "cache_write_tokens": 500_000, "cache_write_1h_tokens": 250_000},
            {},
            "2",
        ),
        ({"input": 1, "output": 4}, {"input_tokens": 0, "output_tokens": 10**6, "reasoning_tokens": 10**6}, {}, "4"),
        (
            {"input": 1, "output": 4, "reasoning": 2},
            {"input_tokens": 0, "output_tokens": 10**6, "reasoning_tokens": 10**6},
            {},
            "2",
        ),
        # a tier is all or nothing, and begins above its line
        (
            {"input": 1, "output": 2, "tiers": [{"above": 1000, "input": 2, "output": 3}]},
            {"input_tokens": 1000, "output_tokens": 0},
            {},
            "0.001",
        ),
        (
            {"input": 1, "output": 2, "tiers": [{"above": 1000, "input": 2, "output": 3}]},
            {"input_tokens": 1001, "output_tokens": 1000},
            {},
            "0.005002",
        ),
        ({"input": 1, "output": 2, "tiers": [{"above": 10, "input": 2}]}, {"input_tokens": 20, "output_tokens": 10}, {}, "0.00006"),
        ({"input": 1, "output": 2, "batch": {"input": 0.5}}, {"input_tokens": 2, "output_tokens": 2}, {"batch": True}, "0.000005"),
        (
            {"input": 1, "output": 2, "service_tiers": {"flex": {"input": 0.5, "output": 1}}},
            {"input_tokens": 2, "output_tokens": 2},
            {"tier": "flex"},
            "0.000003",
        ),
        ({"input": 1, "output": 2}, {"input_tokens": 2, "output_tokens": 2}, {"tier": "auto"}, "0.000006"),
        (
            {"input": 1, "output": 2, "regions": {"eu": {"input": 2}}},
            {"input_tokens": 2, "output_tokens": 2},
            {"region": "eu"},
            "0.000008",
        ),
        (
            {"input": 1, "output": 2, "regions": {"eu": {"input": 2}}},
            {"input_tokens": 2, "output_tokens": 2},
            {"region": "us"},
            "0.000006",
        ),
        (
            {"input": 1, "output": 2, "factors": {"regional": 1.1}},
            {"input_tokens": 10, "output_tokens": 0},
            {"region": "us"},
            "0.000011",
        ),
        (
            {"input": 1, "output": 2, "factors": {"regional": 1.1}},
            {"input_tokens": 10, "output_tokens": 0},
            {"region": "global"},
            "0.00001",
        ),
        ({"second": 0.0001}, {"seconds": 2.5}, {}, "0.00025"),
        ({"thousand_characters": 0.015}, {"characters": 10}, {}, "0.00015"),
        ({"page": 0.001}, {"pages": 3}, {}, "0.003"),
        ({"image": 0.04}, {"images": 2}, {}, "0.08"),
        ({"image": 0.04, "image_by": [{"size": "2x2", "usd": 0.1}]}, {"images": 2}, {"options": {"size": "2x2"}}, "0.2"),
        ({"image": 0.04, "image_by": [{"size": "2x2", "usd": 0.1}]}, {"images": 2}, {"options": {"size": "1x1"}}, "0.08"),
        # tokens and images are two views of one bill; searches come on top
        ({"input": 1, "output": 2, "image": 5}, {"input_tokens": 1, "output_tokens": 1, "images": 1}, {}, "0.000003"),
        ({"input": 1, "output": 2, "search": 0.01}, {"input_tokens": 1, "output_tokens": 1, "searches": 2}, {}, "0.020003"),
        ({"search": 0.002}, {}, {"operation": "rerank"}, "0.002"),
        ({"search": 0.002}, {"searches": 3}, {"operation": "rerank"}, "0.006"),
        ({"input": 0.1, "output": 0}, {"input_tokens": 10}, {"operation": "embeddings"}, "0.000001"),
    ],
)
def test_prices_by_hand(price: dict[str, Any], usage: dict[str, Any], terms: dict[str, Any], wanted: str) -> None:
    assert cost(price, Usage(**usage), **terms) == Decimal(wanted)


@pytest.mark.parametrize(
    ("price", "usage", "terms", "note"),
    [
        ({"input": 1}, {"input_tokens": 1, "output_tokens": 1}, {}, "a price of output"),
        ({"input": 1, "output": 1}, {"input_tokens": 1}, {}, "output tokens"),
        ({"input": 1, "output": 1}, {}, {}, "counter"),
        ({"second": 1}, {}, {}, "seconds"),
        ({"input": 1, "output": 1}, {"input_tokens": 1, "output_tokens": 1}, {"tier": "priority"}, "priority"),
        ({"image_by": [{"size": "2x2", "usd": 0.1}]}, {"images": 1}, {"options": {"size": "9x9"}}, "for what was asked"),
    ],
)
def test_what_is_unknown_is_none_with_a_note_and_never_zero(
    price: dict[str, Any], usage: dict[str, Any], terms: dict[str, Any], note: str
) -> None:
    made = bill(Price(price, "test"), Usage(**usage), **terms)
    assert made.cost is None and made.note is not None and note in made.note


def test_off_peak_hours_are_utc() -> None:
    windows = [{"days": [1, 2, 3, 4, 5], "hours": ["00:00-01:00", "10:00-00:00"]}, {"days": [6, 7], "hours": ["00:00-00:00"]}]
    thursday, hour = 0, 3600  # the epoch began on a Thursday
    assert _within(windows, thursday) and not _within(windows, thursday + hour) and _within(windows, thursday + 23 * hour)
    saturday = thursday + 48 * hour
    assert all(_within(windows, saturday + n * hour) for n in range(48)) and not _within(windows, saturday + 49 * hour)
    price = {"input": 2, "output": 2, "off_peak": {"input": 1, "output": 1, "windows": windows}}
    usage = Usage(input_tokens=10**6, output_tokens=0)
    assert (cost(price, usage, at=0), cost(price, usage, at=5 * hour), cost(price, usage)) == (1, 2, 2)


@pytest.mark.parametrize(
    "wrong", [{"inptu": 1}, {"input": -1}, {"input": "x"}, {"input": True}, {"input": float("nan")}, 3, {"tiers": [{"input": 1}]}]
)
def test_a_callers_price_is_checked(wrong: Any) -> None:
    with pytest.raises(ConfigError):
        Price.checked(wrong, "mine")


def test_every_class_of_a_price_can_be_written() -> None:
    assert Price.checked(dict.fromkeys(CLASSES, "0.5"), "mine").table(0) is not None
