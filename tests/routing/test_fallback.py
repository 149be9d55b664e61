"""RELIABILITY F1, F2, E2: who is asked next, and what is never asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import engine
from engine.reliability.deadline import Clock
from tests.routing.targets import A, B, C, Several


def instant() -> Clock:
    return Clock(uniform=lambda least, most: least)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("u_503_always", "overloaded"),
        ("u_reset_always", "connection"),
        ({"kind": "rate_limit", "retry_after": 3600}, "rate_limit"),
        ({"kind": "authentication"}, "authentication"),
        ({"kind": "permission"}, "permission"),
        ({"kind": "not_found"}, "not_found"),
    ],
)
def test_a_failure_that_another_target_may_cure_moves_on(fault: Any, kind: str) -> None:
    with Several(groq=fault) as several, several.client(clock=instant()) as client:
        answer = client.chat(engine.Route([A, B]), "hi")
        assert answer.text == "Hello from openai." and answer.provider == "openai"
        kinds = [(a["target"], a["kind"]) for a in answer.report.attempts]
        assert kinds[0] == (A, kind) and kinds[-1] == (B, "ok")
        assert all(a["reason"] and a["seconds"] >= 0 for a in answer.report.attempts)
        assert answer.report.attempts[-1]["reason"].startswith(f"after {kind}")
        assert answer.report.route["chosen"] == B


def test_a_wrong_request_is_wrong_everywhere() -> None:
    with Several(groq="u_400_once") as several, several.client() as client:
        with pytest.raises(engine.errors.InvalidRequestError) as caught:
            client.chat(engine.Route([A, B]), "hi")
        assert several.asked("openai") == 0 and [a["target"] for a in caught.value.attempts] == [A]


def test_the_last_error_leaves_with_every_attempt_and_no_key() -> None:
    with Several(groq="u_500_echo", openai="u_500_echo") as several, several.client(clock=instant()) as client:
        with pytest.raises(engine.errors.ServerError) as caught:
            client.chat(engine.Route([A, B]), "hi")
        told = f"{caught.value!r} {caught.value} {caught.value.to_dict()}"
        assert {a["target"] for a in caught.value.attempts} == {A, B} and len(caught.value.attempts) == 6
        assert "key-of-" not in told and caught.value.provider == "openai"


def test_six_attempts_are_all_a_call_has_whatever_the_number_of_targets() -> None:
    faults = dict.fromkeys(("groq", "openai", "anthropic"), "u_503_always")
    with Several(**faults) as several, several.client(clock=instant()) as client:
        with pytest.raises(engine.errors.OverloadedError):
            client.chat(engine.Route([A, B, C]), "hi")
        assert [several.asked(p) for p in faults] == [2, 2, 2]


def test_who_is_told_to_wait_asks_another_and_comes_back_when_all_wait() -> None:
    with Several(groq="u_429_ra_seconds", openai="u_429_ra_seconds") as several, several.client() as client:
        answer = client.chat(engine.Route([A, B]), "hi")
        kinds = [(a["target"], a["kind"]) for a in answer.report.attempts]
        assert kinds[:2] == [(A, "rate_limit"), (B, "rate_limit")] and [kind for _, kind in kinds[2:]] == ["ok"]
        assert 0.95 <= answer.report.timings["total"] < 4


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_stream_falls_over_before_its_first_event_only(way: str) -> None:
    def events(client: Any) -> tuple[list[Any], Any]:
        with client.chat.stream(engine.Route([A, B]), "hi") as stream:
            return list(stream), stream.response

    async def events_async(client: Any) -> tuple[list[Any], Any]:
        async with client, client.chat.stream(engine.Route([A, B]), "hi") as stream:
            return [event async for event in stream], stream.response

    def run(several: Several) -> tuple[list[Any], Any]:
        if way == "sync":
            return events(several.client(clock=instant()))
        return asyncio.run(events_async(several.async_client(clock=instant())))

    with Several(groq="u_503_always") as several:
        seen, response = run(several)
        assert "".join(e.text for e in seen if e.kind == "text") == "Hello from openai." == response.text
        assert not [e for e in seen if e.kind in ("error", "restarted")]
        assert response.report.attempts[-1]["target"] == B
    with Several(groq="s_cut_clean") as several:
        with pytest.raises(engine.errors.StreamInterruptedError) as caught:
            run(several)
        assert several.asked("openai") == 0 and caught.value.partial.text


def test_restart_may_go_to_another_target_and_says_so() -> None:
    with Several(groq="s_cut_clean") as several, several.client(clock=instant()) as client:
        with client.chat.stream(engine.Route([A, B]), "hi", on_interrupt="restart") as stream:
            events = list(stream)
        last = max(i for i, e in enumerate(events) if e.kind == "restarted")
        assert "".join(e.text for e in events[last:] if e.kind == "text") == "Hello from openai." == stream.response.text


def test_what_a_target_cannot_do_is_skipped_not_dropped() -> None:
    image = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "what is it"}, {"type": "image", "data": "aGk=", "media_type": "image/png"}],
        }
    ]
    with Several() as several, several.client() as client:
        answer = client.chat(engine.Route([A, B]), image)
        assert answer.provider == "openai" and several.asked("groq") == 0
        assert "vision" in answer.report.route["skipped"][A]
        with pytest.raises(engine.errors.UnsupportedError, match="vision"):
            client.chat(engine.Route([A]), image)


def test_too_long_goes_to_a_larger_window_only() -> None:
    with Several(groq={"kind": "context_length"}) as several, several.client() as client:
        answer = client.chat(engine.Route([A], larger=[B]), "hi")
        assert answer.provider == "openai"
        assert answer.report.route["skipped"] == {A: "it was asked already"}
        assert client.chat(engine.Route([A, B]), "hi").provider == "openai"
    with Several(openai={"kind": "context_length"}) as several, several.client() as client:
        with pytest.raises(engine.errors.ContextLengthError):
            client.chat(engine.Route([B, A]), "hi")
        assert several.asked("groq") == 0


def test_a_filtered_request_goes_elsewhere_only_if_the_route_says_so() -> None:
    with Several(openai={"kind": "content_filter"}) as several, several.client() as client:
        with pytest.raises(engine.errors.ContentFilterError):
            client.chat(engine.Route([B, A]), "hi")
        assert client.chat(engine.Route([B, A], unfiltered=True), "hi").provider == "groq"
        answer = client.chat(engine.Route([B, A], unfiltered=[C]), "hi")
        assert answer.provider == "anthropic" and several.asked("groq") == 1


def test_residency_leaves_out_who_computes_elsewhere_or_nobody_knows_where() -> None:
    targets = [A, {"model": B, "region": "us-east-1"}, {"model": C, "region": "eu-west-1"}]
    with Several() as several, several.client() as client:
        answer = client.chat(engine.Route(targets, residency="eu"), "hi")
        assert answer.provider == "anthropic"
        assert answer.report.route["skipped"] == {A: "it is not known where it computes", B: "it computes in us-east-1"}
        assert client.chat(engine.Route(targets), "hi", hints={"residency": "us"}).provider == "openai"


def test_embeddings_of_one_call_have_one_target() -> None:
    small, large = "openai/text-embedding-3-small", "openai/text-embedding-3-large"
    with Several() as several, several.client() as client:
        answer = client.embeddings(engine.Route([large, small]), ["a text"])
        assert answer.embeddings and answer.report.route["chosen"] == large
