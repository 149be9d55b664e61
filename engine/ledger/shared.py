"""The ledger of several processes or machines, in a Redis that may be killed, paused or emptied (RELIABILITY D1).

Each process keeps a journal of what it spent and holds reserved itself (a SqliteLedger), and Redis holds what every process says
of itself: absolute sums with a number that grows, never increments. So a command that is lost, late or done twice does no harm,
and a Redis that forgot everything is told again: by each process its own sums, and the last it saw of the others.

    counter in Redis = {process: "spent reserved number"}; what is left = limit - the sum of all of them

A script adds a reservation and checks the limit as one step. While Redis is away, a process goes on within its share: what was
left when it last looked, divided by the processes that were alive then.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from engine.errors import ConfigError, LocalLimitError
from engine.ledger.store import SqliteLedger
from engine.reliability.link import Away, Link
from engine.secret import Secret

__all__ = ["RedisLedger"]

BEAT = 0.4  # seconds between two looks at the counters in use
GRACE = 1.5  # seconds after which every process that lives has told an emptied Redis what it knows
ALIVE = 90  # seconds since its last word that a process counts as alive: longer than it may go on by itself
LONGEST = 60.0  # seconds that calls may go on without Redis
MOST = 10_000  # counters that a process knows of
USED = 900.0  # seconds that a counter is looked at after its last reservation
KEPT = 40 * 86400  # seconds that Redis keeps a counter nobody writes: longer than the longest period
FOREVER = 400 * 86400  # of one without a period
_BOUNDLESS = 1 << 62

_SAY = """
local me, number, amount = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return {'unknown'} end
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[2], now, me)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[5]))
local verdict, told = 0, {}
for i = 3, #KEYS do
  local at = 6 + (i - 3) * 4
  local held = redis.call('HGET', KEYS[i], me)
  if not held or tonumber(string.match(held, '%d+$')) < number then
    redis.call('HSET', KEYS[i], me, ARGV[at + 2] .. ' ' .. ARGV[at + 3] .. ' ' .. ARGV[3])
  end
  redis.call('EXPIRE', KEYS[i], ARGV[at + 1])
  local all, sum = redis.call('HGETALL', KEYS[i]), 0
  for j = 2, #all, 2 do
    local spent, reserved = string.match(all[j], '^(%d+) (%d+)')
    sum = sum + tonumber(spent) + tonumber(reserved)
  end
  if amount > 0 and sum > tonumber(ARGV[at]) and verdict == 0 then verdict = i - 2 end
  told[i - 2] = all
end
return {'told', verdict, redis.call('ZCARD', KEYS[2]), told}
"""
_JOIN = """
local id, now = redis.call('HGET', KEYS[1], 'id'), redis.call('TIME')
local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
if not id or string.sub(id, 1, #ARGV[2]) ~= ARGV[2] then
  id = ARGV[1]
  redis.call('HSET', KEYS[1], 'id', id, 'born', ms)
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
local at = 4
for i = 2, #KEYS do
  for j = 1, tonumber(ARGV[at + 1]) do
    local who, said = ARGV[at + 2 * j], ARGV[at + 2 * j + 1]
    local held = redis.call('HGET', KEYS[i], who)
    if not held or tonumber(string.match(held, '%d+$')) < tonumber(string.match(said, '%d+$')) then
      redis.call('HSET', KEYS[i], who, said)
    end
  end
  redis.call('EXPIRE', KEYS[i], ARGV[at])
  at = at + 2 + 2 * tonumber(ARGV[at + 1])
end
return {id, ms - tonumber(redis.call('HGET', KEYS[1], 'born'))}
"""


class _Seen:
    """What was seen of a counter when Redis last answered.

    What shares are reckoned from is taken only from a Redis that knows everything: else a process would get a second share of
    what another has spent already and could not tell.
    """

    __slots__ = ("others", "own", "taken", "used")

    def __init__(self) -> None:
        self.others: dict[str, str] = {}  # process -> its words
        self.own: int | None = None  # what this process had spent and reserved when the counter was last known in full
        self.taken = 0  # what the others had then
        self.used = 0.0

    def rest(self, limit: int) -> int:
        """What was left then."""
        return max(0, limit - (self.own or 0) - self.taken)


class RedisLedger:
    """A ledger that processes share through a Redis. Thread-safe; its methods block, for 50 ms at most where Redis is away.

    `url`: redis://, rediss:// or unix://. `journal`: the file of this process's own sums, one for each process; None
    keeps them in memory, and a process that restarts then knows of its own spending only what Redis does. `away`: seconds (0 to
    60) that calls go on within this process's share while Redis is away, until the budgets refuse. `instances`: how many
    processes share, at least; they are counted, and this is for those that start while Redis is away.
    """

    def __init__(
        self,
        url: str | Secret,
        *,
        journal: str | Path | None = None,
        away: float = LONGEST,
        instances: int | None = None,
        prefix: str = "llmkit",
    ) -> None:
        if isinstance(away, bool) or not isinstance(away, (int, float)) or not 0 <= away <= LONGEST:
            raise ConfigError(f"`away` of a ledger is a number of seconds from 0 to {LONGEST:g}")
        if instances is not None and (isinstance(instances, bool) or not isinstance(instances, int) or instances < 1):
            raise ConfigError("`instances` of a ledger is a whole number above 0")
        self._link = Link(url)
        self._journal = SqliteLedger(":memory:" if journal is None else journal)
        self._me = self._journal.identity()
        self._away = float(away)
        self._least = instances
        self._alive = 1
        self._prefix = "{" + prefix + "}"  # one slot of a cluster
        self._seen: dict[str, _Seen] = {}
        self._id: str | None = None  # what Redis calls what it knows; another one once it forgot
        self._lost = 0  # failures of the link that were answered by joining again
        self._young = 0.0  # until when others may have to tell an emptied Redis what they know
        self._heard = 0.0  # when Redis last answered
        self._number = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._beating = False

    # --- a ledger ---------------------------------------------------------------------------------------------------

    def reserve(self, id: str, charges: Iterable[tuple[str, int]], amount: int) -> tuple[str, int] | None:
        """See Ledger. LocalLimitError where Redis has been away for longer than calls may go on."""
        wanted = list(charges)
        with self._lock:
            self._beat()
            now = time.monotonic()
            new = [name for name, _ in wanted if name not in self._seen]
            for name, _ in wanted:
                self._seen.setdefault(name, _Seen()).used = now
            try:
                self._joined()
                if time.monotonic() >= self._young:
                    return self._reserved(id, wanted, amount)
                if new:
                    self._say(wanted, 0)
            except Away:
                pass
            return self._journal.reserve(id, self._shares(wanted), amount)

    def settle(self, id: str, actual: int) -> None:
        """See Ledger. The others learn it with the next beat."""
        self._journal.settle(id, actual)

    def spent(self, counter: str) -> tuple[int, int]:
        """(spent, reserved) of a counter by all processes; while Redis is away as it last was, with this one's own of now."""
        with self._lock:
            seen = self._seen.setdefault(counter, _Seen())
            try:
                self._say([(counter, _BOUNDLESS)], 0)
            except Away:
                pass
            sums = [self._journal.spent(counter), *map(_sums, seen.others.values())]
        return sum(s for s, _ in sums), sum(r for _, r in sums)

    def processes(self) -> int:
        """How many processes share this ledger, as far as Redis has told; it is asked from time to time from now on."""
        if not self._beating:
            with self._lock:
                self._beat()
        return max(self._alive, self._least or 1)

    def close(self) -> None:
        """Tell Redis what it does not know yet, and close."""
        with self._lock:
            if self._over.is_set():
                return
            self._over.set()
            self._tell()
            try:
                self._link.command("ZREM", self._common[1], self._me)
            except Away:
                pass
            self._link.close()
            self._journal.close()

    # --- what is told and heard; the lock is held -------------------------------------------------------------------

    def _say(self, charges: Sequence[tuple[str, int]], amount: int) -> tuple[str, int] | None:
        """Tell this process's sums of counters, and hear the others'. With an amount, which the sums include: what refuses it,
        and how much is left there. Raises Away."""
        for _ in range(3):
            self._joined()
            names = [name for name, _ in charges]
            sums, number = [self._journal.spent(name) for name in names], self._next()
            arguments: list[Any] = [self._id, self._me, number, amount, ALIVE]
            for (name, limit), (spent, reserved) in zip(charges, sums):
                arguments += [min(limit, _BOUNDLESS), _lifetime(name), spent, reserved]
            answer = self._link.script(_SAY, [*self._common, *map(self._key, names)], arguments)
            if answer[0] != b"unknown":
                break
            self._id = ""  # it forgot
            self._joined()
            if amount and time.monotonic() < self._young:
                raise Away  # others may have more to tell
        else:
            raise Away
        _, verdict, alive, told = answer
        self._heard = time.monotonic()
        self._alive = max(1, int(alive), self._alive if self._heard < self._young else 1)
        full = self._heard >= self._young
        for name, own, pairs in zip(names, sums, told):
            seen = self._seen.setdefault(name, _Seen())
            words = {bytes(k).decode(): bytes(v).decode() for k, v in zip(pairs[::2], pairs[1::2])}
            words.pop(self._me, None)
            seen.others = words
            if full or seen.own is None:
                seen.own = sum(own) - (amount if verdict else 0)  # what is refused is given up
                seen.taken = sum(sum(_sums(said)) for said in words.values())
        if not verdict:
            return None
        name, limit = charges[verdict - 1]
        return name, self._seen[name].rest(limit)

    def _reserved(self, id: str, charges: list[tuple[str, int]], amount: int) -> tuple[str, int] | None:
        """Reserve as Redis decides: None, or what refuses it. Raises Away with nothing reserved."""
        refused = self._journal.reserve(id, charges, amount)  # first here: what is told includes it
        if refused is not None:
            return refused
        try:
            refused = self._say(charges, amount)
        except Away:
            self._journal.settle(id, 0)
            raise
        if refused is not None:
            self._journal.settle(id, 0)
        return refused

    def _joined(self) -> None:
        """Begin, or begin again with a Redis that may have forgotten: tell it what this process and the others had said."""
        lost = self._link.lost
        if self._id and self._lost == lost:
            return
        run, first = self._link.run(), self._id is None
        names = list(self._seen)
        arguments: list[Any] = [f"{run}:{uuid4().hex}", run, FOREVER]
        for name in names:
            spent, reserved = self._journal.spent(name)
            words = {**self._seen[name].others, self._me: f"{spent} {reserved} {self._next()}"}
            arguments += [_lifetime(name), len(words), *(one for pair in words.items() for one in pair)]
        id, age = self._link.script(_JOIN, [self._common[0], *map(self._key, names)], arguments)
        known, self._id, self._lost = self._id, bytes(id).decode(), lost
        if self._id != known:
            left = max(0.0, GRACE - int(age) / 1000)
            self._young = time.monotonic() + left
            if first and left:  # nothing is known of the others yet: no share could be reckoned
                time.sleep(left)

    def _shares(self, charges: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """The counters with what this process alone may bring them to while Redis is away."""
        now = time.monotonic()
        if self._heard and now - self._heard > self._away and now >= self._young:
            raise LocalLimitError("the shared ledger has been away for too long: budgets hold until it is back", code="ledger")
        if not self._heard and self._least is None:
            raise LocalLimitError("the shared ledger has not been reached yet: budgets hold until it is", code="ledger")
        among = self.processes()
        shares = []
        for name, limit in charges:
            seen = self._seen.setdefault(name, _Seen())
            shares.append((name, (seen.own or 0) + seen.rest(limit) // among))
        return shares

    def _tell(self) -> None:
        """Tell the sums of all counters in use, and hear what the others spent. Without effect while Redis is away."""
        now = time.monotonic()
        while len(self._seen) > MOST:
            del self._seen[min(self._seen, key=lambda name: self._seen[name].used)]
        names = [name for name, seen in self._seen.items() if seen.used + USED > now]
        try:
            for i in range(0, max(1, len(names)), 500):  # without any at least who is alive
                self._say([(name, _BOUNDLESS) for name in names[i : i + 500]], 0)
        except Away:
            pass

    def _beat(self) -> None:
        """Begin to look at Redis from time to time, for as long as this ledger is used."""
        if not self._beating:
            self._beating = True
            beats = threading.Thread(target=_beats, args=(weakref.ref(self), self._over), name="llmkit-ledger", daemon=True)
            beats.start()
            atexit.register(_last_words, weakref.ref(self))

    def _next(self) -> int:
        """A number above all before it, of this process and of those that had its journal before."""
        self._number = max(self._number + 1, time.time_ns() // 1000)
        return self._number

    @property
    def _common(self) -> tuple[str, str]:
        return f"{self._prefix}:ledger", f"{self._prefix}:ledger:alive"

    def _key(self, counter: str) -> str:
        return f"{self._prefix}:ledger:{counter}"


def _beats(held: weakref.ref[RedisLedger], over: threading.Event) -> None:
    while not over.is_set():
        ledger = held()
        if ledger is None:
            return
        with ledger._lock:
            if not over.is_set():
                ledger._tell()
        del ledger
        over.wait(BEAT)


def _last_words(held: weakref.ref[RedisLedger]) -> None:
    """A process that ends without `close` tells what it spent: else what it had reserved would go on counting."""
    ledger = held()
    if ledger is not None:
        ledger.close()


def _lifetime(counter: str) -> int:
    return FOREVER if "total:" in counter else KEPT


def _sums(words: str) -> tuple[int, int]:
    """(spent, reserved) of a process's words."""
    spent, reserved, _ = words.split()
    return int(spent), int(reserved)
