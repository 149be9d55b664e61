"""Which target is asked next: a pure function of the request, the recorded state and a draw. No clock, no I/O.

Everything here is plain JSON, so that a log of what went in says why something came out, and what would have come out of
something else (engine.routing.log).

ask     {tokens, output?, needs, language?, task?, residency, after?, window?, tried, max_wait, cut}
state   {target, weight, languages, tasks, region?, lacks, context?, cost?, breaker, opens_in?, probing?, cooling?,
         cooling_after?, limited?, in_flight, first_event?, whole?, tokens_per_second?, role, refused?}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

from engine.types import _Plain

__all__ = ["MOVES", "Decision", "decide"]

#: kinds of failure after which another target may help (RELIABILITY E2); the rest end the call
MOVES = frozenset((
    "unsupported", "authentication", "permission", "not_found", "quota", "rate_limit", "overloaded", "server", "timeout",
    "connection", "tls", "protocol", "stream_interrupted", "limit", "local_limit", "unavailable",
))  # fmt: skip
LARGER = frozenset(("context_length", "too_large"))
ROUGH = 0.8  # a window is too small if it is smaller than this share of the estimated tokens: estimates are rough
USUAL_OUTPUT = 500  # tokens of an answer whose length nobody limited


@dataclass(slots=True)
class Decision(_Plain):
    """What to do: `try` the target `chosen`, `probe` it (one attempt), `wait` some seconds and ask again, or `refuse`.

    `order` are the targets that could be asked now, best first, `reasons` say why each stands where it does, `skipped` why the
    others do not.
    """

    action: str
    chosen: str | None = None
    seconds: float = 0.0
    order: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def decide(
    policy: Sequence[str], ask: Mapping[str, Any], states: Sequence[Mapping[str, Any]], turn: int, draws: Sequence[float]
) -> Decision:
    """The next step of a routed call. `turn` counts the route's calls; `draws` are numbers between 0 and 1, one per target."""
    after = ask.get("after")
    if after is not None and after not in MOVES and after not in LARGER and after != "content_filter":
        return Decision("refuse", skipped={s["target"]: f"no other target helps after {after}" for s in states})
    skipped: dict[str, str] = {}
    fitting: list[int] = []
    for i, state in enumerate(states):
        why = _unfit(ask, state)
        if why is None:
            fitting.append(i)
        else:
            skipped[state["target"]] = why
    ready: list[int] = []
    limited: list[int] = []
    blocked: list[tuple[float, int, str]] = []  # (seconds until it may be asked, target, breaker or cooling)
    for i in fitting:
        state = states[i]
        if state.get("cooling"):
            why = f"it cools down for {state['cooling']:g} s after {state.get('cooling_after')}"
            blocked.append((state["cooling"], i, "cooling"))
        elif state["breaker"] == "open" or (state["breaker"] == "half_open" and state.get("probing")):
            why = "a probe is on its way" if state.get("probing") else f"its breaker is open for {state['opens_in']:g} s more"
            blocked.append((state["opens_in"], i, "probing" if state.get("probing") else "open"))
        elif state.get("limited"):
            limited.append(i)
            why = f"its own limits leave no room for {state['limited']:g} s"
        else:
            ready.append(i)
            continue
        skipped[state["target"]] = why
    keys, reasons = _ranked(policy, ask, states, turn, draws)
    if not ready and limited:  # its queue is the place to wait
        ready = [min(limited, key=lambda i: (states[i]["limited"], keys[i]))]
        skipped.pop(states[ready[0]]["target"])
    if not ready:
        return _out(ask, states, blocked, skipped)
    ready.sort(key=keys.__getitem__)
    order = [states[i]["target"] for i in ready]
    told = {states[i]["target"]: reasons[i] for i in ready}
    first = states[ready[0]]
    if after is not None:
        told[order[0]] = f"after {after}" + (f", {told[order[0]]}" if told[order[0]] else "")
    action = "probe" if first["breaker"] == "half_open" else "try"
    return Decision(action, order[0], 0.0, order, told, skipped)


def _unfit(ask: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
    """Why a target is no candidate for this request whatever its health; None if it is one."""
    after, role = ask.get("after"), state.get("role")
    if state["target"] in ask["tried"]:
        return "it was asked already"
    if state.get("refused"):
        return str(state["refused"])
    if role == "larger" and after not in LARGER and not ask.get("long"):
        return "it is for requests that are too long for others"
    if role == "unfiltered" and not ask.get("filtered"):
        return "it is for requests that a filter refused"
    if ask.get("filtered") and role == "usual" and not ask.get("open"):
        return "a filter refused the request, and no other target was opened for that"
    if after in LARGER:
        window, failed = state.get("context"), ask.get("window")
        if not window or not failed or window <= failed:
            return "its window is not known to be larger"
    lacking = [need for need in ask["needs"] if need in state["lacks"]]
    if lacking:
        return f"it cannot do {', '.join(lacking)}"
    window = state.get("context")
    if window and window < ask["tokens"] * ROUGH:
        return f"its window of {window} tokens is too small for about {ask['tokens']}"
    if ask["residency"]:
        region = (state.get("region") or "").lower()
        if not region:
            return "it is not known where it computes"
        if not any(region == word or region.startswith(f"{word}-") for word in ask["residency"]):
            return f"it computes in {region}"
    return None


def _ranked(
    policy: Sequence[str], ask: Mapping[str, Any], states: Sequence[Mapping[str, Any]], turn: int, draws: Sequence[float]
) -> tuple[list[tuple[Any, ...]], list[str]]:
    """For every target its place as a sort key, least first, and the reason in words."""
    if len(policy) == 1 and policy[0] == "order":  # of most routes, and always the same
        return _in_order(len(states))
    keys: list[list[Any]] = [[] for _ in states]
    reasons: list[list[str]] = [[] for _ in states]
    for word in policy:
        for i, state in enumerate(states):
            key, reason = _POLICY[word](i, state, ask, len(states), turn, draws)
            keys[i].append(key)
            if reason:
                reasons[i].append(f"{word}: {reason}")
    return [(*key, i) for i, key in enumerate(keys)], ["; ".join(told) for told in reasons]


@cache
def _in_order(count: int) -> tuple[list[tuple[Any, ...]], list[str]]:
    return [(i,) for i in range(count)], [f"order: {_by_order(i)[1]}" for i in range(count)]


def _by_order(i: int, *_: Any) -> tuple[Any, str]:
    return i, f"place {i + 1}"


def _by_turn(i: int, state: Any, ask: Any, count: int, turn: int, draws: Any) -> tuple[Any, str]:
    return (i - turn) % count, f"turn {turn}"


def _by_weight(i: int, state: Any, ask: Any, count: int, turn: int, draws: Sequence[float]) -> tuple[Any, str]:
    """Exponential waiting times: the shortest belongs to each target as often as its weight says."""
    return -math.log(max(draws[i], 1e-12)) / state["weight"], f"drawn with weight {state['weight']:g}"


def _by_cost(i: int, state: Any, *_: Any) -> tuple[Any, str]:
    cost = state.get("cost")
    return (cost is None, Decimal(cost or 0)), f"about {cost} USD" if cost is not None else "its price is not known"


def _by_speed(i: int, state: Any, ask: Any, *_: Any) -> tuple[Any, str]:
    """Seconds that an answer is expected to take. A target nobody has measured is tried first: else nobody ever would."""
    begin = state.get("first_event" if ask.get("stream") else "whole")
    rate = state.get("tokens_per_second")
    if begin is None:
        return 0.0, "not measured lately"
    expected = begin
    if ask.get("stream") and rate:
        expected += min(ask.get("output") or USUAL_OUTPUT, USUAL_OUTPUT) / rate
    return round(expected, 4), f"about {expected:.3g} s"


def _by_load(i: int, state: Any, *_: Any) -> tuple[Any, str]:
    return state["in_flight"] / state["weight"], f"{state['in_flight']} calls in flight"


def _by_language(i: int, state: Any, ask: Any, *_: Any) -> tuple[Any, str]:
    return _preferred(ask.get("language"), state["languages"], "the text is in ")


def _by_task(i: int, state: Any, ask: Any, *_: Any) -> tuple[Any, str]:
    return _preferred(ask.get("task"), state["tasks"], "the task is ")


def _preferred(found: str | None, declared: Sequence[str], said: str) -> tuple[Any, str]:
    """Targets that declare it come first, then those that declare nothing."""
    if not found:
        return 0 if not declared else 1, f"{said}not known"
    return (0 if found in declared else 1 if not declared else 2), f"{said}{found}"


_POLICY: dict[str, Any] = {
    "order": _by_order,
    "round_robin": _by_turn,
    "weighted": _by_weight,
    "cheapest": _by_cost,
    "fastest": _by_speed,
    "least_busy": _by_load,
    "language": _by_language,
    "task": _by_task,
}


def _out(
    ask: Mapping[str, Any], states: Sequence[Mapping[str, Any]], blocked: list[tuple[float, int, str]], skipped: dict[str, str]
) -> Decision:
    """Out of targets that could be asked at once (RELIABILITY F5)."""
    cooling = min((b for b in blocked if b[2] == "cooling"), default=None)
    opening = min((b for b in blocked if b[2] == "open"), default=None)
    if ask["tried"]:
        opening = None  # one was asked already: probing all that are open would multiply the load on what is dead (R6)
    if cooling is not None and cooling[0] <= ask["max_wait"] and (opening is None or cooling[0] < opening[0]):
        return Decision("wait", states[cooling[1]]["target"], cooling[0], skipped=skipped)
    if opening is not None:
        target = states[opening[1]]["target"]
        skipped.pop(target)
        return Decision("probe", target, 0.0, [target], {target: "every target is left alone; it opens next"}, skipped)
    return Decision("refuse", seconds=min((b[0] for b in blocked), default=0.0), skipped=skipped)
