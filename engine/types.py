"""The neutral vocabulary as Python values: requests, events, responses.

All are slotted and plain; `to_dict()` gives JSON with exactly the field names of SPEC_LANGUAGE 12 (money as strings,
absent fields left out).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

__all__ = ["Choice", "Citation", "Event", "HttpRequest", "Part", "Report", "Response", "Usage"]


def plain(value: Any) -> Any:
    """Plain JSON of a value of this module."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, dict):
        if value.get("via") == "data" and "bytes" in value:  # a file of a request is told by its name and size
            value = {k: v for k, v in value.items() if k not in ("bytes", "data")}
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        import base64

        return base64.b64encode(value).decode()
    return value


class _Plain:
    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Set fields as plain JSON; fields that are None are left out."""
        return {f.name: plain(v) for f in fields(self) if (v := getattr(self, f.name)) is not None and f.name[0] != "_"}  # type: ignore[arg-type]

    # one for all instead of one written for each class: that takes longer than a class is worth in a short process
    def __repr__(self) -> str:
        shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr)  # type: ignore[arg-type]
        return f"{type(self).__name__}({shown})"

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, f.name) == getattr(other, f.name) for f in fields(self) if f.compare)  # type: ignore[arg-type]

    __hash__ = None  # type: ignore[assignment]


class Headers(dict[str, str]):
    """Header fields of a reply by lower-case name, so that nobody lowers them twice."""

    __slots__ = ()


def _unset(owner: Any, name: str) -> Any:
    """The value of an attribute that nobody has set: what a pending bill comes to (engine.accounting.pending)."""
    if name not in ("cost", "price_lines", "price_note", "attempts") or owner._pending is None:
        raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")
    value = owner._pending.value(name)
    setattr(owner, name, value)
    return value


@dataclass(slots=True, repr=False, eq=False, match_args=False)
class HttpRequest(_Plain):
    """One HTTP request, ready but for credentials. `url` is absolute, `headers` keep their case."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None  # bytes; or for files an engine.call.content.Content, which is read while it is sent
    stream: bool = False
    report: Report | None = None
    context: dict[str, Any] | None = field(default=None, repr=False)  # what the templates saw; never sent or shown
    public: bool = False  # it may go to addresses of the open internet only (RELIABILITY A7)

    def __repr__(self) -> str:
        """Where it goes and no more: its headers, query and body may hold credentials and prompts."""
        return f"<HttpRequest {self.method} {self.url.partition('?')[0]}>"

    def to_dict(self) -> dict[str, Any]:
        """Method, url, headers and body (parsed if it is JSON)."""
        body: Any = self.body
        if hasattr(body, "shown"):
            body = body.shown()
        elif body is not None:
            try:
                body = json.loads(body)
            except ValueError:
                body = plain(body)
        return {"method": self.method, "url": self.url, "headers": dict(self.headers), "body": body}


@dataclass(slots=True, repr=False, eq=False, match_args=False)
class Stored(_Plain):
    """Content of an answer that was written to a file: where, and how many bytes."""

    path: str
    bytes: int


@dataclass(slots=True, repr=False, eq=False, match_args=False)
class Report(_Plain):
    """What became of the call: the fate of every parameter, what was dropped, attempts, timings, price lines.

    `price_lines` are {class, quantity, unit, price, cost, source}, money in USD as Decimal; `price_note` says why a cost is
    unknown, or how the provider's own differs. `parameters` maps a canonical name to {fate, to?, value?, sent?, reason?};
    fate is sent, renamed, clamped, default, template (a template of the spec reads it), dropped or refused. `warnings` are
    sentences for people.
    """

    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)  # seconds: total, first_event
    price_lines: list[dict[str, Any]] = field(default_factory=list)
    price_note: str | None = None
    ignored_events: dict[str, int] = field(default_factory=dict)
    route: dict[str, Any] | None = None  # of a routed call: name, policy, chosen, reasons, skipped
    cache: dict[str, Any] | None = None  # of a client with a cache: hit; from, age, saved; kept, why
    _pending: Any = field(default=None, init=False, repr=False, compare=False)  # a bill that is made when somebody looks

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return _unset(self, name)


@dataclass(slots=True, repr=False, eq=False, match_args=False)
class Part(_Plain):
    """One piece of a message, in order (SPEC_LANGUAGE 12.1). `type` says which fields count."""

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    arguments: Any = None  # parsed; text when the model wrote invalid JSON (`invalid` is then true)
    arguments_json: str | None = None
    invalid: bool | None = None
    signature: str | None = None
    redacted: str | None = None
    server: bool | None = None  # of a call or result of a tool that the provider ran
    is_error: bool | None = None  # of a result
    media_type: str | None = None
    data: str | None = None  # base64
    url: str | None = None
    filename: str | None = None
    dialect: str | None = None  # of a part with a native item: the only dialect it may return to
    native: Any = None  # the item as it came
    signed_by: str | None = None  # dialect and provider of a signature
    citations: list[Citation] | None = None
    extra: dict[str, Any] | None = None


@dataclass(slots=True, repr=False, eq=False, match_args=False)
class Citation(_Plain):
    """A source the model names; start and end are offsets in the text, as the provider counts them."""

    url: str | None = None
    title: str | None = None
    text: str | None = None
    start: int | None = None
    end: int | None = None
    source: str | None = None
    index: int | None = None


@dataclass(slots=True, repr=False, eq=False, match_args=False)
class Usage(_Plain):
    """Counters of a call. Tokens are integers, times seconds, cost USD. None is unknown, never zero.

    `input_tokens` includes cached tokens and `output_tokens` includes reasoning, for every provider.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    total_tokens: int | None = None
    seconds: float | None = None
    characters: int | None = None
    images: int | None = None
    pages: int | None = None
    searches: int | None = None
    cost: Decimal | None = None


class Event:
    """One thing that happened in an answer: `kind`, `choice` and the kind's fields as attributes (None if absent)."""

    __slots__ = ("choice", "fields", "kind")

    if TYPE_CHECKING:
        text: str | None
        full: str | None
        id: str | None
        name: str | None
        arguments: Any
        index: int | None
        signature: str | None
        redacted: str | None
        reason: str | None
        detail: str | None
        message: str | None
        response: Response | None
        data: Any

    def __init__(self, kind: str, fields: dict[str, Any], choice: int = 0) -> None:
        self.kind = kind
        self.fields = fields
        self.choice = choice

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.fields.get(name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.kind, self.choice))

    def __repr__(self) -> str:
        inside = "".join(f" {k}={v!r}" for k, v in self.fields.items() if v is not None)
        return f"<{self.kind}{inside}>" if not self.choice else f"<{self.kind}[{self.choice}]{inside}>"

    def to_dict(self) -> dict[str, Any]:
        """{kind, choice, and the set fields}; the kind of an error stands under `error_kind`."""
        out = {"kind": self.kind, "choice": self.choice}
        out.update(("error_kind" if k == "kind" else k, plain(v)) for k, v in self.fields.items() if v is not None)
        return out


@dataclass(slots=True, repr=False, eq=False, match_args=False)
class Choice(_Plain):
    """One candidate answer. `parts` holds everything in order; the rest are views of it."""

    index: int = 0
    parts: list[Part] = field(default_factory=list)
    text: str | None = None
    thinking: str | None = None
    refusal: str | None = None
    tool_calls: list[Part] = field(default_factory=list)  # the caller's tools; calls the provider ran are parts only
    citations: list[Citation] = field(default_factory=list)
    logprobs: list[Any] | None = None
    finish_reason: str | None = None
    finish_reason_raw: str | None = None


@dataclass(slots=True, repr=False, eq=False, match_args=False)
class Response(_Plain):
    """The whole answer. Every field of `choices[0]` can be read from the response itself."""

    id: str | None = None
    model: str | None = None
    provider: str | None = None
    created: int | None = None
    choices: list[Choice] = field(default_factory=list)
    outputs: list[Event] = field(default_factory=list)  # of operations without choices: embedding, result, model, …
    usage: Usage = field(default_factory=Usage)
    cost: Decimal | None = None
    warnings: list[str] = field(default_factory=list)
    report: Report = field(default_factory=Report)
    request_id: str | None = None
    rate_limits: dict[str, Any] | None = None
    completeness: str = "complete"  # "unverified": the provider has no end mark; "partial": what had come before an error
    raw: Any = None
    parsed: Any = None  # the validated object, when response_format was a type
    _pending: Any = field(default=None, init=False, repr=False, compare=False)  # a bill that is made when somebody looks

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return _unset(self, name)

    @property
    def _first(self) -> Choice:
        return self.choices[0] if self.choices else Choice()

    @property
    def text(self) -> str:
        return self._first.text or ""

    @property
    def thinking(self) -> str | None:
        return self._first.thinking

    @property
    def refusal(self) -> str | None:
        return self._first.refusal

    @property
    def parts(self) -> list[Part]:
        return self._first.parts

    @property
    def tool_calls(self) -> list[Part]:
        return self._first.tool_calls

    @property
    def citations(self) -> list[Citation]:
        return self._first.citations

    @property
    def logprobs(self) -> list[Any] | None:
        return self._first.logprobs

    @property
    def details(self) -> dict[str, Any]:
        """What only this wire says of the answer (its container, verdicts of a guardrail), streamed or whole."""
        found: dict[str, Any] = {}
        for event in self.outputs:
            found.update(event.fields["facts"] if event.kind == "details" else {})
        return found

    @property
    def finish_reason(self) -> str | None:
        return self._first.finish_reason

    @property
    def finish_reason_raw(self) -> str | None:
        return self._first.finish_reason_raw

    @property
    def embeddings(self) -> list[Any]:
        """The vectors in the order of the inputs: lists of numbers, of the type that was asked for."""
        found = [e.fields for e in self.outputs if e.kind == "embedding"]
        return [f["vector"] for f in sorted(found, key=lambda f: f.get("index") or 0)]

    @property
    def vectors(self) -> Any:
        """The vectors as one numpy array, a row for each input: float32, int8 or uint8, as they came. Needs numpy."""
        from engine.call.media import array_of

        dtype = next((e.fields.get("dtype") for e in self.outputs if e.kind == "embedding"), None)
        return array_of(self.embeddings, dtype)

    @property
    def models(self) -> list[Event]:
        """The models of a list: `id`, and `name`, `context`, `max_output`, `created`, `owner` where the provider says them."""
        return [e for e in self.outputs if e.kind == "model"]

    @property
    def voices(self) -> list[Event]:
        """The voices of a list, or the one that was made or deleted: `id`, and where the provider says them `name`, `languages`
        (a list), `gender` (female, male, neutral), `description`, `preview` (an address), `category` (premade, cloned, designed),
        `status`, `created` and `raw`, what he himself says of it."""
        return [e for e in self.outputs if e.kind == "voice"]

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message to append to `messages` of the next call: nothing is lost on the way back."""
        return {"role": "assistant", "parts": [p.to_dict() for p in self.parts]}

    def to_openai(self) -> dict[str, Any]:
        """The answer in the shape of an OpenAI chat completion."""
        from engine.call.openai_shape import completion

        return completion(self)
