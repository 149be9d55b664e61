"""A client's own bytes for a provider of the same dialect (SERVE.md 10): what stands in them is sent as it was written, but for the
model's name.

They go through where the operator opened `extra` and the provider's patches change nothing in this very request: then what we
would write ourselves says the same in other bytes. Address, query, headers and signature are always ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from engine.call.flow import Call
from engine.call.json import dumps, loads
from engine.client import AsyncClient
from engine.errors import Error
from engine.operation import Operation
from engine.types import HttpRequest, Report

GIVEN = "$given"  # the field of a call that holds a Given; no wire can bind this name
TOLD = "$told"  # the field that holds a Report which takes what was lost of the request, before the answer begins
_CARRIED = frozenset((GIVEN, TOLD))
_MODEL = b'"model"'
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\]]', re.DOTALL)
_VALUE = re.compile(rb'\s*:\s*("(?:[^"\\]|\\.)*+")', re.DOTALL)


class Given:
    """The body of a client, and the operation of its dialect as no provider patches it."""

    __slots__ = ("_body", "_named", "_plain")

    def __init__(self, body: bytes, plain: Operation, named: bool) -> None:
        self._body = body
        self._plain = plain
        self._named = named  # the model's name stands in the body

    def instead_of(self, request: HttpRequest, fields: dict[str, Any]) -> bytes | None:
        """The body to send in place of the one that was written, or None where that one has to be."""
        try:
            unpatched = self._plain.render(**fields)
        except Error:
            return None
        if unpatched.body != request.body or request.body is None:
            return None
        if not self._named:
            return self._body
        model = self._plain.model
        if b"%b:%b" % (_MODEL, dumps(model)) not in request.body:
            return None  # the dialect writes it in another way
        return renamed(self._body, model)


class Through(AsyncClient):
    """A client whose calls may carry a Given, and a Report to be told of losses."""

    def _prepare(self, operation: str, model: str, fields: dict[str, Any], stream: bool) -> Call:
        if _CARRIED.isdisjoint(fields):
            return AsyncClient._prepare(self, operation, model, fields, stream)
        given, told = fields.pop(GIVEN, None), fields.pop(TOLD, None)
        asked = {} if given is None else {**fields, "stream": True} if stream else dict(fields)
        call = AsyncClient._prepare(self, operation, model, fields, stream)
        request = call.request
        if request is None:  # something has to be fetched first
            return call
        if isinstance(given, Given):
            body = given.instead_of(request, asked)
            if body is not None:
                request.body = body
                if call.context is not None:
                    call.context[GIVEN] = True  # a cache goes by these very bytes (engine.cache.key)
        if isinstance(told, Report) and request.report is not None:
            told.warnings += request.report.warnings
        return call


def renamed(body: bytes, model: str) -> bytes | None:
    """A JSON object with another value of its one top-level `model`; nothing else changes. None if that is not certain."""
    found = list(_models(body)) if body.count(_MODEL) != 1 or b"\\u00" in body else [body.find(_MODEL)]
    if len(found) != 1 or found[0] < 0:
        return None
    value = _VALUE.match(body, found[0] + len(_MODEL))
    if value is None:
        return None
    start, end = value.span(1)
    return body if _text(value[1]) == model else b"%b%b%b" % (body[:start], dumps(model), body[end:])


def _models(body: bytes) -> Iterator[int]:
    """Where top-level keys `model` stand; -1 for one that is spelled with escapes."""
    depth = 0
    for token in _TOKEN.finditer(body):
        text = token[0]
        if text in b"{[":
            depth += 1
        elif text in b"}]":
            depth -= 1
        elif depth == 1 and _VALUE_FOLLOWS.match(body, token.end()):
            if text == _MODEL:
                yield token.start()
            elif b"\\" in text and _text(text) == "model":
                yield -1


_VALUE_FOLLOWS = re.compile(rb"\s*:")


def _text(quoted: bytes) -> str:
    """What a JSON string says."""
    return str(loads(quoted))
