"""Rows of whole answers: retries, transport, bodies, security, native error shapes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from tests.faults.row import Answer, error, row
from tests.faults.server import Exchange
from tests.faults.wires import MESSAGE, SSE, TEXT, TOLD

# --- baseline ---------------------------------------------------------------------------------------------------------


@row("u_ok", "whole", "ok")
@row("s_ok", "stream", "ok")
@row("u_key_newline", "whole", "ok", suffix="\n", plain=True)
@row("u_key_crlf_inject", "whole", "error", "config", seen=(0, 0), suffix="\r\nX-Injected: 1", plain=True, cap=5)
async def good(x: Exchange) -> None:
    await x.good()


# --- waiting and retrying ---------------------------------------------------------------------------------------------


def once(kind: str, status: int, body: bytes | None = None, headers: Iterable[tuple[str, Any]] = ()) -> Answer:
    """This failure first, then the answer."""

    async def answer(x: Exchange) -> None:
        if x.number == 1:
            await x.reply(status, error(x, kind, status) if body is None else body, headers=headers)
        else:
            await x.good()

    return answer


row("u_429_ra_seconds", "whole", "ok", seen=(2, 2), gap=1.0)(once("rate_limit", 429, headers=[("Retry-After", 1)]))
row("u_429_ra_ms", "whole", "ok", seen=(2, 2), gap=0.4, cap=5)(once("rate_limit", 429, headers=[("retry-after-ms", 400)]))
row("u_500_once", "whole", "ok", seen=(2, 2))(once("server", 500))
row("u_502_html_once", "whole", "ok", seen=(2, 2))(once("server", 502, b"<html><h1>502 Bad Gateway</h1></html>"))
row("u_503_once", "whole", "ok", seen=(2, 2), gap=1.0)(once("overloaded", 503, headers=[("Retry-After", 1)]))
row("u_529_once", "whole", "ok", seen=(2, 2))(once("overloaded", 529))
row("s_429_once", "stream", "ok", seen=(2, 2), gap=1.0)(once("rate_limit", 429, headers=[("Retry-After", 1)]))
row("s_529_once", "stream", "ok", seen=(2, 2))(once("overloaded", 529))


@row("u_429_ra_date", "whole", "ok", seen=(2, 2), gap=0.9)
async def retry_date(x: Exchange) -> None:
    opens = x.case.data.setdefault("opens", float(int(time.time()) + 2))
    if time.time() >= opens - 0.05:
        await x.good()
    else:
        await x.reply(429, error(x, "rate_limit", 429), headers=[("Retry-After", formatdate(opens, usegmt=True))])


@row("u_429_reset_header", "whole", "ok", seen=(2, 2), gap=1.1, wires=("openai", "anthropic"))
async def reset_header(x: Exchange) -> None:
    opens = x.case.data.setdefault("opens", time.time() + 1.2)
    if time.time() >= opens - 0.05:
        return await x.good()
    if x.wire.name == "openai":
        headers = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", f"{opens - time.time():.3f}s")]
    else:
        moment = datetime.fromtimestamp(opens, UTC).isoformat().replace("+00:00", "Z")
        headers = [("anthropic-ratelimit-requests-remaining", "0"), ("anthropic-ratelimit-requests-reset", moment)]
    await x.reply(429, error(x, "rate_limit", 429), headers=headers)


@row("u_429_retry_info", "whole", "ok", seen=(2, 2), gap=1.1, wires=("gemini",))
async def retry_info(x: Exchange) -> None:
    body = error(x, "rate_limit", 429)
    body["error"]["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.1s"}]
    await (x.reply(429, body) if x.number == 1 else x.good())


@row("u_429_ra_long", "whole", "error", "rate_limit", cap=5, told="UPSTREAM-MSG", status=429)
async def retry_long(x: Exchange) -> None:
    await x.reply(429, error(x, "rate_limit", 429), headers=[("Retry-After", 3600)])


@row("u_429_quota", "whole", "error", "quota", cap=5, told="UPSTREAM-MSG", status=429, wires=("openai", "anthropic"))
async def quota(x: Exchange) -> None:
    await x.reply(429, error(x, "quota", 429))


@row("u_503_always", "whole", "error", "overloaded", seen=(3, 3), told="UPSTREAM-MSG", status=503)
@row("s_503_always", "stream", "error", "overloaded", seen=(3, 3), told="UPSTREAM-MSG", status=503)
async def overloaded(x: Exchange) -> None:
    await x.reply(503, error(x, "overloaded", 503))


@row("u_501", "whole", "error", "server", cap=5, status=501)
async def not_built(x: Exchange) -> None:
    await x.reply(501, error(x, "server", 501))


@row("u_400_once", "whole", "error", "invalid_request", cap=5, told="UPSTREAM-MSG", status=400)
async def bad_request(x: Exchange) -> None:
    await x.reply(400, x.wire.error(MESSAGE, {"gemini": "INVALID_ARGUMENT"}.get(x.wire.name, "invalid_request_error"), 400))


@row("u_should_not_retry", "whole", "error", "server", cap=5, status=500)
async def forbidden_retry(x: Exchange) -> None:
    await x.reply(500, error(x, "server", 500), headers=[("x-should-retry", "false")])


# --- transport --------------------------------------------------------------------------------------------------------


@row("u_reset_before_headers", "whole", "ok", seen=(2, 2))
@row("s_reset_before_headers", "stream", "ok", seen=(2, 2))
async def reset_once(x: Exchange) -> None:
    if x.number == 1:
        x.reset()
    await x.good()


@row("u_reset_always", "whole", "error", "connection", seen=(3, 3))
async def reset_always(x: Exchange) -> None:
    x.reset()


@row("u_reset_in_body", "whole", "ok", seen=(2, 2))
async def reset_in_body(x: Exchange) -> None:
    if x.number > 1:
        return await x.good()
    await x.head(200, headers=[("Content-Length", 999)])
    await x.send(b'{"id": "')
    await x.pause(0.05)
    x.reset()


@row("u_short_body", "whole", "error", "connection", seen=(3, 3))
async def short_body(x: Exchange) -> None:
    body = json.dumps(x.wire.whole()).encode()
    await x.head(200, headers=[("Content-Length", len(body) + 50)])
    await x.send(body)
    x.finish()


@row("u_slow_headers", "whole", "error", "timeout", seen=(1, 3))
@row("s_slow_headers", "stream", "error", "timeout", seen=(1, 3))
async def slow_headers(x: Exchange) -> None:
    await x.hold()


@row("u_body_drip", "whole", "error", "timeout", seen=(1, 3))
async def drip(x: Exchange) -> None:
    await x.head(200, headers=[("Content-Length", 100000)])
    await x.send(b"{")
    while True:
        await x.pause(0.2)
        await x.send(b" ")


# --- bodies -----------------------------------------------------------------------------------------------------------

PAGE = b"<!doctype html><html><body>Please log in</body></html>"


@row("u_truncated_json", "whole", "error", "protocol", seen=(1, 2))
async def truncated(x: Exchange) -> None:
    body = json.dumps(x.wire.whole()).encode()
    await x.reply(200, body[: len(body) // 2])


@row("u_html_200", "whole", "error", "protocol", seen=(1, 2))
@row("s_html_200", "stream", "error", "protocol", seen=(1, 2))
async def page(x: Exchange) -> None:
    await x.reply(200, PAGE, "text/html; charset=utf-8")


@row("u_json_as_text_plain", "whole", "ok")
async def mislabelled(x: Exchange) -> None:
    await x.reply(200, x.wire.whole(), "text/plain; charset=utf-8")


@row("u_empty_200", "whole", "error", "protocol", seen=(1, 2))
async def nothing(x: Exchange) -> None:
    await x.reply(200, b"")


@row("u_json_null", "whole", "error", "protocol", seen=(1, 2))
async def null(x: Exchange) -> None:
    await x.reply(200, None)


@row("u_error_in_200", "whole", "error", "overloaded server protocol", seen=(1, 3), told="UPSTREAM-MSG", wires=SSE)
async def error_in_success(x: Exchange) -> None:
    await x.reply(200, error(x, "overloaded", 503))


@row("u_empty_choices", "whole", "empty", "protocol", seen=(1, 2))
async def no_choice(x: Exchange) -> None:
    body = x.wire.whole()
    holder = {"openai": "choices", "anthropic": "content", "gemini": "candidates"}.get(x.wire.name)
    if holder is None:
        body["output"]["message"]["content"] = []
    else:
        body[holder] = []
    await x.reply(200, body)


@row("u_null_content", "whole", "empty", "protocol", seen=(1, 2))
async def null_content(x: Exchange) -> None:
    text = json.dumps(TEXT).encode()
    await x.reply(200, json.dumps(x.wire.whole()).encode().replace(text, b"null"))


def spoiled_usage(value: Any) -> Answer:
    async def answer(x: Exchange) -> None:
        body = x.wire.whole()
        usage = body["usageMetadata" if x.wire.name == "gemini" else "usage"]
        usage.update(dict.fromkeys(usage, value))
        await x.reply(200, body)

    return answer


row("u_huge_usage", "whole", "ok")(spoiled_usage(10**30))
row("u_garbage_usage", "whole", "ok")(spoiled_usage("abc"))
row("u_null_usage", "whole", "ok")(spoiled_usage(None))


@row("u_bad_utf8", "whole", "either", "protocol", seen=(1, 2), text=TOLD.replace("°", "\ufffd"))
async def bad_utf8(x: Exchange) -> None:
    body = json.dumps(x.wire.whole("the tool's result is told"), ensure_ascii=False).encode()
    await x.reply(200, body.replace("°".encode(), b"\xff"))


# --- security ---------------------------------------------------------------------------------------------------------


def redirect(status: int) -> Answer:
    async def answer(x: Exchange) -> None:
        await x.reply(status, b"", headers=[("Location", x.case.elsewhere + "/v1/x")])

    return answer


row("u_redirect_other_origin", "whole", "error", "protocol")(redirect(307))
row("s_redirect_other_origin", "stream", "error", "protocol")(redirect(307))
row("u_redirect_302_get", "whole", "error", "protocol")(redirect(302))


@row("u_401_echo", "whole", "error", "authentication", cap=5, status=401, plain=True)
async def echo_401(x: Exchange) -> None:
    await x.reply(401, error(x, "authentication", 401, f"Incorrect API key provided: {x.case.key}. Check it."))


@row("u_500_echo", "whole", "error", "server", seen=(3, 3), status=500, plain=True)
async def echo_500(x: Exchange) -> None:
    await x.reply(500, error(x, "server", 500, f"panic: request headers were Authorization: Bearer {x.case.key}"))


# --- error shapes -----------------------------------------------------------------------------------------------------

SHAPES: dict[str, Callable[[str], tuple[str, Any]]] = {
    "openai": lambda m: ("application/json", {"error": {"message": m, "type": "x", "param": None, "code": "x"}}),
    "anthropic": lambda m: ("application/json", {"type": "error", "error": {"type": "x", "message": m}, "request_id": "r"}),
    "google": lambda m: ("application/json", [{"error": {"code": 0, "message": m, "status": "X", "details": []}}]),
    "message": lambda m: ("application/json", {"id": "x", "message": m}),
    "details": lambda m: ("application/json", {"detail": [{"loc": ["body", "messages"], "msg": m, "type": "value_error"}]}),
    "html": lambda m: ("text/html", f"<html><head><title>no</title></head><body><h1>{m}</h1></body></html>".encode()),
    "text": lambda m: ("text/plain", m.encode()),
}
STATUSES = {401: "authentication", 403: "permission", 404: "not_found", 413: "too_large", 422: "invalid_request"}


def shaped(status: int, shape: Callable[[str], tuple[str, Any]]) -> Answer:
    async def answer(x: Exchange) -> None:
        kind, body = shape(MESSAGE)
        await x.reply(status, body, kind)

    return answer


for _status, _kind in STATUSES.items():
    for _name, _shape in SHAPES.items():
        row(f"e_{_status}_{_name}", "whole", "error", _kind, cap=5, told="UPSTREAM-MSG", status=_status)(shaped(_status, _shape))
row("se_401_text", "stream", "error", "authentication", cap=5, told="UPSTREAM-MSG", status=401)(shaped(401, SHAPES["text"]))
