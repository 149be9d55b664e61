"""A stand-in for every provider of the catalog: it answers from the examples of their specs.

The first path segment names the provider: `http://127.0.0.1:8089/groq` is the base URL of a stand-in for Groq. Among the
examples of the operation that owns the path, the one whose request looks most like the one received gives the answer,
whole or streamed, with the framing and headers of the real wire; one that calls tools answers only requests that offer them.
A job runs as the replies of its example say: submitted, asked about, fetched. Nothing is read from the environment, and no key
matters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from engine.call.address import above
from engine.errors import Error, NotFoundError
from engine.examples.cases import cases
from engine.examples.given import given_operation
from engine.examples.run import content_type, stream_bytes
from engine.expr.query import QueryError
from engine.serve.beforehand import answers, written
from engine.serve.likeness import Likeness, Look, look
from engine.serve.staged import Question, Route, Staged, route_of, stage
from engine.spec.extend import matching_patches

if TYPE_CHECKING:
    from engine.catalog import Catalog
    from engine.operation import Operation
    from engine.plan import Job

_NAMES = ("id", "voice")  # fields of a request that may stand in its path
_FORM_STREAM = b'name="stream"\r\n\r\ntrue\r\n'
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
    route: Route
    look: Look
    calls: frozenset[str]  # names of the tools it calls
    streamed: bool
    job: Staged | None = None
    turn: int = 0  # of its last submission: of two jobs at one address the later one is meant


class Simulator:
    """Answers requests; pure but for the catalog it reads. Answers of a provider are prepared on its first request."""

    def __init__(self, catalog: Catalog, model: str = "sim-model") -> None:
        self.catalog = catalog
        self.model = model
        self._answers: dict[str, list[_Answer]] = {}
        self._turns = 0

    def answer(self, method: str, target: str, body: bytes, origin: str = "http://localhost") -> Reply:
        """The reply for one request; 404 with a sentence for paths no example knows. `origin` is where the stand-in is reached."""
        url = urlsplit(target)
        provider, slash, path = url.path.removeprefix("/").partition("/")
        try:
            known = self.prepare(unquote(provider))
        except NotFoundError as error:
            return _refuse(404, f"{error.message}; the first path segment names the provider")
        except Error as error:
            return _refuse(500, str(error))
        path, query, base = f"{slash}{path}", frozenset(parse_qsl(url.query)), f"{origin}/{provider}"
        jobs = sorted((a for a in known if a.job is not None), key=lambda a: -a.turn)
        asked = [(a.job, q) for a in jobs if a.job is not None and (q := a.job.asked(method, path, query)) is not None]
        fitting = [a for a in known if a.route.fits(method, path, query)]
        fitting = fitting or [a for a in known if a.route.leads(method, path)]
        document = _document(body)
        if asked and not (fitting and _nearer(document, fitting, asked[0][1])):
            job, question = asked[0]
            return _whole(job.moved(question.answered(), base))
        if not fitting:
            return _refuse(404, f"no example of {provider} answers {method} {path or '/'}")
        seen = look(document)
        streamed = _wants_stream(document, body, fitting)
        able = [a for a in fitting if a.calls <= seen.words] or fitting
        same = [a for a in able if a.streamed == streamed] or able
        likeness = Likeness(a.look for a in same)
        return self._reply(max(same, key=lambda a: (likeness.between(a.look, seen), len(a.route.query & query))), base)

    def _reply(self, answer: _Answer, base: str) -> Reply:
        example = answer.example
        if answer.job is not None:
            self._turns += 1
            answer.turn = self._turns
            return _whole(answer.job.moved(answer.job.submitted(), base))
        if answer.streamed:
            data = stream_bytes(answer.operation, example) or b""
            pieces = [data[i : i + PIECE] for i in range(0, len(data), PIECE)]
            headers = {"content-type": content_type(answer.operation), "x-request-id": "sim-1"}
            return Reply(200, headers, pieces, streamed=True)
        return _whole(example.get("reply") or {})

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
            if "fails" in example or "request" not in example or not example.keys() & {"reply", "replies", "stream", "frames"}:
                continue
            if int((example.get("reply") or {}).get("status", 200)) >= 300:
                continue
            request = {k: v for k, v in example["request"].items() if k != "model"}
            streamed = "stream" in example or "frames" in example
            if streamed:
                request["stream"] = True
            model = self._model(provider, variant, example["request"].get("model"))
            target = f"{provider}:{variant}/{model}" if variant else f"{provider}/{model}"
            try:
                operation = given_operation(self.catalog, target, case.operation, example.get("given") or {})
                sent, context = written(operation, request)
            except Error:
                continue  # the provider's patches refuse this example; another one answers
            job = None
            if "replies" in example:
                job = stage(operation, sent, example["replies"], model) if operation.plan.job is not None else None
                if job is None:
                    continue
            elif operation.plan.job is not None and not streamed and not _over(operation.plan.job, example):
                continue  # an answer at once, after which the client of a job would go on asking
            names = [value for name in _NAMES if isinstance(value := request.get(name), str)]
            route = route_of(sent, above(operation.base_url, operation.plan.call.outside), model, names)
            yield _Answer(operation, example, route, look(_document(sent.body)), _calls(example), streamed, job)
            for first, below, reply in answers(operation, context, self.catalog.tree(provider, None, variant).get(case.operation)):
                route = route_of(first, below, model)
                yield _Answer(operation, {"reply": reply}, route, look(_document(first.body)), frozenset(), False)

    def _model(self, provider: str, variant: str | None, own: Any) -> str:
        """Of which model an example is answered: its own where the provider has something else for that one, else any."""
        node = self.catalog.provider(provider)
        patched = isinstance(own, str) and node is not None and bool(matching_patches(node, own)) and variant is None
        return own if patched and isinstance(own, str) else self.model


def _over(job: Job, example: Mapping[str, Any]) -> bool:
    """Whether the reply to a submission says that the job is over already."""
    try:
        return job.state is not None and job.state((example.get("reply") or {}).get("body")) in job.done
    except QueryError:
        return False


def _whole(reply: Mapping[str, Any]) -> Reply:
    """A reply of an example as it is written."""
    body = reply.get("body")
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if "body" in reply else b""
    headers = {"content-type": "application/json", "x-request-id": "sim-1"}
    headers.update({str(k).lower(): str(v) for k, v in (reply.get("headers") or {}).items()})
    return Reply(int(reply.get("status", 200)), headers, [data])


def _nearer(document: Any, fitting: list[_Answer], question: Question) -> bool:
    """Whether a request that may be the submission of a job or a question about it looks more like a submission."""
    own, seen = look(_document(question.body)), look(document)
    likeness = Likeness([own, *(a.look for a in fitting)])
    return max(likeness.between(a.look, seen) for a in fitting) > likeness.between(own, seen)


def _wants_stream(document: Any, body: bytes, fitting: list[_Answer]) -> bool:
    """Whether a stream is asked for: in the body, also in that of a form, or by a path that only streams have."""
    if isinstance(document, dict) and "stream" in document:
        return bool(document["stream"])
    if _FORM_STREAM in body:
        return True
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
