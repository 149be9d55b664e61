"""The way to a Redis that several processes share, and that may be away at any moment (RELIABILITY D1).

A command has 50 ms. After a failure nobody asks for a moment, then for a longer one, so that a dead store costs a call nothing.
Whoever gets Away goes on by himself. The library is the extra `[redis]`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from engine.errors import ConfigError
from engine.secret import Secret

__all__ = ["Away", "Link", "is_redis"]

PATIENCE = 0.05  # seconds of a command
PAUSES = (0.1, 0.25, 0.5)  # seconds that nobody asks, by failures in a row
SCHEMES = ("redis://", "rediss://", "unix://")


class Away(Exception):
    """The store did not answer, or is not asked now."""


def is_redis(given: Any) -> bool:
    """Whether this is the URL of a Redis."""
    text = given.reveal() if isinstance(given, Secret) else given
    return isinstance(text, str) and text.startswith(SCHEMES)


class Link:
    """One server by its URL (redis://[user:password@]host:port/database, rediss:// with TLS, unix://path). Thread-safe.

    Nothing is connected before the first command. `lost` counts failures: whoever sees it grow knows that the server may have
    lost what it knew.
    """

    def __init__(self, url: str | Secret) -> None:
        try:
            from redis import Redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise ConfigError('a Redis is reached with a library: pip install "llmkit-engine[redis]"') from None
        from redis.exceptions import RedisError

        text = url.reveal() if isinstance(url, Secret) else url
        limits: dict[str, Any] = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
        self._redis: Any = None
        try:
            self._redis = Redis.from_url(text, retry=Retry(NoBackoff(), 0), **limits)
        except (ValueError, RedisError):
            pass  # said below, without the words of this one: they may hold a password
        if self._redis is None:
            raise ConfigError("the URL of the Redis cannot be read: redis://[user:password@]host:port/database")
        self._failures: tuple[type[BaseException], ...] = (RedisError, OSError, ValueError)
        self._scripts: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._row = 0  # failures in a row
        self._until = 0.0
        self.lost = 0

    def away(self) -> bool:
        """Whether nobody asks now."""
        return self._row > 0 and time.monotonic() < self._until

    def script(self, text: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """What a Lua script answers, which runs as a whole or not at all. Raises Away."""
        made = self._scripts.get(text)
        if made is None:
            made = self._scripts[text] = self._redis.register_script(text)
        return self._do(lambda: made(keys=keys, args=arguments))

    def command(self, *words: Any) -> Any:
        """What a command answers. Raises Away."""
        return self._do(lambda: self._redis.execute_command(*words))

    def run(self) -> str:
        """A name of the server's process: another one after a restart. Raises Away."""
        told = self.command("INFO", "server")
        return str(told.get("run_id", "")) if isinstance(told, dict) else ""

    def close(self) -> None:
        """Close its connections."""
        self._redis.close()

    def _do(self, work: Any) -> Any:
        if self.away():
            raise Away
        failed = False
        answer: Any = None
        try:
            answer = work()
        except self._failures:  # their texts may hold the address
            failed = True
        with self._lock:
            if failed:
                self._row += 1
                self.lost += 1
                self._until = time.monotonic() + PAUSES[min(self._row, len(PAUSES)) - 1]
            else:
                self._row = 0
        if failed:
            raise Away
        return answer
