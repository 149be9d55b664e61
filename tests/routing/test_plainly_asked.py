"""The short ways of a route say what the long ones say: what a request asks, and what is decided while all is well."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

import engine
from engine.call.normalize import normalize
from engine.routing.asked import ask_of, plainly_asked
from tests.routing.targets import A, B

ANSWER = {"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}]}
SAID = [
    {"messages": "Hi"},
    {"messages": "Sut mae? Byddwch yn garedig — 你好", "max_tokens": 40, "temperature": 0.2, "stop": ["x"], "seed": 1, "user": "u"},
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], "top_p": 1.0, "top_k": 3},
    {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Yes?"},
            {"content": "Go on", "role": "user"},
        ]
    },
    {"messages": [{"role": "user", "content": "word " * 9000}], "presence_penalty": 0.1, "frequency_penalty": 0.1},
]
LONG = [
    {"messages": "Hi", "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
    {"messages": "Hi", "response_format": {"type": "json_object"}},
    {"messages": "Hi", "system": "Be brief."},
    {"messages": "Hi", "service_tier": "flex"},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Well,"}]},
    {"messages": [{"role": "user", "content": "Hi", "name": "Jo"}]},
    {"messages": [{"role": "user", "content": ""}]},
    {"messages": "Hi", "max_tokens": True},
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fields", SAID)
def test_bare_texts_are_read_as_they_are(fields: dict[str, Any], stream: bool) -> None:
    request = normalize("chat", fields, reads=None)
    assert plainly_asked(fields, stream, ("order",)) == ask_of(request, stream=stream, hints={}, policy=("order",))


@pytest.mark.parametrize("fields", LONG)
def test_anything_else_is_made_canonical_first(fields: dict[str, Any]) -> None:
    assert plainly_asked(fields, False, ("order",)) is None


@pytest.mark.parametrize("policy", ["language", "task"])
def test_who_reads_the_text_gets_it(policy: str) -> None:
    assert plainly_asked({"messages": "Hi"}, False, (policy,)) is None


def _client(down: set[str], asked: list[str]) -> engine.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        asked.append("openai" if "openai.com" in request.url.host else "groq")
        return httpx.Response(503 if asked[-1] in down else 200, json=ANSWER)

    keys = {"groq": {"api_key": "gsk-0123456789abcdef"}, "openai": {"api_key": "sk-0123456789abcdef"}}
    return engine.Client(providers=keys, transport=httpx.MockTransport(answer), attempts=1)


def test_a_remembered_decision_holds_only_while_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    from engine.routing import run

    real = run.decide
    monkeypatch.setattr(run, "decide", lambda *given: made.append("decided") or real(*given))
    route, down, asked = engine.Route([A, B]), set(), []  # type: ignore[var-annotated]
    with _client(down, asked) as client:
        first, again = client.chat(route, "Hi"), client.chat(route, "Hi")
        assert made == ["decided"] and asked == ["groq", "groq"]
        assert first.report.route == again.report.route and first.report.attempts[0]["reason"] == "order: place 1"
        client.chat(route, "word " * 110_000)  # longer than the smallest window, if that is taken at its word
        assert len(made) == 2
        client.chat(route, "Hi", response_format={"type": "json_object"})
        client.chat(engine.Route([A, B]), "Hi")  # another one, though equal
        assert len(made) == 4
        del made[:], asked[:]
        down.add("groq")
        fallen = [client.chat(route, "Hi") for _ in range(8)]  # the breaker opens after five
        assert {one.provider for one in fallen} == {"openai"}
        assert asked.count("groq") == 5 and "is open" in fallen[-1].report.route["skipped"][A]
        assert fallen[0].report.attempts[1]["reason"] == "after overloaded, order: place 2"


def test_a_remembered_decision_is_not_used_where_somebody_is_told() -> None:
    told: list[Any] = []
    route, asked = engine.Route([A, B]), []  # type: ignore[var-annotated]
    with _client(set(), asked) as client:
        client.chat(route, "Hi")
        client.on("route_decided", told.append)
        client.chat(route, "Hi")
    assert len(told) == 1 and asked == ["groq", "groq"]
