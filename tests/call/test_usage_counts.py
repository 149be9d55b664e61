"""Counters of an answer are canonical or unknown, whatever a provider reports (SPEC_LANGUAGE 6.3; RELIABILITY M3, E1)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import errors
from engine.call.accumulate import Accumulator
from engine.plan import OperationPlan
from tests.call.test_accumulate import TAGGED, fold, text
from tests.call.wires import CHAT, make


def usage(plan: OperationPlan = CHAT, **fields: Any) -> dict[str, Any]:
    return fold(("usage", fields), plan=plan).usage.to_dict()


ADDED = make(
    usage_totals={"input_tokens": ("input_tokens", "cache_read_tokens"), "output_tokens": ("output_tokens", "reasoning_tokens")}
)


def test_the_last_value_of_a_counter_wins() -> None:
    known = fold(("usage", {"input_tokens": 3, "output_tokens": 1}), ("usage", {"output_tokens": 9, "input_tokens": None})).usage
    assert (known.input_tokens, known.output_tokens, known.cache_read_tokens) == (3, 9, None)


def test_totals_add_what_the_spec_says() -> None:
    assert usage(ADDED, input_tokens=3, cache_read_tokens=4, output_tokens=5, reasoning_tokens=6) == {
        "input_tokens": 7,
        "cache_read_tokens": 4,
        "output_tokens": 11,
        "reasoning_tokens": 6,
    }
    assert usage(ADDED, input_tokens=3) == {"input_tokens": 3}


def test_reasoning_that_the_total_shows_was_left_out_is_added() -> None:
    assert usage(input_tokens=10, output_tokens=5, reasoning_tokens=7, total_tokens=22)["output_tokens"] == 12
    assert usage(input_tokens=10, output_tokens=7, reasoning_tokens=7, total_tokens=17)["output_tokens"] == 7
    assert usage(input_tokens=10, output_tokens=5, reasoning_tokens=7, total_tokens=99)["output_tokens"] == 5


def test_audio_that_the_total_shows_was_left_out_is_added() -> None:
    known = usage(input_tokens=10, output_tokens=5, audio_input_tokens=30, total_tokens=45)
    assert (known["input_tokens"], known["output_tokens"]) == (40, 5)
    known = usage(input_tokens=10, output_tokens=5, audio_input_tokens=30, reasoning_tokens=2, total_tokens=47)
    assert (known["input_tokens"], known["output_tokens"]) == (40, 7)


@pytest.mark.parametrize("nonsense", [10**30, -1, "abc", True, 1.5, 1e30, float("nan"), [1], {}, "9" * 100])
def test_nonsense_counts_are_unknown_with_a_warning(nonsense: Any) -> None:
    """M3."""
    response = fold(text("a"), ("usage", {"input_tokens": nonsense, "output_tokens": 2, "cost": nonsense}))
    assert response.usage.input_tokens is None and response.usage.output_tokens == 2 and response.text == "a"
    assert any("input_tokens" in w for w in response.warnings)


def test_numbers_as_text_and_floats_are_converted() -> None:
    assert usage(input_tokens="12", output_tokens=3.0, seconds="1.5", cost="0.0000125") == {
        "input_tokens": 12,
        "output_tokens": 3,
        "seconds": 1.5,
        "cost": "0.0000125",
    }


def test_money_is_decimal() -> None:
    response = fold(("usage", {"cost": 0.1}))
    assert response.cost == Decimal("0.1")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=3), x, max_size=3),
    max_leaves=5,
)
KINDS = ["text", "thinking", "tool_call", "citation", "media", "native", "refusal", "logprobs", "usage", "finish", "error", "start"]
FIELDS = [
    "text",
    "full",
    "index",
    "signature",
    "redacted",
    "id",
    "name",
    "arguments",
    "full_arguments",
    "server",
    "url",
    "start",
    "type",
]
FIELDS += [
    "media_type",
    "data",
    "content",
    "input_tokens",
    "cost",
    "reason",
    "message",
    "model",
    "created",
    "hex",
    "vector",
    "dtype",
]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*KINDS, "embedding", "audio"]), JUNK, st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=5)
        ),
        max_size=8,
    )
)
def test_whatever_a_map_emits_never_raises_anything_foreign(emissions: list[tuple[str, Any, dict[str, Any]]]) -> None:
    """E1."""
    into = Accumulator(TAGGED)
    try:
        for kind, choice, fields in emissions:
            into.emit(kind, choice, fields)
        into.close()
        into.response().to_dict()
        into.response(partial=True)
    except errors.Error:
        pass
