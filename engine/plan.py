"""The waist: what a spec file becomes and what a request is executed with. Frozen; no YAML, no sockets.

`engine.spec.compile` makes these, `engine.call` runs them; both know only this module of each other. Every compiled
template is `f(context: dict) -> value or None`, every compiled query `f(document) -> value or None`, every compiled map
`f(document, emit, event=None, unknown=None)` with `emit(kind, choice, fields)`. A context holds request fields, provider
variables, `model_info`, and engine values under names no spec can write: `$report` (Report), `$uuid` (name -> text),
`$now` (Unix seconds).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, FrozenInstanceError, dataclass, field
from dataclasses import fields as fields_of
from functools import cache
from typing import Any, NoReturn, TypeVar, dataclass_transform

Template = Callable[[dict[str, Any]], Any]
Query = Callable[[Any], Any]
Map = Callable[..., None]
_Class = TypeVar("_Class", bound=type)


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
def frozen(made: _Class) -> _Class:
    """A frozen, slotted dataclass whose methods are those of `_Frozen`: writing them for each class is a twentieth of the
    time of a first call, and a plan is made once."""
    return dataclass(init=False, repr=False, eq=False, match_args=False, slots=True)(made)  # type: ignore[return-value]


@cache
def _fields(made: Any) -> dict[str, tuple[Any, Any]]:
    """A class's fields: what they are where nothing is given, or who makes it."""
    return {f.name: (f.default, f.default_factory) for f in fields_of(made)}


_set = object.__setattr__


class _Frozen:
    __slots__ = ()

    def __init__(self, *values: Any, **given: Any) -> None:
        fields = _fields(type(self))  # type: ignore[arg-type]
        given.update(zip(fields, values))
        for name, (default, make) in fields.items():
            if name in given:
                value = given.pop(name)
            elif default is not MISSING:
                value = default
            elif make is not MISSING:
                value = make()
            else:
                raise TypeError(f"{type(self).__name__} needs {name}")
            _set(self, name, value)
        if given:
            raise TypeError(f"{type(self).__name__} has no {', '.join(given)}")

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in fields_of(self))})"  # type: ignore[arg-type]


@frozen
class Token(_Frozen):
    """A credential that must be made first: fetched by a call, signed locally or the machine's own (SPEC_LANGUAGE 9)."""

    name: str
    call: Call | None = None
    jwt: Template | None = None  # -> {alg, key, headers?, claims}
    ttl: float | None = None  # seconds, of a jwt or of a call that states no expiry
    source: str | None = None  # whose identity of this machine (engine.call.send.identity)
    options: Template | None = None  # -> what that source is asked for


@frozen
class Auth(_Frozen):
    """How requests are signed. `scheme`: none bearer header query basic body sign any."""

    scheme: str = "none"
    value: Template | None = None  # bearer: text; header, query, body: mapping; basic: {username, password}; sign: its `with`
    signer: str | None = None
    tokens: tuple[Token, ...] = ()
    options: tuple[tuple[str, Auth], ...] = ()  # of `any`: the first whose `needs` are all present
    needs: tuple[str, ...] = ()  # secrets it reads that are not optional
    reads: tuple[str, ...] = ()  # every secret it reads


@frozen
class Call(_Frozen):
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
    outside: str = ""  # how a base URL may end that the path does not follow to there: "/v1"
    given: bool = False  # the URL's host is no text of the spec: a reply or a setting says it


@frozen
class Errors(_Frozen):
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


@frozen
class Stream(_Frozen):
    framing: str = "sse"  # sse ndjson eventstream json_array raw
    data: str = "json"  # json text sse ndjson
    map: Map | None = None  # None only for raw
    end: frozenset[str] = frozenset()  # further end marks; "eof": the provider has none
    call: Call | None = None  # only if streaming uses another call


@frozen
class Job(_Frozen):
    """How an operation that was submitted is followed to its end (SPEC_LANGUAGE 7.3)."""

    path: bool = True  # `id` is a query of the submit reply, else a template
    id: Callable[[Any], Any] | None = None
    poll: Call | None = None
    state: Query | None = None
    done: frozenset[str] = frozenset()  # native states; what stands in neither set still runs
    failed: frozenset[str] = frozenset()
    exists: frozenset[str] = frozenset()  # codes of the error that says: this submission was heard before
    error: Query | None = None
    progress: Query | None = None  # 0..1 or 0..100
    result: tuple[Call, ...] = ()
    cancel: Call | None = None
    every: float = 1.0  # seconds between questions, growing to `max_every`
    max_every: float = 30.0
    timeout: float = 600.0  # seconds; the deadline, unless the caller gives one


@frozen
class Realtime(_Frozen):
    """A session over a socket (SPEC_LANGUAGE 7.4). The operation's call is the handshake, its body the first message."""

    send: dict[str, tuple[Template, ...]] = field(default_factory=dict)  # client event but `open` -> messages
    map: Map | None = None
    gives: frozenset[str] = frozenset()  # kinds of outputs; with `session`, nothing follows the first message before it was told
    binary: str = "audio"  # what a binary message of the server is: audio json
    keepalive_every: float | None = None  # seconds
    subprotocols: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()  # that may be sent, the first by default
    rates: tuple[int, ...] = ()  # Hz, of what is sent
    out_formats: tuple[str, ...] = ()
    out_rate: int | None = None  # Hz of what comes; None: that of what is sent


@frozen
class Webhooks(_Frozen):
    """How a provider's webhooks are known to be his, and what they say (SPEC_LANGUAGE 7.3).

    Templates see `headers` (lower-case names), `body` (the raw text) and the secrets; queries see the body. `scheme`: hmac (its
    `key` is text, or the base64 or hex of the key: `key_as`), ed25519 (the provider's public `keys`), equals (`key` itself).
    """

    received: Template  # -> the signature that came, or several of which one has to be right
    scheme: str
    key: Template | None = None
    key_as: str = "text"  # text base64 hex
    signed: Template | None = None  # the text that is signed
    written: str = "hex"  # hex base64: how the signature is written
    prefix: str = ""  # of a signature
    keys: Call | None = None  # gives the public keys: base64url texts, as in a key set's `x`
    time: Template | None = None  # Unix seconds at which it was signed
    tolerance: float = 300.0  # seconds it may be old, or ahead
    id: Template | None = None  # the same when a delivery is repeated
    job: Query | None = None  # the provider's id of the job it is about
    event: Query | None = None
    poll: Query | None = None  # what `job.poll` would answer
    result: Query | None = None  # what the last call of `job.result` would answer
    reads: tuple[str, ...] = ()  # secrets


@frozen
class OperationPlan(_Frozen):
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
    native: dict[str, tuple[str, ...]] = field(default_factory=dict)  # parameters only this wire has -> their place in the body
    reads: frozenset[str] = frozenset()  # request names any template reads
    part_reads: frozenset[str] = frozenset()  # fields of messages, turns and parts any template reads
    part_types: frozenset[str] = frozenset()  # types with an entry in `parts`
    most: tuple[tuple[str, int], ...] = ()  # part type -> how many of them a request holds
    inline: frozenset[str] = frozenset()  # part types whose URLs the engine fetches first
    upload: tuple[tuple[str, Call], ...] = ()
    wrap: Template | None = None
    batch_size: int | None = None
    row_fields: tuple[str, ...] = ()  # of a batch: fields of a body that stand on its line; the others are said once for the job
    download_auth: bool = False  # addresses of outputs are fetched with the credential
    pages: dict[str, Query] = field(default_factory=dict)  # query name -> the next page's parameter in this page
    chat_dialect: str | None = None  # whose body `chat_body` is; None: what the provider's own chat sends
    response: Map | None = None
    job: Job | None = None
    stream: Stream | None = None
    realtime: Realtime | None = None
    errors: Errors = field(default_factory=Errors)
    usage_totals: dict[str, tuple[str, ...]] = field(default_factory=dict)
    finish_reasons: dict[str, str] = field(default_factory=dict)
    thinking_tags: tuple[str, str] | None = None
    replay: str = "safe"  # safe keyed unsafe
    idempotency_key: str | None = None
    request_id: tuple[str, ...] = ("x-request-id", "request-id")  # lower-case names of headers
    rate_limits: dict[str, dict[str, str]] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)  # seconds and counts of the provider's `limits`
    hosts: tuple[str, ...] = ()  # patterns besides the base URL's own host
    servers: tuple[str, ...] = ()  # settings that are origins the caller chose (`format: url`)
    allowed: tuple[str, ...] | None = None  # the hosts a spec from a stranger may reach at all; None: no such limit
    fields: dict[str, Any] = field(default_factory=dict)  # what else an operation kind needs (job, pages, realtime)
    capabilities: dict[str, Any] = field(default_factory=dict)  # flag -> true, false, "partial"; absent is unknown
    lacks: dict[str, str] = field(default_factory=dict)  # flag -> what is missing for its structural proof


@frozen
class ServedStream(_Frozen):
    """How a served answer is streamed: one template for every event (`chunk`), or one per moment of a block."""

    framing: str = "sse"
    match: str | None = None  # field that names a frame besides the framing's own event name
    number: str | None = None  # field that counts frames
    chunk: Template | None = None
    whole: frozenset[str] = frozenset()  # part types that are held until complete
    start: Template | None = None
    open: dict[str, Template] = field(default_factory=dict)  # part type -> frames
    delta: dict[str, Template] = field(default_factory=dict)
    close: dict[str, Template] = field(default_factory=dict)
    end: Template | None = None
    error: Template | None = None  # None: the `error` body is the frame
    done: bytes | None = None  # last text frame
    bare: str | None = None  # framing of a stream whose request lacks the query that ours has
    reads: frozenset[str] = frozenset()  # names of the reply and fields of parts its templates read
    writes: frozenset[str] = frozenset()  # part types with a place in it


@frozen
class Served(_Frozen):
    """One operation of a dialect spoken as a server: `serve` compiled beside the forward plan of the same tree.

    Templates of a reply see `id model created choices usage request` and the fields of choice 0, of an error `message code
    kind status param id`. `route` gives what method, path and query bind, or None; `accept` turns a body into the fields
    of a request and never raises on unknown input; `key` finds the client's key in headers and query.
    """

    dialect: str
    operation: str
    plan: OperationPlan
    key: Callable[[Mapping[str, str], Mapping[str, Any]], str | None]
    reply: Template
    error: Template
    counted: Callable[[Any], dict[str, Any]]  # canonical Usage -> the native usage object
    error_headers: Template | None = None
    status: dict[str, int] = field(default_factory=dict)  # kind of error -> HTTP status, every kind
    stream: ServedStream | None = None
    signature: str | None = None  # the signer, if a client may sign in place of sending a key
    finish: dict[str, str] = field(default_factory=dict)  # canonical finish reason -> native word
    usage: tuple[tuple[str, tuple[str, ...]], ...] = ()  # counter -> where it stands in the native usage object
    codes: dict[str, str] = field(default_factory=dict)  # kind of error -> native code
    reads: frozenset[str] = frozenset()  # names of the reply and fields of parts the `reply` reads
    writes: frozenset[str] = frozenset()  # part types with a place in a reply
    route: Callable[[str, str, Mapping[str, Any]], dict[str, Any] | None] | None = None
    accept: Callable[..., dict[str, Any]] | None = None
    content: str | None = None  # key of the body that holds the messages


@frozen
class Secret(_Frozen):
    """A declared credential: where it may be read from."""

    name: str
    env: tuple[str, ...] = ()
    format: str | None = None  # json: parsed
    optional: bool = False
    about: str | None = None


@frozen
class Variable(_Frozen):
    """A declared setting that is not secret."""

    name: str
    env: tuple[str, ...] = ()
    default: Template | None = None
    required: bool = False
    pattern: str | None = None  # matched against the whole value
    format: str | None = None  # url
    values: tuple[str, ...] = ()
    about: str | None = None


@frozen
class ProviderPlan(_Frozen):
    """Who and where: what must be known of a provider before one of its operations is compiled."""

    id: str
    name: str
    status: str = "active"
    status_note: dict[str, Any] = field(default_factory=dict)  # since, reason, instead
    about: str | None = None
    docs: str | None = None
    telemetry: str | None = None  # its name in OpenTelemetry's conventions, where that is not its id
    secrets: tuple[Secret, ...] = ()
    variables: tuple[Variable, ...] = ()
    base_url: Variable | None = None  # set when the operator chooses the server: `base_url: {env: …}`
    operations: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    default_model: str | None = None
    trust: str = "builtin"  # builtin local remote
    allowed: tuple[str, ...] | None = None  # the hosts the caller lets a remote spec reach
