"""The log of routed calls, one JSON line each, and what it answers: why a target was chosen, and what would have been.

A line holds everything its decisions were made of, so replaying it gives the same decisions, to the digit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from engine.routing.decide import Decision, decide

__all__ = ["append", "read", "replayed"]


def append(log: Any, record: Mapping[str, Any]) -> None:
    """Add a line to a log: a path, or anything with `write`."""
    line = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str) + "\n"
    if hasattr(log, "write"):
        log.write(line)
    else:
        with open(log, "a", encoding="utf-8") as file:
            file.write(line)


def read(path: str | Path) -> Iterator[dict[str, Any]]:
    """The lines of a log. ConfigError for one that is none."""
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                if not isinstance(record["steps"], list):
                    raise ValueError
            except (ValueError, KeyError, TypeError):
                raise ConfigError(f"{path}:{number}: this is no line of a log of routes") from None
            yield record


def replayed(
    record: Mapping[str, Any],
    *,
    policy: Iterable[str] | None = None,
    without: Iterable[str] = (),
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    ask: Mapping[str, Any] | None = None,
) -> list[tuple[Decision, Decision]]:
    """(what was decided, what is decided now) for every decision of a call.

    Without further arguments both are the same. `policy` decides in place of the route's, `without` leaves targets out,
    `changes` lays other values over the state of a target, `ask` over what the request asks.
    """
    words = list(policy) if policy is not None else record["route"]["policy"]
    pairs = []
    for step in record["steps"]:
        left_out = set(without)
        kept = [i for i, state in enumerate(step["states"]) if state["target"] not in left_out]
        states = [{**step["states"][i], **((changes or {}).get(step["states"][i]["target"]) or {})} for i in kept]
        draws = [step["draws"][i] for i in kept]
        made = decide(words, {**step["ask"], **(ask or {})}, states, step["turn"], draws)
        pairs.append((Decision(**step["decision"]), made))
    return pairs
