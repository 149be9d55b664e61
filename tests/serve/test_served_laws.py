"""L1 to L4 on every served conversation (SERVE.md 13): a bounded sample of what `make laws` tries a hundred thousand times."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine.catalog import Catalog
from engine.laws.prove import prove
from engine.laws.shrink import shrunk
from engine.laws.statements import LAWS
from engine.laws.subject import subjects
from engine.laws.witness import SELF_CONSISTENT, standing, witnesses
from tests.serve.answers import CATALOG, DIALECTS
from tools import accept

sys.path.insert(0, str(accept.ROOT / "tools"))
import sdk_matrix


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_laws_hold(dialect: str) -> None:
    proof = prove(CATALOG, [("dialects", dialect)], count=80, seed=3)
    assert not proof.problems, "\n".join(map(str, proof.problems))
    assert proof.subjects == 1 and proof.checks > 80 * len(LAWS) * 0.9


def test_a_provider_that_patches_a_dialect_is_under_the_laws_too() -> None:
    proof = prove(CATALOG, [("providers", "groq"), ("providers", "amazon-bedrock")], count=20, seed=3)
    assert not proof.problems, "\n".join(map(str, proof.problems))
    names = {s.name for id in ("groq", "amazon-bedrock") for s in subjects(CATALOG, "providers", id)}
    assert {"groq", "amazon-bedrock", "groq list_models", "amazon-bedrock count_tokens"} <= names and proof.subjects == len(names)


BESIDE = [id for id in CATALOG.dialect_ids() if (found := subjects(CATALOG, "dialects", id)) and found[0].operation.name != "chat"]


@pytest.mark.parametrize("dialect", BESIDE)
def test_the_laws_hold_for_vectors_counts_and_lists_too(dialect: str) -> None:
    proof = prove(CATALOG, [("dialects", dialect)], count=40, seed=3)
    assert not proof.problems, "\n".join(map(str, proof.problems))
    [subject] = subjects(CATALOG, "dialects", dialect)
    assert proof.checks > 40 * (1 if subject.operation.name == "list_models" else 3) * 0.8


@pytest.mark.parametrize(
    ("dialect", "good", "bad", "law"),
    [
        ("openai-embeddings", "vector: embedding, index: index", "vector: index", "L2"),
        ("gemini-count-tokens", 'reply: {$merge: "{{ usage }}"}', 'reply: {usage: "{{ usage }}"}', "L2"),
        ("gemini-embeddings", "document: RETRIEVAL_DOCUMENT", "document: RETRIEVAL_QUERY", "L1"),
        ("ollama-tags", "id: model || name", "id: size", "L2"),
        ("cohere-embed-v2", "clustering: clustering", "clustering: classification", "L1"),
    ],
)
def test_one_wrong_word_beside_chat_breaks_a_law(dialect: str, good: str, bad: str, law: str, tmp_path: Path) -> None:
    text = CATALOG.text(CATALOG.label(CATALOG.path("dialects", dialect)))
    assert text is not None and good in text
    path = tmp_path / "dialects" / f"{dialect}.yaml"
    path.parent.mkdir()
    path.write_text(text.replace(good, bad), "utf-8")
    proof = prove(Catalog([path], [dialect]), [("dialects", dialect)], count=150)
    assert any(f" {law} (" in p.message for p in proof.problems), proof.summary()


def test_thinking_that_stands_in_the_text_between_marks_is_read_from_there() -> None:
    proof = prove(CATALOG, [("providers", "minimax")], count=60, seed=3, laws=["L1", "L4"])
    assert not proof.problems, "\n".join(map(str, proof.problems))
    assert proof.checks > 100


def test_the_same_seed_tries_the_same() -> None:
    seen: list[list[Any]] = []
    for seed in (5, 5, 6):
        told: list[str] = []
        prove(CATALOG, [("dialects", "ollama")], count=3, seed=seed, progress=told.append)
        [subject] = subjects(CATALOG, "dialects", "ollama")
        seen.append([law.draw(Random(f"{seed} {law.name}"), subject) for law in LAWS])
        assert told == [f"ollama {law.name} 0/3" for law in LAWS]
    assert seen[0] == seen[1] != seen[2]


def test_a_counterexample_is_made_small() -> None:
    big = {"a": [1, 2, {"b": "xxxxxxyxxx", "c": [3]}], "d": "e"}
    small = shrunk(big, lambda value: "y" in str(value.get("a")))
    assert small == {"a": [{"b": "y"}]}


def test_who_vouches_for_a_dialect_is_true() -> None:
    """A dialect that claims recordings is replayed, one that claims a client library stands in its matrix."""
    recorded = {dialect for dialect, *_ in accept.DIALECTS.values()}
    known = {"recordings": recorded, "client": set(sdk_matrix.SDKS.values())}
    claims = {d: witnesses(CATALOG, d) for d in CATALOG.dialect_ids()}
    assert not [(d, word) for d, words in claims.items() for word in words if d not in known[word]]
    assert recorded <= {d for d, words in claims.items() if "recordings" in words}
    assert standing(CATALOG, "openai-chat") == "recordings and client" and standing(CATALOG, "bedrock-nova") is None


def test_a_dialect_without_a_witness_is_self_consistent_only(tmp_path: Path) -> None:
    path = tmp_path / "dialects" / "own-chat.yaml"
    path.parent.mkdir()
    path.write_text("operation: chat\nextends: ollama\npost: /own\n", "utf-8")
    catalog = Catalog([path])
    assert standing(catalog, "own-chat") == SELF_CONSISTENT
    assert prove(catalog, [("dialects", "own-chat")], count=2).summary().endswith("self-consistent only: own-chat")
    assert SELF_CONSISTENT not in prove(catalog, [("dialects", "ollama")], count=2).summary()
