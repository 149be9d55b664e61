"""Whole replies are read, or refused with a typed error (RELIABILITY E4, E5, M1; SPEC_LANGUAGE 4)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import errors
from engine.call.decode import DecodeLimits
from engine.call.read import read_value, read_whole
from engine.plan import Call, Errors, OperationPlan
from engine.types import Report, Response
from tests.call.wires import CHAT, TEXT, chat_stream, items, make, path, sse
from tests.samples import sampled

GOOD = {
    "id": "r",
    "model": "m-1",
    "choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 2},
}


def read(body: Any, plan: OperationPlan = CHAT, status: int = 200, headers: dict[str, str] | None = None, **more: Any) -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_whole(plan, status, headers or {}, data, **more)


def refused(body: Any, plan: OperationPlan = CHAT, status: int = 200, **more: Any) -> errors.Error:
    with pytest.raises(errors.Error) as raised:
        read(body, plan, status, **more)
    assert raised.value.__cause__ is None and raised.value.provider == "acme" and raised.value.operation == "chat"
    return raised.value


def test_a_whole_reply() -> None:
    plan = make(rate_limits={"requests": {"limit": "X-Limit", "remaining": "x-left", "reset": "x-reset"}})
    headers = {"X-Request-ID": "q", "X-LIMIT": "10", "x-left": "9", "x-reset": "6m0s"}
    response = read(GOOD, plan, headers=headers, context={"model": "asked", "$report": Report()})
    assert (response.text, response.finish_reason, response.usage.input_tokens, response.request_id) == (TEXT, "stop", 2, "q")
    assert response.rate_limits == {"requests": {"limit": 10, "remaining": 9, "reset": 360.0}}
    assert response.raw == GOOD and response.model == "m-1"


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "", "text/event-stream"])
def test_an_answer_is_judged_by_its_bytes(content_type: str) -> None:
    """E5."""
    assert read(GOOD, headers={"Content-Type": content_type}).text == TEXT


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "UPSTREAM-MSG"}},
        {"error": "UPSTREAM-MSG"},
        {"type": "error", "error": {"type": "x", "message": "UPSTREAM-MSG"}},
        {"object": "error", "message": "UPSTREAM-MSG"},
        [{"error": {"message": "UPSTREAM-MSG"}}],
        {**GOOD, "error": {"message": "UPSTREAM-MSG", "code": 502}},
    ],
)
def test_a_200_with_an_error_is_an_error(body: Any) -> None:
    """E5."""
    for plan in (CHAT, make(response=lambda d, e, v=None, u=None: None)):
        error = refused(body, plan)
        assert error.message == "UPSTREAM-MSG" and error.status == 200 and error.raw == body


def test_a_null_error_is_none() -> None:
    assert read({**GOOD, "error": None}).text == TEXT


def test_ok_decides_alone() -> None:
    plan = make(
        errors=Errors(ok=lambda d: path(d, "code") == 0), response=lambda d, e, v=None, u=None: e("text", 0, {"text": path(d, "t")})
    )
    assert read({"code": 0, "t": "a", "error": "success"}, plan).text == "a"
    assert refused({"code": 7, "message": "no"}, plan).message == "no"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "protocol"),
        (b"  \n", "protocol"),
        (b"null", "protocol"),
        (b'"text"', "protocol"),
        (b"17", "protocol"),
        (b'{"choices": [{"mess', "protocol"),
        (b"<html><body>Please log in</body></html>", "protocol"),
        (b"hello", "protocol"),
        (b'{"something": "else"}', "protocol"),
        (b"[" * 100_000, "limit"),
        (b'{"a": ' + b"1" * 100 + b"}", "limit"),
    ],
)
def test_an_answer_that_cannot_be_understood(body: bytes, kind: str) -> None:
    error = refused(body)
    assert error.kind == kind and error.status == 200


def test_a_body_past_the_limit() -> None:
    """M1."""
    assert refused(GOOD, limits=DecodeLimits(body=10)).kind == "limit"


@pytest.mark.parametrize("choices", [[], [{}], [{"message": {"content": None}, "finish_reason": "stop"}], [{"message": None}]])
def test_an_empty_answer_is_empty_text(choices: Any) -> None:
    assert read({"id": "r", "choices": choices}).text == ""


def test_bad_utf8_is_replaced() -> None:
    body = json.dumps(GOOD, ensure_ascii=False).encode().replace("ö".encode(), b"\xff")
    assert read(body).text == TEXT.replace("ö", "\ufffd")


@pytest.mark.parametrize("usage", [None, "abc", 5, {"prompt_tokens": 10**30, "completion_tokens": "abc"}, {"prompt_tokens": None}])
def test_garbage_usage_never_breaks_an_answer(usage: Any) -> None:
    """M3."""
    response = read({**GOOD, "usage": usage})
    assert response.text == TEXT and response.usage.input_tokens is None


def test_a_stream_in_place_of_a_whole_answer_is_folded() -> None:
    assert read(sse(*chat_stream(), done=True), headers={"content-type": "text/event-stream"}).text == TEXT
    assert read(b": hi\n\n" + sse(*chat_stream(), done=True)).text == TEXT
    assert refused(sse(*chat_stream()[:3])).kind == "stream_interrupted"
    assert refused(sse(*chat_stream()), make(stream=None)).kind == "protocol"


def test_a_map_that_fails_is_protocol() -> None:
    def broken(document: Any, emit: Any, event: Any = None, unknown: Any = None) -> None:
        raise TypeError("detail")

    assert refused(GOOD, make(response=broken)).kind == "protocol"


def test_an_answer_without_content() -> None:
    plan = make(name="delete_file", response=lambda d, e, v=None, u=None: None)
    assert read(b"", plan, status=204).outputs == []


@pytest.mark.parametrize("status", [302, 400, 401, 429, 500, 599])
def test_other_statuses_are_errors(status: int) -> None:
    error = refused({"error": {"message": "UPSTREAM-MSG"}}, status=status, context={"model": "m"})
    assert (error.status, error.message, error.model) == (status, "UPSTREAM-MSG", "m")


# --- reply ----------------------------------------------------------------------------------------------------------


def seen(reply: str, body: bytes, headers: dict[str, str] | None = None) -> Any:
    found: list[Any] = []
    plan = make(name="read", call=Call("GET", lambda c: "/x", reply=reply), response=lambda d, e, v=None, u=None: found.append(d))
    read_whole(plan, 200, headers or {}, body)
    return found[0]


def test_what_maps_see_of_a_reply() -> None:
    assert seen("json", b"[1]") == [1]
    assert seen("jsonl", b'{"a":1}\n\n[2]\n') == [{"a": 1}, [2]]
    assert seen("text", b"h\xc3\xa9", {"X-A": "b"}) == {"status": 200, "headers": {"x-a": "b"}, "body": "hé"}
    assert seen("binary", b"\xff\x00")["body"] == b"\xff\x00"
    assert seen("http", b'{"a":1}', {"content-type": "application/json"})["body"] == {"a": 1}
    assert seen("http", b"hi", {"content-type": "text/plain"})["body"] == "hi"
    assert seen("http", b"\xff", {"content-type": "image/png"})["body"] == b"\xff"


def test_rows_with_errors_are_no_error() -> None:
    rows = b'{"id":"a","error":{"message":"x"}}\n{"id":"b"}\n'

    def mapped(document: Any, emit: Any, event: Any = None, unknown: Any = None) -> None:
        for row in items(document):
            emit("batch_item", 0, {"id": path(row, "id"), "error": path(row, "error")})

    plan = make(name="batch", call=Call("GET", lambda c: "/x", reply="jsonl"), response=mapped)
    assert [o.id for o in read_whole(plan, 200, {}, rows).outputs] == ["a", "b"]


def test_an_error_in_place_of_media() -> None:
    plan = make(
        call=Call("POST", lambda c: "/x", reply="binary"),
        response=lambda d, e, v=None, u=None: e("audio", 0, {"data": path(d, "body")}),
    )
    assert read(b"AB", plan).outputs[0].data == "QUI="
    assert refused({"error": {"message": "no voice"}}, plan, headers={"content-type": "application/json"}).message == "no voice"


# --- values of calls ------------------------------------------------------------------------------------------------


def test_the_value_of_a_call() -> None:
    call = Call("GET", lambda c: "/x", value=lambda d: path(d, "token"))
    assert read_value(call, CHAT, 200, {}, b'{"token": "t", "a": 1}') == ("t", {"token": "t", "a": 1})
    assert read_value(Call("PUT", lambda c: "/x"), CHAT, 200, {}, b"") == (None, None)
    for body in (b'{"error": "nope"}', b"<p>x", b'"x'):
        with pytest.raises(errors.Error):
            read_value(call, CHAT, 200, {}, body)
    with pytest.raises(errors.AuthenticationError):
        read_value(call, CHAT, 401, {}, b"")


@settings(max_examples=sampled(200))
@given(
    st.sampled_from(["json", "jsonl", "text", "binary", "http"]),
    st.sampled_from([200, 204, 400, 429, 503]),
    st.binary(max_size=60)
    | st.sampled_from(
        [
            b"null",
            b"[]",
            b"{}",
            b'{"error":[]}',
            b'{"error":[[]]}',
            b'{"error":{"message":{"a":[1]}}}',
            b'[{"loc":[1]}]',
            b'{"detail":[{"loc":[1,null],"msg":5}]}',
            b"<html>",
            b"data: {}\n\n",
        ]
    ),
)
def test_random_bodies_never_raise_anything_foreign(reply: str, status: int, body: bytes) -> None:
    """E1."""
    plan = make(call=Call("POST", lambda c: "/x", reply=reply))
    try:
        read_whole(plan, status, {"content-type": "application/json"}, body).to_dict()
    except errors.Error as error:
        assert error.__cause__ is None and str(error)
