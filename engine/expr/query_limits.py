"""What one evaluation of a path or map may cost (RELIABILITY A5).

A step is one turn of a loop. Values that a path has multiplied are weighed too: every node of the tree they would be when
written out, and every 64 characters of text, is a step. Paths that only walk a document have no loops and count nothing.
"""

from __future__ import annotations

from typing import Any, NoReturn

from engine.errors import LimitError

STEPS = 1_000_000  # turns of loops and nodes of multiplied values, in one evaluation
TEXT = 16 * 1024 * 1024  # characters of one text a function makes
CHUNK = 6  # 2**6 characters weigh as much as one node


def exceeded() -> NoReturn:
    """Refuse to go on: the budget of steps is used up."""
    raise LimitError(f"a path took more than {STEPS:,} steps or made more than {STEPS:,} values")


def too_long() -> NoReturn:
    """Refuse to make a text."""
    raise LimitError(f"a path made a text of more than {TEXT:,} characters")


def too_deep() -> NoReturn:
    """Refuse to compare values nested too deep."""
    raise LimitError("a path compares values that are nested too deep")


def weigh(value: Any, steps: int) -> int:
    """`steps` plus the weight of a value; shared parts weigh every time they are seen. Raises LimitError past the budget."""
    stack = [value]
    while stack:
        item = stack.pop()
        steps += 1
        kind = item.__class__
        if kind is str:
            steps += len(item) >> CHUNK
        elif kind is list or kind is dict:
            if steps + len(stack) + len(item) > STEPS:
                exceeded()
            if kind is dict:
                steps += sum(map(len, item)) >> CHUNK
            stack.extend(item if kind is list else item.values())
        if steps > STEPS:
            exceeded()
    return steps
