"""The stores that budgets can be kept in: a file, and a Redis that processes share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.redis_server import RedisServer


class Store:
    """One kind of store: `place()` is a new, empty ledger as `Client(ledger=…)` takes it."""

    def __init__(self, folder: Path, server: RedisServer | None) -> None:
        self.folder = folder
        self.server = server
        self._count = 0

    def place(self) -> Any:
        self._count += 1
        path = str(self.folder / f"spend{self._count}.sqlite")
        if self.server is None:
            return path
        return {"redis": self.server.url, "prefix": f"{self.folder.name}-{self._count}"}
