"""Laws that hold for every dialect, on generated values (issue of the foundation; RELIABILITY E1, E5, T1, T3, T6, M1).

Any cut of a stream's bytes gives the same events; a stream folds to what the whole reply of the same content reads as;
rendering changes nothing of the caller's; no reply, however odd, gives a failure that is not ours.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.call.encode import encode_frames
from engine.errors import Error
from engine.examples.run import stream_bytes
from tests.paired_answers import PAIRS, answers, objects, values, words
from tests.spoken import CATALOG, EXAMPLES, OPERATIONS, PAIRED, READERS, SPEAKERS, TARGETS, folded, law, speaker, told

STREAMS = [
    (d, e["name"], stream_bytes(OPERATIONS[d], e)) for d, found in EXAMPLES.items() for e in found if "stream" in e or "frames" in e
]
REPLIES = [
    (d, e["name"], e["reply"]["body"])
    for d, found in EXAMPLES.items()
    for e in found
    if isinstance(e.get("reply", {}).get("body"), dict)
]


def test_every_dialect_of_the_catalog_is_under_the_law() -> None:
    assert set(TARGETS) == {d for d in CATALOG.dialect_ids() if (CATALOG.dialect(d).get("operation").value) == "chat"}  # type: ignore[union-attr]


# --- any cut gives the same events --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dialect", "name", "data"), STREAMS, ids=[f"{d}: {n}" for d, n, _ in STREAMS])
@given(cuts=st.data())
@law()
def test_any_cut_of_a_stream_gives_the_same_events(dialect: str, name: str, data: bytes, cuts: st.DataObject) -> None:
    places = sorted(cuts.draw(st.lists(st.integers(0, len(data)), max_size=30)))
    pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    assert folded(OPERATIONS[dialect], pieces) == folded(OPERATIONS[dialect], [data])


# --- a stream folds to what the whole reply reads as --------------------------------------------------------------------


def both(target: str, answer: Any) -> tuple[Any, Any]:
    """The same answer (whole, streamed) through one provider."""
    operation = speaker(target)
    whole, frames = PAIRS[SPEAKERS[target]](answer)
    read = told(operation.read(200, {"content-type": "application/json"}, json.dumps(whole).encode()))
    assert operation.plan.stream is not None
    _, fold = folded(operation, [encode_frames(operation.plan.stream.framing, frames)])
    return read, fold


@pytest.mark.parametrize("dialect", PAIRED)
@given(answer=answers)
@law(25)
def test_a_stream_folds_to_what_the_whole_reply_reads_as(dialect: str, answer: Any) -> None:
    read, fold = both(TARGETS[dialect], answer)
    assert fold == read
    assert (read["choices"][0].get("text") or "") == "".join(answer[1])
    assert [c["arguments"] for c in read["choices"][0]["tool_calls"]] == [x for _, x in answer[2]]


@pytest.mark.parametrize("target", [t for t in READERS if t not in TARGETS.values()])
@given(answer=answers)
@law(3)
def test_so_it_does_through_every_provider(target: str, answer: Any) -> None:
    read, fold = both(target, answer)
    assert fold == read
    assert (read["choices"][0].get("text") or "") == "".join(answer[1])


# --- rendering changes nothing of the caller's --------------------------------------------------------------------------

parts = st.one_of(
    st.builds(lambda t: {"type": "text", "text": t}, words),
    st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}}),
    st.just({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}),
)
calls = st.builds(
    lambda n, x: {"id": f"id_{n}", "type": "function", "function": {"name": n, "arguments": json.dumps(x)}},
    st.sampled_from("fgh"),
    objects,
)
rounds = st.builds(
    lambda cs, text: [
        {"role": "assistant", "content": text, "tool_calls": cs},
        *({"role": "tool", "tool_call_id": c["id"], "content": "done"} for c in cs),
    ],
    st.lists(calls, min_size=1, max_size=3, unique_by=lambda c: c["id"]),
    words | st.none(),
)
messages = st.lists(
    st.one_of(
        st.builds(lambda c: [{"role": "user", "content": c}], words | st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda c: [{"role": "system", "content": c}], words),
        st.builds(lambda c, t: [{"role": "assistant", "content": c, "reasoning_content": t}], words, words | st.none()),
        rounds,
    ),
    min_size=1,
    max_size=5,
).map(lambda groups: [m for g in groups for m in g])
requests = st.fixed_dictionaries(
    {"messages": messages},
    optional={
        "temperature": st.floats(0, 2),
        "max_tokens": st.integers(1, 100_000),
        "stop": st.lists(words, max_size=6),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"]),
        "tools": st.just(
            [{"type": "function", "function": {"name": n, "parameters": {"type": "object", "properties": {}}}} for n in "fgh"]
        ),
        "tool_choice": st.sampled_from(["auto", "none", "required"]),
        "response_format": st.sampled_from(
            [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}]
        ),
        "stream": st.booleans(),
        "extra_body": objects,
    },
)


@pytest.mark.parametrize("dialect", TARGETS)
@given(request=requests)
@law()
def test_rendering_changes_nothing_and_fails_only_with_our_errors(dialect: str, request: dict[str, Any]) -> None:
    before = copy.deepcopy(request)
    try:
        sent = OPERATIONS[dialect].render(**request)
    except Error:
        return
    finally:
        assert request == before
    again = OPERATIONS[dialect].render(**request)
    assert (again.url, again.body, again.headers) == (sent.url, sent.body, sent.headers)


# --- no reply crashes a reader ------------------------------------------------------------------------------------------


def altered(document: Any, place: list[int], value: Any) -> Any:
    """A copy of a document with something else, or something more, at a place."""
    made = copy.deepcopy(document)
    at = made
    for step in place:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            break
        key = keys[step % len(keys)]
        if not isinstance(at[key], (dict, list)) or not at[key]:
            at[key] = value
            return made
        at = at[key]
    if isinstance(at, dict):
        at["unheard_of"] = value
    else:
        at.append(value)
    return made


@pytest.mark.parametrize(("dialect", "name", "body"), REPLIES, ids=[f"{d}: {n}" for d, n, _ in REPLIES])
@given(place=st.lists(st.integers(0, 20), max_size=8), value=values, status=st.sampled_from([200, 200, 400, 429, 500]))
@law()
def test_an_odd_reply_reads_or_gives_our_error(
    dialect: str, name: str, body: Any, place: list[int], value: Any, status: int
) -> None:
    data = json.dumps(altered(body, place, value)).encode()
    try:
        OPERATIONS[dialect].read(status, {"content-type": "application/json"}, data)
    except Error:
        pass


@pytest.mark.parametrize("dialect", PAIRED)
@given(answer=answers, which=st.integers(0, 50), place=st.lists(st.integers(0, 20), max_size=8), value=values)
@law()
def test_an_odd_frame_is_read_or_gives_our_error(dialect: str, answer: Any, which: int, place: list[int], value: Any) -> None:
    _, frames = PAIRS[dialect](answer)
    at = which % len(frames)
    if dialect == "bedrock-converse":
        frames[at] = {"event": frames[at]["event"], "data": altered(frames[at]["data"], place, value)}
    else:
        frames[at] = altered(frames[at], place, value)
    plan = OPERATIONS[dialect].plan.stream
    assert plan is not None
    folded(OPERATIONS[dialect], [encode_frames(plan.framing, frames)])


@pytest.mark.parametrize("dialect", TARGETS)
@given(data=st.binary(max_size=200), status=st.sampled_from([200, 204, 301, 400, 401, 429, 500, 529]))
@law(25)
def test_noise_gives_our_error_or_an_answer(dialect: str, data: bytes, status: int) -> None:
    try:
        OPERATIONS[dialect].read(status, {}, data)
    except Error:
        pass
    if OPERATIONS[dialect].plan.stream is not None:
        folded(OPERATIONS[dialect], [data])


@pytest.mark.parametrize("dialect", TARGETS)
@given(document=values, frames=st.lists(values, max_size=4), status=st.sampled_from([200, 200, 400, 500]))
@law(25)
def test_any_json_gives_our_error_or_an_answer(dialect: str, document: Any, frames: list[Any], status: int) -> None:
    operation = OPERATIONS[dialect]
    try:
        operation.read(status, {"content-type": "application/json"}, json.dumps(document).encode())
    except Error:
        pass
    if operation.plan.stream is not None:
        folded(operation, [encode_frames(operation.plan.stream.framing, frames)])
