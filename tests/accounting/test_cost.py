"""What answers, clients and the command line say about cost."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

import engine
from engine.errors import ConfigError, NotFoundError

KEYS = {id: {"api_key": "sk-canary"} for id in ("openai", "anthropic", "openrouter", "groq")}
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200, "prompt_tokens_details": {"cached_tokens": 400}}
PRICES = {"openai/gpt-5-mini": {"input": 0.25, "output": 2, "cache_read": 0.025}}
WANTED = Decimal("0.00056")


def client(usage: Any = USAGE, **options: Any) -> engine.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        said = {"id": "x", "model": asked["model"], "object": "chat.completion", "created": 1}
        if asked.get("stream"):
            pieces: list[dict[str, Any]] = [{**said, "choices": [{"index": 0, "delta": {"content": "hi"}}]}]
            pieces.append({**said, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            pieces.append({**said, "choices": [], "usage": usage})
            text = "".join(f"data: {json.dumps(p)}\n\n" for p in pieces) + "data: [DONE]\n\n"
            return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})
        choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
        return httpx.Response(200, json={**said, "choices": [choice], "usage": usage})

    return engine.Client(providers=KEYS, transport=httpx.MockTransport(answer), **options)


def test_an_answer_says_what_it_cost_and_why() -> None:
    answer = client(prices=PRICES).chat("openai/gpt-5-mini", "hi")
    assert answer.cost == WANTED
    assert [(line["class"], line["quantity"]) for line in answer.report.price_lines] == [
        ("cache_read", 400), ("input", 600), ("output", 200),
    ]  # fmt: skip
    assert all(line["source"] == "your prices: openai/gpt-5-mini" for line in answer.report.price_lines)
    assert answer.report.price_note is None
    assert answer.to_dict()["cost"] == "0.00056" and "_pending" not in answer.to_dict()


def test_a_stream_costs_what_the_whole_answer_costs() -> None:
    with client() as bound:
        whole = bound.chat("openai/gpt-5-mini", "hi")
        stream = bound.chat.stream("openai/gpt-5-mini", "hi")
        for _ in stream:
            pass
        assert stream.response.cost == whole.cost == WANTED
        assert stream.response.report.price_lines == whole.report.price_lines
    assert all("models/openai.yaml" in line["source"] for line in whole.report.price_lines)


def test_the_providers_own_cost_is_believed_and_ours_shown_beside() -> None:
    answer = client({**USAGE, "cost": 0.00123}).chat("openrouter/openai/gpt-5-mini", "hi")
    assert answer.cost == Decimal("0.00123")
    assert sum(line["cost"] for line in answer.report.price_lines) > 0
    assert "0.00123" in (answer.report.price_note or "")


@pytest.mark.parametrize("usage", [USAGE, None])
def test_an_unknown_cost_is_none_with_a_note(usage: Any) -> None:
    answer = client(usage).chat("openai/gpt-5-mni" if usage else "openai/gpt-5-mini", "hi")
    assert answer.cost is None and answer.report.price_note
    if usage:
        assert "did you mean openai/gpt-5-mini?" in answer.report.price_note


def test_answers_are_copied_compared_and_pickled_with_their_cost() -> None:
    bound = client(prices=PRICES)
    for duplicate in (copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))):
        answer = bound.chat("openai/gpt-5-mini", "hi")
        again = duplicate(answer)
        assert again.cost == WANTED and again.report.price_lines == answer.report.price_lines
    assert "0.00056" in repr(bound.chat("openai/gpt-5-mini", "hi"))
    with pytest.raises(AttributeError):
        _ = answer.costs


def test_a_service_tier_has_its_own_rates() -> None:
    bound = client()
    plain, flex = (bound.chat("openai/gpt-5-mini", "hi", **extra).cost for extra in ({}, {"service_tier": "flex"}))
    assert plain == 2 * flex


def test_a_price_can_be_asked_for_without_a_call() -> None:
    bound = engine.Client(prices=PRICES)
    usage = {"input_tokens": 1000, "output_tokens": 200, "cache_read_tokens": 400}
    assert bound.price("openai/gpt-5-mini", usage).cost == WANTED == bound.price("openai/gpt-5-mini", engine.Usage(**usage)).cost
    assert bound.price("openai/gpt-5-mini", {**usage, "input_tokens": "1000"}).cost == WANTED
    for wrong in ({"inptu_tokens": 1}, {"input_tokens": -1}, {"input_tokens": "x"}, 7):
        with pytest.raises(ConfigError):
            bound.price("openai/gpt-5-mini", wrong)
    with pytest.raises(ConfigError):
        bound.price("openai/gpt-5-mini")


def test_a_request_is_estimated_before_it_is_sent_and_says_so() -> None:
    bound = engine.Client(providers=KEYS, prices=PRICES)
    text = "The quick brown fox jumps over the lazy dog. " * 20
    made = bound.price("openai/gpt-5-mini", messages=text, max_tokens=100)
    assert made.estimated and made.cost is not None and "estimated" in (made.note or "")
    tokens = made.lines[0]["quantity"]
    assert 150 <= tokens <= 350
    assert made.cost == Decimal(tokens) * Decimal("0.25") / 10**6 + Decimal("0.0002")
    shown = bound.chat.explain("openai/gpt-5-mini", text, max_tokens=100)
    assert shown.price == made.cost and any("estimated" in note for note in shown.notes)
    longer = bound.price("openai/gpt-5-mini", messages=text * 2, max_tokens=100)
    assert longer.cost is not None and longer.cost > made.cost


def test_own_prices_stand_in_a_file_on_top_of_the_catalogs(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text('openai/*: {factor: 0.5}\nacme/x: {input: 1, output: "2"}\n"openai/gpt-5-mini": {input: 1, output: 1}\n')
    usage = {"input_tokens": 10**6, "output_tokens": 10**6}
    bound, plain = engine.Client(prices=path), engine.Client()
    assert bound.price("openai/gpt-5-mini", usage).cost == 2
    ours, theirs = bound.price("openai/gpt-5", usage), plain.price("openai/gpt-5", usage)
    assert theirs.cost is not None and ours.cost == theirs.cost / 2
    assert "prices.yaml" in ours.lines[0]["source"]


@pytest.mark.parametrize(
    "wrong", [{"gpt-5": {"input": 1}}, {"openai/gpt-5": {"inputs": 1}}, {"openai/gpt-5": 3}, "/nowhere/at/all.yaml"]
)
def test_nonsense_prices_are_refused_when_the_client_is_made(wrong: Any) -> None:
    with pytest.raises(ConfigError):
        engine.Client(prices=wrong)


def test_prices_change_on_their_day() -> None:
    periods = [{"input": 1, "output": 1}, {"input": 2, "output": 2, "valid_from": "2026-01-01"}]
    bound = engine.Client(prices={"openai/gpt-5": periods, "openai/gpt-4o": {"input": 1, "output": 1, "valid_from": "2999-01-01"}})
    usage = {"input_tokens": 10**6, "output_tokens": 0}
    assert [bound.price("openai/gpt-5", usage, at=at).cost for at in (1767225599, 1767225600)] == [1, 2]
    unborn = bound.price("openai/gpt-4o", usage)
    assert unborn.cost is None and "holds" in (unborn.note or "")


def test_an_unknown_model_gets_a_hint_when_the_provider_refuses_it() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"error": {"message": "no such model", "code": "model_not_found"}})

    with engine.Client(providers=KEYS, transport=httpx.MockTransport(answer)) as bound:
        with pytest.raises(NotFoundError, match="did you mean the model gpt-5-mini"):
            bound.chat("openai/gpt-5-mni", "hi")
        with pytest.raises(NotFoundError) as caught:
            bound.chat("openai/gpt-5-mini", "hi")
        assert "did you mean" not in str(caught.value)


def test_a_first_call_reads_no_facts_it_does_not_need() -> None:
    catalog = engine.Catalog()
    answer = engine.Client(catalog=catalog, providers=KEYS, transport=client()._transport).chat(
        "groq/llama-3.3-70b-versatile", "hi"
    )
    assert answer.text == "hi" and catalog.facts._read == {}
    assert answer.cost is not None and set(catalog.facts._read) == {"groq"}


def test_facts_that_cannot_be_read_break_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = engine.Catalog()
    bound = engine.Client(catalog=catalog, providers=KEYS, transport=client()._transport)

    def broken(*_: Any) -> None:
        raise OSError("gone")

    monkeypatch.setattr(type(catalog.files), "facts", broken)
    answer = bound.chat("groq/llama-3.3-70b-versatile", "hi")
    assert answer.cost is None and "cannot be read" in (answer.report.price_note or "")
