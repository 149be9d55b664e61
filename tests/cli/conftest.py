from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from engine.catalog import Catalog
from engine.cli import main
from engine.serve.loopback import Loopback


@dataclass
class Ran:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="session")
def sim() -> Iterator[Loopback]:
    with Loopback(Catalog()) as server:
        yield server


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run `llmkit` in this process, with a key in the environment variable KEY and no others of the catalog."""
    for name in ("GROQ_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KEY", "k-canary-123456789")

    def call(*words: str, stdin: str = "") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        try:
            code = main(list(words))
        except SystemExit as end:  # argparse: help and wrong usage
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err and "defect" not in err and "k-canary" not in out + err
        return Ran(code, out, err)

    return call
