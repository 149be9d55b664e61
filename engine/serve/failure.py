"""An error becomes the HTTP answer of a served dialect (SERVE.md 7)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from engine import errors
from engine.call.json import dumps
from engine.plan import Served
from engine.serve.reply import random_id


def error_fields(served: Served, error: errors.Error, *, dialect: str | None = None, id: str | None = None) -> dict[str, Any]:
    """What the templates of an error see. `dialect` is the one the error came from: its own code is kept."""
    own = error.code if dialect is not None and dialect in served.plan.dialects else None
    return {
        "message": error.message or error.kind.replace("_", " "),
        "code": own or served.codes.get(error.kind) or error.kind,
        "kind": error.kind,
        "status": served.status.get(error.kind, 500),
        "param": error.param,
        "id": id or random_id(),
        "$dialects": served.plan.dialects,
    }


def write_failure(
    served: Served, error: errors.Error, *, dialect: str | None = None, id: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of an error that comes before the first byte of an answer."""
    fields = error_fields(served, error, dialect=dialect, id=id)
    headers = {"content-type": "application/json"}
    if served.error_headers is not None:
        headers.update(served.error_headers(fields) or {})
    if error.retry_after is not None:
        headers["retry-after"] = str(max(0, math.ceil(error.retry_after)))
    return int(fields["status"]), headers, dumps(served.error(fields))


def event_error(fields: Mapping[str, Any]) -> errors.Error:
    """The error that a canonical `error` event tells of."""
    kind = fields.get("kind")
    made = errors.for_kind(kind if kind in errors.KINDS else "server")
    return made(str(fields.get("message") or ""), code=fields.get("code"), param=fields.get("param"))
