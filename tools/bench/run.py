"""Runs the side-by-side benchmark with the engine as one more peer, and prints the ratios the budgets are about.

    python tools/bench/run.py                      # the sections with budgets, floors and the engine only
    python tools/bench/run.py sync stream          # some sections
    python tools/bench/run.py --peers openai sync  # with further peers, where they are installed
    python tools/bench/run.py gateway              # the gateway beside a raw pass-through (tools/bench/gateway/measure.py)
    python tools/bench/run.py accept               # how long a client's request takes to be understood

The judge is `shared/bench` (its README says how a ratio is taken): CPU time of the whole process per call, rounds
interleaved with the hand-written floor, median of the ratios inside one round.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
SECTIONS = ["import", "first", "sync", "async", "stream", "memory"]
FLOORS = ["rawsock", "httpx", "aiohttp"]
INSTALLED = ("import", "first")  # measured on the installed wheel, in clean environments


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", default=SECTIONS)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared" / "bench")
    parser.add_argument("--peers", default="", help="comma-separated further peers")
    parser.add_argument("--stamp", default="engine", help="name of the result folder")
    parser.add_argument("--out", type=Path, help="takes the numbers of the gateway as JSON")
    parser.add_argument("--pairs", type=int, help="of the gateway: only so many pairs of dialects")
    parser.add_argument("--rounds", type=int, default=5, help="of the gateway")
    arguments = parser.parse_args()
    home = Path(os.environ.get("BENCH_HOME") or Path.home() / ".cache" / "llmkit-bench")
    if arguments.sections == ["gateway"]:
        from gateway.measure import main as gateway

        gateway([*filter(None, arguments.peers.split(","))], home, arguments.out, arguments.pairs, arguments.rounds)
        return 0
    if arguments.sections == ["accept"]:
        from gateway.accepting import main as accepting

        accepting()
        return 0
    if not arguments.shared.is_dir():
        sys.exit(f"the benchmark is not at {arguments.shared}")
    python = home / "venv" / "bin" / "python"
    if not python.exists():
        sys.exit(f"no benchmark environment: run {arguments.shared}/setup.sh first")
    work = home / "bench"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(arguments.shared, work, ignore=shutil.ignore_patterns("results", "faults", "__pycache__"))
    work.chmod(0o755)
    for folder, _, files in os.walk(work):
        os.chmod(folder, 0o755)
        for file in files:
            os.chmod(Path(folder) / file, 0o644)
    shutil.copy(HERE / "adapter.py", work / "adapters" / "llmkit.py")
    peers = ["llmkit", *filter(None, arguments.peers.split(","))]
    with (work / "adapters" / "__init__.py").open("a") as file:
        file.write(f"\nFLOORS = {FLOORS!r}\nPEERS = {peers!r}\nTRANSPORTS = []\n")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment.update(LLMKIT_SOURCE=str(ROOT), BENCH_STAMP=arguments.stamp)
    installed = [s for s in arguments.sections if s in INSTALLED]
    if installed:
        install(home, python, [*FLOORS, *peers])
        without = {k: v for k, v in environment.items() if k != "LLMKIT_SOURCE"}
        subprocess.run([str(python), "main.py", *installed], cwd=work, env=without, check=True)
    if others := [s for s in arguments.sections if s not in INSTALLED]:
        subprocess.run([str(python), "main.py", *others], cwd=work, env=environment, check=True)
    report(work / "results" / arguments.stamp, arguments.sections)
    return 0


def install(home: Path, python: Path, peers: list[str]) -> None:
    """A clean environment for each peer, as the judge's `size` section makes them: for the engine the wheel of this checkout."""
    needs = {"rawsock": ["orjson"], "httpx": ["httpx", "orjson"], "aiohttp": ["aiohttp", "orjson"]}
    uv = str(python.with_name("uv"))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([uv, "build", "-q", "--wheel", "-o", folder, str(ROOT)], check=True)
        wheel = next(Path(folder).glob("*.whl"))
        needs["llmkit"] = [f"llmkit-engine[fast] @ {wheel.as_uri()}"]
        for peer in peers:
            target = home / "sizes" / f"venv-{peer}"
            if peer in needs and (peer == "llmkit" or not target.exists()):
                shutil.rmtree(target, ignore_errors=True)
                subprocess.run([uv, "venv", "-q", "--python", str(python), str(target)], check=True)
                subprocess.run([uv, "pip", "install", "-q", "--python", str(target / "bin" / "python"), *needs[peer]], check=True)
                subprocess.run([str(target / "bin" / "python"), "-m", "compileall", "-q", str(target / "lib")], check=False)


def report(folder: Path, sections: list[str]) -> None:
    """Every ratio of the engine to its floor."""
    for section in sections:
        file = folder / f"{section}.json"
        if file.exists():
            for place, ratio in ratios(json.loads(file.read_text())):
                print(f"{section:8} {place:40} {ratio}")


def ratios(document: object, path: str = "") -> list[tuple[str, str]]:
    """Rounds of the engine against httpx (and aiohttp where there is one) as medians of per-round ratios."""
    found: list[tuple[str, str]] = []
    if isinstance(document, dict):
        if "llmkit" in document and isinstance(document["llmkit"], dict):
            for floor in ("httpx", "aiohttp"):
                for measure in ("cpu_us", "cpu_ms", "cpu"):
                    ours, theirs = document["llmkit"].get(measure), (document.get(floor) or {}).get(measure)
                    if isinstance(ours, list) and isinstance(theirs, list) and ours and theirs:
                        rows = sorted(a / b for a, b in zip(ours, theirs, strict=False) if b)
                        found.append((path, f"{rows[len(rows) // 2]:.2f}x {floor} ({measure} {sorted(ours)[len(ours) // 2]:.1f})"))
        for key, value in document.items():
            found += ratios(value, f"{path} {key}".strip())
    return found


if __name__ == "__main__":
    sys.exit(main())
