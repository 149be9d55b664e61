"""A stand-in for every provider of the catalog: it answers from the examples of their specs.

The first path segment names the provider: `http://127.0.0.1:8089/groq` is the base URL of a stand-in for Groq. Among the
examples of the operation that owns the path, the one whose request looks most like the one received gives the answer,
whole or streamed, with the framing and headers of the real wire; one that calls tools answers only requests that offer them.
Nothing is read from the environment and no key matters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from engine.errors import Error, NotFoundError
from engine.examples.cases import cases
from engine.examples.given import given_operation
from engine.examples.run import content_type, stream_bytes
from engine.serve.likeness import Likeness, Look, look

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
    look: Look
    calls: frozenset[str]  # names of the tools it calls
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
        provider, _, path = url.path.removeprefix("/").partition("/")
        try:
            known = self.prepare(unquote(provider))
        except NotFoundError as error:
            return _refuse(404, f"{error.message}; the first path segment names the provider")
        except Error as error:
            return _refuse(500, str(error))
        path = f"/{path}"
        query = frozenset(parse_qsl(url.query))
        fitting = [a for a in known if a.method == method and a.path.fullmatch(path) and a.query <= query]
        if not fitting:
            return _refuse(404, f"no example of {provider} answers {method} {path}")
        document = _document(body)
        asked = look(document)
        streamed = _wants_stream(document, fitting)
        able = [a for a in fitting if a.calls <= asked.words] or fitting
        same = [a for a in able if a.streamed == streamed] or able
        likeness = Likeness(a.look for a in same)
        return self._reply(max(same, key=lambda a: likeness.between(a.look, asked)))

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

    def prepare(self, name: str) -> list[_Answer]:
        """What `provider` or `provider:variant` can answer; made once. Raises NotFoundError with the nearest id."""
        provider, _, variant = name.partition(":")
        provider = self.catalog.resolve(provider)
        key = f"{provider}:{variant}"
        if key not in self._answers:
            self._answers[key] = list(self._prepare(provider, variant or None))
        return self._answers[key]

    def _prepare(self, provider: str, variant: str | None) -> Iterator[_Answer]:
        for case in cases(self.catalog, provider, variant):
            example = dict(case.example)
            if "fails" in example or "request" not in example or not example.keys() & {"reply", "stream", "frames"}:
                continue
            if int((example.get("reply") or {}).get("status", 200)) >= 300:
                continue
            request = {k: v for k, v in example["request"].items() if k != "model"}
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
            seen = look(_document(sent.body))
            yield _Answer(operation, example, sent.method, re.compile(pattern), query, seen, _calls(example), streamed)


def _wants_stream(document: Any, fitting: list[_Answer]) -> bool:
    """Whether a stream is asked for: in the body, or by a path that only streams have."""
    if isinstance(document, dict) and "stream" in document:
        return bool(document["stream"])
    return all(a.streamed for a in fitting)


def _calls(example: dict[str, Any]) -> frozenset[str]:
    gives = example.get("gives") or {}
    choices = gives.get("choices") or [{}]
    return frozenset(str(call.get("name")) for call in [*gives.get("tool_calls", ()), *choices[0].get("tool_calls", ())])


def _document(body: bytes | None) -> Any:
    from engine.call.json import loads

    try:
        return loads(body) if body else None
    except ValueError:
        return None


def _refuse(status: int, message: str) -> Reply:
    body = json.dumps({"error": {"message": message, "type": "simulator"}}).encode()
    return Reply(status, {"content-type": "application/json"}, [body])
