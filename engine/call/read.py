"""A whole reply becomes a Response, or one of our errors (RELIABILITY E4, E5; SPEC_LANGUAGE 4, 6, 8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine import errors
from engine.call.accumulate import Accumulator
from engine.call.decode import DecodeLimits
from engine.call.failure import failure, is_error, page_text, request_id
from engine.call.json import JsonError, JsonLimitError, loads, loads_event
from engine.call.outputs import named_as_asked
from engine.call.waits import lower, rate_limits
from engine.plan import Call, OperationPlan
from engine.types import Response, Stored

_LIMITS = DecodeLimits()
_EVENT_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_PREVIEW = 400  # characters of an unreadable body that its error quotes


def read_whole(
    plan: OperationPlan,
    status: int,
    headers: Mapping[str, Any] | None,
    body: bytes,
    context: Mapping[str, Any] | None = None,
    now: float = 0.0,
    *,
    model: str | None = None,
    limits: DecodeLimits = _LIMITS,
) -> Response:
    """The Response of one HTTP answer. Raises the typed error of a failure, also of one inside a 200.

    `context` is what the request's templates saw (`HttpRequest.context`); `now` (Unix seconds) is only used to turn dates
    of rate-limit headers into seconds.
    """
    found = lower(headers)
    model = model or (context or {}).get("model")
    if not 200 <= status < 300:
        raise failure(plan, status, found, error_document(body), model=model, now=now)
    reply = plan.call.reply
    if body[:1] != b"{":  # else it is there, and no stream
        if not body.strip() and status != 204 and reply in ("json", "jsonl"):
            raise _protocol(plan, status, found, model, "the answer is empty")
        if reply == "json" and _is_stream(found, body):
            return _fold(plan, status, found, body, context, now, model, limits)
    # Among the million numbers of vectors no long one is looked for, as in the events of a stream: it does no harm.
    vectors = plan.name == "embeddings"
    try:
        document = read_document(reply, status, found, body, limits, loads_event if vectors else loads)
    except errors.Error as error:
        raise describe(error, plan, status, found, model) from None
    if vectors:
        return _undisturbed(read_mapped, plan, plan.response, status, found, document, context, now, model)
    return read_mapped(plan, plan.response, status, found, document, context, now, model)


def _undisturbed(work: Callable[..., Response], *given: Any) -> Response:
    """Work done while the collector rests: it would look at every number of every new vector, and none of them is garbage."""
    import gc

    if not gc.isenabled():
        return work(*given)
    gc.disable()
    try:
        return work(*given)
    finally:
        gc.enable()


def read_mapped(
    plan: OperationPlan,
    mapping: Callable[..., None] | None,
    status: int,
    headers: Mapping[str, str],
    document: Any,
    context: Mapping[str, Any] | None,
    now: float,
    model: str | None = None,
) -> Response:
    """The Response of a document that is already parsed (a whole reply, a finished job). Names of `headers` are lower-case."""
    into = Accumulator(plan, None, context, model, True)
    error = map_document(into, mapping, document, headers, status, now)
    if error is not None:
        raise error
    if not into.candidates and into.empty and plan.name in ("chat", "completion") and status != 204:
        raise _protocol(plan, status, headers, into.model, "the answer has none of the expected fields", document)
    into.close()
    response = finish(into, headers, document, now)
    if plan.name in ("clone_voice", "delete_voice"):
        named_as_asked(response.outputs, "voice", (context or {}).get("id") or (context or {}).get("name"))
    return response


def read_stored(
    plan: OperationPlan,
    status: int,
    headers: Mapping[str, Any],
    doubtful: bytes,
    stored: Stored,
    context: Mapping[str, Any] | None,
    now: float,
    model: str | None = None,
) -> Response:
    """The Response of an answer whose body is in a file. `doubtful` is that body where it may be an error in place of a file."""
    found = lower(headers)
    if doubtful:
        document = error_document(doubtful)
        if is_error(document):
            raise failure(plan, status, found, document, model=model, now=now)
    envelope = {"status": status, "headers": dict(found), "body": stored}
    return read_mapped(plan, plan.response, status, found, envelope, context, now, model)


def map_document(
    into: Accumulator,
    mapping: Callable[..., None] | None,
    document: Any,
    headers: Mapping[str, str],
    status: int | None,
    now: float,
    event: str | None = None,
) -> errors.Error | None:
    """Run a map over one document. Gives the error the document holds, if it holds one.

    An error is what the map emits as `error`, and what `errors.ok` denies or, where no `ok` is declared, what has the
    usual shape of an error (a list only if the map finds nothing in it: rows of a batch hold errors of their own).
    A map that fails raises ProtocolError with the place in the spec.
    """
    plan = into.plan
    rows = document.__class__ is list
    before = into.seen() if rows else 0
    try:
        if mapping is not None:
            mapping(document, into.emit, event, into.unknown)
        if plan.errors.ok is not None:
            denied = _false(plan.errors.ok(document))
        else:
            denied = is_error(document) and (
                isinstance(document, dict) or (into.empty if into.whole else len(into.events) == before)
            )
    except errors.Error as error:
        raise describe(error, plan, status, headers, into.model) from None
    except Exception as error:
        raise unreadable(plan, status, headers, into.model, error) from None
    if into.error is not None:
        fields, into.error = into.error, None
        return failure(plan, status, headers, document, fields=fields, model=into.model, now=now)
    if denied:
        return failure(plan, status, headers, document, model=into.model, now=now)
    return None


def finish(into: Accumulator, headers: Mapping[str, str], document: Any, now: float) -> Response:
    """The Response with what the exchange itself says."""
    response = into.response()
    response.raw = document
    if into.plan.name in ("show_model", "pull_model"):
        named_as_asked(response.outputs, "model", into.model)
    response.request_id = request_id(into.plan, headers, document)
    response.rate_limits = rate_limits(into.plan, headers, now)
    return response


def read_value(
    call: Call, plan: OperationPlan, status: int, headers: Mapping[str, Any] | None, body: bytes, now: float = 0.0
) -> tuple[Any, Any]:
    """(the value of a call, its document): what `before`, `upload` and tokens use. Raises like `read_whole`."""
    found = lower(headers)
    if not 200 <= status < 300:
        raise failure(plan, status, found, error_document(body), now=now)
    try:
        document = None if not body and call.reply == "json" else read_document(call.reply, status, found, body)
        if plan.errors.ok is not None and _false(plan.errors.ok(document)):
            raise failure(plan, status, found, document, now=now)
        value = call.value(document) if call.value is not None else document
    except errors.Error as error:
        raise describe(error, plan, status, found, None) from None
    except Exception as error:
        raise unreadable(plan, status, found, None, error) from None
    if call.value is not None and value is None and is_error(document):
        raise failure(plan, status, found, document, now=now)
    return value, document


def read_document(
    reply: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    limits: DecodeLimits = _LIMITS,
    reader: Callable[[bytes], Any] = loads,
) -> Any:
    """What a map sees of an answer (SPEC_LANGUAGE 4, `reply`). Raises ProtocolError and LimitError.

    `json` is the parsed body and `jsonl` the list of its lines; the others are `{status, headers, body}` with the body as
    text, as bytes, or read by its content type.
    """
    if len(body) > limits.body and reply not in ("binary", "http"):
        raise errors.for_kind("limit")(f"the answer is larger than {limits.body} bytes")
    if reply == "json":
        return _json(body, reader)
    if reply == "jsonl":
        return [_json(line) for line in body.split(b"\n") if line.strip()]
    content_type = headers.get("content-type", "").lower()
    envelope: dict[str, Any] = {"status": status, "headers": dict(headers), "body": body}
    if reply == "text":
        envelope["body"] = body.decode("utf-8", "replace")
    elif reply == "http" and "json" in content_type:
        envelope["body"] = _json(body)
    elif reply == "http" and (content_type.startswith("text/") or "xml" in content_type):
        envelope["body"] = body.decode("utf-8", "replace")
    elif reply == "binary" and "json" in content_type and body[:1] == b"{":
        document = _json(body)  # an error in place of the media
        return document if is_error(document) else envelope
    return envelope


def error_document(body: bytes, limit: int = 1024 * 1024) -> Any:
    """The body of a failure: parsed if it is JSON, else text; at most 1 MiB is looked at."""
    body = body[:limit]
    try:
        return loads(body) if body.strip() else None
    except JsonError:
        return body.decode("utf-8", "replace")


def unreadable(
    plan: OperationPlan, status: int | None, headers: Mapping[str, str], model: str | None, error: Exception
) -> errors.Error:
    """The ProtocolError for a map or query that failed on an answer, with the place in the spec that failed."""
    from engine.expr.function import locate

    mark = locate(error)
    where = f" ({mark})" if mark is not None else ""
    return _protocol(plan, status, headers, model, f"the answer does not have the shape the spec expects{where}")


def describe(
    error: errors.Error, plan: OperationPlan, status: int | None, headers: Mapping[str, str], model: str | None
) -> errors.Error:
    """The same error, told whose answer it was."""
    error.provider = error.provider or plan.provider
    error.operation = error.operation or plan.name
    error.model = error.model or model
    error.status = error.status or status
    error.request_id = error.request_id or request_id(plan, headers)
    return error


def _protocol(
    plan: OperationPlan, status: int | None, headers: Mapping[str, str], model: str | None, text: str, document: Any = None
) -> errors.Error:
    return describe(errors.for_kind("protocol")(text, raw=document), plan, status, headers, model)


def _json(body: bytes, reader: Callable[[bytes], Any] = loads) -> Any:
    """A JSON document that is a mapping or a list; None where there is nothing but white space."""
    if body[:1] != b"{":
        if not body.strip():
            return None
        if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
            page = body.decode("utf-8", "replace")
            raise errors.for_kind("protocol")(f"the answer is a page, not JSON: {page_text(page)[:_PREVIEW]}", raw=page)
    try:
        document = reader(body)
    except JsonLimitError as error:
        raise errors.for_kind("limit")(str(error)) from None
    except JsonError:
        text = body.decode("utf-8", "replace")
        raise errors.for_kind("protocol")(f"the answer is not JSON: {text[:_PREVIEW]}", raw=text) from None
    if not isinstance(document, (dict, list)):
        raise errors.for_kind("protocol")(f"the answer is neither a mapping nor a list: {str(document)[:_PREVIEW]}", raw=document)
    return document


def _is_stream(headers: Mapping[str, str], body: bytes) -> bool:
    if headers.get("content-type", "").lower().startswith("text/event-stream"):
        return body.lstrip()[:1] not in (b"{", b"[", b"<")
    return body.lstrip(b"\xef\xbb\xbf\r\n").startswith(_EVENT_STARTS)


def _fold(
    plan: OperationPlan,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    context: Mapping[str, Any] | None,
    now: float,
    model: str | None,
    limits: DecodeLimits,
) -> Response:
    """A stream that came although a whole answer was asked for."""
    if plan.stream is None or plan.stream.framing != "sse":
        raise _protocol(plan, status, headers, model, "the answer is a stream, and the spec does not say how to read one")
    from engine.call.reader import Reader

    reader = Reader(plan, headers, context=context, model=model, now=now, limits=limits)
    reader.feed(body)
    return reader.close()


def _false(value: Any) -> bool:
    """JMESPath's idea of false: nothing, false, and whatever is empty; 0 is true."""
    return value is None or value is False or value in ("", [], {})
