"""`llmkit batch` as a process: killed, interrupted, resumed. The whole proof is `make batch-kills`."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.testing import Simulator
from tests.batch.service import Service, served
from tools.batch_kills import Proof, prove


def test_killed_again_and_again_every_row_stands_once_in_order() -> None:
    proof, hit, _ = prove(rows=500, kills=2, concurrency=4, seed=5, seconds=3, latency=0.05)  # six seconds on any machine
    assert not proof.wrong and hit == 2 and proof.runs == 3


def test_the_judge_sees_what_is_wrong(tmp_path: Path) -> None:
    proof = Proof(tmp_path, 3, 1)
    good = [json.dumps({"id": f"r{i}", "response": {"choices": [{"text": f"You said: row {i}"}]}}) + "\n" for i in range(3)]
    for lines, wrong in ((good, 0), (good[:2], 1), ([good[0], good[0], good[1], good[2]], 2), ([good[1], good[0], good[2]], 2)):
        proof.out.write_text("".join(lines))
        proof.wrong.clear()
        proof.judge()
        assert len(proof.wrong) == wrong


def test_an_interrupted_command_says_how_to_go_on(tmp_path: Path) -> None:
    proof = Proof(tmp_path, 60, 2)
    with Simulator(latency=0.1) as simulator:
        assert not proof.run(simulator.port, 2.5, signal.SIGINT)
    told = (tmp_path / "told-1.txt").read_text()
    assert "goes on with --resume" in told and "Traceback" not in told
    with Simulator() as simulator:
        assert proof.run(simulator.port, None)
    proof.judge()
    assert not proof.wrong


def test_the_command_line(run: Callable[..., Any], tmp_path: Path) -> None:
    with Simulator() as simulator:
        _commands(run, simulator.url("openai"), tmp_path / "rows.jsonl", tmp_path / "out.jsonl")


def _commands(run: Callable[..., Any], url: str, rows: Path, out: Path) -> None:
    rows.write_text('"one"\n{"id": "b", "input": "two", "operation": "embeddings", "model": "openai/text-embedding-3-small"}\n')
    words = ["batch", str(rows), "--out", str(out), "--base-url", url, "--key", "KEY", "--param", "max_tokens=5"]
    done = run(*words, "--model", "openai/gpt-4.1-mini", "--json")
    assert done.code == 0 and done.json["rows"] == 2 and "2 rows" in done.err and done.json["ended"]
    assert len(out.read_text().splitlines()) == 2
    again = run(*words, "--model", "openai/gpt-4.1-mini")
    assert again.code == 2 and "--resume" in again.err
    assert run(*words, "--model", "openai/gpt-4.1-mini", "--resume", "--quiet").err == f"2 answered, 0 failed, ended: {out}\n"
    rows.write_text("7\n")
    failed = run("batch", str(rows), "--out", f"{out}2", "--model", "openai/m", "--key", "KEY", "--quiet")
    assert failed.code == 1 and "1 failed" in failed.err
    assert run(*words[:4], "--resume", "--checkpoint", f"{out}3").code == 2


def test_a_remote_batch_is_submitted_and_left(run: Callable[..., Any], tmp_path: Path) -> None:
    rows, service = tmp_path / "rows.jsonl", Service()
    rows.write_text('"one"\n"two"\n')
    with served(service) as url:
        words = [
            "batch",
            str(rows),
            "--model",
            "openai/gpt-4.1-mini",
            "--out",
            str(tmp_path / "out"),
            "--base-url",
            url,
            "--key",
            "KEY",
        ]
        left = run(*words, "--mode", "remote", "--no-wait")
        assert left.code == 0 and "submitted" in left.err and len(service.batches) == 1
        late = run(*words, "--mode", "remote", "--resume", "--timeout", "1")
        assert late.code == 1 and "the batch batch-0 goes on" in late.err
        assert run(*words, "--mode", "local", "--resume").code == 2  # not another mode on the way
    assert len(service.batches) == 1
