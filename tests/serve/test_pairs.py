"""All 64 pairs of wires, whole and streamed: nothing is lost in silence, and the page says what is carried (SERVE.md 10)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tools import pairs

CASES = json.loads(pairs.CASES.read_text("utf-8"))


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, str, str, str, bool, pairs.Verdict]]:
    return list(pairs.run(CASES))


def test_no_pair_loses_anything_in_silence(rows: list[Any]) -> None:
    lost = [f"{d}: {f}: {a} to {b}{' streamed' if s else ''}: {why}" for d, f, a, b, s, (word, why) in rows if word == "LOST"]
    assert not lost
    assert len(rows) == 2 * 64 * sum(map(len, CASES.values()))


def test_every_verdict_is_the_written_one_and_the_page_is_fresh(rows: list[Any]) -> None:
    """`make pairs` writes both; a changed verdict is a change of what the library does."""
    found = pairs.verdicts(rows)
    assert found == json.loads(pairs.VERDICTS.read_text("utf-8"))
    assert pairs.page(found, rows) == pairs.PAGE.read_text("utf-8"), "docs/pairs.md is stale: make pairs"


def test_what_every_wire_has_is_carried_by_every_pair(rows: list[Any]) -> None:
    everywhere = {"text", "earlier turns", "tools", "two parallel calls and results", "schema output", "usage"}
    everywhere |= {"two parallel calls", "finish: length", "error: rate limit", "error: authentication"}
    assert everywhere <= {row[1] for row in rows}
    assert not [row for row in rows if row[1] in everywhere and row[5][0] != "carried"]


def test_a_refusal_or_warning_names_what_it_is_about(rows: list[Any]) -> None:
    words = {"PDF": "document", "audio": "audio", "name of a user": "name", "failed result": "failed", "seed": "seed"}
    for _, feature, _, _, _, (word, why) in rows:
        if word in ("refused", "warned"):
            assert words.get(feature, "") in why, (feature, why)
