"""`llmkit sim` with a script, faults and a pace."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from engine.cli import main

ROOT = Path(__file__).resolve().parents[2]


def test_a_script_and_a_fault_are_followed(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text("- say: 'Row {{ messages[-1].text }}'\n")
    command = [sys.executable, "-c", "import sys; from engine.cli import main; sys.exit(main())", "sim", "--port", "0"]
    command += ["--script", str(script), "--fault", "u_500_once", "--pace", "1000", "--latency", "0.01"]
    ready = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=ready) as server:
        assert server.stdout is not None
        origin = server.stdout.readline().split(" on ")[1].strip().removesuffix("/PROVIDER")
        told = [server.stdout.readline() for _ in range(3)]
        assert str(script) in told[0] and "u_500_once" in told[1] and f"--base-url {origin}/groq" in told[2]
        body = json.dumps({"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "7"}]}).encode()
        with pytest.raises(urllib.error.HTTPError, match="500"):
            urllib.request.urlopen(urllib.request.Request(f"{origin}/v1/messages", body), timeout=20)
        with urllib.request.urlopen(urllib.request.Request(f"{origin}/v1/messages", body), timeout=20) as reply:
            assert json.load(reply)["content"][0]["text"] == "Row 7"
        server.send_signal(signal.SIGINT)
        try:
            assert server.wait(10) == 0
        finally:
            server.kill()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fault", "s_cut_clea"], "did you mean `s_cut_clean`?"),
        (["--script", "nowhere.yaml"], "cannot be read"),
        (["--pace", "-1"], "--pace is a number from 0"),
        (["--port", "70000"], "a port is a number"),
    ],
)
def test_slips_are_told(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", *words]) == 2
    assert message in capsys.readouterr().err


def test_faults_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "--list-faults"]) == 0
    assert "s_cut_rst" in capsys.readouterr().out
