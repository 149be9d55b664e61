"""Answers that are kept in files: bytes go to disk as they come, addresses are fetched (SPEC_LANGUAGE 7.3, `download`).

The file is in its place when the flow ends well, and only then; whatever else ends it, nothing of it is left.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import urljoin

from engine.call.address import check_media_url, check_url, must_be_public
from engine.call.call import refuse_redirect
from engine.call.failure import failure
from engine.call.flow import Call, exchanged, whole
from engine.call.read import error_document, read_stored
from engine.call.send.store import Store
from engine.call.step import Answer, Exchange, Flow
from engine.errors import ConfigError, Error, ProtocolError
from engine.plan import Auth
from engine.types import Event, HttpRequest, Response, Stored

__all__ = ["kept", "saved", "stored"]

_KINDS = frozenset(("audio", "image", "video", "content"))
_BARE = Auth()
_MOVED = frozenset((301, 302, 303, 307, 308))
HOPS = 3  # redirects of a download that are followed


def kept(call: Call) -> Flow:
    """Like `whole`, and what the answer holds is in `call.out`."""
    place, plan = call.out, call.operation.plan
    if plan.call.reply != "binary":
        response = yield from whole(call)
        return (yield from saved(call, response))
    try:
        response = yield from stored(call, place, plan.call.timeout)
        place.keep()
    finally:
        place.abandon()
    call.finish(response)
    return response


def stored(call: Call, place: Any, timeout: float | None, ready: Any = None) -> Flow:
    """The Response of an exchange whose body is written to `place`, where it is not final yet."""
    operation = call.operation

    def read(answer: Answer) -> Response:
        plan, now = operation.plan, operation.clock()
        try:
            if not 200 <= answer.status < 300:
                raise failure(plan, answer.status, answer.headers, error_document(answer.body), model=operation.model, now=now)
            lies = Stored(str(place.path), place.size)
            return read_stored(plan, answer.status, answer.headers, answer.body, lies, call.context, now, operation.model)
        except Error as error:
            raise operation.place(error) from None

    response, _ = yield from exchanged(call, timeout, read, ready, lambda exchange: _store(call, exchange, place))
    return response


def _store(call: Call, exchange: Exchange, place: Any) -> Store:
    limits = call.attempts.limits
    return Store(exchange, place, limits.file_bytes, limits.idle, call.attempts.deadline.at)


def saved(call: Call, response: Response) -> Flow:
    """The Response with its sounds, pictures, films and files written to `call.out`: several are numbered. In place of `data`
    an output then has `path` and `bytes`. Of an answer in words the words are written; one that holds nothing is kept, with a
    warning."""
    number = 0
    for output in response.outputs:
        fields = output.fields
        if output.kind not in _KINDS or (fields.get("data") is None and fields.get("url") is None):
            continue
        number += 1
        place = call.out.numbered(number)
        try:
            yield from _filled(call, output, place)
            place.keep()
        except Error as error:
            error.partial = response  # what was paid for is not lost: its address is in it
            raise
        finally:
            place.abandon()
        fields.pop("data", None)
        fields["path"], fields["bytes"] = str(place.path), place.size
    text = response.text or "\n\n".join(o.text for o in response.outputs if o.kind == "page" and o.text)
    if not number and text:
        try:
            call.out.begin()
            call.out.write(text.encode())
            call.out.keep()
        finally:
            call.out.abandon()
    elif not number:
        response.warnings.append("the answer holds nothing that could be written: there is no file")
    return response


def _filled(call: Call, output: Event, place: Any) -> Flow:
    """Write one output: what it holds, or what its address gives."""
    data = output.fields.get("data")
    if data is None:
        yield from _fetched(call, str(output.fields["url"]), place)
        return
    try:
        content = base64.b64decode(data) if isinstance(data, str) else bytes(data)
    except (binascii.Error, ValueError):
        raise call.operation.place(ProtocolError(f"the {output.kind} in the answer is not base64")) from None
    place.begin()
    place.write(content)


def _undownloadable(error: Error) -> Error:
    error.message = f"what the answer names cannot be downloaded: {error.message}"
    error.args = (error.message,)
    return error


def _fetched(call: Call, url: str, place: Any) -> Flow:
    """Download an output, because the caller wants it. Where the address only names another, that is held to the same rules."""
    goal: str | None = url
    for hop in range(HOPS + 1):
        goal = yield from _asked(call, str(goal), place, hop)
        if goal is None:
            return
    raise call.operation.place(_undownloadable(ProtocolError(f"its address was redirected more than {HOPS} times")))


def _asked(call: Call, url: str, place: Any, hop: int) -> Flow:
    """Fetch an address into `place`: None, or the address it redirects to. With the credential, if the spec says so, from a host
    the provider may be called at; else without one from any public host."""
    operation = call.operation
    plan, base_url = operation.plan, operation.base_url
    servers = tuple(str(operation.values[name]) for name in plan.servers if operation.values.get(name))
    own = bool(operation.values.get("base_url"))
    request = HttpRequest("GET", url, {}, None, context=call.context)
    auth = None if plan.download_auth else _BARE
    try:
        request.url = check_url(url, base_url, plan.hosts, own, servers, plan.allowed)
        request.public = must_be_public(request.url, base_url, plan.hosts, servers, True)
    except ConfigError as error:
        if (plan.download_auth and not hop) or plan.allowed is not None:
            raise operation.place(_undownloadable(error)) from None
        try:
            request.url, request.public, auth = check_media_url(url), True, _BARE
        except ConfigError as other:
            raise operation.place(_undownloadable(other)) from None

    def read(answer: Answer) -> str | None:
        location = answer.headers.get("location") if answer.status in _MOVED else None
        if location:
            return urljoin(request.url, location)
        refuse_redirect(answer.status)
        if not 200 <= answer.status < 300:
            document = error_document(answer.body)
            raise operation.place(failure(plan, answer.status, answer.headers, document, now=operation.clock()))
        return None

    def ready() -> Flow:
        return (yield from call.signed(request, auth))

    goal, _ = yield from exchanged(call, None, read, ready, lambda exchange: _store(call, exchange, place), redirects=True)
    return goal
