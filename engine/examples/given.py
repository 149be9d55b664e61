"""Operations as an example sees them: dummy credentials, a frozen clock, a fixed id. Nothing is read from outside."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.catalog import Catalog
    from engine.operation import Operation
    from engine.plan import ProviderPlan
    from engine.types import HttpRequest, Response

FROZEN_NOW = 1767225600.0  # 2026-01-01T00:00:00Z, where an example gives no time of its own
FIXED_ID = "00000000-0000-4000-8000-000000000000"
_WORDS = ("x", "example", "us-east-1", "1", FIXED_ID)


def given_operation(catalog: Catalog, target: str, operation: str, given: Mapping[str, Any] | None = None) -> Operation:
    """An operation with the secrets, variables, time and id of an example's `given`; required ones it lacks are dummies."""
    given = given or {}
    provider, _, _ = catalog.split(target)
    settings = {**dummy_settings(catalog.plan(provider)), **(given.get("variables") or {}), **(given.get("secrets") or {})}
    made = catalog.operation(target, operation, settings=settings, environ={})
    now = float(given.get("now", FROZEN_NOW))
    made.clock = lambda: now
    made.uuid = lambda name=None: str(given.get("uuid", FIXED_ID))
    return made


def dummy_settings(who: ProviderPlan) -> dict[str, Any]:
    """A value for everything a provider requires."""
    settings: dict[str, Any] = {}
    for variable in who.variables:
        if variable.required or (variable.default is not None and variable.default({}) is None):
            fitting = "https://example.com" if variable.format == "url" else _fitting(variable.pattern)
            settings[variable.name] = variable.values[0] if variable.values else fitting
    settings.update({s.name: "k" for s in who.secrets if not s.optional and s.format != "json"})
    if who.base_url is not None:
        settings["base_url"] = "http://localhost:8000/v1"
    return settings


def _fitting(pattern: str | None) -> str:
    """A word that a variable's pattern takes."""
    return next((word for word in _WORDS if pattern is None or re.fullmatch(pattern, word)), _WORDS[0])


def signed(operation: Operation, request: HttpRequest) -> HttpRequest:
    """The request with credentials; without them where signing would first have to fetch a token."""
    from engine.call.auth import TokenCache, sign
    from engine.secret import reveal

    values = {**operation.values, **reveal(operation.secrets)}
    steps = sign(operation.plan.auth, request, values, operation.clock(), TokenCache(), plan=operation.plan)
    try:
        next(steps)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    return request


def followed(operation: Operation, request: HttpRequest | None, replies: Sequence[Mapping[str, Any]]) -> Response:
    """The Response of a job whose calls are answered by these replies, in turn. ConfigError if they do not last."""
    from engine.call.job import Pause, answer, course, heard
    from engine.errors import ConfigError

    context = request.context if request is not None and request.context is not None else {}
    left = list(replies)
    job: dict[str, Any] = {}
    steps = course(operation, context, job, lambda _: None, lambda low, _: low)
    document: Any = None
    headers: dict[str, str] = {}
    while True:
        try:
            step = steps.send(document)
        except StopIteration as done:
            return answer(operation, context, done.value, headers)
        if isinstance(step, Pause):
            document = None
            continue
        if not left:
            raise ConfigError(f"the job asks more often than the {len(replies)} replies of the example")
        reply = left.pop(0)
        body = reply.get("body")
        data = body.encode() if isinstance(body, str) else b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", **{str(k).lower(): str(v) for k, v in (reply.get("headers") or {}).items()}}
        document = heard(operation.plan, step.call, int(reply.get("status", 200)), headers, data, operation.clock())
