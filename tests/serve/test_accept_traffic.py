"""Recorded requests are read and written again (SERVE.md 14; RELIABILITY E1): alike in their own dialect, and in any other
without an exception and without a loss that nobody tells."""

from __future__ import annotations

import os

import pytest

from tests.shared_data import shared
from tools.accept import DIALECTS, Judge, cases, listed

JUDGE = Judge()
STEP = 1 if os.environ.get("CI") else 5  # every so many requests go across


@pytest.mark.parametrize("file", DIALECTS)
def test_recorded_requests_are_written_again_alike(file: str) -> None:
    known, wrong, spare = listed(), [], set()
    for case in cases(shared("traffic"), file):
        JUDGE.judge(case)
        fine = case.verdict in ("equal", "spelling")
        if fine and case.id in known:
            spare.add(case.id)
        if not fine and case.id not in known:
            wrong.append(f"{case.id} {case.verdict}: {case.why[:200]}")
    assert not wrong
    assert not spare, "these are no exceptions any more"


def test_at_least_985_of_1000_are_alike() -> None:
    total = sum(1 for _ in cases(shared("traffic")))
    assert len(listed()) <= total * 0.015


@pytest.mark.parametrize("file", DIALECTS)
def test_recorded_requests_cross_to_every_other_dialect(file: str) -> None:
    wrong = []
    for number, case in enumerate(cases(shared("traffic"), file)):
        if number % STEP:
            continue
        case.fields = JUDGE.accept(case)
        for other in DIALECTS:
            if other != file:
                verdict, why = JUDGE.across(case, other)
                if verdict in ("failed", "lost"):
                    wrong.append(f"{case.id} to {other} {verdict}: {why[:200]}")
    assert not wrong
