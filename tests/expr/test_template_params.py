"""Parameters: renamed, clamped, replaced, refused, reported (SPEC_LANGUAGE 5.2)."""

from __future__ import annotations

import copy

import pytest

from engine.errors import ConfigError, UnsupportedError
from engine.types import Report
from tests.expr.templating import Spec, chat

TABLE = """\
params:
  temperature: {max: 1, if: not reasoning or reasoning.mode == 'none'}
  top_p: topP
  max_tokens: {to: config.maxTokens, default: "{{ model_info.max_output or 4096 }}"}
  top_k: config.topK
  stop: {to: stop_sequences, max_items: 2}
  reasoning_effort: {to: effort, table: {minimal: low, none: ~}}
  seed: {value: "{{ seed ~ '' }}"}
  n: {min: 1, max: "{{ model_info.most }}"}
  service_tier: {only: [auto, default]}
  user: metadata.user_id
  metadata: metadata
  modalities: {table: {text: TEXT}, only: [TEXT, image]}
"""


def lay(body=None, unsupported="warn", table=TABLE, **context):
    report = Report()
    made = chat(table).functions["params"]({"$dialects": ("acme",), "$report": report, **context}, body, report, unsupported)
    return made, report


def test_the_table_compiles_without_problems():
    assert not chat(TABLE).problems


def test_parameters_are_sent_renamed_and_nested():
    made, report = lay({"model": "m"}, top_p=0.5, top_k=3, max_tokens=7)
    assert made == {"model": "m", "topP": 0.5, "config": {"maxTokens": 7, "topK": 3}}
    assert report.parameters == {
        "top_p": {"fate": "renamed", "to": "topP"},
        "max_tokens": {"fate": "renamed", "to": "config.maxTokens"},
        "top_k": {"fate": "renamed", "to": "config.topK"},
    }
    assert report.warnings == []


def test_a_body_that_is_nothing_becomes_a_mapping():
    assert lay(None, top_p=1)[0] == {"topP": 1, "config": {"maxTokens": 4096}}


def test_defaults_are_reported_as_such():
    made, report = lay({}, model_info={"max_output": 99})
    assert made == {"config": {"maxTokens": 99}}
    assert report.parameters == {"max_tokens": {"fate": "default", "to": "config.maxTokens", "sent": 99}}


def test_clamping_warns_and_floats_stay_floats():
    made, report = lay({}, temperature=1.5, max_tokens=1, n=0, stop=["a", "b", "c"])
    assert made["temperature"] == 1.0 and made["temperature"].__class__ is float
    assert made["n"] == 1 and made["stop_sequences"] == ["a", "b"]
    assert report.parameters["temperature"] == {"fate": "clamped", "value": 1.5, "sent": 1.0}
    assert report.parameters["stop"]["fate"] == "clamped" and len(report.warnings) == 3
    made, report = lay({}, temperature=1.0, n=5, model_info={"most": 3})
    assert made["temperature"].__class__ is float and made["n"] == 3
    assert report.parameters["temperature"] == {"fate": "sent"}


def test_a_false_condition_drops_with_a_warning():
    made, report = lay({}, temperature=0.5, reasoning={"mode": "auto"})
    assert "temperature" not in made
    assert report.parameters["temperature"]["fate"] == "dropped" and len(report.warnings) == 1
    assert lay({}, temperature=0.5, reasoning={"mode": "none"})[0]["temperature"] == 0.5
    assert lay({}, "ignore", temperature=0.5, reasoning={"mode": "auto"})[1].warnings == []
    with pytest.raises(UnsupportedError, match="temperature"):
        lay({}, "error", temperature=0.5, reasoning={"mode": "auto"})


def test_values_are_replaced_refused_and_rewritten():
    made, report = lay({}, reasoning_effort="minimal", seed=5, modalities=["text", "image"])
    assert made["effort"] == "low" and made["seed"] == "5" and made["modalities"] == ["TEXT", "image"]
    assert report.parameters["reasoning_effort"] == {"fate": "renamed", "to": "effort", "value": "minimal", "sent": "low"}
    made, report = lay({}, reasoning_effort="none")
    assert "effort" not in made and report.parameters["reasoning_effort"]["fate"] == "dropped"
    assert lay({}, service_tier="auto")[0]["service_tier"] == "auto"
    with pytest.raises(UnsupportedError, match="`service_tier` = flex; it takes auto, default"):
        lay({}, service_tier="flex")


def test_two_parameters_under_one_path_are_merged_and_data_is_not_touched():
    metadata, body = {"k": "v"}, {"config": {"a": 1}}
    before = copy.deepcopy((metadata, body))
    made, _ = lay(dict(body), user="u", metadata=metadata, top_k=1)
    assert made["metadata"] == {"k": "v", "user_id": "u"}
    assert made["config"] == {"a": 1, "topK": 1, "maxTokens": 4096}
    assert (metadata, body) == before
    constant = chat("body: {config: {a: 1}}\n" + TABLE)
    for _ in range(2):
        made = constant.functions["params"]({}, constant.functions["body"]({}), Report(), "warn")
        assert made["config"] == {"a": 1, "maxTokens": 4096}


@pytest.mark.parametrize("wrong", [{"temperature": "hot"}, {"stop": "x"}, {"n": [1]}, {"n": 3, "model_info": {"most": "x"}}])
def test_values_of_the_wrong_kind_are_typed_errors(wrong):
    with pytest.raises(ConfigError):
        lay({}, **wrong)


def test_a_path_through_text_is_a_typed_error():
    with pytest.raises(ConfigError, match="config"):
        lay({"config": "text"}, top_k=1)


def test_problems_of_the_table():
    spec = chat(
        "params: {temprature: x, top_p: {two: y}, top_k: a..b, n: {max: many}, stop: {table: 3}, "
        'seed: {value: "{{ sed }}"}, user: ~}'
    )
    assert [(p.rule, p.suggestion) for p in spec.problems] == [
        ("bad-path", None),
        ("unknown-parameter", "temperature"),
        ("unknown-key", "to"),
        ("wrong-type", None),
        ("wrong-type", None),
        ("unknown-name", "seed"),
    ]


def test_the_requests_extra_lies_over_the_body_of_its_own_dialect():
    body = {"l": [{"a": 1}, {"b": 1}], "m": {"k": 1}}
    extra = {"acme": {"l": {"1": {"c": 2}, "7": {"d": 3}}, "m": {"q": 2}, "new": {}}, "other": {"x": 1}}
    before = copy.deepcopy((body, extra))
    made, report = lay(dict(body), extra=extra, table="params: {top_p: p}")
    assert made == {"l": [{"a": 1}, {"b": 1, "c": 2}, {"d": 3}], "m": {"k": 1, "q": 2}, "new": {}}
    assert report.warnings == ["what only other understands was dropped by this request: x"]
    assert (body, extra) == before
    assert lay({"l": [1]}, extra={"acme": {"l": [2]}}, table="params: {top_p: p}")[0] == {"l": [1, 2]}


CARRIERS = """\
parts: {text: {type: text, text: "{{ part.text }}"}}
body:
  messages:
    $for: m in messages
    $switch: m.role
    user: {role: user, content: "{{ m.text if m.plain else parts(m.parts) }}"}
    assistant: [{$if: m.text, text: "{{ m.text }}"}, {$for: c in m.tool_calls, call: "{{ c.name }}"}]
  tools: {$for: t in tools, name: "{{ t.name }}"}
"""


def carried(**context):
    report = Report()
    return Spec(CARRIERS, __import__("engine").vocabulary.REQUESTS["chat"]).render("body", **{"$report": report}, **context), report


def test_native_items_return_to_their_dialect_only():
    native = {"type": "native", "dialect": "acme", "data": {"weird": [1]}}
    foreign = {"type": "native", "dialect": "zzz", "data": {"x": 1}}
    made, report = carried(messages=[{"role": "user", "parts": [native, foreign]}, native], tools=[foreign, native, {"name": "t"}])
    assert made == {
        "messages": [{"role": "user", "content": [{"weird": [1]}]}, {"weird": [1]}],
        "tools": [{"weird": [1]}, {"name": "t"}],
    }
    assert made["messages"][1] is native["data"]
    assert report.warnings == ["an item only zzz understands was dropped by acme"]
    with pytest.raises(UnsupportedError, match="zzz"):
        carried(tools=[foreign], **{"$unsupported": "error"})


def test_extra_of_messages_tools_and_parts_is_laid_over_what_they_wrote():
    messages = [
        {"role": "user", "plain": True, "text": "hi", "extra": {"acme": {"name": "n", "role": "developer"}}},
        {"role": "user", "parts": [{"type": "text", "text": "a", "extra": {"acme": {"cache": {"ttl": 1}}}}]},
        {"role": "assistant", "text": "x", "tool_calls": [{"name": "f"}], "extra": {"acme": {"id": "1"}}},
        {"role": "assistant", "extra": {"acme": {"id": "2"}, "zzz": {}}},
    ]
    before = copy.deepcopy(messages)
    made, report = carried(messages=messages)
    assert made["messages"] == [
        {"role": "developer", "content": "hi", "name": "n"},
        {"role": "user", "content": [{"type": "text", "text": "a", "cache": {"ttl": 1}}]},
        {"text": "x", "id": "1"},
        {"call": "f"},
    ]
    assert messages == before
    assert report.warnings == [
        "what only zzz understands was dropped by acme",
        "acme could not place what came with an item: id",
    ]
