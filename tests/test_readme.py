"""What the READMEs show is what the commands print and what the code does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.catalog import Catalog
from engine.cli import main
from engine.serve.loopback import Loopback

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[tuple[str, str]]:
    """(language, text) of every fenced block of a page."""
    return BLOCK.findall((ROOT / name).read_text("utf-8"))


def commands(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """(words, lines shown) of every `$ llmkit …` in a block."""
    for piece in re.split(r"^\$ llmkit ", text, flags=re.MULTILINE)[1:]:
        line, _, shown = piece.partition("\n")
        yield shlex.split(line), shown.splitlines()


def compared(line: str) -> str:
    """A line without times, which differ from run to run, and the widths they make."""
    return " ".join(re.sub(r"\d+\.\d+", "N", line).split())


def agrees(shown: list[str], printed: list[str]) -> str | None:
    """None, or the first line shown that is not printed. A line `…` stands for any lines, one at the end for any rest."""
    left, gap = [compared(line) for line in printed], False
    for line in shown:
        if line == "…":
            gap = True
            continue
        wanted = compared(line.removesuffix("…"))
        same = (lambda have: have.startswith(wanted)) if line.endswith("…") else (lambda have: have == wanted)  # noqa: B023
        place = next((i for i, have in enumerate(left) if same(have)), None)
        if place is None or (place and not gap and left[:place] != [""] * place):
            return line
        left, gap = left[place + 1 :], False
    return None


@pytest.mark.parametrize("page", ["README.md", "catalog/README.md"])
def test_commands_print_what_is_shown(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("ACME_API_KEY", "k")
    (tmp_path / "request.json").write_text('{"messages": "hi", "max_tokens": 9}')
    for language, text in blocks(page):
        if language == "yaml" and text.startswith("# acme.yaml\n"):
            (tmp_path / "acme.yaml").write_text(text)
        for words, shown in commands(text) if language == "console" else ():
            if any("error[" in line for line in shown):  # the page says which word is wrong
                file = tmp_path / "acme.yaml"
                file.write_text(file.read_text().replace("{max_tokens:", "{max_token:"))
            main(words)
            missing = agrees(shown, capsys.readouterr().out.splitlines())
            assert missing is None, f"{page}: `llmkit {shlex.join(words)}` does not print: {missing}"


def test_the_code_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    known: dict[str, Any] = {}
    with Loopback(Catalog()) as sim:
        settings = {id: {"api_key": "k", "base_url": sim.url(id)} for id in ("groq", "anthropic", "openai")}
        made = engine.Client(providers=settings)
        monkeypatch.setattr(engine, "Client", lambda: made)
        for language, text in blocks("README.md"):
            if language == "python":
                exec(compile(text, "README.md", "exec"), known)
    assert "It is 18 °C and sunny in Rome." in capsys.readouterr().out
    assert known["person"] == known["Person"]("Ada", 36) and known["signed"].headers["x-api-key"] == "k"


def test_the_way_in_stands_at_the_top() -> None:
    head = (ROOT / "README.md").read_text("utf-8")[:1200]
    assert head.index("make demo") < head.index("make test")
