"""Official client libraries embed, count tokens and list models through the gateway, whoever is behind it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from engine.serve.gateway.app import Gateway
from engine.serve.gateway.config import Config
from tests.serve.test_gateway_operations import CATALOG, UPSTREAM, VECTORS, answer

uvicorn = pytest.importorskip("uvicorn")
PYTHON = os.environ.get("LLMKIT_SDK_PYTHON")
SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "sdks" / "operations.py"


@pytest.mark.skipif(not PYTHON, reason="LLMKIT_SDK_PYTHON names no Python with the client libraries")
def test_every_library_understands_the_answers() -> None:
    aliases = {"e": "cohere/e", "c": "anthropic/c", "g": "gemini/g"}
    gateway = Gateway(
        Config(providers=UPSTREAM, attempts=1, aliases=aliases), catalog=CATALOG, transport=httpx.MockTransport(answer)
    )
    gateway.prepare()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(gateway, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until = time.monotonic() + 10
        while not server.started and time.monotonic() < until:
            time.sleep(0.05)
        command = [str(PYTHON), str(SCRIPT), f"http://127.0.0.1:{port}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    finally:
        server.should_exit = True
        thread.join(10)
    found = json.loads(done.stdout.splitlines()[-1]) if done.stdout else done.stderr[-500:]
    names, tokens = list(aliases), len(json.dumps([{"role": "user", "content": "hi"}]))
    assert found == {
        **{f"{who} embeddings": VECTORS for who in ("openai", "gemini", "cohere", "ollama", "mistral")},
        **{f"{who} models": names for who in ("openai", "anthropic", "gemini", "cohere", "ollama")},
        **{"openai tokens": tokens, "gemini tokens": tokens, "anthropic tokens": 1},
    }
