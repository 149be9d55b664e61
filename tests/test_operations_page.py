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
from engine.serve.loopback import Loopback

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "operations.md").read_text("utf-8")
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
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
    exec(CODE[1], known)
    assert capsys.readouterr().out.splitlines()[-1] == "https://delivery.eu.bfl.ai/a.jpeg"


def test_the_file_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert SPEC is not None
    path = tmp_path / "slow-pictures.yaml"
    path.write_text(SPEC.group(1))
    assert main(["check", str(path)]) == 0, capsys.readouterr().out
