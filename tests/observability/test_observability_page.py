"""What docs/observability.md shows is what happens."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import engine
from engine import events
from engine.accounting.statistics import BY
from engine.cli import main
from engine.ledger.journal import COLUMNS
from engine.serve.gateway.config import read_config
from tests.routing.targets import Several

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "observability.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_code_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("opentelemetry")
    monkeypatch.chdir(tmp_path)
    real, known = engine.Client, {}  # type: ignore[var-annotated]
    with Several() as several:
        catalog = several.sims["groq"].catalog
        monkeypatch.setattr(engine, "Client", lambda **options: real(catalog, providers=several.settings(), **options))
        for text in blocks("python"):
            exec(compile(text, "docs/observability.md", "exec"), known)
        assert several.asked("openai") == 5
    out = capsys.readouterr().out
    assert re.search(r"^openai ok \d+\.\d\d s \d+ 0\.\d+$", out, re.MULTILINE) and out.count("Hello from openai.") == 2
    assert main(["stats", "calls.sqlite"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == blocks("console")[0].splitlines()[1].split()


def test_every_event_and_its_fields_stand_in_the_table() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", PAGE, re.MULTILINE))
    common = {f.name for f in fields(events.Happening)}
    assert set(rows) == set(events.EVENTS)
    assert set(re.search(r"besides `([^`]*)`", PAGE)[1].split()) == common  # type: ignore[index]
    for name, kind in events.EVENTS.items():
        own = {f.name for f in fields(kind)} - common - {"content"}
        told = set(re.search(r"`([^`]*)`", rows[name])[1].split())  # type: ignore[index]
        assert told == own or ("…" in told and told - {"…"} < own), name


def test_the_words_of_the_journal_and_of_the_command_are_told() -> None:
    assert all(f"`{column}`" in PAGE for column in COLUMNS)
    assert all(re.search(rf"\b{word}\b", PAGE.partition("`--by`")[2][:200]) for word in BY if word != "provider")


def test_the_configuration_is_one(tmp_path: Path) -> None:
    (tmp_path / "llmkit.yaml").write_text(blocks("yaml")[0])
    config = read_config(tmp_path / "llmkit.yaml")
    assert config.journal == str(tmp_path / "calls.sqlite") and config.telemetry == {}
