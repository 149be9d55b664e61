"""A provider's failure as one of our errors (RELIABILITY E2-E5, SPEC_LANGUAGE 8)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from engine import errors
from engine.call import counts
from engine.call.outputs import text_of
from engine.call.waits import lower, retry_after
from engine.plan import Errors, OperationPlan

__all__ = ["failure", "is_error", "page_text", "retry_after", "status_kind"]

_STATUSES = {
    400: "invalid_request",
    401: "authentication",
    402: "quota",
    403: "permission",
    404: "not_found",
    405: "invalid_request",
    408: "timeout",
    409: "invalid_request",
    410: "not_found",
    413: "too_large",
    415: "invalid_request",
    422: "invalid_request",
    429: "rate_limit",
    503: "overloaded",
    529: "overloaded",
}
#: phrases in a message -> kind, and the statuses at which they may speak (None: an error inside a 2xx answer)
_PHRASES: tuple[tuple[str, frozenset[int | None], tuple[str, ...]], ...] = (
    (
        "context_length",
        frozenset((None, 400, 413, 422, 500)),
        (
            "context_length_exceeded",
            "maximum context length",
            "context window",
            "context length",
            "context size",
            "prompt is too long",
            "input is too long",
            "input tokens exceeded",
            "exceeds the maximum number of tokens",
            "exceed the maximum number of tokens",
            "number of input tokens exceeds",
            "too many tokens",
            "reduce the length of the messages",
        ),
    ),
    (
        "authentication",
        frozenset((None, 400, 403, 422)),
        (
            "invalid api key",
            "invalid_api_key",
            "incorrect api key",
            "api key not valid",
            "api key not found",
            "api key expired",
            "api key is invalid",
            "invalid x-api-key",
            "valid api key",
            "no api key",
            "missing api key",
        ),
    ),
    (
        "quota",
        frozenset((None, 400, 403, 429)),
        (
            "insufficient_quota",
            "exceeded your current quota",
            "insufficient balance",
            "insufficient credit",
            "insufficient funds",
            "credit balance is too low",
            "not enough credits",
            "out of credit",
            "run out of credits",
            "billing hard limit",
            "payment required",
        ),
    ),
)
#: words in the declared code or type of an error that has no HTTP status of its own (it came inside a 2xx answer)
_CODES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("rate_limit", ("ratelimit", "throttl", "toomanyrequests", "resourceexhausted")),
    ("overloaded", ("overload", "serviceunavailable", "capacity")),
    ("content_filter", ("contentfilter", "contentpolicy")),
    ("context_length", ("contextlength", "contextwindow")),
    ("quota", ("quota", "billing", "insufficientbalance", "insufficientcredit")),
    ("authentication", ("authentication", "unauthorized", "unauthenticated", "invalidapikey")),
    ("permission", ("permission", "forbidden", "accessdenied")),
    ("not_found", ("notfound",)),
    ("timeout", ("timeout", "deadlineexceeded")),
    ("invalid_request", ("invalidrequest", "validation", "invalidargument", "badrequest")),
)
_MESSAGE_KEYS = (
    "message",
    "msg",
    "detail",
    "details",
    "error_message",
    "error_description",
    "description",
    "error",
    "title",
    "reason",
)
_TYPE_HEADER = "x-amzn-errortype"  # the AWS protocols name the exception here
_NOT_LETTERS = re.compile(r"[^a-z]")
_HIDDEN = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_SCANNED = 64 * 1024  # characters of a page that are looked at


def failure(
    plan: OperationPlan,
    status: int | None,
    headers: Mapping[str, Any] | None,
    document: Any,
    *,
    fields: Mapping[str, Any] | None = None,
    model: str | None = None,
    now: float = 0.0,
) -> errors.Error:
    """The error for a failed exchange; not raised.

    `document` is the parsed body, or its text. `fields` are those of an `error` output, if a map found the error.
    The kind is looked up by native code, then by phrases in the message, then by status.
    """
    found = lower(headers)
    inside = None if status is not None and 200 <= status < 300 else status
    target = _at(plan.errors, document) if fields is None else None
    told = dict(fields) if fields is not None else _asked(plan.errors, target)
    message = _message(told.get("message"))
    if not message and fields is None:
        message = _message(target) or _message(document)
    if isinstance(told.get("message"), dict) and fields is not None:
        told = {**_generic(told["message"]), **{k: v for k, v in told.items() if v is not None}}
    code, type = _name(told.get("code")), _name(told.get("type"))
    if type is None and _TYPE_HEADER in found:
        type = found[_TYPE_HEADER].split(":", 1)[0].strip() or None
    stated = counts.whole(told.get("status"))
    kind = _kind(plan.errors, inside, code, type, message, stated)
    error = errors.for_kind(kind)(
        message or _bare(status),
        provider=plan.provider,
        model=model,
        operation=plan.name,
        status=stated or status if inside is None else status,  # a 200 that holds an error may say what it should have been
        code=code,
        type=type,
        param=_name(told.get("param")),
        request_id=request_id(plan, found, document),
        raw=document,
    )
    if kind in ("rate_limit", "overloaded", "server", "timeout", "quota"):
        error.retry_after = retry_after(plan, found, target if target is not None else document, now)
    if status in (501, 505):
        error.retryable = False
    ordered = found.get("x-should-retry", "").strip().lower()
    if ordered in ("true", "false"):
        error.retryable = ordered == "true"
    return error


def request_id(plan: OperationPlan, headers: Mapping[str, str], document: Any = None) -> str | None:
    """The provider's id of an exchange: the first of the declared headers (lower-case names), else the body's own."""
    for name in plan.request_id:
        if headers.get(name):
            return headers[name]
    own = document.get("request_id") if isinstance(document, dict) else None
    return own if isinstance(own, str) else None


def is_error(document: Any) -> bool:
    """Whether a document that no map recognised as an error is one: in any usual style, also another wire's (E5, T3)."""
    if document.__class__ is list:
        return bool(document) and isinstance(document[0], dict) and is_error(document[0])
    if document.__class__ is not dict:
        return False
    error = document.get("error")
    if error and isinstance(error, (dict, str, list)):
        return True
    return document.get("type") == "error" or document.get("object") == "error"


def status_kind(status: int | None) -> str:
    """The kind of a status without a body (RELIABILITY E2)."""
    if status is None or 200 <= status < 300:
        return "server"
    found = _STATUSES.get(status)
    if found is not None:
        return found
    if status >= 500:
        return "server"
    return "invalid_request" if status >= 400 else "protocol"


def page_text(text: str) -> str:
    """The readable words of a page: tags, scripts and styles removed, its title first if the body repeats nothing."""
    from html import unescape

    text = text[:_SCANNED]
    title = _TITLE.search(text)
    words = " ".join(unescape(_TAG.sub(" ", _HIDDEN.sub(" ", text))).split())
    heading = " ".join(unescape(_TAG.sub(" ", title.group(1))).split()) if title else ""
    if heading and heading.lower() not in words.lower():
        words = f"{heading}: {words}" if words else heading
    return words


def _kind(own: Errors, status: int | None, code: str | None, type: str | None, message: str, stated: int | None) -> str:
    found = next((own.kinds[name] for name in (code, type) if name is not None and name in own.kinds), None)
    if found is not None and found != "invalid_request":  # a word for every bad request is told closer by its message
        return found
    by_status = own.kinds.get(str(status)) or (status_kind(status) if status is not None else None)
    text = f"{message} {code or ''} {type or ''}".lower()
    for kind, phrases in own.phrases.items():
        if any(p in text for p in phrases) and _may(kind, by_status):
            return kind
    for kind, statuses, phrases in _PHRASES:
        if status in statuses and any(p in text for p in phrases):
            return kind
    if found is not None:
        return found
    if by_status is not None:
        return by_status
    for name in (code, type):
        letters = _NOT_LETTERS.sub("", name.lower()) if name else ""
        for kind, words in _CODES:
            if letters and any(w in letters for w in words):
                return kind
    for number in (stated, counts.whole(code)):
        if number is not None and 400 <= number < 600:
            return own.kinds.get(str(number)) or status_kind(number)
    return "server"


def _may(kind: str, by_status: str | None) -> bool:
    """A phrase never makes a failure retryable on the same target (RELIABILITY M6)."""
    return not errors.KINDS[kind][0] or (by_status is not None and errors.KINDS[by_status][0])


def _at(own: Errors, document: Any) -> Any:
    """The error object: where `errors.at` says, else `error`, the first list item, or the whole body."""
    if own.at is not None:
        found = _ask(own.at, document)
        if found is not None:
            return found
    if isinstance(document, list) and document:
        document = document[0]
    if isinstance(document, dict) and isinstance(document.get("error"), (dict, list)) and document["error"]:
        inner = document["error"]
        return inner[0] if isinstance(inner, list) and isinstance(inner[0], dict) else inner
    return document


def _asked(own: Errors, target: Any) -> dict[str, Any]:
    """The declared fields of an error object; those without a query are read under their usual names."""
    told = _generic(target)
    queries: dict[str, Callable[[Any], Any] | None] = {
        "message": own.message,
        "code": own.code,
        "type": own.type,
        "param": own.param,
        "status": own.status,
    }
    for name, query in queries.items():
        if query is None:
            continue
        found = _ask(query, target)
        if name == "message" and not _message(found):
            continue
        told[name] = found
    if isinstance(target, dict) and isinstance(target.get("error"), str) and target["error"]:
        told["message"] = target["error"]
        described = target.get("error_description")  # OAuth 2.0, RFC 6749 section 5.2
        if isinstance(described, str) and described:
            told["message"], told["code"] = f"{target['error']}: {described}", target["error"]
    return told


def _generic(target: Any) -> dict[str, Any]:
    if not isinstance(target, dict):
        return {"message": target}
    told: dict[str, Any] = {name: target.get(name) for name in ("code", "type", "param", "status")}
    told["message"] = target
    records = target.get("detail")
    if isinstance(records, list) and records and isinstance(records[0], dict) and isinstance(records[0].get("loc"), list):
        told["param"] = ".".join(str(step) for step in records[0]["loc"])
    return told


def _ask(query: Callable[[Any], Any], document: Any) -> Any:
    try:
        return query(document)
    except Exception:  # a query meant for an error object met another shape
        return None


def _message(value: Any, depth: int = 0) -> str:
    """The provider's words in whatever shape they come (RELIABILITY E4)."""
    if value is None or value is True or value is False or depth > 4:
        return ""
    if isinstance(value, str):
        text = value.strip()
        return page_text(text) if text.startswith("<") else text
    if isinstance(value, list):
        words = [w for w in (_message(v, depth + 1) for v in value[:8]) if w]
        return "; ".join(dict.fromkeys(words))
    if isinstance(value, dict):
        for key in _MESSAGE_KEYS:
            found = _message(value.get(key), depth + 1) if not isinstance(value.get(key), (int, float)) else ""
            if found:
                return found
        errors_list = value.get("errors")
        return _message(errors_list, depth + 1) if errors_list else ""
    return str(value)


def _name(value: Any) -> str | None:
    """A code, type or parameter as text."""
    if value is None or value == "":
        return None
    return text_of(value)[:200]


def _bare(status: int | None) -> str:
    return f"the provider answered HTTP {status} without a message" if status is not None else "the provider reported an error"


def nobody_there(url: str, env: tuple[str, ...]) -> str:
    """What to say where a server that people run themselves does not answer: where it was looked for, and what to do."""
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    named = f", or say where it is with {' or '.join(env)} or the setting `base_url`" if env else ""
    return f"nothing answers at {place}: start the server{named}"
