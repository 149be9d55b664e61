"""RELIABILITY T5: a broken text is taken up where it ended, where that is safe, and only there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import engine
from engine.testing import Simulator

MODEL = "mistral/mistral-large-latest"
WHOLE = "One two three four five six seven eight."


class Broken:
    """A model whose first stream breaks off, and which goes on from the beginning of an answer."""

    def __init__(self, goes_on: bool = True) -> None:
        self.goes_on = goes_on
        self.begun: list[str] = []

    def __call__(self, request: Any) -> Any:
        last = request["messages"][-1]
        if last["role"] == "assistant":
            self.begun.append(last["text"])
            return [WHOLE[len(last["text"]) :]]
        return [{"text": WHOLE}]


def simulator(model: Broken) -> Simulator:
    return Simulator(model, {"cut": "clean", "after": 4, "times": 1})


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("routed", [False, True])
def test_a_text_is_taken_up_where_it_ended(way: str, routed: bool) -> None:
    model: Any = engine.Route([MODEL]) if routed else MODEL

    async def run(sim: Simulator) -> tuple[list[Any], Any]:
        async with sim.async_client() as client, client.chat.stream(model, "count", on_interrupt="continue") as stream:
            return [event async for event in stream], stream.response

    says = Broken()
    with simulator(says) as sim:
        if way == "sync":
            with sim.client().chat.stream(model, "count", on_interrupt="continue") as stream:
                events, response = list(stream), stream.response
        else:
            events, response = asyncio.run(run(sim))
    told = "".join(event.text for event in events if event.kind == "text")
    assert told == WHOLE == response.text == response.message["parts"][0]["text"]
    assert [event.kind for event in events].count("start") <= 1 and not [e for e in events if e.kind == "restarted"]
    assert len(says.begun) == 1 and WHOLE.startswith(says.begun[0]) and says.begun[0] == says.begun[0].rstrip()
    assert any("continued" in warning for warning in response.warnings)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (MODEL, {"tools": [{"name": "f", "parameters": {"type": "object", "properties": {}}}]}),
        (MODEL, {"response_format": {"type": "json_object"}}),
        ("groq/llama-3.3-70b-versatile", {}),
    ],
    ids=["tools", "format", "no prefill"],
)
def test_what_cannot_be_taken_up_safely_is_an_interruption(model: str, fields: dict[str, Any]) -> None:
    says = Broken()
    with simulator(says) as sim, pytest.raises(engine.errors.StreamInterruptedError) as caught:
        list(sim.client().chat.stream(model, "count", on_interrupt="continue", **fields))
    assert caught.value.partial.text and not says.begun


def test_it_is_taken_up_twice_and_no_more() -> None:
    says = Broken()
    with Simulator(says, {"cut": "clean", "after": 2}) as sim, pytest.raises(engine.errors.StreamInterruptedError) as caught:
        list(sim.client().chat.stream(MODEL, "count", on_interrupt="continue"))
    assert caught.value.partial.text and len(says.begun) == 2 and says.begun[1].startswith(says.begun[0])
