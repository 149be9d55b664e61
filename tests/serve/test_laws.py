"""L1 to L4 on every served conversation (SERVE.md 13): a bounded sample of what `make laws` tries a hundred thousand times."""

from __future__ import annotations

from typing import Any

import pytest

from engine.laws.prove import prove
from engine.laws.shrink import shrunk
from engine.laws.statements import LAWS
from tests.serve.answers import CATALOG, DIALECTS


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_laws_hold(dialect: str) -> None:
    proof = prove(CATALOG, [("dialects", dialect)], count=80, seed=3)
    assert not proof.problems, "\n".join(map(str, proof.problems))
    assert proof.subjects == 1 and proof.checks > 80 * len(LAWS) * 0.9


def test_a_provider_that_patches_a_dialect_is_under_the_laws_too() -> None:
    proof = prove(CATALOG, [("providers", "groq"), ("providers", "amazon-bedrock")], count=20, seed=3)
    assert not proof.problems, "\n".join(map(str, proof.problems))
    assert proof.subjects == 2


def test_the_same_seed_tries_the_same() -> None:
    seen: list[list[Any]] = []
    for seed in (5, 5, 6):
        told: list[str] = []
        prove(CATALOG, [("dialects", "ollama")], count=3, seed=seed, progress=told.append)
        from random import Random

        from engine.laws.subject import subjects

        [subject] = subjects(CATALOG, "dialects", "ollama")
        seen.append([law.draw(Random(f"{seed} {law.name}"), subject) for law in LAWS])
        assert told == [f"ollama {law.name} 0/3" for law in LAWS]
    assert seen[0] == seen[1] != seen[2]


def test_a_counterexample_is_made_small() -> None:
    big = {"a": [1, 2, {"b": "xxxxxxyxxx", "c": [3]}], "d": "e"}
    small = shrunk(big, lambda value: "y" in str(value.get("a")))
    assert small == {"a": [{"b": "y"}]}
