"""Answers in a Redis that several machines share (extra [redis]). Names begin with the tenant's scope (RELIABILITY D1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from engine.reliability.link import Link
from engine.secret import Secret

__all__ = ["RedisStore"]

_POINT = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if field ~= ARGV[1] then redis.call('HDEL', KEYS[1], field) break end
  end
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
"""
_COUNT = 500  # names looked at in one step


class RedisStore:
    """A store behind a URL. What it may hold is the server's own setting (maxmemory); what expires it forgets by itself.

    Every command has 50 ms; while the server is away, `engine.reliability.link.Away` is raised at once.
    """

    name = "redis"
    quick = False
    shared = True

    def __init__(self, url: str | Secret, clock: Callable[[], float] = time.time) -> None:
        self._link = Link(url)
        self._clock = clock

    def get(self, scope: str, key: str) -> bytes | None:
        """What is kept under a key."""
        return self._link.command("GET", f"{scope}:answer:{key}")  # type: ignore[no-any-return]

    def put(self, scope: str, key: str, value: bytes, until: float) -> bool:
        """Keep a value until then (epoch seconds)."""
        left = int((until - self._clock()) * 1000)
        if left > 0:
            self._link.command("SET", f"{scope}:answer:{key}", value, "PX", left)
        return left > 0

    def point(self, scope: str, group: str, key: str, vector: bytes, until: float, most: int) -> None:
        """Keep a vector that leads to a key; beyond `most` one of its group goes."""
        left = int((until - self._clock()) * 1000)
        if left > 0:
            self._link.script(_POINT, [f"{scope}:vectors:{group}"], [key, vector, left, most])

    def points(self, scope: str, group: str) -> list[tuple[str, bytes]]:
        """The vectors of a group with the keys they lead to."""
        found = self._link.command("HGETALL", f"{scope}:vectors:{group}")
        return [(key.decode() if isinstance(key, bytes) else key, vector) for key, vector in found.items()]

    def stats(self) -> dict[str, Any]:
        """How many answers there are, and in how many tenants' scopes."""
        names = self._names(None, "answer")
        return {"entries": len(names), "tenants": len({name[:64] for name in names})}

    def clear(self, scope: str | None = None) -> int:
        """Forget everything of caches, or all of one scope: how many entries that were."""
        answers = self._names(scope, "answer")
        gone = answers + self._names(scope, "vectors")
        for at in range(0, len(gone), _COUNT):
            self._link.command("UNLINK", *gone[at : at + _COUNT])
        return len(answers)

    def close(self) -> None:
        """Close its connections."""
        self._link.close()

    def _names(self, scope: str | None, kind: str) -> list[bytes]:
        """Names of our own entries: 64 hexadecimal digits, the kind, and 64 more."""
        found: list[bytes] = []
        cursor: Any = 0
        while True:
            cursor, names = self._link.command("SCAN", cursor, "MATCH", f"{scope or '?' * 64}:{kind}:{'?' * 64}", "COUNT", _COUNT)
            found += names
            if not int(cursor):
                return found
