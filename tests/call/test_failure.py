"""Failures become typed errors with the provider's own words (RELIABILITY E2-E5, M6, R5; SPEC_LANGUAGE 8)."""

from __future__ import annotations

from typing import Any

import pytest

from engine import errors
from engine.call.failure import failure, page_text
from engine.call.waits import retry_after
from engine.plan import Errors, OperationPlan
from tests.call.wires import CHAT, make, path

HTML = "<!DOCTYPE html><html><head><title>Oops</title><style>b{}</style></head><body><h1>UPSTREAM-MSG</h1><!-- x --></body></html>"
SHAPES: dict[str, Any] = {
    "object": {"error": {"message": "UPSTREAM-MSG", "type": "t", "code": "c"}},
    "typed": {"type": "error", "error": {"type": "t", "message": "UPSTREAM-MSG"}, "request_id": "q"},
    "list": [{"error": {"code": 400, "message": "UPSTREAM-MSG", "status": "INVALID"}}],
    "top": {"message": "UPSTREAM-MSG"},
    "detail": {"detail": [{"loc": ["body", "model"], "msg": "UPSTREAM-MSG", "type": "missing"}]},
    "detail text": {"detail": "UPSTREAM-MSG", "status": 422, "title": "Failed"},
    "text in error": {"code": "c", "error": "UPSTREAM-MSG"},
    "list in error": {"error": ["UPSTREAM-MSG"]},
    "errors": {"errors": [{"message": "UPSTREAM-MSG"}]},
    "msg": {"msg": "UPSTREAM-MSG", "ret": 5},
    "oauth": {"error": "invalid_grant", "error_description": "UPSTREAM-MSG"},
    "plain": "UPSTREAM-MSG",
    "html": HTML,
}
KINDS = {
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
    418: "invalid_request",
    422: "invalid_request",
    429: "rate_limit",
    500: "server",
    501: "server",
    502: "server",
    503: "overloaded",
    505: "server",
    529: "overloaded",
    301: "protocol",
}


@pytest.mark.parametrize("status", sorted(KINDS))
@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_kind_follows_the_status_and_the_words_survive(name: str, status: int) -> None:
    """E2, E4."""
    error = failure(CHAT, status, {}, SHAPES[name], model="m")
    assert isinstance(error, errors.for_kind(KINDS[status]))
    assert (error.status, error.provider, error.model, error.operation) == (status, "acme", "m", "chat")
    assert "UPSTREAM-MSG" in error.message
    assert "<" not in error.message
    assert error.retryable == (errors.KINDS[error.kind][0] and status not in (501, 505))


def test_the_fields_of_an_error() -> None:
    assert failure(CHAT, 400, {}, SHAPES["object"]).to_dict() == {
        "kind": "invalid_request",
        "message": "UPSTREAM-MSG",
        "retryable": False,
        "provider": "acme",
        "operation": "chat",
        "status": 400,
        "code": "c",
        "type": "t",
        "raw": SHAPES["object"],
    }
    assert failure(CHAT, 422, {}, SHAPES["detail"]).param == "body.model"
    assert failure(CHAT, 400, {}, SHAPES["text in error"]).code == "c"
    assert failure(CHAT, 400, {}, SHAPES["typed"]).request_id == "q"
    assert failure(CHAT, 400, {"Request-Id": "h"}, SHAPES["typed"]).request_id == "h"
    assert failure(CHAT, 400, {"x-amzn-ErrorType": "ValidationException:http://x"}, {"message": "m"}).type == "ValidationException"


@pytest.mark.parametrize("document", [None, "", {}, [], {"error": None}, {"error": {}}, {"error": []}, 5, {"a": {"b": 1}}])
def test_without_words_the_status_is_told(document: Any) -> None:
    assert "503" in str(failure(CHAT, 503, {}, document))


def test_words_are_trimmed_and_safe_to_print() -> None:
    """E3, M5."""
    error = failure(CHAT, 400, {}, {"error": {"message": "a\x1b[31m" + "x" * 5000}})
    assert len(error.message) < 2100 and "\x1b" not in error.message


def test_pages_are_read_as_text() -> None:
    assert page_text(HTML) == "Oops: UPSTREAM-MSG"
    assert page_text("<title>502 Bad Gateway</title><h1>502 Bad Gateway</h1>").count("502") <= 2


def declared(**fields: Any) -> OperationPlan:
    return make(errors=Errors(**fields))


def test_declared_places_are_read() -> None:
    plan = declared(
        at=lambda d: path(d, "fault"),
        message=lambda d: path(d, "text"),
        code=lambda d: path(d, "number"),
        type=lambda d: path(d, "class"),
        param=lambda d: path(d, "field"),
    )
    error = failure(plan, 400, {}, {"fault": {"text": "words", "number": 12, "class": "C", "field": "f"}})
    assert (error.message, error.code, error.type, error.param) == ("words", "12", "C", "f")
    assert failure(plan, 400, {}, {"message": "other shape"}).message == "other shape"


def test_a_query_that_fails_is_no_failure() -> None:
    def broken(document: Any) -> Any:
        raise TypeError

    plan = declared(at=broken, message=broken, code=broken, retry_after=broken)
    assert failure(plan, 429, {}, {"error": {"message": "words"}}).message == "words"


def test_kinds_are_found_by_code_then_phrase_then_status() -> None:
    plan = declared(kinds={"c": "quota", "1302": "rate_limit", "418": "overloaded"}, phrases={"content_filter": ("risky words",)})
    assert failure(plan, 429, {}, {"error": {"message": "risky words", "code": "c"}}).kind == "quota"
    assert failure(plan, 400, {}, {"error": {"message": "m", "type": "c"}}).kind == "quota"
    assert failure(plan, 200, {}, {"error": {"message": "m", "code": 1302}}).kind == "rate_limit"
    assert failure(plan, 429, {}, {"error": {"message": "some RISKY Words"}}).kind == "content_filter"
    assert failure(plan, 418, {}, {"error": {"message": "m"}}).kind == "overloaded"


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "This model's maximum context length is 8192 tokens", "context_length"),
        (400, "Your input exceeds the context window of this model.", "context_length"),
        (400, "The input token count (9) exceeds the maximum number of tokens allowed (8)", "context_length"),
        (413, "prompt is too long: 9 tokens > 8 maximum", "context_length"),
        (400, "API key not valid. Please pass a valid API key.", "authentication"),
        (400, "Incorrect API key provided: sk-...", "authentication"),
        (400, "Your credit balance is too low to access the API", "quota"),
        (429, "You exceeded your current quota, please check your plan and billing details", "quota"),
        (429, "Request too large: too many tokens per minute", "rate_limit"),
        (401, "You exceeded your current quota", "authentication"),
        (500, "invalid api key store", "server"),
        (400, "temperature is too high", "invalid_request"),
    ],
)
def test_built_in_phrases(status: int, message: str, kind: str) -> None:
    assert failure(CHAT, status, {}, {"error": {"message": message}}).kind == kind


def test_a_phrase_never_makes_a_failure_retryable() -> None:
    """M6."""
    plan = declared(phrases={"overloaded": ("busy",), "rate_limit": ("slow",)})
    assert failure(plan, 400, {}, {"error": {"message": "busy"}}).kind == "invalid_request"
    assert failure(plan, 500, {}, {"error": {"message": "busy"}}).kind == "overloaded"
    assert failure(CHAT, 400, {}, {"error": {"message": "overloaded, rate limit, try again"}}).kind == "invalid_request"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "content_filter", "status": 400}, "content_filter"),
        ({"type": "overloaded_error"}, "overloaded"),
        ({"code": "rate_limit_exceeded"}, "rate_limit"),
        ({"code": "ThrottlingException"}, "rate_limit"),
        ({"code": "serviceUnavailableException"}, "overloaded"),
        ({"code": 429}, "rate_limit"),
        ({"code": "401"}, "authentication"),
        ({"status": 503}, "overloaded"),
        ({"code": 7}, "server"),
        ({}, "server"),
    ],
)
def test_kinds_inside_a_200(error: dict[str, Any], kind: str) -> None:
    assert failure(CHAT, 200, {}, {"error": {"message": "m", **error}}).kind == kind


@pytest.mark.parametrize(("header", "retryable"), [("false", False), ("true", True), ("odd", True)])
def test_the_server_may_forbid_or_order_a_retry(header: str, retryable: bool) -> None:
    assert failure(CHAT, 500, {"X-Should-Retry": header}, None).retryable is retryable


def test_fields_of_an_error_output() -> None:
    error = failure(CHAT, 200, {}, {"x": 1}, fields={"message": {"message": "m", "code": "quota"}, "code": None})
    assert (error.message, error.code, error.kind) == ("m", "quota", "quota")


# --- waits (R5) -----------------------------------------------------------------------------------------------------

LIMITED = make(
    rate_limits={
        "requests": {"remaining": "x-left", "reset": "x-reset"},
        "tokens": {"remaining": "x-tokens-left", "reset": "x-tokens-reset"},
        "slow": {"reset": "x-slow", "unit": "ms"},
    },
    errors=Errors(retry_after=lambda d: path(d, "wait")),
)
NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After-Ms": "1500", "Retry-After": "9"}, 1.5),
        ({"retry-after-ms": "0", "retry-after": "1"}, 1.0),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "3600"}, 3600.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:23 GMT"}, 3.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "99999999999"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"x-reset": "1s"}, 1.0),
        ({"x-reset": "6m0s"}, 360.0),
        ({"x-reset": "250ms"}, 0.25),
        ({"x-reset": "1h2m3.5s"}, 3723.5),
        ({"x-reset": "12"}, 12.0),
        ({"x-reset": "1700000005"}, 5.0),
        ({"x-reset": "1700000005000"}, 5.0),
        ({"x-reset": "2023-11-14T22:13:25Z"}, 5.0),
        ({"x-slow": "1500"}, 1.5),
        ({"x-reset": "5", "x-left": "3"}, None),
        ({"x-reset": "5", "x-left": "0", "x-tokens-reset": "7", "x-tokens-left": "0"}, 7.0),
        ({"x-reset": "9", "x-left": "1", "x-tokens-reset": "7"}, 7.0),
        ({"x-reset": "-5"}, None),
        ({"retry-after": "junk", "x-reset": "5"}, 5.0),
        ({}, None),
    ],
)
def test_the_wait_a_provider_states(headers: dict[str, str], wait: float | None) -> None:
    assert retry_after(LIMITED, headers, None, NOW) == wait
    assert failure(LIMITED, 429, headers, {"error": {"message": "m"}}, now=NOW).retry_after == wait


def test_the_wait_may_stand_in_the_body() -> None:
    assert retry_after(LIMITED, {}, {"wait": "7s"}, NOW) == 7.0
    assert failure(LIMITED, 429, {}, {"error": {"message": "m", "wait": 3}}, now=NOW).retry_after == 3.0
    assert failure(LIMITED, 400, {"retry-after": "3"}, None, now=NOW).retry_after is None
