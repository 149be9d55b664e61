"""The packaged model facts: fresh, sound, and agreeing with what they were gathered from."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

import engine
from engine.accounting.bill import bill
from engine.accounting.price import Price
from engine.spec.load import DATA_LIMIT, load
from engine.spec.problem import Problems
from engine.spec.validate import _acceptor, validate
from engine.types import Usage
from tests.shared_data import ROOT, shared
from tools import models

FILES = sorted((ROOT / "catalog" / "models").glob("*.yaml"))
#: 200,000 tokens in, of which some are cached; below and above every tier
USAGES = [
    {"input_tokens": size, "output_tokens": 1234, "cache_read_tokens": size // 4, "cache_write_tokens": size // 8}
    for size in (8000, 150_000, 240_000, 900_000)
]


def test_the_files_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main([str(shared("models").parent), "--check"]) == 0, f"run tools/models.py:\n{capsys.readouterr().out}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_file_is_small_valid_and_every_price_can_be_used(path: Path) -> None:
    problems = Problems()
    node = load(path.read_bytes(), path.name, problems, limit=DATA_LIMIT)
    assert node is not None
    validate(node, "models", problems)
    assert not problems, problems[0]
    plain = node.plain()
    assert _acceptor("models")(plain), "sound, but the quick test does not see it"
    for id, facts in plain["models"].items():
        for name, size in (("context", 10**8), ("max_input", 10**8), ("max_output", 10**8)):
            assert 0 < facts.get(name, 1) < size, id
        if "price" in facts:
            assert Price(facts["price"], id).table(10**6) is not None
        assert facts.get("price") != {}, id


def test_the_quick_test_accepts_nothing_that_the_schema_does_not() -> None:
    for wrong in (
        {}, {"models": []}, {"models": {"m": 1}}, {"models": {"m": {"contxt": 1}}}, {"models": {"m": {"context": 0}}},
        {"models": {"m": {"context": True}}}, {"models": {"m": {"input": "txt"}}}, {"models": {"m": {"input": ["txt"]}}},
        {"models": {"m": {"capabilities": "tools fly"}}}, {"models": {"m": {"capabilities": {"tools": "yes"}}}},
        {"models": {"m": {"price": {"input": -1}}}}, {"models": {"m": {"price": [{"inptu": 1}]}}},
        {"models": {"m": {"price": "1"}}},
        {"models": {"m": {"price": {"tiers": [{"input": 1}]}}}}, {"models": {"m": {"released": "soon"}}}, {"models": {}, "x": 1},
    ):  # fmt: skip
        assert not _acceptor("models")(wrong), wrong
        problems = Problems()
        node = load(json.dumps(wrong), "x", problems)
        assert node is not None
        validate(node, "models", problems)
        assert problems, wrong


def test_cost_agrees_with_the_sources_wherever_they_agree() -> None:
    """The formula of the gathered facts, applied to each record, against ours on the packaged file."""
    client = engine.Client()
    compared = 0
    for id, listed in models.records(shared("models")).items():
        if not (ROOT / "catalog" / "models" / f"{id}.yaml").is_file():
            continue
        for record in listed:
            known = client.catalog.facts.of(id, record["id"])
            if (
                not record.get("agree")
                or record.get("variant")
                or "input" not in record.get("price", {})
                or not known
                or "price" not in known
            ):
                continue
            price = Price(known["price"], "")
            for usage in USAGES:
                if id in models.FROM_THE_LINE:
                    usage = {**usage, "input_tokens": usage["input_tokens"] + 1}
                ours = bill(price, Usage(**usage), "embeddings" if "output" not in record["price"] else "chat").cost
                if ours is not None:
                    assert Fraction(ours) == _theirs(record["price"], usage), (id, record["id"], usage)
                    compared += 1
    assert compared > 400


def _theirs(price: dict[str, Any], usage: dict[str, int]) -> Fraction:
    """models/README.md, "Reading a price"."""
    tiers = [t for t in price.get("tiers", ()) if usage["input_tokens"] > t["above_input_tokens"]]
    rates = {k: Fraction(str(v)) for k, v in {**price, **(tiers[-1] if tiers else {})}.items() if isinstance(v, (int, float))}
    cached, written = usage["cache_read_tokens"], usage["cache_write_tokens"]
    fresh = usage["input_tokens"] - cached - written
    total = (
        fresh * rates["input"]
        + cached * rates.get("cache_read", rates["input"])
        + written * rates.get("cache_write", rates["input"])
    )
    return (total + usage["output_tokens"] * rates.get("output", Fraction(0))) / 10**6


def test_every_conflict_is_listed_with_the_choice_made() -> None:
    gathered = models.records(shared("models"))
    for path in FILES:
        written = yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)
        wanted = {
            (r["id"], field)
            for r in gathered[path.stem]
            if not r.get("variant") and r["id"] in written["models"]
            for field in r.get("conflicts") or ()
            if field != "litellm_itself"
        }
        told = {(id, field) for id, facts in written["models"].items() for field in facts.get("conflicts") or ()}
        assert wanted <= told, path.name


def test_a_change_is_told_by_model_and_field() -> None:
    old = "models:\n  a: {context: 1}\n  b: {context: 2}\n"
    new = "models:\n  b: {context: 3}\n  c: {}\n"
    assert list(models.changes(old, new)) == ["- a", "+ c", "~ b: context 2 -> 3"]
