"""The gateway on a socket: streams arrive as they are made, a stopping gateway lets them finish, hundreds run at once (G8, G9)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.testing import Simulator
from tests.serve.gateways import CATALOG, HOMES, client_of

pytest.importorskip("uvicorn")
ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-gateway-0123456789"


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(
        script=[{"when": "contains(messages[-1].text, 'slow')", "say": "word " * 20, "pace": 20}, {"say": "Good day."}],
        catalog=CATALOG,
    ) as made:
        yield made


class Running:
    """`llmkit serve` in a process of its own."""

    def __init__(self, folder: Path, sim: Simulator) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = folder / "llmkit.yaml"
        config.write_text(
            f"listen: 127.0.0.1:{self.port}\nkeys: {{env: GATEWAY_KEYS}}\naliases: {{fast: groq/llama}}\ndrain: 10\n"
            f"providers:\n  groq: {{api_key: {{env: TEAM_KEY}}, base_url: '{sim.url('groq')}'}}\n"
        )
        environ = {**os.environ, "GATEWAY_KEYS": KEY, "TEAM_KEY": "upstream-key-of-the-team"}
        command = [sys.executable, "-m", "engine", "serve", "--config", str(config)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True)
        self.origin = f"http://127.0.0.1:{self.port}"
        for _ in range(300):
            try:
                if httpx.get(f"{self.origin}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the gateway did not start")

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        _, told = self.process.communicate(timeout=20)
        return told


@pytest.fixture(scope="module")
def running(sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("gateway"), sim)
    yield made
    if made.process.poll() is None:
        made.stop()


@pytest.mark.parametrize("dialect", sorted(set(HOMES) - {"bedrock-converse"}))
def test_clients_of_every_dialect_on_a_socket(dialect: str, running: Running, sim: Simulator) -> None:
    async def talk() -> None:
        async with client_of(dialect, running.origin, api_key=KEY) as client:
            target = f"{HOMES[dialect]}/fast"
            assert (await client.chat(target, "Hello", max_tokens=20)).text == "Good day."
            assert (await client.chat.stream(target, "Hello", max_tokens=20).finish()).text == "Good day."

    asyncio.run(talk())
    assert sim.requests[-1].key == "upstream-key-of-the-team"


def body(text: str) -> dict[str, Any]:
    return {"model": "fast", "stream": True, "messages": [{"role": "user", "content": text}]}


def test_many_streams_at_once_are_all_whole(running: Running) -> None:
    async def one(client: httpx.AsyncClient) -> str:
        answer = await client.post("/v1/chat/completions", json=body("slow"), headers={"authorization": f"Bearer {KEY}"})
        return answer.text

    async def all_of_them() -> list[str]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=running.origin, timeout=30, limits=limits) as client:
            return await asyncio.gather(*(one(client) for _ in range(40)))

    for text in asyncio.run(all_of_them()):
        assert text.count('"content":"') >= 20 and text.endswith("data: [DONE]\n\n")


def test_a_client_that_hangs_up_ends_the_call_at_the_provider(running: Running, sim: Simulator) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.stream("POST", f"{running.origin}/v1/messages", json={**body("slow"), "max_tokens": 99}, headers=headers) as answer:
        next(answer.iter_bytes())
    left = time.monotonic()
    seen = sim.requests[-1]
    while not seen.gone and time.monotonic() - left < 5:
        time.sleep(0.02)
    assert seen.gone and not seen.finished and time.monotonic() - left < 1


def test_a_stopping_gateway_lets_streams_finish_and_tells_nothing_of_prompts(running: Running) -> None:
    pieces = []
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.stream("POST", f"{running.origin}/v1/chat/completions", json=body("slow, very private"), headers=headers) as answer:
        arrived = []
        for piece in answer.iter_text():
            if not pieces:
                running.process.send_signal(signal.SIGTERM)
            pieces.append(piece)
            arrived.append(time.monotonic())
    assert "".join(pieces).endswith("data: [DONE]\n\n") and arrived[-1] - arrived[0] > 0.5  # as it was made, not at the end
    _, told = running.process.communicate(timeout=20)
    assert running.process.returncode in (0, -signal.SIGTERM)
    assert "private" not in told and KEY not in told and "upstream-key" not in told
