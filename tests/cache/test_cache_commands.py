"""`llmkit cache stats` and `llmkit cache clear`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli import main
from engine.testing import Simulator
from tests.cache.stores import SECRET
from tests.redis_server import RedisServer, needs_redis

A = "groq/llama-3.3-70b-versatile"


def test_what_is_kept_is_shown_and_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "llmkit" / "answers.sqlite"
    assert main(["cache", "stats"]) == 2 and "there is no cache at" in capsys.readouterr().err and not path.exists()
    with Simulator([{"say": "a private word"}]) as sim:
        client = sim.client(cache=True)
        for tenant in ("acme", "beta", None):
            client.chat(A, "hi", tenant=tenant)
    assert main(["cache", "stats"]) == 0
    told = capsys.readouterr().out
    assert "entries  3" in told and "tenants  3" in told and str(path) in told and "private" not in told and "UTC" in told
    assert main(["cache", "stats", "--json", "--store", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 3
    assert main(["cache", "clear", "--tenant", "acme"]) == 0 and capsys.readouterr().out == "forgot 1 answer of acme\n"
    config = tmp_path / "llmkit.yaml"
    config.write_text(json.dumps({"cache": {"store": "llmkit/answers.sqlite"}}))
    assert main(["cache", "clear", "--config", str(config)]) == 0 and capsys.readouterr().out == "forgot 2 answers\n"


def test_what_makes_no_sense_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "llmkit.yaml"
    config.write_text("{aliases: {a: openai/b}}")
    for words in (["stats", "--config", str(config)], ["stats", "--tenant", "a"], ["clear", "--store", "a", "--config", "b"],
                  ["stats", "--store", "redis://127.0.0.1:1/0"]):  # fmt: skip
        assert main(["cache", *words]) == 2 and capsys.readouterr().err.startswith("llmkit: config: ")


@needs_redis
def test_a_redis_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Simulator([{"say": "fine"}]) as sim, RedisServer(tmp_path) as server:
        sim.client(cache={"store": server.url, "secret": SECRET}).chat(A, "hi", tenant="acme")
        assert main(["cache", "stats", "--store", server.url]) == 0 and "entries  1" in capsys.readouterr().out
        assert main(["cache", "clear", "--store", server.url, "--tenant", "beta"]) == 0
        assert main(["cache", "clear", "--store", server.url]) == 0
        assert capsys.readouterr().out == "forgot 0 answers of beta\nforgot 1 answer\n"
