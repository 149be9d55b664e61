"""Tool calls and results find each other: ids made, doubled ids told apart, results named (SERVE 2, RELIABILITY T6)."""

from __future__ import annotations

from collections import deque
from typing import Any


class _Open:
    """Calls that wait for their results, by the id the caller wrote, by name, and in order."""

    __slots__ = ("_answered", "_in_order", "_named", "_raw")

    def __init__(self) -> None:
        self._raw: dict[str, deque[dict[str, Any]]] = {}
        self._named: dict[str, deque[dict[str, Any]]] = {}
        self._in_order: deque[dict[str, Any]] = deque()
        self._answered: set[str] = set()

    def add(self, raw: str | None, call: dict[str, Any]) -> None:
        if raw is not None:
            self._raw.setdefault(raw, deque()).append(call)
        self._named.setdefault(call["name"], deque()).append(call)
        self._in_order.append(call)

    def forget(self, raw: str) -> None:
        """An unanswered id that is used again belongs to the new call."""
        for call in self._raw.pop(raw, ()):
            self._answered.add(call["id"])

    def take(self, raw: str | None, name: str | None) -> dict[str, Any] | None:
        """The call a result belongs to: of its id, else the first of its name; it is then no longer open."""
        calls = self._raw.get(raw) if raw is not None else self._in_order if name is None else self._named.get(name)
        while calls:
            call = calls.popleft()
            if call["id"] not in self._answered:
                self._answered.add(call["id"])
                return call
        return None


def pair(messages: list[dict[str, Any]]) -> bool:
    """Give every call and result of the history its id, in place; whether any of the caller's tools was used.

    A call without an id gets `call_<n>` and is marked `made`; a result without one belongs to the first open call of its
    name. An id used by several calls is kept by the first, later ones get `<id>_<n>`; results follow their calls. Results
    without a name take their call's.
    """
    history: list[list[dict[str, Any]]] = []
    used: set[str] = set()
    for message in messages:
        if "plain" in message or "parts" not in message:
            continue
        parts = [p for p in message["parts"] if p["type"] in ("tool_call", "tool_result")]
        if parts:
            history.append(parts)
            used.update(p["id"] for p in parts if p.get("id"))
    taken: set[str] = set()
    latest: dict[str, dict[str, Any]] = {}  # the id a caller wrote -> the call it last named
    waiting = _Open()
    numbers: dict[str, int] = {}
    own = False
    for parts in history:
        for raw in {p["id"] for p in parts if p["type"] == "tool_call" and p.get("id")}:
            waiting.forget(raw)
        for part in parts:
            own = own or not part.get("server")
            raw = part.get("id") or None
            if part["type"] == "tool_call":
                if raw is None:
                    part["made"] = True
                    part["id"] = _fresh("call", used, numbers)
                else:
                    if raw in taken:
                        part["id"] = _fresh(raw, used, numbers)
                    latest[raw] = part
                taken.add(part["id"])
                waiting.add(raw, part)
                continue
            call = waiting.take(raw, part.get("name"))
            if call is None and raw is not None:
                call = latest.get(raw)
            if call is not None:
                part["id"] = call["id"]
                part.setdefault("name", call["name"])
            if call.get("made") if call is not None else raw is None:
                part["made"] = True
                part["id"] = part.get("id") or _fresh("call", used, numbers)
    return own


def _fresh(stem: str, used: set[str], numbers: dict[str, int]) -> str:
    """An id nobody uses: the stem and a number."""
    number = numbers.get(stem, 0 if stem == "call" else 1)
    while True:
        number += 1
        found = f"{stem}_{number}"
        if found not in used:
            numbers[stem] = number
            used.add(found)
            return found
