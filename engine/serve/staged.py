"""A job as a stand-in plays it: the replies of an example, each at the address where the example asks for it.

    staged = stage(operation, request, example["replies"], "sim-model")
    staged.submitted()                               # the first reply; questions begin anew
    question = staged.asked("GET", "/jobs/1", frozenset())
    question.answered()                              # its next reply; the last one from then on

Addresses that a reply gives for later questions are `Staged.moved` to the stand-in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from engine.call.address import above
from engine.call.job import Ask, course, heard, known
from engine.call.request import build
from engine.errors import Error
from engine.examples.given import FIXED_ID

if TYPE_CHECKING:
    from engine.operation import Operation
    from engine.types import HttpRequest

_HOST = re.compile(r"https?://([^/\"?#\s\\]+)")
Query = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Route:
    """Which requests are meant: a path below the base URL, parameters that must be there."""

    method: str
    path: re.Pattern[str]
    query: Query

    def fits(self, method: str, path: str, query: Query) -> bool:
        return self.query <= query and self.leads(method, path)

    def leads(self, method: str, path: str) -> bool:
        """Whether the address is this one, whatever else is asked."""
        return self.method == method and self.path.fullmatch(path) is not None


def route_of(request: HttpRequest, base_url: str, model: str, names: Iterable[str] = ()) -> Route:
    """The route of a request that was written for the base URL, whatever model stands in place of `model`; `names` are parts of
    the path in whose place any other may stand."""
    path = _below(request.url, base_url)
    pattern = re.escape(path).replace(re.escape(quote(model, safe="")), "[^/]+(?:/[^/]+)*?").replace(re.escape(FIXED_ID), "[\\w-]+")
    for name in names:
        pattern = re.sub(f"/{re.escape(re.escape(quote(name, safe='')))}(?=/|$)", "/[^/]+", pattern)
    pairs = parse_qsl(urlsplit(request.url).query)
    own = frozenset(pair for pair in pairs if model not in pair[1] and FIXED_ID not in pair[1])  # a caller makes ids of his own
    return Route(request.method, re.compile(pattern), own)


def _below(url: str, base_url: str) -> str:
    """The path of an address, below the base URL where it stands there."""
    there, base = urlsplit(url), urlsplit(base_url)
    return there.path.removeprefix(base.path.rstrip("/")) if there.netloc == base.netloc else there.path


@dataclass(slots=True)
class Question:
    """One address that is asked, and what it answers time after time."""

    route: Route
    body: bytes | None
    replies: list[Mapping[str, Any]]
    times: int = 0

    def answered(self) -> Mapping[str, Any]:
        """The next reply."""
        at = min(self.times, len(self.replies) - 1)
        self.times += 1
        return self.replies[at]


@dataclass(slots=True)
class Staged:
    """One job of an example. Several clients may follow it at once: it comes to its end for each of them."""

    first: Mapping[str, Any]
    questions: list[Question] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)  # of the example -> path at the stand-in

    def submitted(self) -> Mapping[str, Any]:
        """The reply to the submission."""
        for question in self.questions:
            question.times = 0
        return self.first

    def asked(self, method: str, path: str, query: Query) -> Question | None:
        """The question of this job that a request is, or None."""
        return next((question for question in self.questions if question.route.fits(method, path, query)), None)

    def moved(self, value: Any, base: str) -> Any:
        """A reply whose addresses lead to the stand-in at `base`."""
        if isinstance(value, dict):
            return {key: self.moved(inner, base) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.moved(inner, base) for inner in value]
        if isinstance(value, str):
            for address, path in self.addresses.items():
                if value == address or value.startswith(f"{address}?"):
                    return f"{base}{path}{value[len(address) :]}"
        return value


def stage(operation: Operation, request: HttpRequest, replies: Sequence[Mapping[str, Any]], model: str) -> Staged | None:
    """The job that an example tells of; None where its replies are no walk to the end of one, or one of them is a failure."""
    if any(int(reply.get("status", 200)) >= 300 for reply in replies):
        return None
    try:
        return _staged(operation, request, replies, model)
    except Error:
        return None  # it tells of a job that failed


def _staged(operation: Operation, request: HttpRequest, replies: Sequence[Mapping[str, Any]], model: str) -> Staged | None:
    plan = operation.plan
    job: dict[str, Any] = {}
    context = request.context or {}
    steps = course(operation, context, job, lambda _: None, lambda low, _: low)
    left, document = list(replies), None
    staged: Staged | None = None
    hosts = tuple(dict.fromkeys(_HOST.findall(json.dumps(replies))))  # whoever the replies send the client to
    while True:
        try:
            step = steps.send(document)
        except StopIteration:
            break
        document = None
        if not isinstance(step, Ask):
            continue
        if not left:
            return None
        reply = left.pop(0)
        if staged is None:
            staged = Staged(reply)
        elif step.call is not None:
            asked = build(step.call, step.scope, operation.base_url, plan, main=False, hosts=hosts)
            _ask(staged, asked, reply, above(operation.base_url, step.call.outside), model)
        body = reply.get("body")
        data = body.encode() if isinstance(body, str) else b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", **{str(k).lower(): str(v) for k, v in (reply.get("headers") or {}).items()}}
        document = heard(plan, step.call, 200, headers, data, operation.clock())
    if staged is not None and plan.job is not None and plan.job.cancel is not None:
        try:
            asked = build(plan.job.cancel, {**context, "job": known(job)}, operation.base_url, plan, main=False, hosts=hosts)
        except Error:
            return staged  # the example does not say where it is cancelled
        _ask(staged, asked, {"body": {}}, above(operation.base_url, plan.job.cancel.outside), model)
    return staged


def _ask(staged: Staged, request: HttpRequest, reply: Mapping[str, Any], base_url: str, model: str) -> None:
    route = route_of(request, base_url, model)
    same = next((q for q in staged.questions if q.route == route), None)
    if same is not None:
        same.replies.append(reply)
    else:
        staged.questions.append(Question(route, request.body if isinstance(request.body, bytes) else None, [reply]))
    staged.addresses[request.url.partition("?")[0]] = _below(request.url, base_url)
