"""RELIABILITY A5, M3: maps read anything a provider sends and raise nothing but LimitError."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import LimitError
from engine.spec.compile.mapping import LOOPS
from engine.vocabulary import OUTPUTS
from tests.expr.test_query_properties import DOCUMENTS, PATHS
from tests.samples import sampled
from tests.spec.test_mapping import compiled

CHAT = """
start: {id: id, model: model}
error: error
each:
  from: choices
  choice: index
  thinking: {text: delta.reasoning_content || delta.reasoning}
  text: delta.content
  tool_call: {from: delta.tool_calls, index: index, id: id, name: function.name, arguments: function.arguments}
  citation: {from: "delta.annotations[?type=='url_citation'].url_citation", url: url, title: title}
  finish: finish_reason
usage: usage || x.usage
"""
EVENTS = """
match: type
events:
  delta | id:
    text: {when: "ends_with(type, 'a')", index: index, text: delta.content}
    tool_call:
      from: "choices[].delta[?contains(id, 'x')]"
      id: to_string(id)
      server: "length(id) > `1`"
      arguments: from_json(delta)
  usage: {usage: {input_tokens: "mul(usage, `2`)", output_tokens: "sum(usage)", cost: "max_by(choices, &index).index"}}
  error: {error: error, segment: {from: rows(@), text: "join('', id)", start: "sort(choices)[0]"}}
"""
SHARED = {"usage": {"input_tokens": "usage.a", "output_tokens": "sum(b)"}, "error": {"message": "message || @", "code": "code"}}
NAMES = (
    "id model error choices index delta reasoning content tool_calls function name arguments annotations type url_citation url "
    "finish_reason usage x a b message code"
)
KEYS = st.sampled_from(NAMES.split())
NUMBERS = st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=5) | st.sampled_from(["delta", "usage", "error", "id", "url_citation", "[1, 2]", "{"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)
MAPS = [compiled(CHAT, shared=SHARED), compiled(EVENTS, shared=SHARED)]


def emit(kind: str, choice: int, fields: dict[str, Any]) -> None:
    known, _ = OUTPUTS[kind]
    assert type(choice) is int and fields and set(fields) <= set(known)
    assert any(value is not None for value in fields.values())


@settings(max_examples=sampled(400), deadline=None)
@given(ANYTHING, st.sampled_from(MAPS))
def test_any_document_is_read(document: Any, map_: Any) -> None:
    map_(document, emit, None, lambda name: None)


@settings(max_examples=sampled(200), deadline=None)
@given(st.lists(PATHS, min_size=4, max_size=4), DOCUMENTS)
def test_any_path_may_stand_anywhere(paths: list[str], document: Any) -> None:
    source, when, text, choice = paths
    inner = {"from": source, "when": when, "choice": choice, "text": text}
    events = {"match": text, "events": {"a": {"finish": when}}}
    map_ = compiled(json.dumps({**inner, "each": {**inner, "thinking": {"text": text, "signature": when}, **events}}))
    map_(document, emit, "a", lambda name: None)


@pytest.mark.parametrize(
    "step",
    ["[@,@,@,@,@,@,@,@]", "[[@,@,@],[@,@,@]]", "[[@,@]]", "{a: @, b: @}", "[@,@][]", "[@,@].{a: @}"],
)
def test_nested_blocks_share_one_budget(step: str) -> None:
    """What each path multiplies a little, a tower of blocks multiplies much."""
    tree: dict[str, Any] = {"from": step, "text": "to_string([@, @, @])", "finish": "to_string(@)"}
    for _ in range(LOOPS - 1):
        tree = {"from": f"[{step}|[@,@]|[@,@]]", "each": tree}
    map_ = compiled(json.dumps(tree))
    started = time.process_time()
    with contextlib.suppress(LimitError):
        map_({"a": "x" * 100}, emit)
    assert time.process_time() - started < 10


def test_a_long_list_ends_in_a_limit() -> None:
    map_ = compiled("each: {from: a, each: {from: \"[@,@,@,@,@,@,@,@,@,@,@]\", text: '@'}}")
    with pytest.raises(LimitError):
        map_({"a": ["x"] * 100_000}, emit)


def test_a_large_honest_reply_is_within_the_budget() -> None:
    words = [{"word": "a", "start": n, "end": n + 1} for n in range(100_000)]
    count = 0

    def counting(kind: str, choice: int, fields: dict[str, Any]) -> None:
        nonlocal count
        count += 1

    compiled("word: {from: words, text: word, start: start, end: end}")({"words": words}, counting)
    assert count == 100_000
