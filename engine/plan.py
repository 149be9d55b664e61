"""The waist: what a spec file becomes and what a request is executed with. Frozen; no YAML, no sockets.

`engine.spec.compile` makes these, `engine.call` runs them; both know only this module of each other. Every compiled
template is `f(context: dict) -> value or None`, every compiled query `f(document) -> value or None`, every compiled map
`f(document, emit, event=None, unknown=None)` with `emit(kind, choice, fields)`. A context holds request fields, provider
variables, `model_info`, and engine values under names no spec can write: `$report` (Report), `$uuid` (name -> text),
`$now` (Unix seconds).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Template = Callable[[dict[str, Any]], Any]
Query = Callable[[Any], Any]
Map = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Token:
    """A credential that must be made first: fetched by a call or signed locally (SPEC_LANGUAGE 9)."""

    name: str
    call: Call | None = None
    jwt: Template | None = None  # -> {alg, key, headers?, claims}
    ttl: float | None = None  # seconds, of a jwt or of a call that states no expiry


@dataclass(frozen=True, slots=True)
class Auth:
    """How requests are signed. `scheme`: none bearer header query basic body sign any."""

    scheme: str = "none"
    value: Template | None = None  # bearer: text; header, query, body: mapping; basic: {username, password}; sign: its `with`
    signer: str | None = None
    tokens: tuple[Token, ...] = ()
    options: tuple[tuple[str, Auth], ...] = ()  # of `any`: the first whose `needs` are all present
    needs: tuple[str, ...] = ()  # secrets it reads that are not optional
    reads: tuple[str, ...] = ()  # every secret it reads


@dataclass(frozen=True, slots=True)
class Call:
    """One templated HTTP request (SPEC_LANGUAGE 4)."""

    verb: str  # GET, POST, …
    url: Template  # a path that starts with "/" or an absolute URL; holes already percent-encoded
    query: Template | None = None  # -> {name: text or list of text}
    headers: Template | None = None  # -> {name: text}
    payload: str = "none"  # none json form multipart binary xml jsonl
    body: Template | None = None
    reply: str = "json"  # json text binary jsonl http
    value: Query | None = None
    expires_in: Query | None = None
    expires_at: Query | None = None
    before: tuple[tuple[str, Call], ...] = ()
    when: Template | None = None
    until: Query | None = None
    ttl: float | None = None
    timeout: float | None = None
    auth: Auth | None = None  # None: the operation's
    base_url: Template | None = None  # None: the operation's


@dataclass(frozen=True, slots=True)
class Errors:
    """How a provider words its failures (SPEC_LANGUAGE 8). Queries are None where nothing is declared."""

    at: Query | None = None  # default: `error`, first list item, or the whole body
    message: Query | None = None
    code: Query | None = None
    type: Query | None = None
    param: Query | None = None
    status: Query | None = None
    ok: Query | None = None
    retry_after: Query | None = None
    kinds: dict[str, str] = field(default_factory=dict)  # native code or status (as text) -> kind
    phrases: dict[str, tuple[str, ...]] = field(default_factory=dict)  # kind -> lower-case texts


@dataclass(frozen=True, slots=True)
class Stream:
    framing: str = "sse"  # sse ndjson eventstream json_array raw
    data: str = "json"  # json text sse ndjson
    map: Map | None = None  # None only for raw
    end: frozenset[str] = frozenset()  # further end marks; "eof": the provider has none
    call: Call | None = None  # only if streaming uses another call


@dataclass(frozen=True, slots=True)
class OperationPlan:
    """One operation of one provider with one combination of model patches, compiled."""

    provider: str
    name: str  # "chat"
    dialect: str | None  # id of the dialect it extends, if any
    dialects: tuple[str, ...]  # the whole `extends` chain, nearest first
    call: Call
    auth: Auth
    base_url: Template
    params: Callable[..., Any] | None = None  # (context, body, report, policy) -> body with parameters laid in
    listed: frozenset[str] = frozenset()  # parameters the spec knows (table or template)
    reads: frozenset[str] = frozenset()  # request names any template reads
    part_reads: frozenset[str] = frozenset()  # fields of messages, turns and parts any template reads
    part_types: frozenset[str] = frozenset()  # types with an entry in `parts`
    inline: frozenset[str] = frozenset()  # part types whose URLs the engine fetches first
    upload: tuple[tuple[str, Call], ...] = ()
    wrap: Template | None = None
    batch_size: int | None = None
    response: Map | None = None
    stream: Stream | None = None
    errors: Errors = field(default_factory=Errors)
    usage_totals: dict[str, tuple[str, ...]] = field(default_factory=dict)
    finish_reasons: dict[str, str] = field(default_factory=dict)
    thinking_tags: tuple[str, str] | None = None
    replay: str = "safe"  # safe keyed unsafe
    idempotency_key: str | None = None
    request_id: tuple[str, ...] = ("x-request-id", "request-id")
    rate_limits: dict[str, dict[str, str]] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)  # seconds and counts of the provider's `limits`
    hosts: tuple[str, ...] = ()  # patterns besides the base URL's own host
    fields: dict[str, Any] = field(default_factory=dict)  # what else an operation kind needs (job, pages, realtime)
    capabilities: dict[str, Any] = field(default_factory=dict)  # flag -> true, false, "partial"; absent is unknown


@dataclass(frozen=True, slots=True)
class Secret:
    """A declared credential: where it may be read from."""

    name: str
    env: tuple[str, ...] = ()
    format: str | None = None  # json: parsed
    optional: bool = False
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared setting that is not secret."""

    name: str
    env: tuple[str, ...] = ()
    default: Template | None = None
    required: bool = False
    pattern: str | None = None  # matched against the whole value
    format: str | None = None  # url
    values: tuple[str, ...] = ()
    about: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderPlan:
    """Who and where: what must be known of a provider before one of its operations is compiled."""

    id: str
    name: str
    status: str = "active"
    status_note: dict[str, Any] = field(default_factory=dict)  # since, reason, instead
    about: str | None = None
    docs: str | None = None
    secrets: tuple[Secret, ...] = ()
    variables: tuple[Variable, ...] = ()
    base_url: Variable | None = None  # set when the operator chooses the server: `base_url: {env: …}`
    operations: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    default_model: str | None = None
    trust: str = "builtin"  # builtin local remote
