"""What docs/models.md shows is what happens."""

from __future__ import annotations

import re
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

import engine
from engine.cli import main

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "models.md").read_text("utf-8")
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200, "prompt_tokens_details": {"cached_tokens": 400}}


def service(request: httpx.Request) -> httpx.Response:
    if request.url.path.endswith("/models"):
        return httpx.Response(200, json={"data": [{"id": "llama-3.3-70b-versatile", "context_window": 1000}, {"id": "new"}]})
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    return httpx.Response(200, json={"model": "gpt-5-mini", "choices": [choice], "usage": USAGE})


def test_the_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    known: dict[str, Any] = {}
    exec(CODE[0], known)
    assert "200000 15 [" in capsys.readouterr().out
    settings = {"openai": {"api_key": "k"}, "groq": {"api_key": "k"}}
    known["client"] = engine.Client(providers=settings, transport=httpx.MockTransport(service))
    exec(CODE[1], known)
    total, *lines = capsys.readouterr().out.splitlines()
    assert Decimal(total) == sum(Decimal(line.split()[3]) for line in lines) > 0
    assert [line.split()[0] for line in lines] == ["cache_read", "input", "output"]
    exec(CODE[2], known)
    whole, batch, guess = capsys.readouterr().out.splitlines()
    assert Decimal(batch) == Decimal(whole) / 2 and "True about" in guess
    (merged,) = re.findall(r"`(client\.models\(.*live=.*\))`", PAGE)
    exec(f"live = {merged}", known)
    assert known["live"] == ["groq/llama-3.3-70b-versatile", "groq/new"]


def test_own_prices(tmp_path: Path) -> None:
    (given,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "prices.yaml").write_text(given)
    own, usage = engine.Client(prices=tmp_path / "prices.yaml"), {"input_tokens": 10**6, "output_tokens": 10**6}
    assert own.price("openai-compatible/large", usage).cost == Decimal("7.5")
    listed = engine.Client().price("openai/gpt-5-mini", usage).cost
    assert listed is not None and own.price("openai/gpt-5-mini", usage).cost == listed * Decimal("0.8")


@pytest.mark.parametrize(
    "line", [x for x in re.findall(r"^    (llmkit models .*?)(?:   .*)?$", PAGE, re.MULTILINE) if "--live" not in x]
)
def test_the_commands_are_understood(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(line)[1:]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 2
