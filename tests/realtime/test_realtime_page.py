"""What docs/realtime.md shows is what happens."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.cli import main
from engine.realtime import read_wav
from engine.testing import Simulator

pytest.importorskip("websockets")
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "realtime.md").read_text("utf-8")
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ llmkit (.*)$", PAGE, re.MULTILINE)
MODELS = sorted(
    {m for row in re.findall(r"^\| .*\|$", PAGE, re.MULTILINE) for m in re.findall(r"`([a-z-]+(?::[a-z]+)?/[^`]+)`", row)}
)
SCRIPT = [
    {"when": "messages[-1].role == 'tool'", "say": "It is {{ messages[-1].text }}."},
    {"when": "contains(messages[-1].text, 'weather')", "say": [{"tool_call": {"name": "weather", "arguments": {"city": "Rome"}}}]},
    {"say": "Hello there."},
]


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(script=SCRIPT) as running:
        yield running


def test_the_code_runs_and_the_commands_do(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    made = sim.client()
    monkeypatch.setattr(engine, "Client", lambda: made)
    known: dict[str, Any] = {}
    for code in CODE:
        exec(code, known)
    said = capsys.readouterr().out.splitlines()
    assert said == ["assistant Hello there.", "20", "weather sunny in Rome", "It is sunny in Rome.", "Hello there."]
    samples, rate = read_wav("hello.wav")
    assert rate == 24000 and samples == known["sound"]
    monkeypatch.undo()

    monkeypatch.chdir(tmp_path)
    os.rename("hello.wav", "question.wav")
    monkeypatch.setenv("ANY", "k")
    for command in COMMANDS:
        words = shlex.split(command)
        provider = words[1].partition("/")[0].partition(":")[0]
        assert main([*words, "--base-url", f"{sim.origin}/{provider}", "--key", "ANY"]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "model: Hello there." in printed and '"full": "Hello there."' in printed
    assert {len(read_wav(name)[0]) > 1000 for name in ("answer.wav", "morning.wav")} == {True}


def test_every_model_of_the_table_opens_a_session(sim: Simulator) -> None:
    client = sim.client(providers={"azure-openai": {"endpoint": "https://x.openai.azure.com"}})
    assert len(MODELS) >= 16
    for model in MODELS:
        with client.realtime(model, timeout=10) as session:
            session.send_audio(bytes(960)) if session.can("audio") else session.send_text("Hello")
