"""Scripts: which rule answers, what it says, and what is wrong with a bad one (SERVE.md 11)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.call.normalize import normalize
from engine.errors import ConfigError, RateLimitError, SpecError
from engine.serve.exchange import Pause
from engine.serve.invent import Inventor
from engine.serve.script import Script
from engine.serve.upstream import improvise, pieces
from engine.types import Event

TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}


def request(text: str = "row 17", **more: Any) -> dict[str, Any]:
    return normalize("chat", {"model": "m", "messages": [{"role": "user", "content": text}], **more})


def said(script: Script, asked: dict[str, Any] | None = None, kind: str = "text") -> str:
    return "".join(e.text or "" for e in script.perform(asked or request()).steps if isinstance(e, Event) and e.kind == kind)


def events(given: Any, asked: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    steps = Script(given).perform(asked or request()).steps
    return [s.to_dict() for s in steps if isinstance(s, Event)]


def test_the_first_rule_that_fits_answers() -> None:
    script = Script([{"when": "model == 'other'", "say": "A"}, {"repeat": 2, "say": "B"}, {"when": "dialect == 'x'", "say": "C"}])
    assert [said(script) for _ in range(3)] == ["B", "B", "You said: row 17"]
    assert said(script, request() | {"model": "other"}) == "A"
    assert "".join(e.text for e in script.perform(request(), "x").steps if e.kind == "text") == "C"


def test_texts_are_templates_over_the_request() -> None:
    assert said(Script("- say: 'You asked {{ messages[-1].text }} of {{ model }}.'")) == "You asked row 17 of m."
    call = events([{"say": {"tool_call": {"name": "f", "arguments": {"id": "{{ messages[-1].text }}", "none": None}}}}])
    assert "".join(e.get("arguments", "") for e in call if e["kind"] == "tool_call") == '{"id": "row 17"}'
    assert events([{"say": {"tool_call": {"name": "f", "arguments": {"none": None}}}}])[1]["arguments"] == '{"none": nul'


def test_everything_that_can_be_said() -> None:
    found = events(
        """
        script:
          - say:
              - start: {id: r1}
              - thinking: {text: Hm so, signature: c2ln}
              - text: [a, b]
              - {text: x, repeat: 2}
              - citation: {url: "https://example.com"}
              - tool_call: {id: c1, name: f, arguments: ['{"a"', ': 1}']}
              - event: {kind: tool_call, index: 9, id: c9, name: g, arguments: "{}"}
              - {text: other, choice: 1}
              - finish: length
              - usage: {input_tokens: 5}
        """
    )
    assert [(e["kind"], e.get("text")) for e in found[:7]] == [
        ("start", None), ("thinking", "Hm"), ("thinking", " so"), ("thinking", None), ("text", "a"), ("text", "b"), ("text", "x"),
    ]  # fmt: skip
    assert [e["kind"] for e in found[8:]] == [
        "citation",
        "tool_call",
        "tool_call",
        "tool_call",
        "tool_call",
        "text",
        "finish",
        "usage",
        "finish",
    ]
    assert found[-1] == {"kind": "finish", "choice": 1, "reason": "stop"}


def test_finish_and_usage_are_added() -> None:
    assert [(e["kind"], e.get("reason")) for e in events([{"say": [{"tool_call": {"name": "f"}}]}])[-2:]] == [
        ("finish", "tool_calls"),
        ("usage", None),
    ]
    assert events([{"say": ["abcdefgh", {"error": {"kind": "overloaded"}}, "never"]}])[-1]["error_kind"] == "overloaded"


def test_speed_and_errors_and_keys() -> None:
    script = Script(
        {"latency": 1, "pace": 50, "bad_keys": ["x"], "script": [{"latency": 0, "error": {"kind": "rate_limit", "retry_after": 2}}]}
    )
    played = script.perform(request())
    assert (played.latency, played.pace, script.bad_keys) == (0, 50, {"x"})
    assert isinstance(played.error, RateLimitError) and played.error.retry_after == 2
    steps = list(Script([{"say": ["a", {"pause": 0.5}]}]).perform(request()).steps)
    assert steps[1] == Pause(0.5)


def test_a_function_may_stand_for_a_script() -> None:
    refused = RateLimitError("no")
    answers: dict[str, Any] = {"row 17": ["seen"], "no": refused}
    script = Script(lambda asked: answers.get(asked["messages"][-1]["text"]))
    assert said(script) == "seen"
    assert script.perform(request("no")).error is refused
    assert said(script, request("hello")).startswith("Hello!")


def test_scripts_are_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"script": [{"say": "json"}]}))
    assert said(Script(path)) == said(Script(str(path))) == "json"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- wen: x\n", ":1:3: error[unknown-key]: a rule has no `wen`; did you mean `when`?"),
        ("- say: {txt: a}\n", "nobody can say `txt`; did you mean `text`?"),
        ("- say: {text: a, usage: {}}\n", "an item of `say` says one thing"),
        ("- {when: 'a =', say: a}\n", "error[bad-path]"),
        ("- say: '{{ mesages }}'\n", "`mesages` is not a name here; did you mean `messages`?"),
        ("- repeat: 0\n", "`repeat` is how many requests"),
        ("pace: -1\nscript: []\n", "`pace` is a number"),
        ("- 3\n", "a rule is a mapping"),
        ("- say: [\n", "error["),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Script(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("given", ["nowhere.yaml", 3, b"\x00"])
def test_what_is_no_script_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError):
        Script(given)


@pytest.mark.parametrize(
    "say", [{"$for": "m in messages", "txt": "a"}, [{"tool_call": {}}], [3], [{"text": "a", "repeat": -1}], {"usage": 3}]
)
def test_an_item_that_makes_no_sense_is_told_when_it_is_said(say: Any) -> None:
    with pytest.raises(ConfigError):
        list(Script([{"say": say}]).perform(request()).steps)


# --- the model that answers where no script does ---------------------------------------------------------------------------


def answer(asked: dict[str, Any]) -> tuple[str, str, str | None]:
    found = list(improvise(asked))
    calls = "".join(e.arguments or "" for e in found if e.kind == "tool_call")
    return "".join(e.text for e in found if e.kind == "text"), calls, next((e.reason for e in found if e.kind == "finish"), None)


def test_the_model_has_sense() -> None:
    assert answer(request("Hello"))[0] == "Hello! How can I help you today?"
    assert answer(request("What is 17 * 23?"))[0] == "17 * 23 = 391."
    assert answer(request("The weather in Rome?", tools=[TOOL])) == ("", '{"city": "Rome"}', "tool_calls")
    assert answer(request("Rome?", tools=[TOOL], tool_choice="none"))[1] == ""
    assert json.loads(
        answer(request("Ada", response_format={"type": "json_schema", "json_schema": {"name": "p", "schema": TOOL["parameters"]}}))[
            0
        ]
    )
    assert answer(request("one two three four five", max_tokens=2)) == ("You said", "", "length")
    assert answer(request("one STOP two", stop="STOP")) == ("You said: one ", "", "stop")
    assert {e.choice for e in improvise(request(n=3))} == {0, 1, 2}
    thinking = [e for e in improvise(request(reasoning_effort="low")) if e.kind == "thinking"]
    assert thinking[-1].signature and not [e for e in improvise(request(reasoning_effort="none")) if e.kind == "thinking"]


def test_results_end_a_turn_and_the_next_begins_anew() -> None:
    call = {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
    }
    history = [{"role": "user", "content": "Rome?"}, call, {"role": "tool", "tool_call_id": "c", "content": '{"t": 18}'}]
    asked = normalize("chat", {"model": "m", "messages": history, "tools": [TOOL]})
    assert answer(asked)[0] == "get_weather says: t 18."
    history += [{"role": "assistant", "content": "18"}, {"role": "user", "content": "And in Paris?"}]
    found = list(improvise(normalize("chat", {"model": "m", "messages": history, "tools": [TOOL]})))
    assert found[0].id == "call_sim2"


@pytest.mark.parametrize("text", ["", " ", "a", "two words", " round about \n"])
def test_pieces_add_up(text: str) -> None:
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer", "minimum": 3, "maximum": 5}, 3),
        ({"type": ["null", "number"], "exclusiveMaximum": 1}, 0),
        ({"enum": ["a", "b"]}, "a"),
        ({"anyOf": [{"type": "null"}, {"const": 7}]}, 7),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "boolean"}}}, True),
        ({"type": "array", "minItems": 2, "items": {"type": "string"}}, ["text", "text"]),
        (
            {"allOf": [{"properties": {"a": {"default": 1}}}, {"properties": {"b": {"format": "date", "type": "string"}}}]},
            {"a": 1, "b": "2026-01-01"},
        ),
        ({"type": "object", "required": ["x"]}, {"x": "x"}),
        ({"type": "string", "minLength": 6, "maxLength": 6}, "textxx"),
        (None, {}),
        ({}, {}),
    ],
)
def test_values_fit_schemas(schema: Any, value: Any) -> None:
    assert Inventor().value(schema) == value


def test_a_schema_that_holds_itself_ends() -> None:
    tree: dict[str, Any] = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    assert Inventor().value(tree)["child"]["child"] is not None
