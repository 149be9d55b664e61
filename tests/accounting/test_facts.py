"""Facts of models: forms they may be written in, finding them, choosing by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import engine
from engine.accounting.selection import select
from engine.errors import ConfigError
from engine.spec.packed import pack_facts, unpack_facts

TEXT = """
checked: "2026-11-20"
sources: {L: a list, M: another}
models:
  Big-One:
    {context: 1000, max_output: 100, input: text image, capabilities: tools -thinking, price: {input: 1, output: 2},
     aliases: [big], sources: L}
  small: {input: [text], capabilities: {tools: true}, retires: "2020-01-01", sources: [the page]}
  "ft:small": {max_input: 500, deprecated: true}
  voice: {operations: [speech], input: text, output: audio, price: {thousand_characters: 0.01}}
variants:
  cn: {small: {context: 7}}
"""


@pytest.fixture
def catalog(tmp_path: Path) -> engine.Catalog:
    (tmp_path / "models").mkdir()
    (tmp_path / "providers").mkdir()
    (tmp_path / "models" / "acme.yaml").write_text(TEXT)
    spec = 'name: Acme\nstatus: active\nbase_url: https://api.acme.example/v1\nauth: {bearer: "{{ api_key }}"}\n'
    (tmp_path / "providers" / "acme.yaml").write_text(spec + "secrets: {api_key: ACME_KEY}\nchat: openai-chat\n")
    return engine.Catalog([tmp_path])


def test_facts_have_one_form_however_they_are_written(catalog: engine.Catalog) -> None:
    big = catalog.model_info("acme", "Big-One")
    assert big is not None
    assert big["input"] == ["text", "image"] and big["output"] == ["text"] and big["operations"] == ["chat"]
    assert big["capabilities"] == {"tools": True, "thinking": False} and big["sources"] == ["a list"]
    assert catalog.facts.source("acme", big) == "models/acme.yaml; a list; checked 2026-11-20"
    assert catalog.facts.source("acme", {}) == "models/acme.yaml; a list; another; checked 2026-11-20"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Big-One", "Big-One"), ("big-one", "Big-One"), ("big", "Big-One"), ("ft:small:org:name:id", "ft:small"), ("biggest", None),
        ("small:org:x", None),
    ],
)  # fmt: skip
def test_a_model_is_found_by_alias_letter_case_and_base(catalog: engine.Catalog, asked: str, found: str | None) -> None:
    assert catalog.model_info("acme", asked) is (catalog.model_info("acme", found) if found else None)


def test_a_variant_has_facts_of_its_own_and_the_rest_of_the_providers(catalog: engine.Catalog) -> None:
    facts = catalog.facts
    assert (facts.of("acme", "small", "cn") or {})["context"] == 7
    assert facts.of("acme", "Big-One", "cn") is facts.of("acme", "Big-One")


def test_an_unknown_model_is_hinted_at_and_never_refused(catalog: engine.Catalog) -> None:
    assert catalog.facts.near("acme", "big_on") == "Big-One"
    assert catalog.facts.near("acme", "big") is None and catalog.facts.near("acme", "zzz") is None
    assert catalog.operation("acme/big_on").model_info is None


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, ["Big-One", "small", "ft:small", "voice"]),
        ({"input": "image"}, ["Big-One"]),
        ({"output": ["audio"]}, ["voice"]),
        ({"operation": "chat"}, ["Big-One", "small", "ft:small"]),
        ({"capability": "tools"}, ["Big-One", "small"]),
        ({"capability": "thinking"}, []),
        ({"context": 500}, ["Big-One", "ft:small"]),
        ({"price": 1}, ["Big-One"]),
        ({"price": {"output": "1.99"}}, []),
        ({"deprecated": False}, ["Big-One", "voice"]),
        ({"deprecated": True}, ["small", "ft:small"]),
        ({"search": "SMALL"}, ["small", "ft:small"]),
    ],
)
def test_models_are_chosen_by_their_facts(catalog: engine.Catalog, filters: dict[str, Any], wanted: list[str]) -> None:
    assert [name for name, _ in select(catalog, "acme", **filters)] == [f"acme/{name}" for name in wanted]
    assert engine.Client(catalog=catalog).models("acme", **filters) == [f"acme/{name}" for name in wanted]


def test_the_same_service_under_another_name_has_its_facts() -> None:
    with engine.Client() as client:
        usage = {"input_tokens": 10**6, "output_tokens": 1000}
        regional = client.price("mistral-eu/mistral-large-latest", usage)
        assert regional.cost is not None and regional.cost == client.price("mistral/mistral-large-latest", usage).cost
        assert regional.lines[0]["source"].startswith("models/mistral.yaml")
        assert "swiss-ai/" in "".join(client.models("swiss-ai")) and client.models("vllm") == []
    own = engine.Client(catalog=[{"mine": {"name": "Mine", "extends": "mistral", "base_url": "https://mine.test/v1"}}])
    assert own.price("mine/mistral-large-latest", usage).cost is None  # what a stranger's server charges is not known


def test_a_live_list_is_of_one_provider(catalog: engine.Catalog) -> None:
    with pytest.raises(ConfigError, match="name it"):
        list(select(catalog, live=[]))
    assert engine.Client(catalog=catalog).models("acme", live=[]) == []


@pytest.mark.parametrize(
    "wrong", [{"input": "picture"}, {"capability": "tool"}, {"operation": "talk"}, {"price": "cheap"}, {"price": {"in": 1}}]
)
def test_a_word_that_is_none_is_refused(catalog: engine.Catalog, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        list(select(catalog, **wrong))


def test_facts_are_packed_as_plain_data_bound_to_their_text() -> None:
    packed = pack_facts({"models": {"m": {"context": 1}}}, b"text")
    assert unpack_facts(packed, b"text") == {"models": {"m": {"context": 1}}}
    assert unpack_facts(packed, b"other") is None and unpack_facts(b"{", b"text") is None
