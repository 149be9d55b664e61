"""What must happen before a request can be written: media fetched, files uploaded, `before` calls made (SPEC_LANGUAGE 3.4, 4).

Part of an attempt, so one layer retries everything; what was got stays in the context and is not got again.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from engine.call.address import check_media_url
from engine.call.normalize.media import sniff
from engine.call.request import build
from engine.call.send import Route
from engine.call.step import Exchange, Flow, Wait
from engine.errors import UnsupportedError, for_kind
from engine.plan import Call as CallPlan
from engine.plan import OperationPlan
from engine.types import HttpRequest

__all__ = ["forerun", "needs_forerun", "pretend"]

MEDIA_BYTES = 64 * 1024 * 1024  # of one fetched part (RELIABILITY M1)
PUBLIC = Route(public=True)
POLL_EVERY = 1.0  # seconds between the tries of a call with `until`
_VAGUE = ("application/octet-stream", "binary/octet-stream")


def needs_forerun(plan: OperationPlan, context: dict[str, Any]) -> bool:
    """Whether a plain rendering lacks something that only further exchanges can give."""
    if any(step.when is None or step.when(context) for _, step in _main(plan, context).before):
        return True
    if not plan.inline and not plan.upload:
        return False
    return any(_foreign(plan, part) for part in _parts(context))


def forerun(call: Any) -> Flow:
    """Make everything the request needs and then the request itself: `call.request`."""
    operation, context = call.operation, call.context
    plan: OperationPlan = operation.plan
    uploads = dict(plan.upload)
    for part in list(_parts(context)):
        kind = part.get("type")
        if kind in plan.inline and part.get("via") == "url":
            yield from _fetch(call, part)
        if kind in uploads and part.get("via") != "file":
            part["file_id"] = yield from _value(call, uploads[kind], {**context, "part": _sized(part)})
            part["via"] = "file"
    for name, step in _main(plan, context).before:
        if name not in context:
            context[name] = yield from _value(call, step, context)
    call.request = operation.build(context, context["$report"], call.unsupported)


def pretend(plan: OperationPlan, context: dict[str, Any]) -> list[str]:
    """Stand-ins for what `forerun` would get, put in place, and a sentence for each: what `explain` shows without a network."""
    notes = []
    uploads = {name for name, _ in plan.upload}
    for part in list(_parts(context)):
        if part.get("type") in plan.inline and part.get("via") == "url":
            notes.append(f"the {part['type']} at {part['url']} would be fetched first")
            part.update(via="data", data="", uri="data:,")
        if part.get("type") in uploads and part.get("via") != "file":
            notes.append(f"the {part['type']} would be uploaded first")
            part.update(via="file", file_id="(uploaded)")
    for name, _ in _main(plan, context).before:
        notes.append(f"`{name}` would be asked for first")
        context[name] = f"({name})"
    return notes


def _main(plan: OperationPlan, context: Mapping[str, Any]) -> CallPlan:
    streamed = context.get("stream") and plan.stream is not None and plan.stream.call is not None
    return plan.stream.call if streamed else plan.call  # type: ignore[union-attr, return-value]


def _foreign(plan: OperationPlan, part: Mapping[str, Any]) -> bool:
    kind, via = part.get("type"), part.get("via")
    return (kind in plan.inline and via == "url") or (via != "file" and any(kind == name for name, _ in plan.upload))


def _parts(holder: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every media part of the request, also inside tool results."""
    for message in holder.get("messages") or ():
        if message.get("plain") and "parts" not in message:
            continue
        for part in message.get("parts") or ():
            yield part
            yield from part.get("parts") or ()


def _fetch(call: Any, part: dict[str, Any]) -> Flow:
    """A part's bytes from its URL, without credentials, from public addresses only (RELIABILITY A7)."""
    request = HttpRequest("GET", check_media_url(str(part["url"])))
    limits = call.attempts.limits
    answer = yield Exchange(
        request, PUBLIC, call.timing(limits.until_headers(False)), MEDIA_BYTES, limits.error_bytes, limits.ratio
    )
    if answer.status != 200:
        raise for_kind("invalid_request")(f"the {part['type']} could not be fetched: its server answered {answer.status}")
    found = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    data = base64.b64encode(answer.body).decode()
    media_type = found if "/" in found and found not in _VAGUE else part.get("media_type") or sniff(data)
    if not media_type:
        raise UnsupportedError(f"the {part['type']} has no known media type")
    part.update(via="data", data=data, media_type=media_type, format=media_type.partition("/")[2])
    part["uri"] = f"data:{media_type};base64,{data}"


def _value(call: Any, step: CallPlan, context: dict[str, Any]) -> Flow:
    """The value of one call; asked again each second while its `until` is not met."""
    from engine.call.read import read_value

    operation = call.operation
    scope = dict(context)
    for name, inner in step.before:
        scope[name] = yield from _value(call, inner, scope)
    if step.when is not None and not step.when(scope):
        return None
    limits = call.attempts.limits
    while True:
        request = build(step, scope, operation.base_url, operation.plan, main=False)
        signed = yield from call.signed(request, step.auth)
        answer = yield call.exchange(signed, step.timeout or limits.until_headers(False))
        value, document = read_value(step, operation.plan, answer.status, answer.headers, answer.body, operation.clock())
        if step.until is None or step.until(document):
            return value
        yield Wait(min(POLL_EVERY, call.attempts.deadline.left()))
        if call.attempts.deadline.passed():
            raise call.attempts.deadline.error()


def _sized(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part with its bytes and their number, as upload calls see it."""
    data = part.get("bytes")
    if data is None and part.get("data") is not None:
        data = base64.b64decode(part["data"])
    return {**part, "bytes": data, "size": len(data) if data is not None else None}
