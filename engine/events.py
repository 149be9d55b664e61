"""What happens in calls, as plain frozen records: what `client.on(name, listener)` calls its listener with.

No prompt, answer, credential or word of a provider's error is in them. Only a listener that asked for `content=True` finds
in `content` what was said, its known credentials masked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, ClassVar

from engine.types import plain

__all__ = [
    "EVENTS", "AttemptEnded", "BreakerOpened", "BudgetRefused", "CacheAsked", "CallEnded", "CallStarted", "Fallback",
    "FirstEvent", "Happening", "Hedged", "KeyRefused", "RetryWaiting", "RouteDecided",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """What every event says: which call it belongs to, when it was (epoch seconds), and who is asked for what.

    `call` is an id of our own, the same in all events of a call. `provider` and `model` are those asked last; of a routed call
    nobody is before its first target was chosen.
    """

    name: ClassVar[str] = ""

    call: str
    at: float
    operation: str
    provider: str | None = None
    model: str | None = None
    route: str | None = None  # the route the call goes by
    tenant: str | None = None
    tags: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: the event's `name` and its set fields; money as a text."""
        said = {f.name: plain(value) for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return {"name": self.name, **said}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted(Happening):
    """A call begins: nothing was sent yet. With `content`: {"request": its fields}."""

    name: ClassVar[str] = "call_started"

    stream: bool = False
    origin: str | None = None  # scheme, host and port of the server
    settings: dict[str, Any] = field(default_factory=dict)  # numbers and switches of the request: temperature, max_tokens, …
    content: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded(Happening):
    """One exchange is over. `kind` is "ok" or the kind of its error, `status` the HTTP status of a failure."""

    name: ClassVar[str] = "attempt_ended"

    number: int  # in this call, from 1
    kind: str
    seconds: float
    status: int | None = None
    key: int | None = None  # which of several, in the order in which they were given


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryWaiting(Happening):
    """The same target is asked again, after so many `seconds`; `after` is the kind of the failure."""

    name: ClassVar[str] = "retry_waiting"

    after: str
    seconds: float
    number: int  # attempts so far


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstEvent(Happening):
    """A stream shows its first content, so many `seconds` after its attempt began."""

    name: ClassVar[str] = "first_event"

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback(Happening):
    """A route goes on to another target (`provider`, `model`): the one before ended with the kind `after`."""

    name: ClassVar[str] = "fallback"

    left: str  # provider/model that is left
    after: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedged(Happening):
    """A second target (`provider`, `model`) is asked because `late` has not answered within `seconds`."""

    name: ClassVar[str] = "hedged"

    late: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDecided(Happening):
    """A routed call is over: `record` holds what its decisions were made of, as a line of `route_log`."""

    name: ClassVar[str] = "route_decided"

    record: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRefused(Happening):
    """A budget has too little left for a call; nothing was sent. Money in USD."""

    name: ClassVar[str] = "budget_refused"

    budget: str
    left: Decimal
    wanted: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRefused(Happening):
    """A provider refused the key: `kind` is authentication or permission. A route asks another target."""

    name: ClassVar[str] = "key_refused"

    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheAsked(Happening):
    """The cache did something for a call: `did` is hit, miss, kept or failed; `source` is where a hit came from, `age` its
    seconds."""

    name: ClassVar[str] = "cache_asked"

    did: str
    store: str
    source: str | None = None
    age: float | None = None
    why: str | None = None  # type of the exception that a store failed with


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOpened(Happening):
    """A target failed too often and is left alone for `seconds`."""

    name: ClassVar[str] = "breaker_opened"

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(Happening):
    """A call is over. `kind` is "ok", the kind of its error, or "cancelled": its caller went away.

    `seconds` and `first_event` count from the call's begin and attempt's begin. `attempts` are {target, kind, seconds, status?,
    reason?}. `usage` has the counters that are known, `cost` is USD or None. With `content`: {"request", "answer", "error"}.
    """

    name: ClassVar[str] = "call_ended"

    kind: str
    seconds: float
    stream: bool = False
    origin: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    status: int | None = None  # HTTP status of the failure
    request_id: str | None = None
    response_id: str | None = None
    response_model: str | None = None
    finish_reasons: tuple[str, ...] = ()
    first_event: float | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    cost: Decimal | None = None
    cached: bool = False  # the answer was kept from before: nobody was asked
    attempts: tuple[dict[str, Any], ...] = ()
    content: dict[str, Any] | None = None


#: every event by its name
EVENTS: dict[str, type[Happening]] = {
    kind.name: kind
    for kind in (
        CallStarted, AttemptEnded, RetryWaiting, FirstEvent, Fallback, Hedged, RouteDecided, BudgetRefused, KeyRefused,
        BreakerOpened, CacheAsked, CallEnded,
    )
}  # fmt: skip
