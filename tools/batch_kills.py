#!/usr/bin/env python3
"""RELIABILITY B1 with real processes: `llmkit batch` against the simulator, killed with SIGKILL again and again.

    tools/batch_kills.py [--rows 100000] [--kills 20] [--concurrency 32] [--seed 1] [--seconds N]

After each kill the checkpoint must agree with itself (sums = outcomes it holds + outcomes in the output), and what the next run
says first must be those sums. At the end the output must hold every row once, in order, with its own answer, and no process may
have used more than 200 MB. `--seconds`: about how long a whole run takes, so that kills fall everywhere (default: measured).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = "openai/gpt-4.1-mini"
MEMORY = 200 * 1024  # KiB


def _peak(pid: int) -> int:
    """The largest memory of a process since it began its program, in KiB; what `wait4` tells includes that of who started it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) if found else 0


class Proof:
    """One batch in a folder, and what went wrong with it."""

    def __init__(self, folder: Path, rows: int, concurrency: int) -> None:
        self.folder, self.count, self.concurrency = folder, rows, concurrency
        self.wrong: list[str] = []
        self.peak = 0
        self.runs = 0
        self.out, self.book = folder / "answers.jsonl", folder / "answers.jsonl.checkpoint"
        with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
            for i in range(rows):
                file.write(json.dumps({"id": f"r{i}", "messages": [{"role": "user", "content": f"row {i}"}]}) + "\n")

    def run(self, port: int, seconds: float | None, sign: int = signal.SIGKILL) -> bool:
        """Start the command, kill it after so many seconds: whether it ended by itself."""
        before = self.sums() if self.book.exists() else None
        self.runs += 1
        told = self.folder / f"told-{self.runs}.txt"
        command = [
            sys.executable,
            "-m",
            "engine",
            "batch",
            str(self.folder / "rows.jsonl"),
            "--model",
            MODEL,
            "--out",
            str(self.out),
        ]
        command += ["--concurrency", str(self.concurrency), "--base-url", f"http://127.0.0.1:{port}/openai", "--key", "KEY"]
        command += ["--resume"] if before is not None else []
        with told.open("w") as error:
            process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "KEY": "k"}, stderr=error)
            until = time.monotonic() + seconds if seconds is not None else float("inf")
            while process.poll() is None:
                self.peak = max(self.peak, _peak(process.pid))
                if time.monotonic() >= until:
                    process.send_signal(sign)
                    process.wait()
                time.sleep(0.01)
        if process.returncode not in (0, -sign, 128 + sign):
            self.wrong.append(f"run {self.runs} ended with {process.returncode}: {told.read_text()[-500:]}")
            return True
        if before is not None:
            self._resumed(told.read_text(), before)
        return process.returncode == 0

    def _resumed(self, told: str, before: tuple[int, Decimal]) -> None:
        """What a resumed run says first is what the one before it had come to."""
        first = re.match(r"([\d,]+) rows .*?\$([\d.]+)", told)
        if not told and self.runs > 1:
            return  # killed before it could say anything
        said = (int(first[1].replace(",", "")), Decimal(first[2])) if first else None
        if said != (before[0], round(before[1], 4)):
            self.wrong.append(f"run {self.runs} says {said} first, the checkpoint before it {before}")

    def sums(self) -> tuple[int, Decimal]:
        """(rows with an outcome, their cost) by the checkpoint's sums, compared with the outcomes themselves."""
        copy = self.folder / "copy"
        for suffix in ("", "-wal"):
            if Path(f"{self.book}{suffix}").exists():
                shutil.copyfile(f"{self.book}{suffix}", f"{copy}{suffix}")
        with sqlite3.connect(copy) as db:
            tables = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'run'").fetchone()
            found = db.execute("SELECT written, place, sums FROM run").fetchone() if tables else None  # killed before it began
            if found is None:
                return 0, Decimal(0)
            written, place, text = found
            held = [json.loads(line) for (line,) in db.execute("SELECT line FROM rows WHERE line IS NOT NULL")]
        db.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{copy}{suffix}").unlink(missing_ok=True)
        cost, safe = Decimal(0), 0
        with self.out.open("rb") as file:
            while file.tell() < place:
                cost += Decimal(json.loads(file.readline())["response"]["cost"])
                safe += 1
        cost += sum(Decimal(line["response"]["cost"]) for line in held)
        sums = json.loads(text)
        told = sums["answered"] + sums["failed"], Decimal(sums["cost"])
        if (safe, told) != (written, (written + len(held), cost)):
            self.wrong.append(
                f"after run {self.runs}: sums {told}, but {written} written ({safe} found), {len(held)} held, cost {cost}"
            )
        return told

    def judge(self) -> None:
        """The output: every row once, in order, with its own answer."""
        count = 0
        if not self.out.exists():
            self.wrong.append("there is no output")
            return
        with self.out.open("rb") as file:
            for i, line in enumerate(file):
                found = json.loads(line)
                count += 1
                text = found["response"] and found["response"]["choices"][0]["text"]
                if found["id"] != f"r{i}" or text != f"You said: row {i}":
                    self.wrong.append(f"line {i + 1} is {line[:120]!r}")
                    break
        if count != self.count:
            self.wrong.append(f"{count} lines for {self.count} rows")
        if self.peak > MEMORY:
            self.wrong.append(f"a process used {self.peak / 1024:.0f} MB")


def prove(
    rows: int, kills: int, concurrency: int, seed: int, seconds: float | None = None, latency: float = 0.0
) -> tuple[Proof, int, float]:
    """Run the whole proof: its findings, how many kills hit, and how long it took. Each answer takes `latency` seconds at least."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        proof = Proof(Path(folder), rows, concurrency)
        command = [sys.executable, "-m", "engine", "sim", "--port", "0", "--latency", str(latency)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as simulator:
            try:
                assert simulator.stdout is not None
                found = re.search(r"127\.0\.0\.1:(\d+)", simulator.stdout.readline())
                assert found is not None
                port, begun, hit = int(found[1]), time.monotonic(), 0
                whole = seconds or rows / 300
                while hit < kills and not proof.run(port, dice.uniform(0.05, 2 * whole / (kills + 1)) + dice.choice([0.3, 1.0])):
                    hit += 1
                    proof.sums()
                if hit == kills:
                    proof.run(port, None)
                proof.judge()
                return proof, hit, time.monotonic() - begun
            finally:
                simulator.kill()


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--concurrency", type=int, default=32)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--seconds", type=float, help="about how long a run without kills takes")
    given = options.parse_args()
    proof, hit, seconds = prove(given.rows, given.kills, given.concurrency, given.seed, given.seconds)
    for line in proof.wrong[:20]:
        print(f"WRONG {line}")
    print(
        f"{given.rows:,} rows, {hit} of {given.kills} kills, {proof.runs} runs in {seconds:.0f} s; "
        f"largest process {proof.peak / 1024:.0f} MB; {len(proof.wrong)} wrong"
    )
    return 1 if proof.wrong or hit < given.kills else 0


if __name__ == "__main__":
    sys.exit(main())
