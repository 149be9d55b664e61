"""Which wire a path belongs to: every served dialect at the path of its home provider, and below any provider's or dialect's name.

    POST /v1/messages                the dialect whose route this is
    POST /groq/chat/completions      as that provider has it: its base URL is replaced by `/groq`
    POST /mistral/v1/chat/completions  the same with the path of its base URL, as its own client library sends it

The home of a dialect is the provider it is named after.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from engine.catalog import Catalog
from engine.errors import Error, NotFoundError, UnsupportedError
from engine.plan import Served


@dataclass(frozen=True, slots=True)
class Place:
    """A wire at a path: who speaks it, and what method, path and query said of the request."""

    served: Served
    bound: dict[str, Any]
    provider: str | None = None  # the first path segment, if it named a provider or dialect


class Mounts:
    """Finds the wire of a request; dialects are compiled when first needed. Shareable between threads."""

    def __init__(self, catalog: Catalog, operation: str = "chat") -> None:
        self.catalog = catalog
        self.operation = operation
        self._lock = threading.RLock()
        self._roots: list[tuple[Served, str]] | None = None
        self._named: dict[str, list[tuple[Served, str]]] = {}

    def find(self, method: str, path: str, query: Mapping[str, Any]) -> Place | None:
        """The wire of a request, or None. `path` is still percent-encoded."""
        first, _, rest = path.removeprefix("/").partition("/")
        name = unquote(first)
        for served, base in self.named(name) if rest else ():
            for start in dict.fromkeys(("", base)):
                bound = _bound(served, method, f"/{rest}", start, query)
                if bound is not None:
                    return Place(served, bound, name)
        for served, base in self.roots():
            bound = _bound(served, method, path, base, query)
            if bound is not None:
                return Place(served, bound)
        return None

    def dialects(self) -> list[str]:
        """Ids of the dialects that are served."""
        return [served.dialect for served, _ in self.roots()]

    def path(self, name: str) -> str:
        """The path a client of this provider or dialect puts before the dialect's own: `/groq`, `/v1`. Raises NotFoundError."""
        if name.partition(":")[0] not in self.catalog.provider_ids():
            for served, base in self.roots():
                if served.dialect == name:
                    return base if self._first(served, base) else f"/{name}"
            self.catalog.resolve(name.partition(":")[0])
        return f"/{name}"

    def _first(self, served: Served, base: str) -> bool:
        """Whether no other dialect has the same path before this one."""
        return next(s for s, b in self.roots() if b == base and s.plan.dialects[-1] == served.plan.dialects[-1]) is served

    def roots(self) -> list[tuple[Served, str]]:
        """(dialect, path of its home); one that extends another comes after it."""
        with self._lock:
            if self._roots is None:
                found = []
                for id in self.catalog.dialect_ids():
                    node = self.catalog.dialect(id)
                    operation = node.get("operation") if node is not None else None
                    if operation is not None and operation.value != self.operation:
                        continue
                    try:
                        served = self.catalog.served(id)
                    except UnsupportedError:
                        continue
                    if served.operation == self.operation and served.route is not None:
                        home = self._namesake(id)
                        found.append((served, self._base(home, None) if home is not None else ""))
                self._roots = sorted(found, key=lambda pair: len(pair[0].plan.dialects))
            return self._roots

    def named(self, name: str) -> list[tuple[Served, str]]:
        """The wires of a provider (`id`, `id:variant` or an alias; without a variant those of all) or of a dialect, each with the
        path of its base URL."""
        with self._lock:
            if name not in self._named:
                self._named[name] = list(self._speakers(name))
            return self._named[name]

    def _speakers(self, name: str) -> Iterator[tuple[Served, str]]:
        provider, _, variant = name.partition(":")
        try:
            provider = self.catalog.resolve(provider)
        except NotFoundError:
            yield from (pair for pair in self.roots() if pair[0].dialect == name)
            return
        for one in [variant] if variant else [None, *self.catalog.plan(provider).variants]:
            served = self._speaker(provider, one)
            if served is not None:
                yield served, self._base(provider, one)

    def _speaker(self, provider: str, variant: str | None) -> Served | None:
        """What a provider speaks, with its patches if it speaks it without a variant."""
        try:
            plan = self.catalog.compile_checked(provider, self.operation, "m", variant)
        except (UnsupportedError, NotFoundError):
            return None
        for dialect in plan.dialects:
            for patched in (None,) if variant else (provider, None):
                try:
                    served = self.catalog.served(dialect, patched)
                except UnsupportedError:
                    continue
                return served if served.route is not None else None
        return None

    def homes(self) -> Iterator[tuple[str, str]]:
        """(dialect, `provider` or `provider:variant`) of each served dialect that the provider it is named after speaks."""
        for served, _ in sorted(self.roots(), key=lambda pair: pair[0].dialect):
            home = self._namesake(served.dialect)
            for variant in (None, *self.catalog.plan(home).variants) if home is not None else ():
                try:
                    plan = self.catalog.compile(str(home), self.operation, "m", variant)
                except UnsupportedError:
                    continue
                if plan is not None and plan.dialect == served.dialect:
                    yield served.dialect, f"{home}:{variant}" if variant else str(home)
                    break

    def _namesake(self, dialect: str) -> str | None:
        """The provider a dialect is named after: the one with most of its words."""
        words = dialect.split("-")
        for count in range(len(words), 0, -1):
            try:
                return self.catalog.resolve("-".join(words[:count]))
            except NotFoundError:
                continue
        return None

    def _base(self, provider: str, variant: str | None) -> str:
        """The path of a provider's base URL; of one whose server the caller chooses, that of the usual server."""
        from engine.examples.given import given_operation

        target = f"{provider}:{variant}/m" if variant else f"{provider}/m"
        chosen = self.catalog.plan(provider).base_url
        try:
            url = given_operation(self.catalog, target, self.operation).base_url
            if chosen is not None:
                url = str(chosen.default({}) or "") if chosen.default is not None else ""
            return urlsplit(url).path.rstrip("/")
        except Error:
            return ""


def _bound(served: Served, method: str, path: str, start: str, query: Mapping[str, Any]) -> dict[str, Any] | None:
    if served.route is None or not path.startswith(f"{start}/"):
        return None
    return served.route(method, path[len(start) :], query)
