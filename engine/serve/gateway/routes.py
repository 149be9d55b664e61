"""Which wire a request of a client speaks: every served dialect at the path of its home, and below its own name.

POST /v1/chat/completions           the dialect whose route this is
POST /mistral/v1/chat/completions   the dialect that is named, where two have the same route
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from engine.catalog import Catalog
from engine.plan import Served
from engine.serve.gateway.models import PATH
from engine.serve.mounts import Mounts, Place

_KEPT = 1024  # requests whose route is kept at hand
_LONGEST = 256  # characters of the path of such a one


OPERATIONS = ("chat", "embeddings", "count_tokens", "list_models")


class Routes:
    """The routes of one catalog, compiled when made."""

    def __init__(self, catalog: Catalog) -> None:
        self._roots = tuple(root for operation in OPERATIONS for root in Mounts(catalog, operation).roots())
        self._named = {served.dialect: (served, base) for served, base in self._roots}
        self._found: dict[tuple[str, str], Place] = {}

    def find(self, method: str, path: str, query: Mapping[str, Any]) -> Place | None:
        """The wire and what the path says of the request, or None. `path` is still percent-encoded."""
        if query:
            return self._search(method, path, query)
        place = self._found.get((method, path))
        if place is None:
            place = self._search(method, path, query)
            if place is not None and len(path) <= _LONGEST:
                if len(self._found) >= _KEPT:
                    self._found.clear()
                self._found[method, path] = place
        return place

    def lister(self, headers: Mapping[str, str], query: Mapping[str, Any]) -> Place | None:
        """The wire of a list asked for at the path several wires share, if only its clients put their key there; else None."""
        if "authorization" in headers or "x-api-key" in headers:
            return None
        lists = (served for served, _ in self._roots if served.operation == "list_models")
        found = next((served for served in lists if served.key(headers, query)), None)
        return Place(found, {}) if found is not None else None

    def _search(self, method: str, path: str, query: Mapping[str, Any]) -> Place | None:
        for served, base in self._roots if path != PATH else ():
            bound = _bound(served, method, path, base, query)
            if bound is not None:
                return Place(served, bound)
        first, slash, rest = path[1:].partition("/")
        named = self._named.get(first) if slash else None
        if named is not None:
            served, base = named
            for start in (base, "") if base else ("",):
                bound = _bound(served, method, f"/{rest}", start, query)
                if bound is not None:
                    return Place(served, bound, first)
        return None

    def paths(self) -> Iterator[tuple[str, str, Served]]:
        """(method, path with `{model}` in place of a model, the wire) of every route."""
        seen: set[tuple[str, str]] = {("GET", PATH)}  # one list in the shape of several
        for served, base in self._roots:
            for path in _written(served):
                verb, whole = served.plan.call.verb, f"{base}{path}"
                if (verb, whole) in seen:
                    whole = f"/{served.dialect}{whole}"
                seen.add((verb, whole))
                yield verb, whole, served


def _bound(served: Served, method: str, path: str, start: str, query: Mapping[str, Any]) -> dict[str, Any] | None:
    if served.route is None or not path.startswith(f"{start}/"):
        return None
    return served.route(method, path[len(start) :], query)


def _written(served: Served) -> Iterator[str]:
    """The paths of a dialect, whole and streamed."""
    plan = served.plan
    calls = [(plan.call, False), (plan.call, True)]
    if plan.stream is not None and plan.stream.call is not None:
        calls[1] = (plan.stream.call, True)
    made = [unquote(str(call.url({"model": "{model}", "stream": stream}))) for call, stream in calls]
    yield from dict.fromkeys(made)
