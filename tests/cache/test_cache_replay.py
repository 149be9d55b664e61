"""A kept answer told as a stream says what it said whole: random answers of every dialect, and the odd ones by hand."""

from __future__ import annotations

from random import Random

import pytest

from engine.cache.entry import read, written
from engine.cache.replay import replayed
from engine.call.json import loads
from engine.laws.answers import answer, response
from engine.serve.encoder import Encoder
from engine.serve.simulator import folded
from engine.types import Choice, Citation, Part, Response
from tests.serve.gateways import CATALOG, HOMES


@pytest.mark.parametrize("dialect", HOMES)
def test_random_answers(dialect: str) -> None:
    served = CATALOG.served(dialect)
    random = Random(f"replay {dialect}")
    for _ in range(60):
        given = response(answer(random, served, False))
        for choice in given.choices:
            choice.tool_calls = [part for part in choice.parts if part.type == "tool_call"]
        payload = written(given, 1.0, 2.0)
        entry = read(payload) if payload else None
        assert entry is not None and entry.response.choices == given.choices and entry.response.usage == given.usage
        events = replayed(entry.response)
        assert events[0].kind == "start" and events[-1].kind == "end"
        told = folded(served, [e for e in events if e.kind not in ("end", "tool_call_end")])
        assert told.usage == given.usage and (told.id, told.model, told.created) == (given.id, given.model, given.created)
        for said, meant in zip(told.choices, given.choices, strict=True):
            assert said.finish_reason_raw == meant.finish_reason and said.citations == meant.citations
            bare = [{k: v for k, v in part.to_dict().items() if k != "signed_by"} for part in said.parts]
            assert bare == [part.to_dict() for part in meant.parts]
        ends = [e for e in events if e.kind == "tool_call_end"]
        calls = [part for choice in given.choices for part in choice.parts if part.type == "tool_call"]
        assert [(e.id, e.name, e.arguments) for e in ends] == [(c.id, c.name, c.arguments) for c in calls]


def test_neighbours_and_what_providers_ran() -> None:
    call = Part(
        "tool_call",
        id="s1",
        name="search",
        arguments={"q": "x"},
        arguments_json='{"q":"x"}',
        server=True,
        dialect="d",
        native={"a": 1},
    )
    result = Part("tool_result", id="s1", name="search", text="found", server=True, dialect="d", native={"b": 2})
    parts = [Part("thinking", text="hm", signature="c2ln"), Part("thinking", text="hm again"), Part("text", text="one"), call, result,
             Part("text", text="two", citations=[Citation(url="https://x.test")]), Part("native", dialect="d", native={"c": 3}),
             Part("image", data="AAAA", media_type="image/png")]  # fmt: skip
    given = Response(
        choices=[Choice(0, parts, citations=[Citation(url="https://x.test")], finish_reason="stop", logprobs=[{"token": "one"}])]
    )
    served = CATALOG.served("anthropic-messages")
    told = folded(served, [e for e in replayed(given) if e.kind != "end"]).choices[0]
    shown = [{k: v for k, v in part.to_dict().items() if k not in ("signed_by", "dialect")} for part in told.parts]
    assert shown == [{k: v for k, v in part.to_dict().items() if k != "dialect"} for part in parts]
    assert told.citations == given.choices[0].citations and told.logprobs == [{"token": "one"}]


def test_a_stream_for_a_client_can_be_written_from_it() -> None:
    served = CATALOG.served("openai-chat")
    encoder = Encoder(served, {"model": "m", "stream": True}, dialect="openai-chat", now=1.0)
    given = Response(
        id="r", choices=[Choice(0, [Part("text", text="héllo")], text="héllo", finish_reason="stop", finish_reason_raw="stop")]
    )
    data = encoder.feed(replayed(given)) + (b"" if encoder.ended else encoder.end())
    said = [loads(line[6:]) for line in data.splitlines() if line.startswith(b"data: {")]
    assert "".join(
        d["choices"][0]["delta"].get("content") or "" for d in said if d["choices"]
    ) == "héllo" and data.rstrip().endswith(b"[DONE]")
