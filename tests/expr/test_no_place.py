"""What a wire has no place for is dropped with a warning, or refused when asked, never in silence (SPEC_LANGUAGE 3.2, 5.2)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import UnsupportedError
from engine.expr.function import Unit
from engine.expr.template import Templates
from engine.spec.load import load
from engine.spec.problem import Problems
from engine.types import Report
from engine.vocabulary import CHAT


def written(spec: str, **context: Any) -> tuple[Any, list[str]]:
    """What the `body` of a small spec gives for a context, and the warnings."""
    problems, report = Problems(), Report()
    node = load(spec, "test.yaml", problems)
    assert node is not None
    unit = Unit("test")
    templates = Templates(unit, problems, CHAT, label="acme: chat")
    if node.get("parts") is not None:
        templates.parts(node.value["parts"])
    templates.template("body", node.value["body"])
    assert not problems.errors, problems.sorted()
    return unit.build()["body"]({"$report": report, **context}), report.warnings


CHOICE = "body: {x: 1, choice: {$switch: tool_choice.mode, auto: AUTO, none: ~}}"
THINKING = """
body: {content: "{{ parts(messages[0].parts) }}"}
parts:
  text: {text: "{{ part.text }}"}
  thinking: {$if: part.signature, thinking: "{{ part.text }}", signature: "{{ part.signature }}"}
"""


def test_a_case_written_as_nothing_is_dropped_with_a_warning() -> None:
    assert written(CHOICE, tool_choice={"mode": "auto"}) == ({"x": 1, "choice": "AUTO"}, [])
    body, warnings = written(CHOICE, tool_choice={"mode": "none"})
    assert body == {"x": 1}
    assert warnings == ["tool_choice `none` was dropped: acme: chat has no place for it"]


def test_a_case_written_as_nothing_is_refused_when_asked() -> None:
    with pytest.raises(UnsupportedError, match="tool_choice `none`"):
        written(CHOICE, tool_choice={"mode": "none"}, **{"$unsupported": "error"})


def test_thinking_whose_entry_writes_nothing_is_dropped_with_a_warning() -> None:
    parts = [
        {"type": "thinking", "text": "hm"},
        {"type": "thinking", "text": "so", "signature": "s"},
        {"type": "text", "text": "hi"},
    ]
    body, warnings = written(THINKING, messages=[{"parts": parts}])
    assert body == {"content": [{"thinking": "so", "signature": "s"}, {"text": "hi"}]}
    assert len(warnings) == 1 and warnings[0].startswith("thinking of earlier turns was dropped")


def test_objects_are_closed_without_requiring_what_is_optional() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}}}, "required": ["a"]}
    body, _ = written(
        """body: {schema: "{{ response_format.schema | schema(closed='objects') }}"}""", response_format={"schema": schema}
    )
    assert body["schema"] == {
        "type": "object",
        "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": False}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert "additionalProperties" not in schema
