"""Parameters that only one wire has: by name, in the words of their dialect, through a gateway's reading, and on other wires."""

from __future__ import annotations

from typing import Any

import pytest

import engine
from engine.call.json import loads
from engine.call.native_params import lifted
from engine.catalog import Catalog
from engine.errors import ConfigError, UnsupportedError
from engine.types import Report

HELLO = [{"role": "user", "content": "hi"}]
WIRE = {
    "operation": "chat",
    "post": "/chat",
    "body": {"messages": {"$for": "m in messages", "text": "{{ m.text }}"}, "kept": "{{ true if session }}"},
    "params": {"max_tokens": "options.limit"},
    "native_params": {
        "options": "options",
        "session": {"to": "state.session", "only": ["a", "b"]},
        "depth": {"max": 3},
        "mood": {"if": "not session"},
    },
    "response": {"text": "text"},
}
OTHER = {"operation": "chat", "post": "/talk", "body": {"text": "{{ messages[0].text }}"}, "response": {"text": "text"}}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    def provider(chat: dict[str, Any]) -> dict[str, Any]:
        wire = {key: value for key, value in chat.items() if key != "operation"}
        return {"name": "Acme", "base_url": "https://api.acme.example", "chat": wire, "models": {"default": "m"}}

    return Catalog([{"acme": provider(WIRE)}, {"zeta": provider(OTHER)}])


def render(catalog: Catalog, target: str, **fields: Any) -> tuple[Any, Report]:
    request = catalog.operation(target, "chat", environ={}).render(messages=HELLO, **fields)
    assert request.report is not None
    return loads(request.body or b"{}"), request.report


def test_they_are_given_by_name_and_follow_the_policy_of_parameters(catalog: Catalog) -> None:
    body, report = render(catalog, "acme/m", session="a", depth=7, mood="calm", options={"limit": 1, "width": 2}, max_tokens=9)
    assert body == {
        "messages": [{"text": "hi"}],
        "kept": True,
        "options": {"limit": 9, "width": 2},
        "state": {"session": "a"},
        "depth": 3,
    }
    assert {name: told["fate"] for name, told in report.parameters.items()} == {
        "session": "renamed", "depth": "clamped", "mood": "dropped", "options": "sent", "max_tokens": "renamed",
    }  # fmt: skip
    with pytest.raises(UnsupportedError, match="it takes a, b"):
        render(catalog, "acme/m", session="c")


def test_what_is_given_is_not_changed(catalog: Catalog) -> None:
    options = {"limit": 1}
    render(catalog, "acme/m", options=options, max_tokens=9)
    assert options == {"limit": 1}


def test_another_wire_drops_them_with_a_warning(catalog: Catalog) -> None:
    render(catalog, "acme/m")
    body, report = render(catalog, "zeta/m", session="a", depth=1)
    assert body == {"text": "hi"}
    assert report.warnings == [f"{name} was dropped: zeta does not take it" for name in ("session", "depth")]
    assert report.parameters["depth"] == {"fate": "dropped", "value": 1, "reason": "zeta does not take it"}
    with pytest.raises(UnsupportedError, match="cannot express `session`"):
        render(catalog, "zeta/m", session="a", unsupported="error")
    assert render(catalog, "zeta/m", session="a", unsupported="ignore")[1].warnings == []


def test_a_name_nobody_has_is_an_error(catalog: Catalog) -> None:
    with pytest.raises(ConfigError, match="no field `sesion`; did you mean `session`"):
        render(catalog, "acme/m", sesion="a")
    with pytest.raises(ConfigError, match="no field `sesion`"):
        render(catalog, "zeta/m", sesion="a", session="a")


def test_what_came_in_the_words_of_a_wire_is_lifted_and_the_rest_stays() -> None:
    plan = Catalog().operation("ollama/m", "chat", environ={}).plan
    given = {"extra": {"ollama": {"keep_alive": "1m", "shift": True}, "other": {"x": 1}}}
    assert lifted(plan, given) == {"keep_alive": "1m", "extra": {"ollama": {"shift": True}, "other": {"x": 1}}}
    assert lifted(plan, {**given, "keep_alive": "9m"}) == {**given, "keep_alive": "9m"}
    assert lifted(plan, {"extra": {"ollama": {"keep_alive": "1m"}}}) == {"keep_alive": "1m"}


BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic-messages": (
        "anthropic/claude-sonnet-4-6",
        {
            "max_tokens": 9,
            "messages": HELLO,
            "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
            "container": "c1",
            "mcp_servers": [{"type": "url", "url": "https://mcp.example.com", "name": "n"}],
        },
    ),
    "openai-responses": (
        "openai:responses/gpt-5",
        {
            "input": [{"type": "message", "role": "user", "content": "hi"}],
            "instructions": "Be brief.",
            "previous_response_id": "resp_1",
            "truncation": "auto",
            "background": True,
            "prompt": {"id": "p"},
        },
    ),
    "gemini": (
        "google-gemini/gemini-3-pro-preview",
        {
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
            "cachedContent": "cachedContents/1",
            "generationConfig": {"imageConfig": {"aspectRatio": "1:1"}},
        },
    ),
    "ollama": ("ollama/m", {"messages": HELLO, "stream": False, "keep_alive": "5m", "options": {"num_ctx": 9, "seed": 1}}),
    "cohere-v2": ("cohere/command-a-03-2025", {"messages": HELLO, "stream": False, "citation_options": {"mode": "FAST"}}),
}


@pytest.mark.parametrize("dialect", sorted(BODIES))
def test_through_a_gateway_they_return_to_their_own_wire_and_no_other(dialect: str) -> None:
    catalog = Catalog()
    target, body = BODIES[dialect]
    accept = catalog.served(dialect).accept
    assert accept is not None
    fields = {k: v for k, v in accept(dict(body)).items() if k != "model"}
    operation = catalog.operation(target, "chat", environ={})
    own = set(operation.plan.native)
    request = operation.render(**fields)
    assert request.report is not None
    again = loads(request.body or b"{}")
    assert {k: v for k, v in again.items() if k != "model"} == body
    assert request.report.warnings == [] and own & request.report.parameters.keys()
    elsewhere = catalog.operation("groq/llama-3.3-70b-versatile", "chat", environ={}).render(**fields)
    assert elsewhere.report is not None and elsewhere.report.warnings[0].startswith(f"what only {dialect} understands was dropped")
    assert not set(loads(elsewhere.body or b"{}")) & own


def test_a_lone_text_keeps_the_instructions_beside_it() -> None:
    client = engine.Client(providers={"openai": {"api_key": "k"}})
    told = client.chat.explain("openai/gpt-4.1", "hi", dialect="anthropic-messages", system="Be brief.", max_tokens=5).body
    assert [m["content"] for m in told["messages"]] == ["Be brief.", "hi"]
    told = client.chat.explain("openai/gpt-4.1", "hi", instructions="Be brief.").body
    assert [m["content"] for m in told["messages"]] == ["Be brief.", "hi"]
