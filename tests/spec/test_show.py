"""`llmkit show` prints trees that read back as what they are, and tells where each value comes from (STYLE 4)."""

from __future__ import annotations

import re

import pytest

from engine.catalog import Catalog
from engine.cli import main
from engine.cli.show import yaml_lines
from engine.spec.extend import dialect_tree, whole_tree
from engine.spec.load import load
from engine.spec.node import node_of
from engine.spec.problem import Problems

CATALOG = Catalog()


@pytest.mark.parametrize("id", CATALOG.provider_ids()[::6])
def test_a_resolved_provider_reads_back_the_same(id: str) -> None:
    tree = whole_tree(CATALOG, id, Problems())
    problems = Problems()
    for origin in (False, True):
        text = "\n".join(yaml_lines(tree, origin=origin))
        back = load(text, "shown", problems)
        assert not problems
        assert back is not None and tree is not None and back.plain() == tree.plain()


@pytest.mark.parametrize("id", CATALOG.dialect_ids())
def test_a_resolved_dialect_reads_back_the_same(id: str) -> None:
    tree, problems = dialect_tree(CATALOG, id, Problems()), Problems()
    back = load("\n".join(yaml_lines(tree)), "shown", problems)
    assert not problems
    assert back is not None and tree is not None and back.plain() == tree.plain()


AWKWARD = ["", " a", "a ", "a: b", "a:", "a #b", "#a", "yes", "~", "null", "2026-01-01", "1e3", "- a", "{a}", "{{ a }}", "[a]"]
AWKWARD += [
    "&a",
    "*a",
    "!a",
    "|",
    "a\nb",
    "@a",
    "%a",
    "'a'",
    '"a"',
    "é",
    "a, b",
    "$for",
    "/path:x",
    "=",
    "<<",
    "012",
    "?",
    "a\x85b",
]


def test_awkward_texts_read_back_the_same() -> None:
    data = {
        "keys": {text or "-": text for text in AWKWARD},
        "list": AWKWARD,
        "nested": [{"a": {"b": [1, [True, None]]}}, [], {}, "x"],
    }
    problems = Problems()
    back = load("\n".join(yaml_lines(node_of(data))), "shown", problems)
    assert not problems
    assert back is not None and back.plain() == data


def test_origins_name_the_file_and_line_of_each_value(capsys: pytest.CaptureFixture[str]) -> None:
    id = next(i for i in CATALOG.provider_ids() if (n := CATALOG.provider(i)) is not None and n.get("chat", "extends") is not None)
    assert main(["show", id, "--resolved", "--origin"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = [re.search(r"  # (\S+):(\d+)$", line) for line in lines]
    files = {found[1] for found in told if found}
    assert f"providers/{id}.yaml" in files
    assert any(file.startswith("dialects/") for file in files)
    name = next(line for line in lines if line.startswith("name:"))
    assert name.endswith(f"providers/{id}.yaml:1")


def test_an_unknown_name_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    id = CATALOG.provider_ids()[0]
    assert main(["show", id[:-1] + "x"]) == 2
    assert f"did you mean `{id}`" in capsys.readouterr().err
