"""What a client is told of a failure: our words, the kind, the id of the request; never the operator's credentials or setting
(RELIABILITY G8, SERVE.md 7)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from engine import errors
from engine.call.json import dumps
from engine.plan import Served
from engine.serve.failure import write_failure

TEXTS = {
    "invalid_request": "the provider refused the request as invalid",
    "context_length": "the input is longer than the model's window",
    "content_filter": "the provider's filter refused the request",
    "too_large": "the request is larger than the provider takes",
    "authentication": "the provider refused the credentials of this gateway",
    "permission": "the provider does not let this gateway do that",
    "not_found": "the provider does not know this model",
    "quota": "this gateway has no credit left with the provider",
    "rate_limit": "the provider asks for fewer requests",
    "overloaded": "the provider is overloaded",
    "server": "the provider failed",
    "timeout": "the provider took too long",
    "connection": "the provider could not be reached",
    "tls": "the provider could not be reached safely",
    "protocol": "the answer of the provider could not be understood",
    "stream_interrupted": "the provider broke off its answer",
    "limit": "the answer of the provider passed a safety limit",
    "deadline": "the time for this request is used up",
    "local_limit": "this gateway is at its limit",
    "unavailable": "no provider can answer now",
    "ambiguous": "it is not known whether the request was carried out",
    "config": "this gateway is not set up for this model",
}
#: kinds that are the operator's affair, not the client's: told as a failure of the gateway behind (502)
OPERATORS = frozenset(("authentication", "permission"))
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class Refused(Exception):
    """A request that reaches no provider: an error of ours, whose words may be shown."""

    def __init__(self, kind: str, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.error = errors.for_kind(kind)(message, retry_after=retry_after)
        self.status = status


def shown(error: errors.Error, words: str = "own") -> errors.Error:
    """The error a client sees for one of a call. `words` is `provider` where the operator lets providers speak.

    Errors of the request itself, which reached no provider, keep their words: they speak of the client's own fields.
    """
    kind = error.kind
    sent = error.status is not None or bool(error.attempts)
    if kind in ("config", "unsupported") and not sent:
        return errors.for_kind("invalid_request" if kind == "config" else kind)(error.message, param=error.param)
    operators = kind in OPERATORS
    told = errors.for_kind("server" if operators else kind)
    text = error.message if words == "provider" and not operators and error.message else TEXTS.get(kind, TEXTS["server"])
    if kind == "local_limit" and error.code == "budget":
        text = "the budget for these calls is used up"
    code = None if operators else _word(error.code)
    return told(text, code=code, param=_word(error.param), retry_after=error.retry_after)


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def behind(served: Served) -> Served:
    """The dialect with a server error told as a 502: what is behind the gateway failed, and not because of the client."""
    return replace(served, status={**served.status, "server": 502})


def failure(
    served: Served,
    error: errors.Error,
    *,
    id: str,
    dialect: str | None = None,
    words: str = "own",
) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of a failed call in the client's dialect; `dialect` is that of the provider.

    A failure that attempts were spent on says that the client's library need not try again.
    """
    told = shown(error, words)
    status, headers, body = write_failure(behind(served) if error.kind in OPERATORS else served, told, dialect=dialect, id=id)
    if error.attempts or error.status is not None:
        headers["x-should-retry"] = "false"
    return status, headers, body


def refusal(served: Served | None, refused: Refused, *, id: str) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of a request that was refused here, in the client's dialect where it is known."""
    error = refused.error
    if served is None:
        status, headers, body = plain(refused.status or _STATUS.get(error.kind, 400), error.kind, error.message)
    else:
        if refused.status is not None:
            served = replace(served, status={**served.status, error.kind: refused.status})
        status, headers, body = write_failure(served, error, id=id)
    if error.kind in ("config", "server"):
        headers["x-should-retry"] = "false"  # it will be the same the next time
    if status == 405:
        headers["allow"] = "POST"
    return status, headers, body


#: where no dialect says it
_STATUS = {"authentication": 401, "permission": 403, "not_found": 404, "overloaded": 503, "unavailable": 503, "server": 500}


def plain(status: int, kind: str, message: str) -> tuple[int, dict[str, str], bytes]:
    """An error that belongs to no dialect."""
    body = {"error": {"type": kind, "code": kind, "message": message}}
    return status, {"content-type": "application/json"}, dumps(body)
