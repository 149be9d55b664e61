"""What docs/caching.md shows is what works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.cache.options import DEFAULT, Options
from engine.cli import main
from engine.serve.gateway.config import read_config
from tests.cache.stores import SECRET
from tests.routing.targets import Several

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "caching.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_code_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    real = engine.Client
    with Several() as several:
        catalog = several.sims["openai"].catalog
        monkeypatch.setattr(engine, "Client", lambda **options: real(catalog, providers=several.settings(), **options))
        first, *rest = blocks("python")
        exec(compile(first, "docs/caching.md", "exec"), known)
        assert known["again"].report.cache.keys() == {"hit", "from", "age", "saved"} and known["again"].cost == 0
        assert known["first"].report.cache == {"hit": False, "kept": True} and several.asked("openai") == 1
        for text in rest:
            exec(compile(text, "docs/caching.md", "exec"), known)
    for line in blocks("sh")[0].splitlines()[:2]:
        assert main(line.split()[1:]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "forgot 0 answers of acme"


def test_the_file_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("CACHE_SECRET", SECRET)
    (tmp_path / "llmkit.yaml").write_text(blocks("yaml")[0])
    made = read_config(tmp_path / "llmkit.yaml").cache
    assert made is not None and made.ttl == 600


def test_every_key_is_told() -> None:
    assert all(f"`{name}`" in PAGE for name in Options.__dataclass_fields__) and ", ".join(DEFAULT) in PAGE
