"""Tool arguments that arrive in pieces, each with its place: `$.items[0].name` and a piece of its text (SPEC_LANGUAGE 7.2)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from engine import errors

DEPTH = 32  # steps of a path
_STEP = re.compile(r"""\.([^.\[\]'"*]+)|\[(\d{1,6})\]|\['([^']*)'\]|\["([^"]*)"\]""")


def assemble(arguments: dict[str, Any], at: Any, piece: Any) -> None:
    """Put `piece` at the JSONPath `at` (RFC 9535: names and positions only) in place; a text goes on where one stands.

    Raises ProtocolError for a path that is none, leads through a scalar or leaves a gap in a list.
    """
    steps = _steps(at)
    holder: Any = arguments
    for step, following in pairwise(steps):
        holder = _entry(holder, step, [] if following.__class__ is int else {}, at)
    known = _entry(holder, steps[-1], None, at)
    holder[steps[-1]] = known + piece if known.__class__ is str and piece.__class__ is str else piece


def _steps(at: Any) -> list[str | int]:
    text = at if isinstance(at, str) else ""
    steps: list[str | int] = []
    position = 1
    while position < len(text) and len(steps) <= DEPTH and (found := _STEP.match(text, position)):
        name, number, single, double = found.groups()
        steps.append(int(number) if number is not None else next(x for x in (name, single, double) if x is not None))
        position = found.end()
    if not steps or text[0] != "$" or position != len(text) or len(steps) > DEPTH:
        raise _refused(at)
    return steps


def _entry(holder: Any, step: str | int, empty: Any, at: Any) -> Any:
    """What stands at a step; where nothing stands yet, `empty` is put there."""
    if holder.__class__ is dict and step.__class__ is str:
        return holder.setdefault(step, empty)
    if holder.__class__ is list and step.__class__ is int and step <= len(holder):  # type: ignore[operator]
        if step == len(holder):
            holder.append(empty)
        return holder[step]
    raise _refused(at)


def _refused(at: Any) -> errors.Error:
    return errors.for_kind("protocol")(f"a piece of tool arguments has a place that cannot be: {at!s:.100}")
