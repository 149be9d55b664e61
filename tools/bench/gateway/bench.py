"""The servers of the gateway bench, and one load on one of them."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .answers import HOMES, TAILS, request, upstream_settings, write_answers
from .processes import Server, free_port, load

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
KEY = "sk-bench-0123456789abcdef"
CORES = sorted(os.sched_getaffinity(0))
GATEWAY, OTHERS = CORES[0], CORES[-1]


@dataclass
class Subject:
    """Something to send requests to: `ask(model, streamed, long)` are the bytes of one."""

    server: Server | None
    port: int
    ask: Callable[[str, bool, bool], bytes]
    tail: str
    slow: bool = False


class Bench:
    """Starts what is measured. `folder` takes logs and configurations, `home` holds other gateways."""

    def __init__(self, folder: Path, home: Path, python: str = sys.executable) -> None:
        self.folder = folder
        self.home = home
        self.python = python
        self.running: list[Server] = []
        answers = folder / "answers.json"
        write_answers(answers)
        self.upstream = self.start("upstream", [python, str(HERE / "upstream.py"), "{port}", str(answers)], core=OTHERS)

    def start(self, name: str, command: Sequence[str], *, core: int = GATEWAY, port: int | None = None, **environ: str) -> Server:
        """A server; `{port}` in its command is its port."""
        port = port if port is not None else free_port()
        filled = [word.replace("{port}", str(port)) for word in command]
        server = Server(name, filled, port, core, self.folder / f"{name}.log", environ)
        self.running.append(server)
        return server.wait()

    def gateway(self, **options: Any) -> Server:
        """`llmkit serve` in front of the provider of the bench."""
        port = free_port()
        config = self.folder / f"llmkit-{port}.yaml"
        keys = {"api_key"}
        providers = {
            id: {name: {"env": "BENCH_KEY"} if name in keys else value for name, value in given.items()}
            for id, given in upstream_settings(self.upstream.port).items()
        }
        aliases = {f"{id}-*": f"{id}/*" for id in HOMES.values()}
        given = {"listen": f"127.0.0.1:{port}", "keys": {"env": "BENCH_KEY"}, "providers": providers, "aliases": aliases}
        config.write_text(json.dumps({**given, **options}))
        command = [self.python, "-m", "engine", "serve", "--config", str(config)]
        return self.start("llmkit", command, port=port, BENCH_KEY=KEY, PYTHONPATH=str(ROOT))

    def passthrough(self, name: str, **environ: str) -> Server:
        """A raw ASGI application, on uvicorn as fast as it comes."""
        options = ["--host", "127.0.0.1", "--port", "{port}", "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
        command = [self.python, "-m", "uvicorn", "--app-dir", str(HERE), *options, "--log-level", "error", "passthrough:app"]
        return self.start(name, command, UP=f"http://127.0.0.1:{self.upstream.port}", **environ)

    def subjects(self, pairs: Sequence[tuple[str, str]], peers: Sequence[str]) -> dict[str, Subject]:
        """All that is measured, by name."""
        upstream = self.upstream.port
        plain = "openai-chat"

        def straight(port: int, dialect: str = plain) -> Callable[[str, bool, bool], bytes]:
            return lambda model, streamed, long: request(
                dialect, model, port, KEY, stream=streamed, long=long, prefix=f"/{dialect}"
            )

        passing, looking = self.passthrough("pass-through"), self.passthrough("pass-through with JSON", LOOK="1")
        found = {
            "direct": Subject(None, upstream, straight(upstream), TAILS[plain]),
            "pass-through": Subject(passing, passing.port, straight(passing.port), TAILS[plain]),
            "pass-through with JSON": Subject(looking, looking.port, straight(looking.port), TAILS[plain]),
        }
        ours = self.gateway()
        for client, provider in pairs:
            found[f"llmkit {client} → {provider}"] = Subject(
                ours, ours.port, self._asks(ours.port, client, provider), TAILS[client]
            )
        for peer in peers:
            found.update(getattr(self, peer)())
        return found

    def _asks(self, port: int, client: str, provider: str) -> Callable[[str, bool, bool], bytes]:
        name = HOMES[provider]
        return lambda model, streamed, long: request(client, f"{name}-{model}", port, KEY, stream=streamed, long=long)

    def litellm(self) -> dict[str, Subject]:
        """LiteLLM's proxy, one worker, in front of the same two wires."""
        listed = []
        for name, dialect in (("openai", "openai-chat"), ("anthropic", "anthropic-messages")):
            for model in ("bench-n64-p0", "bench-n500-p0", "bench-n64-p20"):
                where = f"http://127.0.0.1:{self.upstream.port}/{dialect}"
                params = {"model": f"{name}/{model}", "api_base": where, "api_key": "sk-x"}
                listed.append({"model_name": f"{name}-{model}", "litellm_params": params})
        settings = {"telemetry": False, "num_retries": 0}
        config = self.folder / "litellm.yaml"
        config.write_text(json.dumps({"model_list": listed, "litellm_settings": settings, "general_settings": {"master_key": KEY}}))
        binary = self.home / "gw" / "venv" / "bin"
        command = [
            str(binary / "litellm"),
            "--config",
            str(config),
            "--host",
            "127.0.0.1",
            "--port",
            "{port}",
            "--num_workers",
            "1",
        ]
        path = f"{binary}:{os.environ['PATH']}"
        environ = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PATH": path}
        server = self.start("litellm", [*command, "--telemetry", "False"], **environ)
        tail = TAILS["openai-chat"]
        return {
            f"LiteLLM proxy openai-chat → {dialect}": Subject(
                server, server.port, self._asks_plainly(server.port, f"{name}-"), tail, slow=True
            )
            for name, dialect in (("anthropic", "anthropic-messages"), ("openai", "openai-chat"))
        }

    def portkey(self) -> dict[str, Subject]:
        """Portkey's gateway on Node, in front of the same two wires."""
        folder = self.home / "npmgw" / "node_modules" / "@portkey-ai" / "gateway"
        command = ["node", str(folder / "build" / "start-server.js"), "--port={port}", "--headless"]
        server = self.start("portkey", command, NODE_ENV="production", TRUSTED_CUSTOM_HOSTS="127.0.0.1,localhost")
        found = {}
        for name, dialect, version in (("anthropic", "anthropic-messages", "/v1"), ("openai", "openai-chat", "")):
            where = f"http://127.0.0.1:{self.upstream.port}/{dialect}{version if name == 'openai' else ''}"
            extra = f"x-portkey-provider: {name}\r\nx-portkey-custom-host: {where}\r\n".encode()
            asks = self._asks_plainly(server.port, "", extra)
            found[f"Portkey openai-chat → {dialect}"] = Subject(server, server.port, asks, TAILS["openai-chat"], slow=True)
        return found

    def _asks_plainly(self, port: int, before: str, extra: bytes = b"") -> Callable[[str, bool, bool], bytes]:
        """OpenAI chat requests at the path where other gateways have them."""

        def ask(model: str, streamed: bool, long: bool) -> bytes:
            made = request("openai-chat", before + model, port, KEY, stream=streamed, long=long, prefix="/v1")
            head, rest = made.split(b"\r\n", 1)
            return head + b"\r\n" + extra + rest

        return ask

    def run(self, subject: Subject, op: str, model: str, *, long: bool = False, events: int = 64, **task: Any) -> dict[str, Any]:
        """One load. `cpu_call` are the microseconds of the server for each call."""
        sent = base64.b64encode(subject.ask(model, op == "streams", long)).decode()
        before = subject.server.cpu() if subject.server is not None else 0.0
        task = {"op": op, "port": subject.port, "request": sent, "events": events, "tail": subject.tail, **task}
        told = load(self.python, HERE / "load.py", OTHERS, task)
        spent = (subject.server.cpu() if subject.server is not None else 0.0) - before
        if told["bad"] or told["cut"]:
            raise SystemExit(f"{op} {model}: {told['bad']} failed, {told['cut']} cut: {told['told']}")
        return {**told, "cpu_call": spent / told["calls"] * 1e6}

    def stop(self) -> None:
        for server in self.running:
            server.stop()
