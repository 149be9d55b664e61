"""Many streams through the gateway at once: none lost, none cut, no growth.

    python tools/bench/gateway/soak.py                       # 500 streams of 64 deltas, 20 ms apart, for 60 s
    python tools/bench/gateway/soak.py --width 100 --seconds 5

Every stream's words are numbered: all have to arrive, in order, and the dialect's end after them. Load and provider share a
core, the gateway has the other. Exit code 1 if anything was lost or the process grew.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tools" / "bench")]
STEADY = 30.0  # seconds from which on growth is more than warming up
GROWTH = 1.1  # of the resident set, from the median of the second fifth of the run to that of the last


def main() -> int:
    from gateway.answers import HOMES, TAILS, request
    from gateway.bench import KEY, Bench, Subject

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=500, help="streams at once")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--client", default="openai-chat", choices=sorted(HOMES), help="dialect of the client")
    parser.add_argument("--provider", default="anthropic-messages", choices=sorted(HOMES), help="dialect of the provider")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), Path.home())
        try:
            server = bench.gateway()
            name = HOMES[given.provider]

            def ask(model: str, streamed: bool, long: bool) -> bytes:
                return request(given.client, f"{name}-{model}", server.port, KEY, stream=streamed)

            subject = Subject(server, server.port, ask, TAILS[given.client])
            memory: list[float] = []
            over = threading.Event()

            def watch() -> None:
                while not over.wait(0.5):
                    memory.append(server.resident())

            watcher = threading.Thread(target=watch, daemon=True)
            watcher.start()
            began = time.monotonic()
            told = bench.run(subject, "streams", "bench-n64-p20", width=given.width, seconds=given.seconds, spread=1.28)
            took = time.monotonic() - began
            over.set()
            watcher.join()
            stats = urllib.request.urlopen(f"http://127.0.0.1:{bench.upstream.port}/stats", timeout=10).read().decode()
        finally:
            bench.stop()
    fifth = max(1, len(memory) // 5)
    early, late = statistics.median(memory[fifth : 2 * fifth] or memory), statistics.median(memory[-fifth:])
    print(f"{told['calls']} streams, {told['events']} deltas in {took:.0f} s, {given.width} at once: 0 lost, 0 cut")
    print(f"CPU {told['cpu_call'] / 64:.0f} µs for each delta; first delta after {told['first_us']['p50'] / 1e3:.0f} ms (median)")
    print(f"resident set {early:.1f} MB early, {late:.1f} MB late; provider: {stats}")
    if '"left": 0' not in stats or told["calls"] < given.width:
        print("streams were left by the gateway before their end", file=sys.stderr)
        return 1
    if given.seconds >= STEADY and late > early * GROWTH:
        print("the gateway grew", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
