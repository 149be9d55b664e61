"""Laws of what an answer is made of: pairs of examples, keys nobody knows, and answers that go back (RELIABILITY E5, T1, T6)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.call.encode import encode_frames
from engine.examples.run import stream_bytes
from tests.paired_answers import PAIRS, answers, values
from tests.spoken import EXAMPLES, OPERATIONS, PAIRED, folded, law, told

# --- examples that give the same, whole and streamed --------------------------------------------------------------------


def _pairs() -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    for dialect, found in EXAMPLES.items():
        whole = {json.dumps(e["gives"], sort_keys=True): e for e in found if "reply" in e and "gives" in e}
        for example in found:
            twin = whole.get(json.dumps(example.get("gives"), sort_keys=True))
            if twin is not None and ("stream" in example or "frames" in example):
                yield dialect, example["name"], twin, example


EXAMPLE_PAIRS = list(_pairs())


def test_every_dialect_has_pairs_of_text_calls_results_json_and_thinking() -> None:
    for dialect in [d for d in PAIRED if not d.startswith("openai-chat-")]:
        gives = [whole["gives"] for d, _, whole, _ in EXAMPLE_PAIRS if d == dialect]
        assert len(gives) >= 5, dialect
        assert any("thinking" in g for g in gives) and any("tool_calls" in g for g in gives), dialect


@pytest.mark.parametrize(("dialect", "name", "whole", "streamed"), EXAMPLE_PAIRS, ids=[f"{d}: {n}" for d, n, *_ in EXAMPLE_PAIRS])
def test_a_pair_of_examples_gives_the_same_answer(dialect: str, name: str, whole: Any, streamed: Any) -> None:
    operation = OPERATIONS[dialect]
    read = operation.read(200, {"content-type": "application/json"}, json.dumps(whole["reply"]["body"]).encode())
    data = stream_bytes(operation, streamed)
    assert data is not None
    _, fold = folded(operation, [data])
    names = {"choices"} | (whole["gives"].keys() & {"id", "usage"})  # an example that does not speak of them may differ there
    assert {n: fold.get(n) for n in names} == {n: told(read)[n] for n in names}


# --- keys and events nobody knows change nothing ------------------------------------------------------------------------

#: mappings that are the model's own words: a key more is another answer
ARGUMENTS = {"input", "args", "arguments"}


def mappings(document: Any) -> Iterator[dict[str, Any]]:
    """Every mapping of a document but tool arguments."""
    if isinstance(document, dict):
        yield document
        for key, value in document.items():
            if key not in ARGUMENTS:
                yield from mappings(value)
    elif isinstance(document, list):
        for value in document:
            yield from mappings(value)


@pytest.mark.parametrize("dialect", PAIRED)
@given(answer=answers, places=st.lists(st.integers(0, 200), min_size=1, max_size=4), value=values)
@law()
def test_unknown_fields_of_a_reply_change_nothing(dialect: str, answer: Any, places: list[int], value: Any) -> None:
    operation = OPERATIONS[dialect]
    whole, _ = PAIRS[dialect](answer)
    before = told(operation.read(200, {}, json.dumps(whole).encode()))
    found = list(mappings(whole))
    for place in places:
        found[place % len(found)]["unheard_of"] = value
    assert told(operation.read(200, {}, json.dumps(whole).encode())) == before


@pytest.mark.parametrize("dialect", PAIRED)
@given(answer=answers, places=st.lists(st.integers(0, 200), min_size=1, max_size=4), value=values, between=st.integers(0, 50))
@law()
def test_unknown_fields_and_events_of_a_stream_change_nothing(
    dialect: str, answer: Any, places: list[int], value: Any, between: int
) -> None:
    operation = OPERATIONS[dialect]
    assert operation.plan.stream is not None
    framing = operation.plan.stream.framing
    _, frames = PAIRS[dialect](answer)
    before = folded(operation, [encode_frames(framing, frames)])
    named = framing == "eventstream"  # its frames are envelopes of ours: {event, data}
    found = list(mappings([frame["data"] for frame in frames] if named else frames))
    for place in places:
        found[place % len(found)]["unheard_of"] = value
    strange = {"type": "unheard_of", "unheard_of": value}
    frames.insert(between % len(frames), {"event": "unheardOf", "data": strange} if named else strange)
    assert folded(operation, [encode_frames(framing, frames)]) == before


# --- an answer goes back as a message and loses nothing -----------------------------------------------------------------


def inside(document: Any) -> Iterator[Any]:
    """Every value of a document, also of the JSON in its texts (tool arguments are text on some wires)."""
    yield document
    if isinstance(document, dict):
        for value in document.values():
            yield from inside(value)
    elif isinstance(document, list):
        for value in document:
            yield from inside(value)
    elif isinstance(document, str) and document[:1] == "{":
        try:
            yield json.loads(document)
        except ValueError:
            pass


@pytest.mark.parametrize("dialect", PAIRED)
@given(answer=answers)
@law(25)
def test_an_answer_goes_back_without_losing_anything(dialect: str, answer: Any) -> None:
    operation = OPERATIONS[dialect]
    whole, frames = PAIRS[dialect](answer)
    read = operation.read(200, {}, json.dumps(whole).encode())
    assert operation.plan.stream is not None
    reader = operation.reader({})
    reader.feed(encode_frames(operation.plan.stream.framing, frames))
    for response in (read, reader.close()):
        results = [{"role": "tool", "tool_call_id": c.id, "content": "done"} for c in response.tool_calls]
        messages = [{"role": "user", "content": "Go."}, response.message, *results]
        tools = [{"name": name, "parameters": {"type": "object", "properties": {}}} for name, _ in answer[2]]
        sent = operation.render(messages=messages + ([] if results else [{"role": "user", "content": "On."}]), tools=tools)
        assert sent.body is not None
        found = list(inside(json.loads(sent.body)))
        texts = [v for v in found if isinstance(v, str)]
        assert "".join(answer[1]) in "".join(texts)
        for name, arguments in answer[2]:
            assert name in texts and arguments in found
        for part in response.parts:
            if part.signature:
                assert part.signature in texts
