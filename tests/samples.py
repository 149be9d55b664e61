"""How many random examples a property is tried on: a sample in every run, all of them in `make properties`."""

from __future__ import annotations

import os

_ALL = bool(os.environ.get("LLMKIT_ALL_EXAMPLES"))


def sampled(examples: int) -> int:
    """So many in the big run, a quarter of them otherwise, but never fewer than 25."""
    return examples if _ALL else max(25, examples // 4)
