"""Calls and results find each other; tools, choices, formats and reasoning of every spelling (SPEC_LANGUAGE 12.1, SERVE 2)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.call.normalize import normalize


def call(name: str, id: str | None = None, arguments: Any = "{}") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **({"id": id} if id else {})}


def asks(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def told(id: str | None = None, content: Any = "r", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content, **({"tool_call_id": id} if id else {}), **more}


def tool_parts(*messages: Any) -> list[dict[str, Any]]:
    out = normalize("chat", {"messages": list(messages)})
    return [p for m in out["messages"] for p in m["parts"] if p["type"] in ("tool_call", "tool_result")]


def ids(*messages: Any) -> list[str]:
    return [p["id"] for p in tool_parts(*messages)]


def fields(**given: Any) -> dict[str, Any]:
    return normalize("chat", {"messages": "x", **given})


# --- pairing ------------------------------------------------------------------------------------------------------------


def test_results_are_named_from_their_calls() -> None:
    out = normalize("chat", {"messages": [asks(call("f", "a"), call("g", "b")), told("b"), told("a")]})
    assert [m["tool_name"] for m in out["messages"][1:]] == ["g", "f"]
    assert out["has_tool_history"] is True


def test_calls_and_results_without_ids_are_paired_by_name_and_order() -> None:
    found = tool_parts(asks(call("f"), call("g"), call("f")), told(name="g"), told(name="f"), told())
    assert [p["id"] for p in found] == ["call_1", "call_2", "call_3", "call_2", "call_1", "call_3"]
    assert all(p["made"] and "given_id" not in p for p in found)


def test_made_ids_avoid_the_callers() -> None:
    assert ids(asks(call("f", "call_1"), call("g"))) == ["call_1", "call_2"]


def test_doubled_ids_are_told_apart_for_call_and_result_alike() -> None:
    assert ids(asks(call("f", "x")), told("x"), asks(call("f", "x")), told("x")) == ["x", "x", "x_2", "x_2"]
    assert ids(asks(call("f", "x"), call("g", "x")), told("x"), told("x")) == ["x", "x_2", "x", "x_2"]
    assert ids(asks(call("f", "x")), asks(call("f", "x")), told("x")) == ["x", "x_2", "x_2"]
    assert ids(asks(call("f", "x"), call("f", "x_2")), told("x"), told("x_2"), asks(call("f", "x")), told("x"))[-1] == "x_3"


def test_given_ids_are_seen_only_where_the_caller_wrote_one() -> None:
    found = tool_parts(asks(call("f", "x")), told(name="f"))
    assert [p.get("given_id") for p in found] == ["x", "x"]


def test_a_result_without_a_call_keeps_its_id() -> None:
    assert ids(told("lost")) == ["lost"]


def test_legacy_functions() -> None:
    out = normalize(
        "chat",
        {
            "messages": [
                {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}},
                {"role": "function", "name": "f", "content": "r"},
            ],
            "functions": [{"name": "f", "parameters": {}}],
            "function_call": {"name": "f"},
        },
    )
    assert [m["role"] for m in out["messages"]] == ["assistant", "tool"]
    assert out["messages"][1]["id"] == out["messages"][0]["tool_calls"][0]["id"] == "call_1"
    assert out["tools"] == [{"name": "f", "parameters": {}}] and out["tool_choice"] == {"mode": "tool", "name": "f"}


def test_content_blocks_of_tools_are_split_into_messages() -> None:
    out = normalize(
        "chat",
        {
            "messages": [
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "r"}], "is_error": True},
                        {"type": "text", "text": "go on"},
                    ],
                },
            ]
        },
    )
    assert [m["role"] for m in out["messages"]] == ["assistant", "tool", "user"]
    tool = out["messages"][1]
    assert (tool["id"], tool["tool_name"], tool["text"], tool["is_error"]) == ("t1", "f", "r", True)
    assert out["messages"][0]["tool_calls"][0]["arguments_json"] == '{"a":1}'


# --- arguments and results ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "parsed", "text"),
    [
        ('{"a": 1}', {"a": 1}, '{"a": 1}'),
        ({"a": 1}, {"a": 1}, '{"a":1}'),
        ("", {}, "{}"),
        (None, {}, "{}"),
        ("  ", {}, "  "),
        ("null", {}, "null"),
        ("[1]", [1], "[1]"),
        ('{"a": ', '{"a": ', '{"a": '),
    ],
)
def test_arguments_are_parsed_and_broken_ones_kept(given: Any, parsed: Any, text: str) -> None:
    (part,) = tool_parts(asks(call("f", "a", given)))
    assert (part["arguments"], part["arguments_json"]) == (parsed, text)
    assert part.get("invalid") is (True if given == '{"a": ' else None)


@pytest.mark.parametrize(
    ("content", "text", "json", "plain"),
    [
        ("18 degrees", "18 degrees", None, True),
        ("", "", None, True),
        (None, "", None, True),
        ('{"a": 1}', '{"a": 1}', {"a": 1}, True),
        ("[1, 2]", "[1, 2]", [1, 2], True),
        ("{oops", "{oops", None, True),
        ("42", "42", None, True),
        ({"a": 1}, '{"a":1}', {"a": 1}, False),
        ([1, 2], "[1,2]", [1, 2], False),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab", None, False),
    ],
)
def test_views_of_results(content: Any, text: str, json: Any, plain: bool) -> None:
    out = normalize("chat", {"messages": [asks(call("f", "a")), told("a", content)]})
    message = out["messages"][1]
    assert (message["text"], message["json"], message["plain"]) == (text, json, plain)


def test_images_inside_results() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    out = normalize("chat", {"messages": [asks(call("f", "a")), told("a", [{"type": "text", "text": "see"}, image])]})
    assert [p["type"] for p in out["messages"][1]["result_parts"]] == ["text", "image"]
    assert out["messages"][1]["result_parts"][1]["uri"] == "data:image/png;base64,AAAA"


# --- tools -------------------------------------------------------------------------------------------------------------


def test_tools_of_every_spelling() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}

    def g(a: str) -> None:
        """Does g."""

    wanted = {"name": "g", "description": "Does g.", "parameters": schema}
    for given in (
        {"type": "function", "function": {"name": "g", "description": "Does g.", "parameters": schema}},
        {"type": "function", "name": "g", "description": "Does g.", "parameters": schema},
        {"name": "g", "description": "Does g.", "parameters": schema},
        {"name": "g", "description": "Does g.", "input_schema": schema},
        {"type": "custom", "name": "g", "description": "Does g.", "input_schema": schema},
        {"name": "g", "description": "Does g.", "inputSchema": schema},
    ):
        assert fields(tools=[given])["tools"] == [wanted]
    assert fields(tools=[g])["tools"][0]["parameters"] == {**schema, "required": ["a"]}


def test_marks_on_tools() -> None:
    function = {"name": "g", "strict": True}
    (tool,) = fields(tools=[{"type": "function", "function": function, "cache_control": {"type": "ephemeral"}}])["tools"]
    assert tool == {"name": "g", "strict": True, "cache": {"type": "ephemeral"}}


def test_tools_that_the_provider_runs_are_kept_whole() -> None:
    search = {"type": "web_search", "max_uses": 2}
    out = fields(tools=[search, {"name": "g"}])
    assert out["server_tools"] == [{"type": "web_search", "native": search}] and out["tools"] == [{"name": "g"}]
    assert "tools" not in fields(tools=[search])


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("auto", {"mode": "auto"}),
        ("any", {"mode": "required"}),
        ("g", {"mode": "tool", "name": "g"}),
        ({"type": "none"}, {"mode": "none"}),
        ({"type": "any"}, {"mode": "required"}),
        ({"type": "function", "function": {"name": "g"}}, {"mode": "tool", "name": "g"}),
        ({"function": {"name": "g"}}, {"mode": "tool", "name": "g"}),
        ({"type": "function", "name": "g"}, {"mode": "tool", "name": "g"}),
        ({"type": "tool", "name": "g"}, {"mode": "tool", "name": "g"}),
        ({"mode": "tool", "name": "g"}, {"mode": "tool", "name": "g"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]},
            },
            {"mode": "required", "allowed": ["g"]},
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]},
            {"mode": "auto", "allowed": ["g"]},
        ),
    ],
)
def test_choices(given: Any, wanted: dict[str, Any]) -> None:
    assert fields(tools=[{"name": "g"}], tool_choice=given)["tool_choice"] == wanted


def test_a_choice_may_forbid_parallel_calls() -> None:
    out = fields(tools=[{"name": "g"}], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert out["parallel_tool_calls"] is False


# --- the rest ----------------------------------------------------------------------------------------------------------


SCHEMA = {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("json_object", {"type": "json_object"}),
        ({"type": "text"}, {"type": "text"}),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True, "description": "d"}},
            {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True, "description": "d"},
        ),
        ({"type": "json_schema", "json_schema": {"schema": SCHEMA}}, {"type": "json_schema", "name": "answer", "schema": SCHEMA}),
        ({"type": "json_schema", "name": "n", "schema": SCHEMA}, {"type": "json_schema", "name": "n", "schema": SCHEMA}),
        ({"type": "json_object", "schema": SCHEMA}, {"type": "json_schema", "name": "answer", "schema": SCHEMA}),
        (SCHEMA, {"type": "json_schema", "name": "answer", "schema": SCHEMA}),
        ({**SCHEMA, "title": "A b"}, {"type": "json_schema", "name": "A_b", "schema": {**SCHEMA, "title": "A b"}}),
    ],
)
def test_response_formats(given: Any, wanted: dict[str, Any]) -> None:
    assert fields(response_format=given)["response_format"] == wanted


@pytest.mark.parametrize(
    ("given", "wanted", "effort"),
    [
        ({"reasoning_effort": "high"}, {"effort": "high", "mode": "enabled"}, "high"),
        ({"reasoning": "low"}, {"effort": "low", "mode": "enabled"}, "low"),
        ({"reasoning": {"effort": "none"}}, {"effort": "none", "mode": "none"}, "none"),
        ({"reasoning": {"effort": "auto"}}, {"effort": "auto", "mode": "auto"}, None),
        ({"reasoning_effort": "max"}, {"effort": "xhigh", "mode": "enabled"}, "max"),
        ({"reasoning_effort": "default"}, {"effort": "auto", "mode": "auto"}, "default"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"budget": 2048, "mode": "enabled"}, "low"),
        ({"thinking": {"type": "enabled"}}, {"effort": "auto", "mode": "auto"}, None),
        ({"thinking": {"type": "adaptive"}, "reasoning_effort": "high"}, {"effort": "high", "mode": "enabled"}, "high"),
        ({"thinking": {"type": "disabled"}}, {"effort": "none", "mode": "none"}, "none"),
        ({"reasoning": {"max_tokens": 9000, "exclude": True}}, {"budget": 9000, "visible": False, "mode": "enabled"}, "high"),
        ({"thinking_budget": 0}, {"budget": 0, "mode": "none"}, "none"),
        ({"thinking_budget": -1}, {"effort": "auto", "mode": "auto"}, None),
        ({"reasoning": {"summary": "auto"}}, {"summary": "auto", "mode": "auto"}, None),
        ({"reasoning": False}, {"effort": "none", "mode": "none"}, "none"),
    ],
)
def test_reasoning_in_both_ways(given: dict[str, Any], wanted: dict[str, Any], effort: str | None) -> None:
    out = fields(**given)
    assert out["reasoning"] == wanted and out.get("reasoning_effort") == effort and "thinking" not in out


def test_other_spellings_of_settings() -> None:
    out = fields(max_completion_tokens=5, stop="END", stream_options={"include_usage": True}, seed=None)
    assert (out["max_tokens"], out["stop"], out["stream_usage"]) == (5, ["END"], True)
    assert "seed" not in out and "max_completion_tokens" not in out
    assert fields(max_tokens=3, max_completion_tokens=5)["max_tokens"] == 3
