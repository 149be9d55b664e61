"""How much may be asked of a provider, as its user knows it: requests, tokens and calls at a time (RELIABILITY F7).

Reserve before, settle after. Waiting callers stand in one queue per provider, tenants in turn, each in its own order. A window
slides: whatever moment one looks at, no more than the limit lay within the period before it; so nobody goes early, whether the
provider counts by the minute or by the second. The queue is why no limiter library does: those let callers race for free slots
and know neither settlement nor several limits that must hold at once. No clock: whoever asks says what time it is.
"""

from __future__ import annotations

import threading
from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.errors import ConfigError, LocalLimitError
from engine.reliability.rates import Rate, Rule, rules_of

__all__ = ["Limiter", "Ticket"]

QUEUE = 1000  # callers that may wait for one provider
MARGIN = 1.04  # a period lasts this much longer here than there: requests do not travel equally fast
MOST_MARGIN = 0.5  # seconds that it lasts longer at most: travel does not take longer because a period does
_ENDLESS = float("inf")


class _Window:
    """What was used of one rate within its period."""

    __slots__ = ("amount", "entries", "rate", "span", "used")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.amount = rate.amount
        self.span = min(rate.seconds * MARGIN, rate.seconds + MOST_MARGIN)
        self.used = 0.0
        self.entries: list[list[float]] = []  # [when, how much], by time; one whose period is over is emptied

    def wait(self, amount: float, now: float) -> float:
        """Seconds until so much more fits; more than a whole period where the queue is longer than that."""
        entries = self.entries
        ended = 0
        while ended < len(entries) and entries[ended][0] + self.span <= now:
            self.used -= entries[ended][1]
            entries[ended].clear()  # so that whoever holds it sees that it counts no more, without a search
            ended += 1
        if ended:
            del entries[:ended]
        rounds = 0.0
        if amount > self.amount:
            rounds, amount = divmod(amount, self.amount)
            if not amount:
                rounds, amount = rounds - 1, self.amount
        over = self.used + amount - self.amount
        if over <= 1e-9:
            return rounds * self.span
        for at, taken in entries:
            over -= taken
            if over <= 1e-9:
                return at + self.span - now + rounds * self.span
        return (rounds + 1) * self.span

    def take(self, amount: float, at: float) -> list[float]:
        entry = [at, amount]
        insort(self.entries, entry)
        self.used += amount
        return entry

    def stamp(self, entry: list[float], at: float) -> None:
        """Move an entry to a later time."""
        if not entry:
            return
        entries = self.entries
        for place in range(len(entries) - 1, -1, -1):
            if entries[place] is entry:
                if at > entry[0]:
                    del entries[place]
                    entry[0] = at
                    insort(entries, entry)
                return

    def correct(self, entry: list[float], amount: float) -> None:
        if entry:
            self.used += amount - entry[1]
            entry[1] = amount


class _Scope:
    """One rule for one subject: a provider, a model, or one key of either."""

    __slots__ = ("concurrency", "everyone", "name", "processes", "requests", "rule", "running", "tokens")

    def __init__(self, name: str, rule: Rule, everyone: bool) -> None:
        self.rule = rule
        self.processes = 1  # that share the rule evenly
        self.name = name
        self.everyone = everyone  # every call of the provider is in it
        self.requests = [_Window(rate) for rate in rule.requests]
        self.tokens = [_Window(rate) for rate in rule.tokens]
        self.concurrency = rule.concurrency
        self.running = 0

    def divide(self, processes: int) -> None:
        """From now on the rule is shared by so many processes, of which each has its part; but one call at a time each may make."""
        self.processes = processes
        for window in (*self.requests, *self.tokens):
            window.amount = window.rate.amount / processes
        if self.rule.concurrency is not None:
            self.concurrency = max(1, self.rule.concurrency // processes)

    def wait(self, requests: int, tokens: float, now: float, own: float) -> float:
        """Seconds until so many more requests and tokens fit; endless where one must end first."""
        if self.concurrency is not None and self.running + 1 > self.concurrency:
            return _ENDLESS
        waits = [w.wait(requests, now) for w in self.requests]
        waits += [w.wait(tokens - own + min(own, w.amount), now) for w in self.tokens]
        return max(waits, default=0.0)


class Ticket:
    """One caller's place: waiting, then granted, then settled. `wake` is called, from any thread, when it is granted."""

    __slots__ = ("entries", "granted", "limiter", "over", "provider", "requests", "scopes", "subject", "tenant", "tokens", "wake")

    def __init__(self, limiter: Limiter, subject: tuple[str, str, int], tokens: float, tenant: str) -> None:
        self.limiter = limiter
        self.subject = subject
        self.provider = subject[0]
        self.scopes = limiter.scopes(*subject)
        self.tokens = tokens
        self.tenant = tenant
        self.granted = False
        self.over = False
        self.requests: list[tuple[_Window, list[float]]] = []  # of the latest request
        self.entries: list[tuple[_Window, list[float]]] = []  # of tokens: they are corrected at the end
        self.wake: Callable[[], None] | None = None

    def sent(self, now: float) -> None:
        """Its request goes out only now: that is when its provider begins to count."""
        self.limiter.stamp(self, now)

    def again(self, now: float, key: int) -> float:
        """One more request by the same call, booked now: seconds until it may go out."""
        return self.limiter.booked(self, now, key)


class Limiter:
    """The limits of one client. Shareable between threads. `rates`: see engine.reliability.rates; `processes` tells how many
    processes share those that are `shared`."""

    def __init__(self, rates: Mapping[str, Any], processes: Callable[[], int] | None = None) -> None:
        self.rules = rules_of(rates)
        if processes is None and any(rule.shared for rule in self.rules):
            raise ConfigError("rates with `shared` need a ledger in a Redis, by which processes know of each other")
        self._processes = processes
        self._scopes: dict[tuple[str, str, int], tuple[_Scope, ...]] = {}
        self._made: dict[tuple[int, str], _Scope] = {}
        self._queues: dict[str, OrderedDict[str, deque[Ticket]]] = {}
        self._lock = threading.Lock()

    def scopes(self, provider: str, model: str, key: int) -> tuple[_Scope, ...]:
        """What a call to a model with a key is counted in."""
        found = self._scopes.get((provider, model, key))
        if found is None:
            with self._lock:
                made = []
                for i, rule in enumerate(self.rules):
                    subject = rule.subject(provider, model, key)
                    if subject is not None:
                        everyone = rule.model is None and not rule.per_key
                        scope = self._made.get((i, subject))
                        if scope is None:
                            scope = self._made[i, subject] = _Scope(subject, rule, everyone)
                        made.append(scope)
                if len(self._scopes) > 10_000:
                    self._scopes.clear()
                found = self._scopes[provider, model, key] = tuple(made)
        if self._processes is not None:
            for scope in found:
                if scope.rule.shared and (count := self._processes()) != scope.processes:
                    with self._lock:
                        scope.divide(count)
        return found

    def estimate(self, provider: str, model: str, keys: int, tokens: float, now: float) -> tuple[float, int]:
        """(seconds a caller would wait now, the key with which it is shortest)."""
        with self._lock:
            ahead = sum(map(len, self._queues.get(provider, {}).values()))
        waits = []
        for key in range(keys):
            scopes = self.scopes(provider, model, key)
            with self._lock:
                waits.append((max((s.wait(ahead + 1, tokens, now, tokens) for s in scopes), default=0.0), key))
        seconds, key = min(waits)
        return (seconds if seconds != _ENDLESS else 1.0), key

    def estimate_key(self, provider: str, model: str, key: int, tokens: float, now: float) -> float:
        """Seconds a caller would wait now with one key if nobody stood before him."""
        scopes = self.scopes(provider, model, key)
        with self._lock:
            return max((scope.wait(1, tokens, now, tokens) for scope in scopes), default=0.0)

    def ask(self, ticket: Ticket, now: float) -> float:
        """0 if the ticket is granted, else seconds after which to ask again unless woken. LocalLimitError for a full queue."""
        with self._lock:
            if ticket.granted:
                return 0.0
            queues = self._queues.setdefault(ticket.provider, OrderedDict())
            own = queues.get(ticket.tenant)
            if own is None or ticket not in own:
                if sum(map(len, queues.values())) >= QUEUE:
                    raise LocalLimitError(f"{QUEUE} callers wait for {ticket.provider} already", provider=ticket.provider)
                queues.setdefault(ticket.tenant, deque()).append(ticket)
            return self._granting(ticket.provider, now, ticket)

    def settle(self, ticket: Ticket, now: float, tokens: float | None = None) -> None:
        """The call is over, or its caller gave up: `tokens` is what it took, None if that is not known. Only once has effect."""
        with self._lock:
            if ticket.over:
                return
            ticket.over = True
            if not ticket.granted:
                self._leave(ticket)
                return
            for scope in ticket.scopes:
                if scope.concurrency is not None:
                    scope.running -= 1
            if tokens is not None:
                for window, entry in ticket.entries:
                    window.correct(entry, min(tokens, window.amount))
            self._granting(ticket.provider, now)

    def booked(self, ticket: Ticket, now: float, key: int) -> float:
        """See Ticket.again."""
        scopes = self.scopes(ticket.subject[0], ticket.subject[1], key)
        with self._lock:
            windows = [window for scope in scopes for window in scope.requests]
            wait = max((window.wait(1, now) for window in windows), default=0.0)
            ticket.requests = [(window, window.take(1, now + wait)) for window in windows]
            return wait

    def stamp(self, ticket: Ticket, now: float) -> None:
        """See Ticket.sent."""
        with self._lock:
            for window, entry in ticket.requests:
                window.stamp(entry, now)

    # --- the queue; the lock is held --------------------------------------------------------------------------------

    def _granting(self, provider: str, now: float, asking: Ticket | None = None) -> float:
        """Grant what can be granted, in turn; nobody overtakes another who waits for the same. Seconds the asking one waits."""
        queues = self._queues.get(provider)
        blocked: set[int] = set()
        granted: list[Ticket] = []
        wait, place, tokens = 0.0, 0, 0.0
        for ticket in _in_turn(queues) if queues else ():
            place += 1
            tokens += ticket.tokens
            mine = ticket is asking
            if not blocked.isdisjoint(map(id, ticket.scopes)):
                if mine:
                    wait = max(scope.wait(place - len(granted), tokens, now, ticket.tokens) for scope in ticket.scopes)
                    break
                continue
            waits = [(scope.wait(1, ticket.tokens, now, ticket.tokens), scope) for scope in ticket.scopes]
            late = max((seconds for seconds, _ in waits), default=0.0)
            if late <= 0:
                self._grant(ticket, now)
                granted.append(ticket)
                tokens -= ticket.tokens
                continue
            blocked.update(id(scope) for seconds, scope in waits if seconds > 0)
            if mine:
                wait = late
                break
            if asking is None and any(scope.everyone for seconds, scope in waits if seconds > 0):
                break
        for ticket in granted:
            self._leave(ticket)
            queues = self._queues.get(provider)
            if queues and ticket.tenant in queues:
                queues.move_to_end(ticket.tenant)
            if ticket.wake is not None and ticket is not asking:
                ticket.wake()
        if asking is None or asking.granted:
            return 0.0
        return max(0.001, wait) if wait != _ENDLESS else _ENDLESS

    def _grant(self, ticket: Ticket, now: float) -> None:
        ticket.granted = True
        for scope in ticket.scopes:
            if scope.concurrency is not None:
                scope.running += 1
            ticket.requests += [(window, window.take(1, now)) for window in scope.requests]
            for window in scope.tokens:
                ticket.entries.append((window, window.take(min(ticket.tokens, window.amount), now)))

    def _leave(self, ticket: Ticket) -> None:
        queues = self._queues.get(ticket.provider)
        own = queues.get(ticket.tenant) if queues is not None else None
        if queues is None or own is None or ticket not in own:
            return
        own.remove(ticket)
        if not own:
            del queues[ticket.tenant]
        if not queues:
            del self._queues[ticket.provider]


def _in_turn(queues: OrderedDict[str, deque[Ticket]]) -> Iterator[Ticket]:
    """The first of each tenant, then the second of each, and so on."""
    if len(queues) == 1:
        yield from tuple(next(iter(queues.values())))
        return
    lines = [tuple(line) for line in queues.values()]
    for place in range(max(map(len, lines), default=0)):
        for line in lines:
            if place < len(line):
                yield line[place]
