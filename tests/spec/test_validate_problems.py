"""Every rule of the loader, the schema and `extends` owns a broken spec and the exact report it makes (STYLE 11).

`problems/<rule>.yaml` is the spec, `problems/<rule>.txt` the report, byte for byte; `problems/dialects` is what the specs
extend. With LLMKIT_WRITE_REPORTS=1 the reports are written instead of compared.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from engine.spec import extend, validate
from engine.spec import load as loader
from engine.spec.load import load
from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.spec.report import counts, distinct, format_problems

HERE = Path(__file__).with_name("problems")
RULES = {*loader.RULES, *extend.RULES, *validate.RULES}
#: rules whose broken file would be too large to keep; test_load.py makes them
MADE = {"too-large", "too-many-nodes"}


class Corner:
    """A catalog of the broken spec and the dialects beside it."""

    def __init__(self, id: str, node: Node) -> None:
        self.trees = {id: node}

    def dialect(self, id: str) -> Node | None:
        path = HERE / "dialects" / f"{id}.yaml"
        return load(path.read_bytes(), f"dialects/{id}.yaml", Problems()) if path.is_file() else None

    def provider(self, id: str) -> Node | None:
        return self.trees.get(id) or (Node({}) if id == "acme-cloud" else None)

    def dialect_ids(self) -> list[str]:
        return sorted(p.stem for p in (HERE / "dialects").glob("*.yaml"))

    def provider_ids(self) -> list[str]:
        return ["acme-cloud"]


def findings(path: Path) -> Problems:
    """Steps 1 to 3 of SPEC_LANGUAGE 14, as `llmkit check` takes them."""
    problems = Problems()
    node = load(path.read_bytes(), path.name, problems)
    if node is None:
        return problems
    validate.validate(node, "provider", problems)
    extend.check_globs(node, problems)
    if problems.errors:
        return problems
    corner = Corner(path.stem, node)
    provider = extend.provider_tree(corner, path.stem, problems)
    assert provider is not None
    for model in [None, *(glob.replace("*", "1") for glob, _ in (provider.get("models") or Node({})).items())]:
        patches = extend.matching_patches(provider, model)
        for operation in extend.operation_names(provider, patches):
            extend.operation_tree(corner, provider, operation, patches, problems)
    return problems


def report(path: Path) -> str:
    problems = findings(path)
    text = path.read_text("utf-8", "replace")
    sources = {path.name: text}
    for dialect in (HERE / "dialects").glob("*.yaml"):
        sources[f"dialects/{dialect.name}"] = dialect.read_text("utf-8")
    return f"{format_problems(problems, sources.get)}\n{counts(problems, files=1)}\n"


@pytest.mark.parametrize("rule", sorted(RULES - MADE))
def test_a_rule_reports_its_broken_spec(rule: str) -> None:
    if rule == "bad-yaml" and not yaml.__with_libyaml__:
        pytest.skip("the other parser words syntax errors differently")
    path = HERE / f"{rule}.yaml"
    made = report(path)
    expected = path.with_suffix(".txt")
    if os.environ.get("LLMKIT_WRITE_REPORTS"):
        expected.write_text(made, "utf-8")
    assert made == expected.read_text("utf-8")
    assert rule in {p.rule for p in distinct(findings(path))}


def test_every_rule_is_explained_in_a_sentence() -> None:
    for rules in (loader.RULES, extend.RULES, validate.RULES):
        assert all(text[0].isupper() or text[0] == "`" for text in rules.values())
        assert all(text.endswith(".") for text in rules.values())
