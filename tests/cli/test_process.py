"""`llmkit` as a process: a port that serves, a reader that goes away, an interrupt, a terminal without letters."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "engine"]
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "KEY": "k-canary-123456789"}


def llmkit(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    given = {"env": ENVIRONMENT, "cwd": "/", "capture_output": True, "text": True, "timeout": 60, **more}
    done: subprocess.CompletedProcess[str] = subprocess.run([*COMMAND, *words], **given)  # type: ignore[call-overload]
    assert "Traceback" not in (done.stderr or "")
    return done


def listen() -> None:
    """Interrupts count, also where the tests run in the background of a shell, which ignores them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """`llmkit sim` on a free port; stopped by an interrupt, as people do."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*COMMAND, "sim", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, cwd="/", preexec_fn=listen) as server:
        assert server.stdout is not None
        assert f"http://127.0.0.1:{port}/PROVIDER" in server.stdout.readline().decode()
        assert "llmkit chat" in server.stdout.readline().decode()
        yield port
        server.send_signal(signal.SIGINT)
        try:
            assert server.wait(10) == 0
        finally:
            server.kill()


def test_the_stand_in_answers_a_command_and_any_other_client(port: int) -> None:
    url = f"http://127.0.0.1:{port}/groq"
    done = llmkit("chat", "groq/m", "Say hello.", "--base-url", url, "--key", "KEY")
    assert (done.returncode, done.stdout) == (0, "Hello! How can I help you today?\n")
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Say hello."}]}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/chat/completions", body), timeout=10) as reply:
        assert json.load(reply)["choices"][0]["message"]["content"] == "Hello! How can I help you today?"


def test_a_taken_port_is_told(port: int) -> None:
    done = llmkit("sim", "--port", str(port))
    assert done.returncode == 2 and "in use" in done.stderr


def test_the_version_is_told_from_any_directory() -> None:
    assert llmkit("--version").stdout.startswith("llmkit ")


@pytest.mark.parametrize("words", [("providers",), ("show", "openai-chat"), ("explain",)], ids=" ".join)
def test_a_reader_that_goes_away_is_no_failure(words: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run([*COMMAND, *words], stdout=write, stderr=subprocess.PIPE, env=ENVIRONMENT, cwd="/", timeout=60)
    finally:
        os.close(write)
    assert done.returncode == 0 and b"Traceback" not in done.stderr and b"BrokenPipe" not in done.stderr


def test_an_interrupt_ends_a_call_with_one_word() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the call and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        words = ["chat", "groq/m", "hi", "--base-url", url, "--key", "KEY"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen([*COMMAND, *words], **pipes, env=ENVIRONMENT, cwd="/", preexec_fn=listen) as call:
            silent.settimeout(30)
            connection, _ = silent.accept()
            connection.recv(1)
            time.sleep(0.1)
            call.send_signal(signal.SIGINT)
            out, err = call.communicate(timeout=20)
            connection.close()
    assert (call.returncode, out, err.decode().strip()) == (130, b"", "llmkit: interrupted")


def test_a_terminal_without_letters_shows_their_codes(port: int) -> None:
    done = llmkit("demo", "--help", env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    request = '{"messages": "zwölf"}'
    done = llmkit("render", "groq/m", input=request, env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"})
    assert done.returncode == 0 and "zw" in done.stdout
