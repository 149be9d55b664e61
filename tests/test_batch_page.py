"""What docs/batch.md shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.testing import Simulator
from tests.batch.service import Service
from tests.client.fakes import FakeClock

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "batch.md").read_text("utf-8")
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ROWS = re.findall(r"^```jsonl\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text(ROWS[0], "utf-8")
    known: dict[str, Any] = {}
    with Simulator() as simulator, simulator.client() as made:
        monkeypatch.setattr(engine, "Client", lambda: made)
        exec(CODE[0], known)
        exec(CODE[1], known)
        monkeypatch.undo()
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("4 0 0.0") and shown[1].startswith("a {'input_tokens': 14")
    assert [line.split()[0] for line in shown[1:5]] == ["a", "b", "c", "3"] and shown[-1].startswith("3 rows, 0 failed, $0.0")


def test_a_remote_batch_is_left_and_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with engine.Client(transport=Service().transport, providers={"openai": {"api_key": "k"}}, clock=FakeClock()) as client:
        exec(CODE[2], {"client": client, "rows": ["one", "two"]})
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "submitted" and shown[1].startswith("True 0.00")
