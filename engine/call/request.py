"""A plan's call and a context become one unsigned HttpRequest (SPEC_LANGUAGE 4, RELIABILITY A7, A8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from engine.call.address import above, check_headers, check_url, join, must_be_public, set_header
from engine.call.payload import encode, query_text
from engine.errors import ConfigError
from engine.plan import Call, OperationPlan
from engine.types import HttpRequest, Report

_FIELDS = ("json", "form", "multipart")  # payloads that are mappings: parameters and `extra_body` go into them
_BODILESS = ("GET", "DELETE", "HEAD")


def build(
    call: Call,
    context: dict[str, Any],
    base_url: str,
    plan: OperationPlan,
    *,
    main: bool | None = None,
    unsupported: str = "warn",
    hosts: Sequence[str] = (),
    allow_http: bool = False,
) -> HttpRequest:
    """The request of a call, without credentials. Pure: nothing is read but the arguments.

    `context` is what the templates see (plan.py); `$report` takes the fates of parameters, `$uuid` makes the multipart
    boundary; a `base_url` in it was chosen by the operator, so that it may be plain http. `main`: parameters, `extra_*` and
    `wrap` apply (default: it is the operation's own call). `unsupported` is warn, error or ignore. `hosts` are patterns
    beside the plan's. The order is `body`, `params`, `extra_body`, `wrap`.

    Raises ConfigError for a URL, header or body that may not be sent, UnsupportedError for what the spec cannot express.
    """
    if main is None:
        main = call is plan.call or (plan.stream is not None and call is plan.stream.call)
    if call.base_url is not None and not (main and context.get("base_url")):  # where the caller says, with the key he gave for it
        base_url = call.base_url(context) or base_url
    path = call.url(context)
    if not isinstance(path, str) or (call.given and not path):
        raise ConfigError("the URL of the call has no value: something it needs is missing")
    report = context.get("$report")
    if report.__class__ is not Report:
        report = Report()
    body = call.body(context) if call.body is not None else None
    query = call.query(context) if call.query is not None else None
    payload = call.payload
    if main and plan.params is not None:
        if payload in _FIELDS or (payload == "none" and call.verb not in _BODILESS and call.query is None):
            body = plan.params(context, body, report, unsupported)
        else:
            query = plan.params(context, query, report, unsupported)
    given = call.headers(context) if call.headers is not None else None
    headers = check_headers(given) if given else {}
    if main:
        if "extra_body" in context or "extra_headers" in context or "extra_query" in context:
            payload, body, query = _with_extra(call, context, report, headers, payload, body, query)
        if plan.wrap is not None and body is not None:
            body = plan.wrap({**context, "body": body})
    if payload == "none" and body is not None:
        payload = "json"
    data, media_type = encode(payload, body, context, main and "$finite" in context)
    if media_type is not None and (not headers or "content-type" not in map(str.lower, headers)):
        headers["Content-Type"] = media_type
    elif payload == "multipart" and media_type is not None:
        set_header(headers, "Content-Type", media_type)  # only this one knows the boundary
    chosen = context.get("base_url")
    own = bool(chosen) and (chosen == base_url or str(chosen).rstrip("/") == base_url.rstrip("/"))
    patterns = (*plan.hosts, *hosts) if hosts else plan.hosts
    servers = tuple([str(context[name]) for name in plan.servers if context.get(name)]) if plan.servers else ()
    if call.outside:
        base_url = above(base_url, call.outside)
    if query:
        url = check_url(with_query(join(base_url, path), query), base_url, patterns, allow_http or own, servers, plan.allowed)
    else:
        url = _address(base_url, path, patterns, allow_http or own, servers, plan.allowed)
    stream = bool(context.get("stream")) and main
    request = HttpRequest(call.verb, url, headers, data, stream, report, context)
    if path[:1] not in ("/", "?", ""):
        request.public = must_be_public(url, base_url, patterns, servers, call.given)
    return request


def _with_extra(
    call: Call, context: Mapping[str, Any], report: Report, headers: dict[str, str], payload: str, body: Any, query: Any
) -> tuple[str, Any, Any]:
    """(payload, body, query) with what the caller added to them; what he added to the headers is put there."""
    extra = context.get("extra_body")
    if extra:
        if payload == "none" and call.verb not in _BODILESS:
            payload = "json"
        if payload in _FIELDS:
            body = deep_merge(body, _given("extra_body", extra))
        else:
            report.warnings.append(f"extra_body was dropped: the {call.verb} request has no body of fields")
    if context.get("extra_query"):
        query = deep_merge(query, _given("extra_query", context["extra_query"]))
    if context.get("extra_headers"):
        for name, value in _given("extra_headers", context["extra_headers"]).items():
            _extra_header(headers, name, value)
    return payload, body, query


@lru_cache(maxsize=1024)  # most calls repeat one of few URLs
def _address(
    base_url: str, path: str, hosts: tuple[str, ...], allow_http: bool, servers: tuple[str, ...], allowed: tuple[str, ...] | None
) -> str:
    return check_url(join(base_url, path), base_url, hosts, allow_http, servers, allowed)


def with_query(url: str, query: Mapping[str, Any]) -> str:
    """The URL with parameters appended."""
    text = query_text(query)
    if not text:
        return url
    return f"{url}{'' if url.endswith(('?', '&')) else '&' if '?' in url else '?'}{text}"


def deep_merge(base: Any, patch: Any) -> Any:
    """JSON Merge Patch (RFC 7396) into a new value: mappings merge, null removes, anything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    out = dict(base) if isinstance(base, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = deep_merge(out.get(key), value)
    return out


def _given(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{name} is a mapping with text keys")
    return value


def _extra_header(headers: dict[str, str], name: str, value: Any) -> None:
    if value is None:
        for known in [k for k in headers if k.lower() == name.lower()]:
            del headers[known]
        return
    for known, text in check_headers({name: value}).items():
        set_header(headers, known, text)
