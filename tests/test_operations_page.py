"""What docs/operations.md shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

import engine
from engine.catalog import Catalog
from engine.cli import main
from engine.cli.parser import parser
from engine.serve.loopback import Loopback

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "operations.md").read_text("utf-8")
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
JOBS = next(number for number, code in enumerate(CODE) if "submit" in code)
SPEC = re.search(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def service(request: httpx.Request) -> httpx.Response:
    if request.method == "POST":
        return httpx.Response(200, json={"id": "j-1", "polling_url": "https://api.eu.bfl.ai/v1/get_result?id=j-1"})
    return httpx.Response(200, json={"id": "j-1", "status": "Ready", "result": {"sample": "https://delivery.eu.bfl.ai/a.jpeg"}})


def test_the_code_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    known: dict[str, Any] = {}
    with Loopback(Catalog()) as sim:
        made = engine.Client(providers={id: {"api_key": "k", "base_url": sim.url(id)} for id in ("cohere", "openai")})
        monkeypatch.setattr(engine, "Client", lambda: made)
        exec(CODE[0], known)
    assert "[False, True]" in capsys.readouterr().out
    monkeypatch.undo()
    known["client"] = engine.Client(providers={"black-forest-labs": {"api_key": "k"}}, transport=httpx.MockTransport(service))
    exec(CODE[JOBS], known)
    assert capsys.readouterr().out.splitlines()[-1] == "https://delivery.eu.bfl.ai/a.jpeg"


def test_an_answer_in_the_background(capsys: pytest.CaptureFixture[str]) -> None:
    def service(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json={"id": "resp_1", "status": "queued", "output": []})
        said = {"type": "message", "content": [{"type": "output_text", "text": "Teal was a duck."}]}
        return httpx.Response(200, json={"id": "resp_1", "status": "completed", "output": [said]})

    exec(CODE[JOBS + 1], {"client": engine.Client(providers={"openai": {"api_key": "k"}}, transport=httpx.MockTransport(service))})
    assert capsys.readouterr().out == "Teal was a duck.\n"


def test_pictures_and_voices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ann-1.wav", "ann-2.wav"):
        Path(name).write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    with Loopback(Catalog()) as sim:
        ids = ("openai", "elevenlabs", "cartesia")
        known: dict[str, Any] = {"client": engine.Client(providers={id: {"api_key": "k", "base_url": sim.url(id)} for id in ids})}
        for code in CODE[1:JOBS]:
            exec(code, known)
    out = capsys.readouterr().out.splitlines()
    assert out == ["preview 0 image/png", "preview 1 image/png", "image stop", "v-2 George male", "v-3 Hiro None", "deleted"]
    assert known["mine"].voices[0].id == "v-1" and known["sound"].outputs[0].kind == "audio"


def test_the_commands_are_there() -> None:
    known = {name for action in parser()._actions if action.choices for name in action.choices}
    said = re.findall(r"^\$ llmkit ([a-z-]+)", PAGE, re.MULTILINE)
    assert {"voices", "clone-voice", "delete-voice", "run"} <= set(said) <= known


def test_the_file_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert SPEC is not None
    path = tmp_path / "slow-pictures.yaml"
    path.write_text(SPEC.group(1))
    assert main(["check", str(path)]) == 0, capsys.readouterr().out
