"""What a served reply says, and what it cannot say; that it reads as the answer it was written from is a law (test_served_laws)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.call.json import dumps, loads
from engine.call.read import read_whole
from engine.errors import Error
from engine.serve.reply import write_reply
from engine.types import Choice, Part, Report, Response, Usage
from tests.serve.answers import CATALOG, DIALECTS

JSON = {"content-type": "application/json"}


def back(dialect: str, response: Response, **more: Any) -> Response:
    """An answer written by a dialect and read by it."""
    served = CATALOG.served(dialect)
    return read_whole(served.plan, 200, JSON, dumps(write_reply(served, response, **more)))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_answer_without_anything_is_written(dialect: str) -> None:
    read = back(dialect, Response(choices=[Choice(finish_reason="stop")]), now=5.0)
    assert read.text == "" and read.finish_reason == "stop"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_names_its_counters_and_zero_stands_for_unknown(dialect: str) -> None:
    read = back(dialect, Response(choices=[Choice(parts=[Part("text", text="a")])], usage=Usage()))
    assert (read.usage.input_tokens, read.usage.output_tokens) == (0, 0)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_refusal_without_a_place_is_text(dialect: str) -> None:
    read = back(dialect, Response(choices=[Choice(parts=[Part("refusal", text="I will not.")], finish_reason="stop")]))
    assert (read.refusal or read.text) == "I will not."


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_has_no_place_is_told_or_refused(dialect: str) -> None:
    served = CATALOG.served(dialect)
    report = Report()
    foreign = Part("native", dialect="elsewhere", native={"type": "search_result"})
    ran = Part("tool_call", id="s1", name="web_search", arguments={}, server=True)
    write_reply(served, Response(choices=[Choice(parts=[foreign, Part("text", text="a")])]), report=report)
    assert any("elsewhere" in w for w in report.warnings)
    written = write_reply(served, Response(choices=[Choice(parts=[ran])]), report=report)
    assert b"web_search" in dumps(written) or any("web_search" in w for w in report.warnings)
    if "video" not in served.writes:
        with pytest.raises(Error) as caught:
            write_reply(served, Response(choices=[Choice(parts=[Part("video", data="AAAA", media_type="video/mp4")])]))
        assert caught.value.kind == "unsupported" and "video" in str(caught.value)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_native_items_return_to_their_dialect(dialect: str) -> None:
    served = CATALOG.served(dialect)
    item = {"type": "web_search_call", "id": "ws_1", "executableCode": {"code": "1"}, "toolResult": {"toolUseId": "t"}}
    part = Part("native", dialect=dialect, native=item)
    if "native" in served.writes:
        assert dumps(item) in dumps(write_reply(served, Response(choices=[Choice(parts=[part])])))


def test_broken_arguments_are_handed_on_as_they_came() -> None:
    part = Part("tool_call", id="a", name="f", arguments="{bad", arguments_json="{bad", invalid=True)
    response = Response(choices=[Choice(parts=[part], finish_reason="tool_calls")])
    body = write_reply(CATALOG.served("openai-chat"), response)
    assert body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == "{bad"
    assert write_reply(CATALOG.served("anthropic-messages"), response)["content"][0]["input"] == {"text": "{bad"}


def test_clients_find_the_keys_they_index() -> None:
    body = write_reply(CATALOG.served("openai-chat"), Response(choices=[Choice(parts=[Part("thinking", text="hm")])]), now=9.0)
    message = body["choices"][0]["message"]
    assert message["content"] is None and message["refusal"] is None and body["created"] == 9
    assert loads(dumps(body)) == body


def test_what_a_total_includes_is_subtracted_again() -> None:
    usage = Usage(input_tokens=10, output_tokens=5, cache_read_tokens=4, cache_write_tokens=3, cache_write_1h_tokens=2)
    body = write_reply(CATALOG.served("anthropic-messages"), Response(choices=[Choice()], usage=usage))
    assert body["usage"] == {
        "input_tokens": 3,
        "output_tokens": 5,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 3,
        "cache_creation": {"ephemeral_1h_input_tokens": 2},
    }


def test_a_provider_that_patches_a_dialect_serves_it_patched() -> None:
    assert CATALOG.served("openai-chat", "groq").plan.provider == "groq"
    with pytest.raises(Error):
        CATALOG.served("gemini", "groq")
    with pytest.raises(Error, match="openai-chat"):
        CATALOG.served("openai-chatt")
