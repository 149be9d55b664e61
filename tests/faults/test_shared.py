"""A bounded sample of the independent fault matrix; all 211 cases on both transports: `make faults`."""

from __future__ import annotations

from tests.faults.shared_judge import MODULES, run
from tests.shared_data import shared

SAMPLE = (
    "u_ok s_ok u_429_quota u_error_in_200 s_line_separator s_cut_rst s_error_anthropic_style s_tools u_redirect_other_origin "
    "u_401_echo u_key_crlf_inject s_task_cancelled"
).split()


def test_a_sample_of_the_shared_matrix() -> None:
    scores = run(shared("bench", "faults"), MODULES[:1], SAMPLE)
    assert [(score.wire, score.wrong) for score in scores] == [("openai", []), ("anthropic", [])]
    assert sum(score.cases for score in scores) == 2 * len(SAMPLE) - 1  # s_tools exists on one wire only
