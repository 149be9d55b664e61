"""The independent judge of ../shared/bench/faults over our adapter: its own server, workers, table and verdicts, unchanged.

The harness is copied to a directory of its own with our adapter in it, because it loads adapters from its own package and
writes its results beside itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ADAPTER = Path(__file__).with_name("shared_adapter.py")
MODULES = ("llmkit_aiohttp", "llmkit_httpcore")
UNSAFE = {"hang", "crash", "silent", "leak", "prompt leak", "memory", "connection leak", "injected"}  # as in its run.py


@dataclass(frozen=True, slots=True)
class Score:
    """One adapter on one wire: `wrong` holds (fault, complaints, error class, its message) of every case that is not correct."""

    name: str
    wire: str
    cases: int
    wrong: list[tuple[str, list[str], str, str]]

    @property
    def unsafe(self) -> int:
        return sum(bool(UNSAFE & set(bad)) for _, bad, _, _ in self.wrong)

    def __str__(self) -> str:
        right = self.cases - len(self.wrong)
        return f"{self.name:18} {self.wire:10} {right:3}/{self.cases} correct, {self.unsafe} unsafe"


def run(
    harness: Path,
    modules: Iterable[str] = MODULES,
    faults: Iterable[str] = (),
    jobs: int = 2,
    told: Callable[[str], Any] = lambda line: None,
) -> list[Score]:
    """Scores of these adapters (ours, or any the harness has) on the faults named, or on all of them."""
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        copy = Path(place, "faults")
        shutil.copytree(harness, copy, ignore=shutil.ignore_patterns("__pycache__", "*.json", "hostile"))
        for module in MODULES:
            shutil.copyfile(ADAPTER, copy / "adapters" / f"{module}.py")
        command = [sys.executable, "run.py", "--only", ",".join(modules), "--out", "ours.json", "--jobs", str(jobs)]
        command += ["--faults", ",".join(faults)] if faults else []
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            command, cwd=copy, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                told(line.rstrip())
        if process.returncode:
            raise RuntimeError(f"the shared judge ended with code {process.returncode}")
        return [_score(result) for result in json.loads((copy / "ours.json").read_text("utf-8"))]


def _score(result: dict[str, Any]) -> Score:
    rows = [row for row in result["rows"] if row["bad"] is not None]
    wrong = [(row["id"], row["bad"], row.get("cls", ""), row.get("msg", "")) for row in rows if row["bad"]]
    if not rows:
        wrong = [("(start)", ["the adapter did not start"], "", str(result.get("error", "")))]
    return Score(result["name"], result["wire"], len(rows), wrong)
