"""What docs/routing.md shows is what works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.routing.asked import TASKS
from engine.routing.decide import MOVES
from engine.routing.route import POLICIES, routes_of
from tests.routing.targets import Several

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "routing.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_code_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    with Several() as several:
        monkeypatch.setattr(engine, "Client", maker(several))
        for text in blocks("python"):
            exec(compile(text, "docs/routing.md", "exec"), known)
    assert known["answer"].report.route["chosen"] == "groq/llama-3.3-70b-versatile"
    assert (tmp_path / "routes.log").read_text().count("\n") == 1 and (tmp_path / "spend.sqlite").exists()


def maker(several: Several) -> Any:
    """`engine.Client` whose providers are stand-ins."""
    real = engine.Client
    catalog = several.sims["groq"].catalog
    return lambda **options: real(catalog, providers=several.settings(), **options)


def test_the_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "llmkit.yaml").write_text(blocks("yaml")[0])
    routes = routes_of(tmp_path / "llmkit.yaml")
    assert set(routes) == {"smart", "plain"} and routes["smart"].larger[0].model == "gemini/gemini-2.5-pro"


def test_every_word_is_told() -> None:
    assert all(f"`{word}`" in PAGE for word in (*POLICIES, *TASKS)) and MOVES
