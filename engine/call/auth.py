"""Credentials are put into a request, after the tokens they need were made (SPEC_LANGUAGE 9).

Signing is a generator: it yields the requests of token calls, or which identity of the machine it needs, and is sent what
they give, so that sync and async drive the same code and most calls, whose tokens are cached or unneeded, never leave it.
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Mapping
from typing import Any

from engine import errors
from engine.call import counts
from engine.call.address import check_headers, clean, header_text, origin, set_header
from engine.call.json import JsonError, dumps, loads
from engine.call.outputs import timestamp
from engine.call.read import read_value
from engine.call.request import build, deep_merge, with_query
from engine.call.send.identity import KEPT, Identify
from engine.call.sign import SIGNERS
from engine.call.sign.jwt import make_jwt
from engine.plan import Auth, Call, OperationPlan, Token
from engine.secret import Secret
from engine.types import HttpRequest

EARLY = 60.0  # seconds before its expiry at which a token is no longer used
UNSTATED = 300.0  # seconds a token is kept whose reply states no expiry

#: it is sent (status, headers, body) of a token call, or what an identity gives
Signing = Generator[HttpRequest | Identify, Any, HttpRequest]


class TokenCache:
    """The tokens of one credential set. Whoever shares it between threads holds one lock around a fetch."""

    __slots__ = ("_tokens",)

    def __init__(self) -> None:
        self._tokens: dict[int, tuple[Token, Any, float]] = {}  # the token is kept so that its id stays its own

    def get(self, token: Token, now: float) -> Any:
        """The value, or None if there is none that lives for another minute."""
        found = self._tokens.get(id(token))
        return found[1] if found is not None and found[2] - EARLY > now else None

    def put(self, token: Token, value: Any, expires: float, now: float) -> None:
        """Keep a value until `expires` (Unix seconds)."""
        self._tokens = {k: v for k, v in self._tokens.items() if v[2] > now}
        self._tokens[id(token)] = (token, value, expires)

    def values(self) -> list[Any]:
        """Every token that is kept: what must be masked wherever it turns up."""
        return [value for _, value, _ in self._tokens.values()]

    def invalidate(self) -> None:
        """Forget all: the provider refused one."""
        self._tokens = {}


class Credential(dict[str, Any]):
    """The secrets of one key, and the headers that they come to in every request, once `known`: see `standing`."""

    __slots__ = ("headers", "known")

    def __init__(self, secrets: Mapping[str, Any]) -> None:
        super().__init__(secrets)
        self.headers: tuple[tuple[str, Secret], ...] | None = None
        self.known = False


class _Asked(dict[str, Any]):
    """A context that notes whether a template asked it for what differs from request to request."""

    differs = False

    def get(self, name: str, default: Any = None) -> Any:
        self.differs = self.differs or name in ("$now", "$uuid")
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self.get(name)


def standing(auth: Auth, values: Mapping[str, Any]) -> tuple[tuple[str, Secret], ...] | None:
    """The headers of a credential that is the same in every request; None if it is made for each, or is no header.

    `values` as for `sign`. Raises ConfigError for a credential that is missing or malformed.
    """
    auth = chosen(auth, values)
    if auth.tokens or auth.scheme not in _STANDING:
        return None
    context, request = _Asked(values), HttpRequest("", "")
    put(auth, request, context, 0.0)
    return None if context.differs else tuple([(name, Secret(value)) for name, value in request.headers.items()])


def sign(
    auth: Auth,
    request: HttpRequest,
    values: Mapping[str, Any],
    now: float,
    tokens: TokenCache,
    *,
    plan: OperationPlan | None = None,
    base_url: str | None = None,
) -> Signing:
    """The request with credentials. Yields token calls, is sent (status, headers, body) of each.

    `values` are the opened secrets, provider variables, and `$uuid`; `now` Unix seconds. Token calls may go to the hosts
    of `plan` and to `base_url`'s (default: where the request itself goes).

    Raises ConfigError for a credential that is missing or malformed, and the typed error of a failed token call. No message
    quotes a credential.
    """
    auth = chosen(auth, values)
    context: dict[str, Any] = {"$uuid": _no_uuid, **values, "$now": now}
    for token in auth.tokens:
        value = tokens.get(token, now)
        if value is None:
            value, expires = yield from _make(token, request, context, now, tokens, plan, base_url)
            if value is None:
                raise errors.ConfigError(f"the token {token.name} has no value")
            tokens.put(token, value, expires, now)
        context[token.name] = value
    put(auth, request, context, now)
    return request


def put(auth: Auth, request: HttpRequest, context: dict[str, Any], now: float) -> None:
    """Put the credential into the request. `auth` is `chosen`; `context` has what its templates read, tokens too."""
    if auth.scheme != "none":
        _PUT[auth.scheme](request, auth.value(context) if auth.value is not None else None, auth, now)


def chosen(auth: Auth, values: Mapping[str, Any]) -> Auth:
    """The way of signing itself: of several the first whose secrets are all present."""
    if auth.scheme != "any":
        return auth
    for _, option in auth.options:
        if option.scheme == "any":
            if any(all(values.get(n) for n in inner.needs) for _, inner in option.options):
                return chosen(option, values)
        elif all(values.get(name) for name in option.needs):
            return option
    ways = " or ".join(" and ".join(option.needs) for _, option in auth.options if option.needs)
    raise errors.ConfigError(f"no credential: set {ways}" if ways else "no credential")


# --- tokens ---------------------------------------------------------------------------------------------------------


def _make(
    token: Token,
    request: HttpRequest,
    context: dict[str, Any],
    now: float,
    tokens: TokenCache,
    plan: OperationPlan | None,
    base_url: str | None,
) -> Generator[HttpRequest | Identify, Any, tuple[Any, float]]:
    """(value, expiry in Unix seconds) of a token."""
    if token.source is not None:
        value, end = yield Identify(token.source, (token.options(context) if token.options else None) or {})
        return value, end or now + (token.ttl or KEPT)
    if token.jwt is not None:
        return make_jwt(token.jwt(context) or {}), now + (token.ttl or UNSTATED)
    if token.call is None:
        raise errors.ConfigError(f"the token {token.name} is neither a call nor a jwt")
    host = base_url or _origin(request.url)
    value, document = yield from _exchange(token.call, token.name, context, now, tokens, plan or _bare(host), host)
    return value, _expiry(token, document, now)


def _exchange(
    call: Call, name: str, context: dict[str, Any], now: float, tokens: TokenCache, plan: OperationPlan, base_url: str
) -> Generator[HttpRequest | Identify, Any, tuple[Any, Any]]:
    """(value, document) of a call and of the calls before it; nothing if its `when` is false."""
    if call.when is not None and not call.when(context):
        return None, None
    for before, earlier in call.before:
        value, _ = yield from _exchange(earlier, before, context, now, tokens, plan, base_url)
        context = {**context, before: value}
    wanted = build(call, context, base_url, plan, main=False)
    if call.auth is not None:
        wanted = yield from sign(call.auth, wanted, context, now, tokens, plan=plan, base_url=base_url)
    wanted.context = None  # it holds the opened secrets
    status, headers, body = yield wanted
    try:
        return read_value(call, plan, status, headers, body, now)
    except errors.Error as error:
        raise _refused(error, name) from None


def _refused(error: errors.Error, name: str) -> errors.Error:
    """A token endpoint that answers 400 or 403 refuses the credential, whatever the words."""
    kind = "authentication" if error.kind in ("invalid_request", "permission") and error.status in (400, 403) else error.kind
    told = errors.for_kind(kind)(
        f"the token {name} was refused: {error.message}" if error.status else error.message,
        provider=error.provider,
        operation=error.operation,
        status=error.status,
        code=error.code,
        type=error.type,
        request_id=error.request_id,
        retry_after=error.retry_after,
        raw=error.raw,
    )
    told.retryable = error.retryable if kind == error.kind else told.retryable
    return told


def _expiry(token: Token, document: Any, now: float) -> float:
    """When a fetched token ends: `expires_at` (epoch s, epoch ms, ISO date), `expires_in` (seconds), `ttl`."""
    call = token.call
    if call is not None and call.expires_at is not None:
        moment = timestamp(_ask(call.expires_at, document))
        if moment is not None:
            return float(moment)
    if call is not None and call.expires_in is not None:
        seconds = counts.real(_ask(call.expires_in, document))
        if seconds is not None and seconds > 0:
            return now + seconds
    return now + (token.ttl or (call.ttl if call is not None else None) or UNSTATED)


def _ask(query: Any, document: Any) -> Any:
    try:
        return query(document)
    except Exception:  # an expiry that cannot be read is one that is not stated
        return None


def _origin(url: str) -> str:
    scheme, host, port = origin(url)
    return f"{scheme}://{host}:{port}"


def _bare(base_url: str) -> OperationPlan:
    """What a token call needs of a plan when signing was given none."""
    return OperationPlan("", "auth", None, (), Call("GET", lambda _: None), Auth(), lambda _: base_url)


def _no_uuid(name: str | None = None) -> str:
    raise errors.ConfigError("the credentials need uuid(), which was not given to sign")


# --- where a credential stands --------------------------------------------------------------------------------------


def _mapping(given: Any, scheme: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping) or not given:
        raise errors.ConfigError(f"auth: the {scheme} credential has no value; is its key set?")
    return given


def _bearer(request: HttpRequest, given: Any, auth: Auth, now: float) -> None:
    text = header_text(given).strip() if given is not None else ""
    if not text:
        raise errors.ConfigError(_missing(auth))
    set_header(request.headers, "Authorization", clean(f"Bearer {text}", "Authorization"))


def _header(request: HttpRequest, given: Any, auth: Auth, now: float) -> None:
    if not given:
        raise errors.ConfigError(_missing(auth))
    _set(request, _mapping(given, "header"))


def _query(request: HttpRequest, given: Any, auth: Auth, now: float) -> None:
    if not given:
        raise errors.ConfigError(_missing(auth))
    values = {k: v.strip() if isinstance(v, str) else v for k, v in _mapping(given, "query").items()}
    request.url = with_query(request.url, values)


def _basic(request: HttpRequest, given: Any, auth: Auth, now: float) -> None:
    pair = _mapping(given, "basic")
    name, password = (header_text(pair.get(k) if pair.get(k) is not None else "").strip() for k in ("username", "password"))
    if not name and not password:
        raise errors.ConfigError(_missing(auth))
    text = base64.b64encode(f"{name}:{password}".encode()).decode()
    _set(request, {"Authorization": f"Basic {text}"})


def _body(request: HttpRequest, given: Any, auth: Auth, now: float) -> None:
    if not given:
        raise errors.ConfigError(_missing(auth))
    try:
        document = loads(request.body) if request.body else {}
        if not isinstance(document, dict):
            raise errors.ConfigError("auth: a credential for the body needs a body that is a JSON mapping")
        request.body = dumps(deep_merge(document, _mapping(given, "body")))
    except JsonError:
        raise errors.ConfigError("auth: a credential for the body needs a body that is a JSON mapping") from None
    set_header(request.headers, "Content-Type", "application/json")


def _signer(request: HttpRequest, given: Any, auth: Auth, now: float) -> None:
    signer = SIGNERS.get(auth.signer or "")
    if signer is None:
        raise errors.ConfigError(f"`{auth.signer}` is not a known signer")
    signer(request, _mapping(given, "sign"), now)
    request.headers = check_headers(request.headers)  # a session token stands in one as it was given


_PUT = {"bearer": _bearer, "header": _header, "query": _query, "basic": _basic, "body": _body, "sign": _signer}

_STANDING = frozenset(("none", "bearer", "header", "basic"))


def _set(request: HttpRequest, headers: Mapping[str, Any]) -> None:
    for name, value in check_headers(headers).items():
        set_header(request.headers, name, value)


def _missing(auth: Auth) -> str:
    names = " and ".join(auth.needs or auth.reads)
    return f"no credential: {names} is not set" if names else "no credential: what `auth` reads is not set"
