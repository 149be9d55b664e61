"""llmkit.yaml says everything an operator decides, and nothing in it is a key (G4, S1)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from engine.errors import ConfigError, Error
from engine.secret import Secret
from engine.serve.gateway.config import Config, config_of, listen, loopback, read_config
from engine.serve.gateway.keys import Keys

KEY = "sk-gateway-0123456789"


def of(given: dict[str, Any], folder: Path = Path(), **environ: str) -> Config:
    return config_of(given, folder, environ)


def test_a_file_says_everything(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"another-key-of-a-client").hexdigest()
    (tmp_path / "keys.txt").write_text(f"{KEY}  # team a\n\nsha256:{digest}\n")
    (tmp_path / "llmkit.yaml").write_text(
        "listen: 0.0.0.0:8080\nkeys: [{file: keys.txt}, {env: MORE}]\naliases: {fast: groq/llama, 'claude-*': anthropic/claude-*}\n"
        "providers: {groq: {api_key: {env: G}, base_url: 'http://localhost:1'}}\nextra: drop\nattempts: 2\ncatalog: mine.yaml\n"
    )
    config = read_config(tmp_path / "llmkit.yaml", {"MORE": "third-key-of-a-client", "G": "upstream"})
    assert (config.host, config.port, config.extra, config.attempts, len(config.keys)) == ("0.0.0.0", 8080, "drop", 2, 3)
    assert all(config.keys.known(k) for k in (KEY, "another-key-of-a-client", "third-key-of-a-client"))
    assert not any(config.keys.known(k) for k in ("", None, KEY[:-1], digest, f"sha256:{digest}", "\ud800"))
    assert isinstance(config.providers["groq"]["api_key"], Secret) and "upstream" not in repr(config) and KEY not in repr(config)
    assert config.catalog == [str(tmp_path / "mine.yaml")]
    assert config.target("fast") == "groq/llama" and config.target("claude-x-1") == "anthropic/claude-x-1"
    assert config.target("groq/llama") is None


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"listne": 1}, "listen"),
        ({"keys": KEY}, "not written"),
        ({"keys": {"env": "ABSENT"}}, "ABSENT"),
        ({"keys": {"file": "/nonexistent/keys"}}, "read"),
        ({"keys": {"env": "SHORT"}}, "characters"),
        ({"aliases": {"a": "b"}}, "provider/model"),
        ({"aliases": {"a": "groq/*"}}, "no"),
        ({"aliases": []}, "mapping"),
        ({"providers": {"groq": "k"}}, "settings"),
        ({"extra": "pass"}, "forward"),
        ({"open": 1}, "true or false"),
        ({"body": -1}, "above 0"),
        ({"attempts": 1.5}, "whole"),
        ({"listen": "0.0.0.0:4000"}, "loopback"),
        ({"listen": "a:b"}, "host:port"),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        of(given, SHORT="tiny")


def test_a_file_that_is_no_mapping(tmp_path: Path) -> None:
    for text in ("[1]", "a: [", "a: 1\na: 2\n"):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(Error):
            read_config(tmp_path / "c.yaml", {})


def test_addresses() -> None:
    assert listen("8080") == ("127.0.0.1", 8080) and listen("[::1]:5") == ("::1", 5) and listen("localhost") == ("localhost", 4000)
    assert all(map(loopback, ("127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9")))
    assert not any(map(loopback, ("0.0.0.0", "example.com", "", "::", "localhost.example.com")))


def test_without_aliases_any_model_is_offered_and_with_them_none_but_those() -> None:
    assert of({}).target("groq/x") == "groq/x" and of({}).target("x") is None
    assert of({"aliases": {"a": "b/c"}}).target("groq/x") is None
    assert of({"aliases": {"a": "b/c"}, "open": True}).target("groq/x") == "groq/x"
    assert not Keys() and Keys([KEY]).known(KEY)


def test_the_command_says_what_is_wrong_before_it_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    (tmp_path / "llmkit.yaml").write_text("aliases: {fast: groq/llama}\n")
    for arguments, word in (
        (["--listen", "0.0.0.0:1"], "loopback"),
        (["--port", "70000"], "65535"),
        (["--config", str(tmp_path / "llmkit.yaml")], "no credential for groq"),
        (["--config", str(tmp_path / "absent.yaml")], "No such file"),
    ):
        assert main(["serve", *arguments]) == 2
        assert word in capsys.readouterr().err
