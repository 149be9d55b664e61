"""Every rule owns a broken spec and the exact report the whole check makes of it (STYLE 11, SPEC_LANGUAGE 14).

`problems/<rule>.yaml` is the spec, `problems/<rule>.txt` the report, byte for byte; `problems/dialects` and
`problems/providers` are all that these specs can extend. With LLMKIT_WRITE_REPORTS=1 the reports are written instead of
compared.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from engine.catalog import Catalog
from engine.check import Findings, check
from engine.spec.problem import Problems
from engine.spec.report import format_problems
from engine.spec.rules import rules

HERE = Path(__file__).with_name("problems")
#: rules whose broken file cannot be kept in a repository; test_check.py, test_load.py and serve/test_mutations.py and security/test_trust.py make them
MADE = {"too-large", "too-many-nodes", "bad-id", "unreadable-file", "engine-failure", "law", "remote-identity"}


@pytest.fixture(autouse=True)
def corner(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog of the few files beside the broken specs."""
    monkeypatch.setattr("engine.files.BUILTIN", HERE)
    monkeypatch.setattr("engine.catalog.BUILTIN", HERE)


def checked(path: Path) -> tuple[Catalog, Findings]:
    catalog = Catalog([path], findings=Problems())
    return catalog, check(catalog, [("providers", path.stem)])


def report(path: Path) -> str:
    catalog, findings = checked(path)
    findings.seconds = 0
    text = format_problems(findings.problems, catalog.text)
    return f"{text}\n{findings.summary()}\n".replace(f"{path.parent}{os.sep}", "problems/")


@pytest.mark.parametrize("rule", sorted(rules().keys() - MADE))
def test_a_rule_reports_its_broken_spec(rule: str) -> None:
    if rule == "bad-yaml" and not yaml.__with_libyaml__:
        pytest.skip("the other parser words syntax errors differently")
    path = HERE / f"{rule}.yaml"
    made = report(path)
    expected = path.with_suffix(".txt")
    if os.environ.get("LLMKIT_WRITE_REPORTS"):
        expected.write_text(made, "utf-8")
    assert made == expected.read_text("utf-8")
    assert rule in {p.rule for p in checked(path)[1].problems}


def test_no_broken_spec_has_lost_its_rule() -> None:
    specs = {p.stem for p in HERE.glob("*.yaml")}
    assert specs == rules().keys() - MADE
    assert {p.stem for p in HERE.glob("*.txt")} == specs


def test_what_the_broken_specs_extend_is_sound() -> None:
    spoilt = {"round", "round-2", "spoilt-wire"} | {f"deep-{n}" for n in range(1, 6)}
    catalog = Catalog(findings=Problems())
    sound = [("dialects", id) for id in catalog.dialect_ids() if id not in spoilt]
    findings = check(catalog, [*sound, ("providers", "acme-cloud")])
    assert not findings.problems
    assert findings.examples


def test_every_rule_is_explained_in_a_sentence() -> None:
    for name, text in rules().items():
        first = text.splitlines()[0]
        assert first[0].isupper() or first[0] == "`", name
        assert first.endswith("."), name
