#!/usr/bin/env python3
"""What reading 256 vectors of 3,072 numbers costs beside parsing their JSON alone: at most a tenth more.

    tools/vector_speed.py [--rounds 25]

CPU time of both in turn, the best of all rounds. Exit code 0 only if it is within.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine import Client  # noqa: E402

MOST = 1.1


def ratio(rounds: int, texts: int = 256, size: int = 3072) -> float:
    """The engine's time for an answer as a multiple of orjson's for its text."""
    dice = random.Random(1)
    rows = [
        {"object": "embedding", "index": i, "embedding": [round(dice.uniform(-0.1, 0.1), 9) for _ in range(size)]}
        for i in range(texts)
    ]
    body = orjson.dumps({"object": "list", "data": rows, "model": "m", "usage": {"prompt_tokens": 9, "total_tokens": 9}})
    reader = Client(providers={"openai": {"api_key": "k"}}).operation("openai/text-embedding-3-large", "embeddings")
    assert reader.read(200, {}, body).embeddings == [row["embedding"] for row in rows]

    def spent(work: Callable[[], object]) -> float:
        before = time.process_time()
        work()
        return time.process_time() - before

    pairs = [(spent(lambda: orjson.loads(body)), spent(lambda: reader.read(200, {}, body))) for _ in range(rounds)]
    return min(engine for _, engine in pairs) / min(alone for alone, _ in pairs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    found = ratio(parser.parse_args().rounds)
    print(f"256 vectors of 3,072 numbers: {found:.3f} times orjson (at most {MOST})")
    return 0 if found <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
