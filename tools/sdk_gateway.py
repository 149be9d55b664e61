"""A real `llmkit serve` process in front of a simulator: one alias per dialect that is spoken behind it.

with Gateway(simulator) as gateway:
    gateway.url("openai-chat")      # what a client of that dialect takes as base URL
    gateway.model("gemini")         # the pattern of model names that lead to a provider of that dialect
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

if TYPE_CHECKING:
    from engine.testing import Simulator

ROOT = Path(__file__).resolve().parents[1]
_START = 60.0  # seconds that the gateway may take to be ready
_RUN = "import sys; from engine.cli import main; sys.exit(main(sys.argv[1:]))"


class Gateway:
    """Runs while a `with` block does. Clients show `key`, or sign with `signer` (`ID:SECRET`)."""

    def __init__(self, simulator: Simulator, key: str, signer: str) -> None:
        from engine.serve.mounts import Mounts

        self._simulator, self._clients = simulator, {"MATRIX_KEY": key, "MATRIX_SIGNER": signer}
        self._mounts = Mounts(simulator.catalog)
        self.homes = dict(self._mounts.homes())
        self.port = _free_port()

    def url(self, dialect: str) -> str:
        """Base URL for the vendor's client of a dialect."""
        return self.origin + self._mounts.path(dialect)

    def model(self, dialect: str) -> str:
        """How a case's model is named when a provider of this dialect shall answer."""
        return f"on-{dialect}.{{}}"

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Gateway:
        from engine.call.json import dumps

        self._folder = tempfile.TemporaryDirectory()
        config = Path(self._folder.name) / "llmkit.yaml"
        config.write_bytes(dumps(self._config()))  # JSON is YAML
        self._said = (Path(self._folder.name) / "stderr").open("w+")
        environ = {**os.environ, **self._clients, "MATRIX_SECRET": "operators-secret", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", _RUN, "serve", "--config", str(config)]
        self._process = subprocess.Popen(command, env=environ, stderr=self._said)
        self._wait()
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._said.close()
        self._folder.cleanup()

    def _config(self) -> dict[str, Any]:
        from engine.examples.given import dummy_settings

        providers: dict[str, dict[str, Any]] = {}
        for head in self.homes.values():
            provider = head.partition(":")[0]
            who = self._simulator.catalog.plan(provider)
            settings = dummy_settings(who)
            secrets = {s.name for s in who.secrets}
            settings = {name: {"env": "MATRIX_SECRET"} if name in secrets else value for name, value in settings.items()}
            providers[provider] = {**settings, "base_url": f"{self._simulator.origin}/{provider}"}
        return {
            "listen": f"127.0.0.1:{self.port}",
            "keys": {"env": "MATRIX_KEY"},
            "signers": {"env": "MATRIX_SIGNER"},
            "aliases": {self.model(dialect).format("*"): f"{head}/*" for dialect, head in self.homes.items()},
            "providers": providers,
            "errors": "provider",
            "attempts": 1,
        }

    def _wait(self) -> None:
        end = time.monotonic() + _START
        while time.monotonic() < end:
            try:
                with urlopen(f"{self.origin}/readyz", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (URLError, OSError):
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
        self._said.seek(0)
        said = self._said.read()[-2000:]
        self._process.kill()
        raise RuntimeError(f"the gateway did not start: {said}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
