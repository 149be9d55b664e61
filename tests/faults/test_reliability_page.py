"""What docs/reliability.md shows is what works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.errors import KINDS
from engine.serve.gateway.config import config_of
from engine.spec.load import load
from engine.spec.problem import Problems
from tests.routing.targets import Several

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reliability.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_code_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each block, with a provider that limits, one whose streams break off, and one that answers."""
    monkeypatch.chdir(tmp_path)
    real, known = engine.Client, {}
    with Several(anthropic="u_429_ra_long", groq="s_cut_clean") as several:
        catalog = several.sims["groq"].catalog

        def made(**options: Any) -> engine.Client:
            return real(catalog, **{**options, "providers": several.settings(options.get("providers"))})

        monkeypatch.setattr(engine, "Client", made)
        for text in blocks("python"):
            exec(compile(text, "docs/reliability.md", "exec"), known)
    assert known["partial"].text == "Hello from groq." and several.asked("anthropic") == 1
    assert (tmp_path / "spend.sqlite").exists()


def test_the_configuration_is_one(tmp_path: Path) -> None:
    problems = Problems()
    node = load(blocks("yaml")[0].encode(), "llmkit.yaml", problems)
    assert node is not None and not problems.errors
    config = config_of(node.plain(), tmp_path, {"REDIS_URL": "redis://:secret@h:1/0"})
    assert config.ledger["instances"] == 4 and config.ledger["file"] == str(tmp_path / "spend.sqlite")


def test_every_kind_is_told() -> None:
    assert not [kind for kind in KINDS if f"`{kind}`" not in PAGE]


def test_the_numbers_are_those_of_the_code() -> None:
    from engine.accounting import estimate
    from engine.ledger import shared
    from engine.reliability.deadline import Limits

    limits = Limits()
    for number in (limits.deadline, limits.connect, limits.send, limits.first_event, limits.idle):
        assert f"{number:g} s" in PAGE
    assert f"({shared.GRACE} s)" in PAGE and shared.LONGEST == 60
    for tokens in (*estimate._ADDED, *estimate._FOR_TOOLS, estimate._IMAGE_AT_MOST, estimate._FOUND):
        assert f"{tokens:,}" in PAGE
