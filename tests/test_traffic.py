"""Recorded exchanges of real providers read as expected, however their streams are cut (RELIABILITY E4, E5, T1, T2, T3, T6)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.catalog import Catalog
from engine.errors import UnsupportedError
from engine.examples import given_operation
from tests.shared_data import ROOT, shared

sys.path.insert(0, str(ROOT / "tools"))

import replay
import wire

MOST_EXCEPTIONS = 0.01  # of all cases


@pytest.mark.parametrize("dialect", replay.DIALECTS)
def test_recorded_exchanges_meet_their_expectations(dialect: str) -> None:
    """Text, thinking, tool calls, finish, usage, citations and errors of every case; streams whole and cut."""
    found = list(replay.cases(shared("traffic"), dialect))
    tallies = replay.replay(found, replay.exceptions())
    failed = {case: reasons for tally in tallies.values() for case, reasons in tally.failures.items()}
    assert found and not failed, json.dumps(failed, indent=1, ensure_ascii=False)[:4000]


@pytest.mark.parametrize("file", replay.others.FILES)
def test_recorded_vectors_counts_and_lists_meet_their_expectations(file: str) -> None:
    """Number, length and type of vectors, usage, models and errors of the operations beside chat."""
    found = list(replay.others.cases(shared("traffic"), file))
    tallies = replay.replay(found, replay.exceptions())
    failed = {case: reasons for tally in tallies.values() for case, reasons in tally.failures.items()}
    assert found and not failed, json.dumps(failed, indent=1, ensure_ascii=False)[:4000]


def test_exceptions_are_few_and_say_why() -> None:
    """Every exception names a case that exists, what differs and why the expectation is wrong."""
    import yaml

    known = [case["id"] for case in replay.every_case(shared("traffic"))]
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


def _conversation(answer: Any) -> list[dict[str, Any]]:
    """A history that goes on after an answer: its tool calls have results, then the user speaks."""
    results = [{"role": "tool", "tool_call_id": c.id, "content": f"result of {c.name}"} for c in answer.tool_calls]
    return [{"role": "user", "content": "First."}, answer.message, *results, {"role": "user", "content": "Go on."}]


def _missing(answer: Any, sent: Any, same: bool) -> list[str]:
    """What of an answer is neither in the body nor named by a warning; with `same`, signatures have to return too."""
    hay = list(wire.leaves(json.loads(sent.body)))
    said = " ".join(sent.report.warnings)
    out = []
    for part in answer.parts:
        needles: list[tuple[str, Any]] = []
        if part.type == "text":
            needles = [("text", part.text)]
        elif part.type == "tool_call" and not part.server:
            needles = [("tool", part.name), ("tool", part.arguments_json if part.arguments else None)]
        elif part.type == "thinking":
            needles = [("thinking", part.text), ("thinking", part.signature if same else None)]
        elif part.native is not None:  # of the provider's own tools too
            needles = [("native" if same else "provider ran", json.dumps(part.native))] if same or part.server else []
        out += [
            f"{kind}: {needle[:80]!r}"
            for kind, needle in needles
            if isinstance(needle, str) and needle.strip() and not wire.arrived(needle, hay) and kind not in said
        ]
    return out


def _answers(dialect: str, step: int) -> Iterator[tuple[dict[str, Any], Any]]:
    catalog = Catalog()
    for case in list(replay.cases(shared("traffic"), dialect))[::step]:
        if "expected" in case and not case["expected"].get("stream_error"):
            answer, _, _ = replay.answer(case, replay.operation_of(case, catalog))
            if answer is not None:
                yield case, answer


@pytest.mark.parametrize("dialect", replay.DIALECTS)
def test_an_answer_returns_whole_in_the_next_request(dialect: str) -> None:
    """Text, calls, thinking with its signature and provider-run items go back as they came, or a warning says what did not."""
    own, provider, _ = replay.DIALECTS[dialect]
    target = f"{provider}:responses/m" if own == "openai-responses" else f"{provider}/m"
    operation = given_operation(Catalog(), target, "chat")
    lost: dict[str, Any] = {}
    for case, answer in _answers(dialect, 3):
        missing = _missing(answer, operation.render(messages=_conversation(answer), max_tokens=100), same=True)
        if missing:
            lost[case["id"]] = missing
    assert not lost, json.dumps(lost, indent=1)[:4000]


@pytest.mark.parametrize(
    "target",
    ["openai/m", "openai:responses/m", "anthropic/m", "google-gemini/m", "amazon-bedrock/m", "cohere/m", "mistral/m", "ollama/m"],
)
def test_an_answer_crosses_to_another_wire(target: str) -> None:
    """An answer of any provider is history for any other; media and what one wire only knows may be refused, with a type."""
    operation = given_operation(Catalog(), target, "chat")
    lost = {}
    for dialect in replay.DIALECTS:
        for case, answer in _answers(dialect, 23):
            try:
                sent = operation.render(messages=_conversation(answer), max_tokens=100)
            except UnsupportedError:
                continue
            missing = _missing(answer, sent, same=False)
            if missing:
                lost[case["id"]] = missing
    assert not lost, json.dumps(lost, indent=1)[:4000]
