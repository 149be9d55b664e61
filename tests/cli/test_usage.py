"""Every command explains itself, and everything wrong ends in one message and an exit code (RELIABILITY E1, M5, S5)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import engine
from engine.cli.parser import parser
from tests.cli.conftest import Ran

Run = Callable[..., Ran]
COMMANDS = sorted(next(iter(a.choices for a in parser()._actions if a.choices)))  # type: ignore[arg-type]


def test_the_version_is_told(run: Run) -> None:
    ran = run("--version")
    assert (ran.code, ran.out) == (0, f"llmkit {engine.__version__}\n")


def test_there_are_the_commands_of_the_design() -> None:
    assert set(COMMANDS) >= {"chat", "providers", "models", "show", "check", "explain", "render", "read", "new", "sim", "demo"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    ran = run(command, "--help")
    assert ran.code == 0 and ran.out.startswith(f"usage: llmkit {command}") and len(ran.out.splitlines()) > 5
    assert command in run("--help").out


#: words of a command -> exit code and a piece of what is said
WRONG = {
    "": (2, "COMMAND"),
    "nope": (2, "invalid choice"),
    "chat": (2, "model"),
    "chat groq hi": (2, "a model is named provider/model, not `groq`"),
    "chat groq/x": (2, "no prompt"),
    "chat grok/x hi": (2, "no provider `grok` in the catalog; did you mean `groq`?"),
    "chat groq:nope/x hi": (2, "no variant `nope`"),
    "chat groq/x hi": (2, "set GROQ_API_KEY"),
    "chat groq/x hi --key NOT_SET": (2, "NOT_SET, which is not set"),
    "chat groq/x hi --key nope=KEY": (2, "groq has no setting `nope`"),
    "chat groq/x hi --setting region": (2, "--setting takes NAME=VALUE"),
    "chat groq/x hi --key KEY --base-url ftp://x": (2, "`base_url`"),
    "chat groq/x hi --base-url https://example.com": (2, "api_key"),
    "chat groq/x hi --key KEY --base-url http://127.0.0.1:9": (1, "connection"),
    "chat groq/x hi --catalog /no/such.yaml": (2, "/no/such.yaml"),
    "chat groq/x hi --image /no/such.png": (2, "/no/such.png: No such file"),
    "chat groq/x hi --file .": (2, "Is a directory"),
    "chat groq/x hi --tool-schema /no/such.json": (2, "No such file"),
    "chat groq/x hi --tool-schema README.md": (2, "README.md is not JSON"),
    "chat groq/x hi --json-schema README.md": (2, "README.md is not JSON"),
    "chat groq/x hi --explain --reasoning lots": (2, "reasoning effort `lots` is not known"),
    "chat groq/x hi --explain --param foo": (2, "--param takes NAME=JSON"),
    "chat groq/x hi --explain --param temprature=1": (2, "`temperature`"),
    "chat groq/x hi --timeout soon": (2, "invalid float"),
    "chat groq/x hi --timeout -1": (2, "positive"),
    "chat groq/x hi --nonsense": (2, "unrecognized arguments: --nonsense"),
    "providers --nonsense": (2, "unrecognized"),
    "models grok": (2, "did you mean `groq`?"),
    "show anthropc": (2, "did you mean `anthropic`?"),
    "check anthropc": (2, "did you mean `anthropic`?"),
    "check /no/such.yaml": (2, "/no/such.yaml"),
    "check README.md": (2, "README.md"),
    "explain unknown-kei": (2, "did you mean `unknown-key`?"),
    "render groq/x /no/such.json": (2, "No such file"),
    "render groq/x README.md": (2, "not JSON"),
    "render groq/x README.md --operation nope": (2, "not JSON"),
    "render grok/x": (2, ""),
    "read groq/x /no/such.json": (2, "No such file"),
    "read groq/x README.md --operation embeddings": (2, "Groq has no embeddings"),
    "new Bad_Id": (2, "small letters"),
    "new acme --dialect openai-cat": (2, "did you mean `openai-chat`?"),
    "new acme --output README.md": (2, "exists already"),
    "sim --port 99999": (2, "a port is a number"),
    "sim --port x": (2, "invalid int"),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_usage_ends_in_a_sentence(run: Run, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    code, said = WRONG[words]
    ran = run(*words.split())
    assert (ran.code, said in ran.err, ran.out) == (code, True, ""), ran


def test_a_broken_file_is_told_with_its_places(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text("name: Acme\nbase_url: https://api.acme.com\nchat: {extends: openai-chat, parms: {}}\n")
    ran = run("chat", "acme/m", "hi", "--catalog", str(file))
    assert ran.code == 1 and "acme.yaml:3:" in ran.err and "`params`" in ran.err


def test_bytes_that_are_no_text_are_no_prompt(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    from engine.cli.chat import standard_input

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
    with pytest.raises(engine.errors.ConfigError, match="not text"):
        standard_input()
