"""Requests are read with the templates that write them (SERVE.md 2 to 4; RELIABILITY E1, E5, G6)."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from engine import vocabulary
from engine.catalog import Catalog
from engine.expr.backward import Patterns
from engine.serve.accept import compile_accept
from engine.serve.mounts import Mounts
from engine.spec.load import load
from engine.spec.problem import Problems
from engine.types import Report
from tests.serve.answers import SERVED

CATALOG = Catalog()


def read(text: str, value: Any, tables: dict[str, Any] | None = None, parts: str | None = None, over: str | None = None) -> Any:
    """(leftover, bindings) of a value under a template written as YAML, or None."""
    problems = Problems()
    node = load(f"x: {text}" if "\n" not in text else "x:\n" + text, "t.yaml", problems)
    table = load(parts, "p.yaml", problems) if parts else None
    second = load(f"x: {over}", "o.yaml", problems) if over else None
    assert node is not None and not problems.errors, problems
    patterns = Patterns(problems, vocabulary.CHAT, tables or {}, ("acme",), table)
    bindings: dict[str, Any] = {}
    match = patterns.body(node.get("x"), second.get("x") if second else None)(value, bindings)
    return None if match is None else (match[0], bindings)


# --- templates read backwards -------------------------------------------------------------------------------------------


def test_a_constant_is_a_guard() -> None:
    template = '{type: text, text: "{{ prefill }}"}'
    assert read(template, {"type": "text", "text": "a"}) == (None, {"prefill": "a"})
    assert read(template, {"text": "a"}) == (None, {"prefill": "a"})
    assert read(template, {"type": "image", "text": "a"}) is None


def test_several_constants_may_stand_for_one() -> None:
    template = "{role: \"{{ 'system' or 'developer' }}\", x: \"{{ model }}\"}"
    assert read(template, {"role": "developer", "x": "m"}) == (None, {"model": "m"})
    assert read(template, {"role": "user", "x": "m"}) is None


def test_a_text_that_is_put_together_is_taken_apart() -> None:
    template = "{text: \"{{ (('<t>' ~ prefill ~ '</t>' if prefill else '') ~ (system or '')) or '' }}\"}"
    assert read(template, {"text": "<t>a\nb</t>c </t>"}) == (None, {"prefill": "a\nb", "system": "c </t>"})
    assert read(template, {"text": "<t>a</t>"}) == (None, {"prefill": "a"})
    assert read(template, {"text": "no mark, <t>x"}) == (None, {"system": "no mark, <t>x"})
    assert read(template, {"text": ""}) == (None, {})
    long = "<t>" + "x" * 300_000
    assert read(template, {"text": long}) == (None, {"system": long})
    assert read("{text: \"{{ model ~ '-' ~ system }}\"}", {"text": "a-b-c"}) == (None, {"model": "a", "system": "b-c"})


def test_unknown_keys_are_left_over() -> None:
    assert read('{model: "{{ model }}"}', {"model": "m", "new": {"a": 1}, "old": None}) == ({"new": {"a": 1}}, {"model": "m"})


def test_a_mapping_fits_only_if_one_key_does() -> None:
    assert read('{model: "{{ model }}"}', {"other": 1}) is None


def test_text_with_holes_is_anchored() -> None:
    template = "\"/models/{{ model | quote }}:{{ 'stream' if stream else 'whole' }}\""
    assert read(template, "/models/a%2Fb:stream") == (None, {"model": "a/b", "stream": True})
    assert read(template, "/models/a:other") is None
    assert read(template, "/v2/models/a:whole") is None


def test_expressions_of_closed_names_are_tables() -> None:
    assert read("\"{{ {'required': 'ANY', 'auto': 'AUTO'}[tool_choice.mode] }}\"", "ANY") == (
        None,
        {"tool_choice": {"mode": "required"}},
    )
    level = '"{{ tables.level[reasoning.effort] }}"'
    assert read(level, 8, {"level": {"low": 1, "high": 8}}) == (None, {"reasoning": {"effort": "high"}})
    assert read(level, 9, {"level": {"low": 1, "high": 8}}) is None


def test_a_word_that_is_written_as_itself_comes_first() -> None:
    tables = {"level": {"none": "low", "minimal": "low", "low": "low"}}
    assert read('"{{ tables.level[reasoning.effort] }}"', "low", tables) == (None, {"reasoning": {"effort": "low"}})


def test_a_default_says_nothing() -> None:
    assert read("\"{{ user | default('nobody') }}\"", "nobody") == (None, {})
    assert read("\"{{ user | default('nobody') }}\"", "me") == (None, {"user": "me"})
    assert read("\"{{ user or 'nobody' }}\"", "nobody") == (None, {})


def test_filters_have_inverses() -> None:
    assert read('"{{ response_format.schema | json }}"', '{"type":"object"}') == (
        None,
        {"response_format": {"schema": {"type": "object"}}},
    )
    assert read('"{{ user | upper }}"', "ME") == (None, {"user": "me"})
    assert read('"{{ user | b64 }}"', "bWU=") == (None, {"user": "me"})
    assert read('"{{ response_format.schema | schema }}"', {"type": "OBJECT"}) == (
        None,
        {"response_format": {"schema": {"type": "object"}}},
    )


def test_a_mapping_is_taken_where_the_condition_says_mapping() -> None:
    template = (
        "{$for: call in messages, a: \"{{ call.arguments if call.arguments is mapping else {'text': call.arguments_json} }}\"}"
    )
    assert read(template, [{"a": {"text": "x"}}]) == (None, {"messages": [{"arguments": {"text": "x"}}]})


def test_the_case_that_fits_best_is_bound() -> None:
    template = (
        "{$switch: response_format.type, json_object: {type: json}, "
        'json_schema: {type: schema, schema: "{{ response_format.schema }}"}}'
    )
    assert read(template, {"type": "json"}) == (None, {"response_format": {"type": "json_object"}})
    got = read(template, {"type": "schema", "schema": {"a": 1}})
    assert got == (None, {"response_format": {"type": "json_schema", "schema": {"a": 1}}})


def test_a_condition_is_met_when_its_payload_is_there() -> None:
    assert read("{$if: reasoning.mode == 'none', type: disabled, x: \"{{ model }}\"}", {"type": "disabled", "x": "m"}) == (
        None,
        {"model": "m", "reasoning": {"mode": "none"}},
    )


def test_what_is_written_only_with_a_name_needs_that_name() -> None:
    template = '{$for: p in messages, $if: p.id, type: reasoning, id: "{{ p.id }}", text: "{{ p.text }}"}'
    native = {"type": "reasoning", "text": "x"}
    assert read(template, [native]) == (None, {"messages": [{"type": "native", "dialect": "acme", "data": native}]})


def test_an_item_no_template_fits_stays_at_its_place() -> None:
    template = '{$for: m in messages, $switch: m.role, user: {role: user, content: "{{ m.text }}"}}'
    value = [{"role": "user", "content": "a"}, {"role": "alien", "x": 1}, {"role": "user", "content": "b", "mood": "good"}]
    assert read(template, value)[1]["messages"] == [
        {"role": "user", "text": "a"},
        {"type": "native", "dialect": "acme", "data": {"role": "alien", "x": 1}},
        {"role": "user", "text": "b", "extra": {"acme": {"mood": "good"}}},
    ]


def test_a_bare_text_is_one_user_message() -> None:
    got = read('{$for: m in messages, role: "{{ m.role }}", content: "{{ m.text }}"}', "hi")
    assert got[1]["messages"] == [{"role": "user", "parts": [{"type": "text", "text": "hi"}]}]


def test_inner_items_of_one_role_are_one_message() -> None:
    template = (
        "{$for: m in messages, $switch: m.role, assistant: {$for: p in m.parts, $switch: p.type, "
        'text: {type: out, text: "{{ p.text }}"}, tool_call: {type: call, name: "{{ p.name }}"}}}'
    )
    got = read(template, [{"type": "out", "text": "a"}, {"type": "call", "name": "f"}])
    assert got[1]["messages"] == [
        {"role": "assistant", "parts": [{"text": "a", "type": "text"}, {"name": "f", "type": "tool_call"}]}
    ]


def test_parts_are_told_apart_and_a_mark_joins_the_part_before_it() -> None:
    table = (
        'text:\n- {text: "{{ part.text }}"}\n- {$if: part.cache, point: {type: default}}\n'
        'thinking: {text: "{{ part.text }}", thought: true}\n'
    )
    got = read(
        '"{{ parts(system_parts) }}"',
        [{"text": "a"}, {"point": {"type": "default"}}, {"text": "b", "thought": True}, {"c": 1}],
        parts=table,
    )
    assert got[1]["system_parts"] == [
        {"type": "text", "text": "a", "cache": True},
        {"type": "thinking", "text": "b"},
        {"type": "native", "dialect": "acme", "data": {"c": 1}},
    ]


def test_accept_lays_other_spellings_over_a_body() -> None:
    got = read('{a: {x: "{{ model }}"}}', {"a": {"y": "u", "x": "m"}}, over='{a: {y: "{{ user }}"}}')
    assert got == (None, {"model": "m", "user": "u"})


def test_a_value_with_something_left_over_takes_the_place_of_what_is_written() -> None:
    whole = [{"type": "out", "text": "t", "seen": 1}]
    got = read('{content: "{{ user }}"}', {"content": whole}, over='{content: [{type: out, text: "{{ user }}"}]}')
    assert got == ({"content": whole}, {"user": "t"})


def test_texts_that_become_one_keep_their_items() -> None:
    items = [{"type": "s", "text": "a"}, {"type": "s", "text": "b"}]
    got = read('{$for: p in messages, s: [{type: s, text: "{{ p.text }}"}]}', [{"s": items}])
    assert got[1]["messages"] == [{"text": "ab", "extra": {"acme": {"s": {"0": items[0], "1": items[1]}}}}]


def test_what_only_means_something_beside_others_stays_left_over() -> None:
    template = "{include: [\"{{ 'enc' if reasoning and reasoning.mode != 'none' }}\"], model: \"{{ model }}\"}"
    left, bindings = read(template, {"include": ["enc"], "model": "m"})
    assert left == {"include": ["enc"]} and "reasoning" not in bindings


def test_what_cannot_be_read_is_reported_and_left_over() -> None:
    problems = Problems()
    node = load('strict: "{{ tools | length > 3 }}"\nmodel: "{{ model }}"', "t.yaml", problems)
    bindings: dict[str, Any] = {}
    match = Patterns(problems, vocabulary.CHAT, {}, ("acme",)).body(node)({"strict": True, "model": "m"}, bindings)
    assert [p.rule for p in problems] == ["one-way"] and match is not None
    assert (match[0], bindings) == ({"strict": True}, {"model": "m"})


# --- whole requests -----------------------------------------------------------------------------------------------------


def accepted(dialect: str, body: Any) -> dict[str, Any]:
    served = CATALOG.served(dialect)
    assert served.accept is not None
    before = copy.deepcopy(body)
    fields = served.accept(body, Report())
    assert body == before, "the client's body was changed"
    return fields


@pytest.mark.parametrize(
    ("dialect", "path", "said"),
    [
        ("openai-chat", "/chat/completions", {}),
        ("openai-responses", "/responses", {}),
        ("anthropic-messages", "/v1/messages", {}),
        ("gemini", "/v1beta/models/g-1:streamGenerateContent", {"model": "g-1", "stream": True}),
        ("gemini", "/v1/models/g-1:streamGenerateContent", {"model": "g-1", "stream": True}),
        ("bedrock-converse", "/model/arn%3Aaws%3Ax%2Fy/converse-stream", {"model": "arn:aws:x/y", "stream": True}),
        ("cohere-v2", "/v2/chat", {}),
        ("ollama", "/api/chat", {}),
    ],
)
def test_a_route_says_the_model_and_whether_to_stream(dialect: str, path: str, said: dict[str, Any]) -> None:
    route = CATALOG.served(dialect).route
    assert route is not None
    assert route("POST", path, {"alt": "sse"} if said.get("stream") else {}) == said
    assert route("GET", path, {}) is None
    assert route("POST", path + "/more", {}) is None
    assert route("POST", "/" + "a" * 9000, {}) is None


def test_no_two_dialects_share_a_route() -> None:
    paths = [
        "/chat/completions",
        "/responses",
        "/v1/messages",
        "/v1beta/models/m:generateContent",
        "/model/m/converse",
        "/v2/chat",
        "/api/chat",
    ]
    roots = [served for served, _ in Mounts(CATALOG).roots()]
    for path in paths:
        taken = [s for s in roots if s.route is not None and s.route("POST", path, {}) is not None]
        assert len({s.plan.dialects[-1] for s in taken}) == 1, (path, [s.dialect for s in taken])


def test_provider_run_tools_cross_by_their_type_or_stay_with_their_dialect() -> None:
    known = accepted("anthropic-messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}], "messages": []})
    assert known["server_tools"] == [{"type": "web_search"}]
    own = {"type": "bash_20250124", "name": "bash"}
    assert accepted("anthropic-messages", {"tools": [own], "messages": []})["tools"] == [
        {"type": "native", "dialect": "anthropic-messages", "data": own}
    ]


def test_both_spellings_of_protobuf_json_are_read() -> None:
    snake = {
        "contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": "aaaa"}}]}],
        "generation_config": {"max_output_tokens": 5},
    }
    fields = accepted("gemini", snake)
    assert fields["max_tokens"] == 5
    assert fields["messages"][0]["parts"][0]["media_type"] == "image/png"


def test_a_thought_is_thinking_and_no_text() -> None:
    body = {"contents": [{"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "hi"}]}]}
    assert accepted("gemini", body)["messages"][0]["parts"] == [{"type": "thinking", "text": "hm"}, {"type": "text", "text": "hi"}]


def test_data_of_the_callers_keeps_its_keys_in_either_spelling() -> None:
    body = {"contents": [{"role": "model", "parts": [{"function_call": {"name": "f", "args": {"user_id": 1, "a_b": {"c_d": 2}}}}]}]}
    assert accepted("gemini", body)["messages"][0]["parts"][0]["arguments"] == {"user_id": 1, "a_b": {"c_d": 2}}


def test_a_missing_field_means_what_the_wire_says() -> None:
    assert accepted("ollama", {"model": "m", "messages": []})["stream"] is True
    assert accepted("openai-chat", {"model": "m", "messages": []})["stream_usage"] is False


def test_leftovers_of_a_body_belong_to_the_root_dialect() -> None:
    assert accepted("mistral", {"model": "m", "messages": [], "guardrails": [1]})["extra"] == {"openai-chat": {"guardrails": [1]}}


@pytest.mark.parametrize("dialect", SERVED)
@pytest.mark.parametrize(
    "body", [None, [], "x", 5, {}, {"messages": 3, "contents": "x", "input": {"a": 1}}, {"messages": [None, 1, [], {}]}]
)
def test_accepting_never_raises(dialect: str, body: Any) -> None:
    accepted(dialect, body)


@pytest.mark.parametrize("dialect", SERVED)
def test_a_body_nested_as_no_request_is_stays_whole(dialect: str) -> None:
    deep: Any = {"type": "tool_result", "tool_use_id": "a", "content": []}
    for _ in range(3000):
        deep = {"type": "tool_result", "tool_use_id": "a", "content": [deep]}
    served = CATALOG.served(dialect)
    assert served.accept is not None
    key = {"openai-responses": "input", "gemini": "contents"}.get(dialect, "messages")
    assert isinstance(served.accept({"model": "m", key: [{"role": "user", "content": [deep], "parts": [deep]}]}, Report()), dict)


def test_the_same_item_is_read_alike_the_first_and_the_hundredth_time() -> None:
    accepting = compile_accept(*_tree("openai-chat"), Problems())
    for body in (
        {"messages": [{"role": "user", "content": c}]} for c in ("", "Understood.", [{"type": "text", "text": "a"}], "b", [], "c")
    ):
        first, again = accepting.accept(body, None), accepting.accept(json.loads(json.dumps(body)), None)
        assert first == again == compile_accept(*_tree("openai-chat"), Problems()).accept(body, None)


def test_a_streamed_signature_comes_back_as_that_of_thinking() -> None:
    """Clients send the pieces of a stream back, and its signature came on an empty text."""
    parts = [{"text": "Let", "thought": True}, {"text": " me", "thought": True}, {"text": "", "thoughtSignature": "c2ln"}]
    accept = CATALOG.served("gemini").accept
    assert accept is not None
    found = accept({"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": parts}]}, Report())
    assert found["messages"][1]["parts"] == [
        {"type": "thinking", "text": "Let"},
        {"type": "thinking", "text": " me"},
        {"type": "thinking", "signature": "c2ln"},
    ]


def _tree(dialect: str) -> tuple[Any, tuple[str, ...]]:
    from engine.spec.extend import operation_tree
    from engine.spec.node import node_of

    tree, chain = operation_tree(CATALOG, node_of({"chat": dialect}), "chat", (), Problems())
    assert tree is not None
    return tree, chain


def test_a_budget_of_thinking_crosses_as_a_budget_or_an_effort() -> None:
    asked = {"type": "enabled", "budget_tokens": 4096, "display": "omitted"}
    body = {"model": "m", "max_tokens": 9000, "messages": [{"role": "user", "content": "hi"}], "thinking": asked}
    accept = CATALOG.served("anthropic-messages").accept
    assert accept is not None
    fields = accept(body, None)
    del fields["model"]
    assert fields["reasoning"] == {"budget": 4096, "visible": False} and "extra" not in fields

    def sent(target: str) -> tuple[dict[str, Any], list[str]]:
        made = CATALOG.operation(target, "chat", settings={"api_key": "k"}, environ={}).render(**fields)
        assert made.report is not None
        return json.loads(made.body or b""), made.report.warnings

    assert sent("anthropic/claude-sonnet-4-5") == (body | {"model": "claude-sonnet-4-5"}, [])
    newer, _ = sent("anthropic/claude-opus-4-8")
    assert newer["thinking"] == {"type": "adaptive", "display": "omitted"} and newer["output_config"] == {"effort": "medium"}
    assert sent("openai/gpt-5")[0]["reasoning_effort"] == "medium"
    assert sent("google-gemini/gemini-2.5-flash")[0]["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 4096
