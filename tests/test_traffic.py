"""Recorded exchanges of real providers read as expected, however their streams are cut (RELIABILITY E4, E5, T1, T2, T3, T6)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.shared_data import ROOT, shared

sys.path.insert(0, str(ROOT / "tools"))

import replay

MOST_EXCEPTIONS = 0.01  # of all cases


@pytest.mark.parametrize("dialect", replay.DIALECTS)
def test_recorded_exchanges_meet_their_expectations(dialect: str) -> None:
    """Text, thinking, tool calls, finish, usage, citations and errors of every case; streams whole and cut."""
    found = list(replay.cases(shared("traffic"), dialect))
    tallies = replay.replay(found, replay.exceptions())
    failed = {case: reasons for tally in tallies.values() for case, reasons in tally.failures.items()}
    assert found and not failed, json.dumps(failed, indent=1, ensure_ascii=False)[:4000]


def test_exceptions_are_few_and_say_why() -> None:
    """Every exception names a case that exists, what differs and why the expectation is wrong."""
    import yaml

    known = [case["id"] for case in replay.cases(shared("traffic"))]
    listed = yaml.safe_load(replay.EXCEPTIONS.read_text(encoding="utf-8"))
    assert all(set(entry) == {"id", "reason", "why"} and all(entry.values()) for entry in listed)
    assert {entry["id"] for entry in listed} <= set(known)
    assert len(listed) <= MOST_EXCEPTIONS * len(known)


def test_a_difference_is_reported_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tool sees a wrong expectation, an unlisted failure and a listed case that passes."""
    body = {
        "id": "m1",
        "model": "m",
        "content": [{"type": "text", "text": "Hi."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 2, "output_tokens": 1},
    }
    usage = {
        "input_tokens": 2,
        "output_tokens": 1,
        "cached_input_tokens": None,
        "cache_write_tokens": None,
        "reasoning_tokens": None,
    }
    right = {
        "text": "Hi.",
        "thinking": None,
        "tool_calls": [],
        "finish_reason": "stop",
        "finish_reason_raw": "end_turn",
        "usage": usage,
        "citations": 0,
    }
    case = {
        "operation": "chat",
        "dialect": "anthropic-messages",
        "provider": "anthropic",
        "request": None,
        "response": {"status": 200, "headers": {}, "body": body},
    }
    lines = [{**case, "id": "good", "expected": right}, {**case, "id": "bad", "expected": {**right, "text": "Ho."}}]
    (tmp_path / "anthropic-messages.jsonl").write_text("\n".join(map(json.dumps, lines)))
    exceptions = tmp_path / "exceptions.yaml"
    exceptions.write_text("- {id: bad, reason: r, why: w}\n")
    assert replay.main([str(tmp_path), "--exceptions", str(tmp_path / "none.yaml")]) == 1
    assert 'bad: text: expected "Ho.", got "Hi."' in capsys.readouterr().out
    assert replay.main([str(tmp_path), "--exceptions", str(exceptions)]) == 0
    exceptions.write_text("- {id: bad, reason: r, why: w}\n- {id: good, reason: r, why: w}\n")
    assert replay.main([str(tmp_path), "--exceptions", str(exceptions)]) == 1
    assert "good: listed as an exception but passes" in capsys.readouterr().out
