"""The gateway under load: CPU of its process for each call and each stream event, added latency, memory; beside two raw ASGI
pass-throughs (one decodes and encodes the JSON of both bodies) and other gateways in the same run.

    python tools/bench/run.py gateway                              # the gateway and the pass-through
    python tools/bench/run.py --peers litellm,portkey gateway      # and others, where they are installed

Each gateway has core 0 while it is measured; load and provider share core 1. Rounds are interleaved; the median counts.
"""

from __future__ import annotations

import base64
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
KEY = "sk-bench-0123456789abcdef"
ROUNDS = 5
WHOLE, BURST, LONG_BURST, PACED = "bench-n64-p0", "bench-n64-p0", "bench-n500-p0", "bench-n64-p20"
#: (dialect of the client, of the provider)
PAIRS = (
    ("openai-chat", "anthropic-messages"),
    ("anthropic-messages", "openai-chat"),
    ("gemini", "openai-chat"),
    ("openai-chat", "gemini"),
    ("cohere-v2", "anthropic-messages"),
    ("openai-chat", "openai-chat"),
)
Request = Callable[[str, bool, bool], bytes]  # (model, streamed, long) -> bytes


def main(peers: list[str], home: Path, out: Path | None = None, pairs: int | None = None, rounds: int = ROUNDS) -> None:
    """Measure and print a table; `out` takes everything as JSON."""
    sys.path.insert(0, str(ROOT))
    from .bench import Bench

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), home)
        try:
            subjects = bench.subjects(PAIRS[:pairs], peers)
            found = [measured(bench, subjects, rounds)]
        finally:
            bench.stop()
    print(table(found[0]))
    if out is not None:
        out.write_text(json.dumps(found[0], indent=1))


def measured(bench: Any, subjects: dict[str, Any], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Every subject's numbers, one for each round."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in subjects}
    for subject in subjects.values():  # warm
        bench.run(subject, "closed", WHOLE, width=8, calls=400)
        bench.run(subject, "streams", BURST, width=4, calls=8)
    for number in range(rounds):
        names = list(subjects) if number % 2 == 0 else list(subjects)[::-1]
        for name in names:
            for what, value in once(bench, subjects[name]).items():
                found[name].setdefault(what, []).append(value)
    return found


def once(bench: Any, subject: Any) -> dict[str, float]:
    """One round of one gateway."""
    slow = subject.slow
    told: dict[str, float] = {}
    told["latency_us"] = bench.run(subject, "closed", WHOLE, width=1, calls=60 if slow else 300)["us"]["p50"]
    told["paced_us"] = bench.run(subject, "rate", WHOLE, rate=40, seconds=1.5)["us"]["p50"]
    if subject.server is None:
        return told
    told["cpu_call"] = bench.run(subject, "closed", WHOLE, width=64, calls=192 if slow else 3200)["cpu_call"]
    told["cpu_long"] = bench.run(subject, "closed", WHOLE, long=True, width=8, calls=40 if slow else 240)["cpu_call"]
    short = bench.run(subject, "streams", BURST, events=64, width=4, calls=8 if slow else 100)["cpu_call"]
    long = bench.run(subject, "streams", LONG_BURST, events=500, width=4, calls=4 if slow else 40)["cpu_call"]
    told["cpu_event"] = (long - short) / (500 - 64)
    told["cpu_stream"] = short
    told["cpu_paced"] = bench.run(subject, "streams", PACED, events=64, width=16, calls=16)["cpu_call"] / 64
    told["memory"] = subject.server.memory()
    return told


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """The medians, and added latency as a multiple of the pass-through's."""
    direct, raw = _medians(found["direct"]), _medians(found["pass-through"])
    columns = (
        "µs/call",
        "µs/100 messages",
        "µs/event burst",
        "µs/event paced",
        "added µs",
        "× raw",
        "added µs at 40/s",
        "× raw",
        "MB",
    )
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, told in found.items():
        now = _medians(told)
        if name == "direct":
            continue
        alone, paced = now["latency_us"] - direct["latency_us"], now["paced_us"] - direct["paced_us"]
        values = [
            f"{now['cpu_call']:.0f}",
            f"{now['cpu_long']:.0f}",
            f"{now['cpu_event']:.1f}",
            f"{now['cpu_paced']:.0f}",
            f"{alone:.0f}",
            f"{alone / (raw['latency_us'] - direct['latency_us']):.2f}",
            f"{paced:.0f}",
            f"{paced / (raw['paced_us'] - direct['paced_us']):.2f}",
            f"{now['memory']:.0f}",
        ]
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def _medians(told: dict[str, list[float]]) -> dict[str, float]:
    return {what: statistics.median(values) for what, values in told.items()}


def encoded(request: bytes) -> str:
    """Bytes for a task of `load.py`."""
    return base64.b64encode(request).decode()
