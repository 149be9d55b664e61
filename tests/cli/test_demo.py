"""`llmkit demo`: the same conversation over every chat wire, as a table that does not break."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from engine.catalog import Catalog
from engine.serve.mounts import Mounts
from engine.serve.simulator import Simulator
from tests.cli.conftest import Ran

Run = Callable[..., Ran]
WIRES = {
    "anthropic-messages",
    "bedrock-converse",
    "cohere-v2",
    "gemini",
    "mistral",
    "ollama",
    "openai-chat",
    "openai-responses",
}


def test_eight_wires_hold_the_same_conversation(run: Run) -> None:
    start = time.process_time()
    rows = run("demo", "--json").json
    assert time.process_time() - start < 5
    assert {row["dialect"] for row in rows} == WIRES and len(rows) == 4 * len(WIRES)
    said = {(row["dialect"], row["step"]): row["said"] for row in rows}
    for wire in WIRES:
        assert said[wire, "text"] == "Hello! How can I help you today?"
        assert said[wire, "tool"] == 'get_weather({"city": "Rome"}) → It is 18 °C and sunny in Rome.'
        assert said[wire, "schema"] == '{"name": "Ada", "age": 36}'
        assert said[wire, "thinking"] == "(17 * 20 = 340, 17 * 3 = 51.) 17 * 23 = 391."
    assert all(row["events"] and row["input_tokens"] and row["output_tokens"] and row["ms"] > 0 for row in rows)


def test_the_table_is_aligned_and_says_what_comes_next(run: Run) -> None:
    lines = run("demo").out.splitlines()
    start = lines[0].index("answer")
    assert all(line[start - 1] == " " and line[start] != " " for line in lines[:33])
    assert lines[34].startswith("8 wire formats, 32 steps, none failed: ")
    assert any(line.strip().startswith("llmkit demo ") for line in lines[35:])


def test_a_key_in_the_environment_is_noticed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "k-canary-123456789")
    assert "llmkit demo groq/" in run("demo").out.partition("The same for real")[2]


def test_a_failing_step_is_a_row(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Simulator.answer

    def answer(self: Simulator, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Any:
        return real(self, method, target.replace("/cohere/", "/kohere/"), headers, body)

    monkeypatch.setattr(Simulator, "answer", answer)
    ran = run("demo")
    failed = [line for line in ran.out.splitlines() if "FAILED" in line]
    assert ran.code == 1 and len(failed) == 4 and "not_found" in failed[0] and "32 steps, 4 failed" in ran.out
    assert sum("error" in row for row in run("demo", "--json").json) == 4


def test_it_is_held_with_real_models_on_request(run: Run) -> None:
    ran = run("demo", "grok/x", "groq/x")
    assert ran.code == 1 and "did you mean `groq`?" in ran.out and "set GROQ_API_KEY" in ran.out


def test_every_wire_is_shown_by_the_provider_it_is_named_after() -> None:
    homes = dict(Mounts(Catalog()).homes())
    assert homes.keys() == WIRES and homes["openai-responses"] == "openai:responses" and homes["gemini"] == "google-gemini"
