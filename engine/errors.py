"""The exception tree: one class per kind of failure.

    Error
    ├── ConfigError ── SpecError          nothing was sent: options, keys, spec files
    ├── UnsupportedError                  nothing was sent: the spec cannot express what was asked
    ├── InvalidRequestError  ContextLengthError  ContentFilterError  TooLargeError
    ├── AuthenticationError  PermissionError  NotFoundError  QuotaError
    ├── RateLimitError  OverloadedError  ServerError
    ├── TimeoutError  ConnectionError  TlsError
    ├── ProtocolError  StreamInterruptedError  LimitError
    └── DeadlineError  LocalLimitError  UnavailableError  AmbiguousError

Every failure that leaves a public function is one of these (RELIABILITY E1). `error.kind` is the word of the table,
`error.retryable` says whether the same target may be asked again.
"""

from __future__ import annotations

from typing import Any

__all__ = ["KINDS", "Error", "SpecError", "for_kind"]  # the classes themselves are added below

#: kind -> (may the same target be retried, does it count for a circuit breaker)
KINDS: dict[str, tuple[bool, bool]] = {
    "config": (False, False),
    "unsupported": (False, False),
    "invalid_request": (False, False),
    "context_length": (False, False),
    "content_filter": (False, False),
    "too_large": (False, False),
    "authentication": (False, False),
    "permission": (False, False),
    "not_found": (False, False),
    "quota": (False, False),
    "rate_limit": (True, False),
    "overloaded": (True, True),
    "server": (True, True),
    "timeout": (True, True),
    "connection": (True, True),
    "tls": (False, True),
    "protocol": (True, True),
    "stream_interrupted": (True, True),
    "limit": (False, True),
    "deadline": (False, False),
    "local_limit": (False, False),
    "unavailable": (False, False),
    "ambiguous": (False, True),
}

MESSAGE_LIMIT = 2000  # characters of a provider's message that are kept (RELIABILITY E3)


class Error(Exception):
    """The root of everything the engine raises.

    Attributes (RELIABILITY E3): `kind`, `message`, `provider`, `model`, `operation`, `status` (HTTP), `code`, `param`,
    `type`, `request_id`, `attempts` (list of {target, kind, seconds}), `retryable`, `retry_after` (seconds), `partial` (a
    Response with what was delivered before a stream broke), `possibly_billed`, `raw` (the provider's body, masked).
    """

    kind = "server"

    def __init__(
        self,
        message: str = "",
        *,
        provider: str | None = None,
        model: str | None = None,
        operation: str | None = None,
        status: int | None = None,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        raw: Any = None,
    ) -> None:
        self.message = clean(message)
        self.provider = provider
        self.model = model
        self.operation = operation
        self.status = status
        self.code = code
        self.type = type
        self.param = param
        self.request_id = request_id
        self.retry_after = retry_after
        self.raw = raw
        self.attempts: list[dict[str, Any]] = []
        self.partial: Any = None
        self.possibly_billed = 0
        self.retryable = KINDS[self.kind][0]
        super().__init__(self.message)

    def __str__(self) -> str:
        where = ": ".join(x for x in (self.provider, self.operation) if x)
        tail = [f"HTTP {self.status}"] if self.status else []
        if self.code and self.code not in self.message:
            tail.append(str(self.code))
        if self.request_id:
            tail.append(f"request {self.request_id}")
        text = f"{where}: {self.message}" if where else self.message
        return f"{text} ({', '.join(tail)})" if tail else text

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON of the error: its kind and every known attribute; absent ones are left out."""
        names = ("provider", "model", "operation", "status", "code", "type", "param", "request_id", "retry_after", "raw")
        out: dict[str, Any] = {"kind": self.kind, "message": self.message, "retryable": self.retryable}
        out.update((n, v) for n in names if (v := getattr(self, n)) is not None)
        if self.attempts:
            out["attempts"] = self.attempts
        if self.possibly_billed:
            out["possibly_billed"] = self.possibly_billed
        if self.partial is not None:
            out["partial"] = self.partial.to_dict() if hasattr(self.partial, "to_dict") else self.partial
        return out


def clean(text: Any) -> str:
    """Text that is safe to print: control characters escaped, at most 2,000 characters (RELIABILITY E3, M5)."""
    shown = _cut(text if isinstance(text, str) else str(text))
    if not shown.isprintable():
        shown = _cut("".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in shown))
    return shown


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"


class ConfigError(Error):
    """Bad options, a missing key or a wrong spec; nothing was sent."""

    kind = "config"


class SpecError(ConfigError):
    """A spec file cannot be used. `problems` lists every finding with file, line and column."""

    def __init__(self, problems: list[Any] | str, **where: Any) -> None:
        self.problems = [] if isinstance(problems, str) else list(problems)
        super().__init__(problems if isinstance(problems, str) else "\n".join(str(p) for p in problems), **where)


def _class(kind: str, doc: str) -> type[Error]:
    name = "".join(w.capitalize() for w in kind.split("_")) + "Error"
    return type(name, (Error,), {"kind": kind, "__doc__": doc, "__module__": __name__})


UnsupportedError = _class("unsupported", "The spec cannot express what was asked; nothing was sent.")
InvalidRequestError = _class("invalid_request", "The provider refused the request (400, 405, 409, 415, 422).")
ContextLengthError = _class("context_length", "The input is longer than the model's window.")
ContentFilterError = _class("content_filter", "The provider's filter refused the request.")
TooLargeError = _class("too_large", "The request is larger than the provider takes (413).")
AuthenticationError = _class("authentication", "The key was refused (401).")
PermissionError = _class("permission", "The key may not do this (403).")
NotFoundError = _class("not_found", "No such model or resource (404, 410).")
QuotaError = _class("quota", "Out of credit (402, or a 429 the spec declares so).")
RateLimitError = _class("rate_limit", "Too many requests (429); `retry_after` says how long to wait, if known.")
OverloadedError = _class("overloaded", "The provider is overloaded (503, 529).")
ServerError = _class("server", "The provider failed (other 5xx).")
TimeoutError = _class("timeout", "An attempt took too long.")
ConnectionError = _class("connection", "Name lookup, connect, reset or a short body.")
TlsError = _class("tls", "Certificate or handshake refused.")
ProtocolError = _class("protocol", "The answer cannot be understood.")
StreamInterruptedError = _class("stream_interrupted", "A stream ended before its end mark; `partial` holds what arrived.")
LimitError = _class("limit", "One of the engine's safety limits was passed.")
DeadlineError = _class("deadline", "The call's total time is used up.")
LocalLimitError = _class("local_limit", "The caller's own limiter, queue or budget said no; nothing was sent.")
UnavailableError = _class("unavailable", "Every target is set aside.")
AmbiguousError = _class("ambiguous", "An unsafe operation may or may not have happened.")

_BY_KIND: dict[str, type[Error]] = {c.kind: c for c in Error.__subclasses__()}
__all__ += [c.__name__ for c in _BY_KIND.values()]


def for_kind(kind: str) -> type[Error]:
    """The class of a kind: `for_kind("rate_limit")` is RateLimitError."""
    return _BY_KIND[kind]
