"""Asking targets whether they are there: active health and warm-up. A probe is a call as any other, so it feeds what is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.errors import Error
from engine.types import _Plain

if TYPE_CHECKING:
    from engine.routing.desk import RoutingDesk

__all__ = ["Probe", "Pulse", "ask", "ask_async", "probes", "pulse"]

SECONDS = 20.0  # a probe may take
TOKENS = 16  # some models write no fewer


@dataclass(slots=True)
class Pulse(_Plain):
    """What a probe of a target came to: `kind` is ok or the kind of the error, `by` the operation that was called."""

    target: str
    kind: str
    seconds: float
    by: str
    message: str | None = None
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        return self.kind == "ok"


@dataclass(frozen=True, slots=True)
class Probe:
    """The call that finds out whether a target is there."""

    target: str
    operation: str
    model: str
    fields: dict[str, Any]


def probes(desk: RoutingDesk, models: Iterable[Any], call: bool) -> list[Probe]:
    """One probe for each target of the models and routes. Listing models costs nothing and proves address, key and network; a
    call of some tokens proves the model too, and makes a server on this machine load it."""
    return [_probe(desk, name, call) for name in desk.named_targets(models)]


def pulse(probe: Probe, seconds: float, error: Error | None) -> Pulse:
    """What a probe came to."""
    if error is None:
        return Pulse(probe.target, "ok", round(seconds, 3), probe.operation)
    return Pulse(probe.target, error.kind, round(seconds, 3), probe.operation, error.message, error.retry_after)


def ask(client: Any, models: Iterable[Any], call: bool) -> list[Pulse]:
    """What the probes of a blocking client come to, eight at a time."""
    from concurrent.futures import ThreadPoolExecutor

    def one(probe: Probe) -> Pulse:
        began, error = client._clock.monotonic(), None
        try:
            client.call(probe.operation, probe.model, **probe.fields)
        except Error as caught:
            error = caught
        return pulse(probe, client._clock.monotonic() - began, error)

    found = probes(client, models, call)
    with ThreadPoolExecutor(max(1, min(8, len(found)))) as pool:
        return list(pool.map(one, found))


async def ask_async(client: Any, models: Iterable[Any], call: bool) -> list[Pulse]:
    """What the probes of an async client come to, all at once."""
    import asyncio

    async def one(probe: Probe) -> Pulse:
        began, error = client._clock.monotonic(), None
        try:
            await client.call(probe.operation, probe.model, **probe.fields)
        except Error as caught:
            error = caught
        return pulse(probe, client._clock.monotonic() - began, error)

    return list(await asyncio.gather(*(one(probe) for probe in probes(client, models, call))))


def _probe(desk: RoutingDesk, name: str, call: bool) -> Probe:
    limits = {"timeout": SECONDS, "attempts": 1}
    bound = desk.operation(name)
    if not call and not _here(bound.base_url):
        try:
            desk.operation(bound.provider, "list_models")
            return Probe(name, "list_models", bound.provider, dict(limits))
        except Error:
            pass
    return Probe(name, "chat", name, {"messages": "ping", "max_tokens": TOKENS, **limits})


def _here(url: str) -> bool:
    """Whether a server runs on this machine."""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host.startswith("127.") or host == "::1"
