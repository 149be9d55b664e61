"""Rows of the fault table: what is injected, and what counts as correct.

A row is a coroutine that answers one request of a case; its decorator says what the caller must see. The table is stricter
than the shared one: a row names the exact kinds of E2 it accepts. `text` of a good row is what the answer must say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.faults.server import Exchange
from tests.faults.wires import MESSAGE, TEXT, WIRES

ALL = tuple(WIRES)


@dataclass(frozen=True, eq=False)
class Row:
    """One fault. `seen` (least, most) requests; `gap` least seconds between the first two; `cap` most seconds of the call."""

    id: str
    answer: Callable[[Exchange], Awaitable[None]]
    mode: str  # whole | stream | tools, or how the caller goes away: close | drop | elsewhere | cancel | cancel_whole
    outcome: str  # ok | error | either | empty
    kinds: frozenset[str] = frozenset()
    seen: tuple[int, int] = (1, 1)
    gap: float = 0.0
    cap: float = 10.0
    partial: str | None = None
    text: str = TEXT
    told: str = ""  # of the provider, that must survive
    status: int | None = None
    wires: tuple[str, ...] = ALL
    ways: tuple[str, ...] = ("sync", "aiohttp", "httpcore")
    suffix: str = ""  # of the key
    alone: bool = False  # memory is measured: nothing else runs meanwhile
    plain: bool = False  # the key itself travels: where a wire would sign with it, it takes its bearer key
    options: dict[str, Any] = field(default_factory=dict)


TABLE: list[Row] = []
Answer = Callable[[Exchange], Awaitable[None]]


def row(id: str, mode: str, outcome: str, kinds: str = "", **more: Any) -> Callable[[Answer], Answer]:
    def add(answer: Answer) -> Answer:
        TABLE.append(Row(id, answer, mode, outcome, frozenset(kinds.split()), **more))
        return answer

    return add


def error(x: Exchange, kind: str, status: int, message: str = MESSAGE) -> Any:
    return x.wire.error(message, x.wire.types.get(kind, kind), status)
