"""How long a client's request takes to be understood: microseconds of CPU for two messages and for a hundred, of each served dialect.

    python tools/bench/run.py accept

The requests are those the gateway's bench sends. The best of many short runs counts, so that other work on the machine does not.
"""

from __future__ import annotations

import json
import sys
import time
import timeit
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
BARS = {"2 messages": 15, "100 messages": 400}  # microseconds, issue of both directions
RUNS = 150


def measured(dialect: str) -> dict[str, float]:
    """Microseconds of one dialect."""
    from engine.catalog import Catalog
    from engine.operation import Operation
    from engine.plan import ProviderPlan
    from gateway.answers import conversation

    served = Catalog().served(dialect)
    operation = Operation(served.plan, ProviderPlan(dialect, dialect), "m")
    accept = served.accept
    assert accept is not None
    found = {}
    for name, long in zip(BARS, (False, True)):
        request = operation.render(messages=conversation(long), max_tokens=256, temperature=0.2)
        body: Any = json.loads(request.body or b"")
        calls = 4 if long else 100
        best = min(timeit.repeat(lambda: accept(body, None), number=calls, repeat=RUNS, timer=time.process_time))  # noqa: B023
        found[name] = best / calls * 1e6
    return found


def main() -> None:
    """Print a table."""
    sys.path.insert(0, str(ROOT))
    from engine.catalog import Catalog
    from engine.serve.mounts import Mounts

    print("| accept | " + " | ".join(f"µs for {name} (≤ {bar})" for name, bar in BARS.items()) + " |")
    print("|---" * (len(BARS) + 1) + "|")
    for dialect in sorted(Mounts(Catalog()).dialects()):
        print(f"| {dialect} | " + " | ".join(f"{value:.0f}" for value in measured(dialect).values()) + " |")
