"""Processes of the bench: started, waited for, measured and stopped."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def free_port() -> int:
    """A port nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Server:
    """A process on a core that listens on a port, with whatever processes it starts."""

    def __init__(
        self, name: str, command: Sequence[str], port: int, core: int, log: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.port = port
        self._log = log.open("wb")
        pinned = ["taskset", "-c", str(core), *command]
        full = {**os.environ, **(environ or {})}
        full.pop("PYTHONDONTWRITEBYTECODE", None)
        self._process = subprocess.Popen(pinned, stdout=self._log, stderr=self._log, env=full)

    def wait(self, seconds: float = 90.0) -> Server:
        """Until it takes connections."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{self.name} did not start; see {self._log.name}")

    def _pids(self) -> list[int]:
        found = [self._process.pid]
        for pid in found:
            try:
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            except OSError:
                continue
            found += [int(child) for child in children]
        return found

    def cpu(self) -> float:
        """Seconds its threads have run, to the nanosecond."""
        spent = 0
        for pid in self._pids():
            for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    spent += int(task.read_text().split()[0])
                except OSError:
                    continue
        return spent / 1e9

    def memory(self) -> float:
        """Megabytes that are its own (unique set size)."""
        private = 0
        for pid in self._pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Private_"):
                    private += int(line.split()[1])
        return private / 1024

    def resident(self) -> float:
        """Megabytes of its resident set, shared pages counted too."""
        lines = [Path(f"/proc/{pid}/status").read_text() for pid in self._pids()]
        return sum(int(text.split("VmRSS:")[1].split()[0]) for text in lines) / 1024

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def load(python: str, script: Path, core: int, task: dict[str, Any], timeout: float = 300.0) -> dict[str, Any]:
    """Run `load.py` on a core; what it counted."""
    command = ["taskset", "-c", str(core), python, str(script)]
    done = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise SystemExit(f"the load failed: {done.stderr[-600:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
