"""Three one-word faults in each dialect of a conversation, all of which the suite catches (SERVE.md 11, 13).

Laws catch what contradicts itself; what is misspelt alike in both directions is caught by the examples, the witnesses that do
not come from the file.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.catalog import Catalog
from engine.check import check
from engine.laws.prove import prove
from engine.spec.problem import Problem, Problems

DIALECTS = Path(__file__).resolve().parents[2] / "catalog" / "dialects"
#: dialect, what stands there, what is written instead, who catches it
FAULTS = [
    ("openai-chat", 'tool_call_id: "{{ m.id', 'tool_cal_id: "{{ m.id', "examples"),
    ("openai-chat", "output_tokens: completion_tokens", "output_tokens: prompt_tokens", "laws"),
    ("openai-chat", 'finish_reason: "{{ c.finish', 'finish_reson: "{{ c.finish', "laws"),
    ("openai-responses", 'text: "{{ p.text }}"}], $else: []}', 'text: "{{ p.name }}"}], $else: []}', "laws"),
    ("openai-responses", "output_tokens: output_tokens", "output_tokens: input_tokens", "laws"),
    ("openai-responses", 'arguments: "{{ p.arguments_json', 'argument: "{{ p.arguments_json', "examples"),
    ("anthropic-messages", 'tool_use_id: "{{ part.id', 'tool_use_id: "{{ part.name', "examples"),
    ("anthropic-messages", "partial_json: ", "partial_jsn: ", "laws"),
    ("anthropic-messages", "end_turn: stop", "end_turn: length", "examples"),
    ("gemini", 'text: {when: "!thought"', 'text: {when: "thought"', "laws"),
    ("gemini", "includeThoughts:", "includeThought:", "examples"),
    ("gemini", "responseJsonSchema: ", "responseSchemaJson: ", "examples"),
    ("bedrock-converse", 'delta: {text: "{{ delta.text', 'delta: {txt: "{{ delta.text', "laws"),
    ("bedrock-converse", "text: reasoningText.text", "text: reasoning.text", "laws"),
    ("bedrock-converse", "{toolUse: {toolUseId: ", "{toolUse: {toolUsedId: ", "examples"),
    ("cohere-v2", 'tool_plan: "{{ m.thinking', 'tool_pln: "{{ m.thinking', "examples"),
    ("cohere-v2", 'delta: {finish_reason: "{{ finish', 'delta: {finish_reson: "{{ finish', "laws"),
    ("cohere-v2", 'tool_call_id: "{{ m.id', 'tool_call_id: "{{ m.name', "laws"),
    ("mistral", "ident(9, 9, '') }}\", extra_content", "ident(8, 8, '') }}\", extra_content", "laws"),
    ("mistral", "thinking: [{type: text", "thinking: [{type: txt", "examples"),
    ("mistral", "seed: random_seed", "seed: seed", "examples"),
    ("ollama", 'tool_name: "{{ m.tool_name', 'tool_nme: "{{ m.tool_name', "examples"),
    ("ollama", "text: message.thinking", "text: message.thinkin", "laws"),
    ("ollama", 'done_reason: "{{ finish', 'done_reson: "{{ finish', "laws"),
]


def spoilt(folder: Path, dialect: str, there: str, instead: str) -> Catalog:
    """A catalog in which one dialect has a fault, and a provider that adds nothing to it."""
    text = (DIALECTS / f"{dialect}.yaml").read_text("utf-8")
    assert there in text
    for kind in ("dialects", "providers"):
        (folder / kind).mkdir()
    own = folder / "dialects" / f"{dialect}.yaml"
    own.write_text(text.replace(there, instead, 1), "utf-8")
    shutil.copy(DIALECTS / f"{dialect}.examples.yaml", own.parent)
    plain = folder / "providers" / "plain.yaml"
    plain.write_text(f"name: Plain\nbase_url: https://api.example.com/v1\nchat: {dialect}\n", "utf-8")
    return Catalog([own, plain], [dialect], findings=Problems())


def told(catalog: Catalog, dialect: str, judge: str) -> list[Problem]:
    if judge == "laws":
        return prove(catalog, [("dialects", dialect)], count=30).problems
    findings = check(catalog, [("providers", "plain")])
    assert findings.examples > 15
    return [p for p in findings.problems if p.severity == "error"]


@pytest.mark.parametrize(("dialect", "there", "instead", "judge"), FAULTS, ids=[f"{d}: {i[:24]}" for d, _, i, _ in FAULTS])
def test_a_fault_of_one_word_is_caught(tmp_path: Path, dialect: str, there: str, instead: str, judge: str) -> None:
    problems = told(spoilt(tmp_path, dialect, there, instead), dialect, judge)
    assert problems and all(p.rule == {"laws": "law", "examples": "example"}[judge] for p in problems)


def test_every_dialect_has_three_faults() -> None:
    from collections import Counter

    assert set(Counter(d for d, *_ in FAULTS).values()) == {3} and len({d for d, *_ in FAULTS}) == 8


def test_a_broken_law_is_told_with_a_small_case_at_its_line(tmp_path: Path) -> None:
    catalog = spoilt(tmp_path, "anthropic-messages", "partial_json: ", "partial_jsn: ")
    [problem, *_] = told(catalog, "anthropic-messages", "laws")
    path = tmp_path / "dialects" / "anthropic-messages.yaml"
    assert "partial_jsn" in path.read_text("utf-8").splitlines()[problem.mark.line - 1]
    assert problem.mark.file.endswith("anthropic-messages.yaml") and "L3" in problem.message
    assert '"choices": [{"parts": [{"type": "tool_call"' in problem.message and len(problem.message) < 700


def test_the_command_tells_broken_laws_like_other_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from engine.cli import main

    spoilt(tmp_path, "ollama", 'done_reason: "{{ finish', 'done_reson: "{{ finish')
    path = str(tmp_path / "dialects" / "ollama.yaml")
    assert main(["check", "--laws", "--count", "5", "--no-cache", "--no-examples", "--format", "json", path]) == 1
    captured = capsys.readouterr()
    found = [json.loads(line) for line in captured.out.splitlines()]
    assert {f["rule"] for f in found} == {"law"} and all(f["file"] and f["line"] for f in found)
    assert captured.err.splitlines()[1].startswith("4 laws, ") and "2 broken" in captured.err
    assert main(["check", "--laws", "--count", "5", "--no-cache", "--no-examples", "ollama-embed"]) == 0
    assert main(["check", "--laws", "--count", "0", "--no-cache", "--no-examples", "ollama"]) == 2
