"""Items that only their own dialect understands, and calls that a provider ran: they return to it or are named in a warning."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

#: calls and results of tools that the provider ran, as warnings name them
_RUN = {"tool_call": "a call of", "tool_result": "a result of"}


def native_part(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item for its own dialect only. `said` names it in warnings, if it is a tool's that the provider ran."""
    data = item.get("data")
    part = {"type": "native", "dialect": item.get("dialect"), "data": item.get("native") if data is None else data}
    if item.get("type") in _RUN:
        part["said"] = f"{_RUN[item['type']]} {str(item.get('name') or 'a tool')[:60]}, which the provider ran,"
    return part


def leave_foreign_calls(messages: list[dict[str, Any]], part_reads: frozenset[str], dialects: Collection[str]) -> None:
    """Calls of tools that a provider ran go back to their own dialect only: elsewhere the caller's tools would seem called."""
    for message in messages:
        parts = message.get("parts") or []
        for at, part in enumerate(parts):
            if part["type"] == "tool_call" and part.get("server"):
                origin = part.get("dialect")
                if "server" not in part_reads or (origin is not None and dialects and origin not in dialects):
                    parts[at] = native_part({**part, "dialect": "the wire it came by" if origin in (None, *dialects) else origin})
