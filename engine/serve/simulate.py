"""A stand-in for every provider of the catalog: it answers from the examples of their specs.

The first path segment names the provider: `http://127.0.0.1:8089/groq` is the base URL of a stand-in for Groq. Among the
examples of the operation that owns the path, the one whose request looks most like the one received gives the answer,
whole or streamed, with the framing and headers of the real wire. Nothing is read from the environment and no key matters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from engine.errors import Error
from engine.examples.cases import cases
from engine.examples.given import given_operation
from engine.examples.run import content_type, stream_bytes

if TYPE_CHECKING:
    from engine.catalog import Catalog
    from engine.operation import Operation

PIECE = 512  # bytes of a stream per write: frames arrive cut, as they do on a real network


@dataclass(slots=True)
class Reply:
    """One HTTP answer; `pieces` are written one by one."""

    status: int
    headers: dict[str, str]
    pieces: list[bytes] = field(default_factory=list)
    streamed: bool = False


@dataclass(slots=True)
class _Answer:
    """What one example can say, and how its own request looks."""

    operation: Operation
    example: dict[str, Any]
    method: str
    path: re.Pattern[str]
    query: frozenset[tuple[str, str]]
    shape: frozenset[str]
    streamed: bool


class Simulator:
    """Answers requests; pure but for the catalog it reads. Answers of a provider are prepared on its first request."""

    def __init__(self, catalog: Catalog, model: str = "sim-model") -> None:
        self.catalog = catalog
        self.model = model
        self._answers: dict[str, list[_Answer]] = {}

    def answer(self, method: str, target: str, body: bytes) -> Reply:
        """The reply for one request; 404 with a sentence for paths no example knows."""
        url = urlsplit(target)
        _, _, rest = url.path.partition("/")
        provider, _, path = rest.partition("/")
        variant = None
        if ":" in provider:
            provider, _, variant = provider.partition(":")
        if provider not in self.catalog.provider_ids():
            return _refuse(404, f"no provider `{provider}` here; the first path segment names it")
        known = self._prepared(provider, variant)
        path = f"/{path}"
        query = frozenset(parse_qsl(url.query))
        fitting = [a for a in known if a.method == method and a.path.fullmatch(path) and a.query <= query]
        if not fitting:
            return _refuse(404, f"no example of {provider} answers {method} {path}")
        shape = _shape(_document(body))
        wants_stream = _wants_stream(body, fitting)
        same = [a for a in fitting if a.streamed == wants_stream] or fitting
        best = max(same, key=lambda a: _likeness(a.shape, shape))
        return self._reply(best)

    def _reply(self, answer: _Answer) -> Reply:
        example = answer.example
        if answer.streamed:
            data = stream_bytes(answer.operation, example) or b""
            pieces = [data[i : i + PIECE] for i in range(0, len(data), PIECE)]
            headers = {"content-type": content_type(answer.operation), "x-request-id": "sim-1"}
            return Reply(200, headers, pieces, streamed=True)
        reply = example.get("reply") or {}
        body = reply.get("body")
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        headers = {"content-type": "application/json", "x-request-id": "sim-1"}
        headers.update({str(k).lower(): str(v) for k, v in (reply.get("headers") or {}).items()})
        return Reply(int(reply.get("status", 200)), headers, [data])

    def _prepared(self, provider: str, variant: str | None) -> list[_Answer]:
        key = f"{provider}:{variant or ''}"
        if key not in self._answers:
            self._answers[key] = list(self._prepare(provider, variant))
        return self._answers[key]

    def _prepare(self, provider: str, variant: str | None) -> Iterator[_Answer]:
        for case in cases(self.catalog, provider, variant):
            example = dict(case.example)
            if "fails" in example or ("reply" not in example and "stream" not in example and "frames" not in example):
                continue
            if int((example.get("reply") or {}).get("status", 200)) >= 300:
                continue
            request = dict(example.get("request") or {})
            request.pop("model", None)
            streamed = "stream" in example or "frames" in example
            if streamed:
                request["stream"] = True
            target = f"{provider}:{variant}/{self.model}" if variant else f"{provider}/{self.model}"
            try:
                operation = given_operation(self.catalog, target, case.operation, example.get("given") or {})
                sent = operation.render(**request)
            except Error:
                continue  # the provider's patches refuse this example; another one answers
            url = urlsplit(sent.url)
            base = urlsplit(operation.base_url).path.rstrip("/")
            path = url.path.removeprefix(base)
            pattern = re.escape(path).replace(re.escape(quote(self.model, safe="")), "[^/]+(?:/[^/]+)*?")
            query = frozenset(pair for pair in parse_qsl(url.query) if self.model not in pair[1])
            yield _Answer(operation, example, sent.method, re.compile(pattern), query, _shape(_document(sent.body)), streamed)


def _wants_stream(body: bytes, fitting: list[_Answer]) -> bool:
    document = _document(body)
    if isinstance(document, dict) and "stream" in document:
        return bool(document["stream"])
    return all(a.streamed for a in fitting)


def _document(body: bytes | None) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None


def _shape(value: Any, path: str = "", depth: int = 0) -> frozenset[str]:
    """The set of key paths of a document, with the words that tell message roles and part types apart."""
    found: set[str] = set()
    if isinstance(value, dict) and depth < 12:
        for key, child in value.items():
            here = f"{path}.{key}"
            found.add(here)
            if key in ("role", "type") and isinstance(child, str):
                found.add(f"{here}={child}")
            found |= _shape(child, here, depth + 1)
    elif isinstance(value, list) and depth < 12:
        for child in value[:50]:
            found |= _shape(child, f"{path}[]", depth + 1)
        if value and isinstance(value[-1], dict):
            found |= {f"{path}[last]{p}" for p in _shape(value[-1], "", depth + 1)}
    return frozenset(found)


def _likeness(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / (len(a | b) or 1)


def _refuse(status: int, message: str) -> Reply:
    body = json.dumps({"error": {"message": message, "type": "simulator"}}).encode()
    return Reply(status, {"content-type": "application/json"}, [body])
