"""The fault table through our own judge: a bounded sample, and proof that the judge sees a bad client. In full: `make faults`.

RELIABILITY 8, and with it E1 to E5, R1 to R8, T1 to T6, M1, M2, S2, A7, A8 as their rows say.
"""

from __future__ import annotations

import random
from collections import Counter

from tests.faults.judge import WAYS, judge, plan
from tests.faults.table import TABLE

ALONE = {"u_gzip_bomb", "s_giant_line", "s_giant_event", "u_deep_json"}  # memory rows run one after another


def test_every_row_holds_on_one_of_its_wires_and_clients() -> None:
    dice = random.Random(0)
    cases = [dice.choice(plan([row])) for row in TABLE if not row.alone or row.id in ALONE]
    verdicts = judge(cases)
    assert not [str(verdict) for verdict in verdicts if verdict.complaints]
    assert len(verdicts) == len(cases) > 120
    assert {(v.wire, v.way) for v in verdicts} == {(wire, way) for _, wire, way in plan(TABLE[:1])}


def test_the_judge_sees_a_careless_client() -> None:
    rows = [row for row in TABLE if row.mode in ("whole", "stream") and "openai" in row.wires and not row.alone and row.cap <= 5]
    rows += [row for row in TABLE if row.id in ("u_redirect_other_origin", "s_cut_clean", "u_503_always", "s_close_early")]
    verdicts = judge([(row, "openai", "careless") for row in rows])
    complaints = Counter(complaint for verdict in verdicts for complaint in verdict.complaints)
    wanted = {"silent", "leak", "leak in the log", "prompt leak", "foreign exception", "connection left", "too few attempts"}
    assert wanted <= complaints.keys() and len(WAYS) == 3
    assert not [str(verdict) for verdict in verdicts if not verdict.complaints]
