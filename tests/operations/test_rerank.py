"""Laws of rerank: whatever order and numbering a wire has, results name the places of the documents and come best first."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engine

Answer = Callable[[list[tuple[int, float]], list[str]], Any]


def listed(at: str, score: str, text: Callable[[str], Any]) -> Answer:
    """An answer that numbers its results."""
    return lambda ranks, documents: {at: [{"index": i, score: s, "document": text(documents[i])} for i, s in ranks]}


def by_id(ranks: list[tuple[int, float]], documents: list[str]) -> Any:
    return {"records": [{"id": str(i), "score": s, "content": documents[i]} for i, s in ranks]}


def by_place(ranks: list[tuple[int, float]], documents: list[str]) -> Any:
    return {"scores": [s for _, s in sorted(ranks)]}


WIRES: dict[str, tuple[Answer, Callable[[Any], list[str]]]] = {
    "cohere/m": (listed("results", "relevance_score", str), lambda body: body["documents"]),
    "voyage/m": (listed("data", "relevance_score", str), lambda body: body["documents"]),
    "pinecone/m": (listed("data", "score", lambda text: {"text": text}), lambda body: [d["text"] for d in body["documents"]]),
    "google-vertex/m": (by_id, lambda body: [r["content"] for r in sorted(body["records"], key=lambda r: int(r["id"]))]),
    "deepinfra/m": (by_place, lambda body: body["documents"]),
}
SETTINGS = {
    "cohere": {"api_key": "k"},
    "voyage": {"api_key": "k"},
    "pinecone": {"api_key": "k"},
    "google-vertex": {"access_token": "t", "project": "p"},
    "deepinfra": {"api_key": "k"},
}
CLIENT = engine.Client(providers=SETTINGS)
DOCUMENTS = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=12)


@pytest.mark.parametrize("wire", WIRES)
@given(DOCUMENTS, st.data())
@settings(max_examples=25, deadline=None)
def test_results_name_the_places_of_the_documents_best_first(wire: str, documents: list[str], data: st.DataObject) -> None:
    answer, told = WIRES[wire]
    rerank = CLIENT.operation(wire, "rerank")
    body = json.loads(rerank.render(query="Who won?", documents=documents).body or b"")
    assert told(body) == documents
    scores = data.draw(st.lists(st.floats(0, 1), min_size=len(documents), max_size=len(documents)))
    ranks = data.draw(st.permutations(list(enumerate(scores))))
    found = rerank.read(200, {}, json.dumps(answer(ranks, documents)).encode()).outputs
    assert {(r.index, r.score) for r in found} == set(enumerate(scores))
    assert [r.score for r in found] == sorted(scores, reverse=True)


def test_results_without_scores_stay_as_they_came() -> None:
    rerank = CLIENT.operation("google-vertex/m", "rerank")
    found = rerank.read(200, {}, b'{"records": [{"id": "2", "content": "c"}, {"id": "0", "content": "a"}]}').outputs
    assert [r.index for r in found] == [2, 0]
