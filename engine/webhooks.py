"""Webhooks: a delivery is verified before a word of it is believed, and then stands for what polling would have said.

    delivery = client.webhook("replicate", request.headers, request.body)      # AuthenticationError if it is not his
    if not delivery.repeated:
        picture = client.job(delivery.job_id).wait(delivery=delivery)          # asks nothing that the delivery has said

The signature covers the raw body, so hand that over as it came. It is compared in constant time; a delivery that is older than
the provider's file allows (five minutes, unless it says otherwise) or from the future is refused (RELIABILITY J1).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.call.json import JsonError, loads
from engine.call.read import read_value
from engine.call.request import build
from engine.errors import AuthenticationError, ConfigError, Error, LimitError, ProtocolError
from engine.leaving import passing
from engine.types import _Plain

if TYPE_CHECKING:  # what a call needs is loaded by who makes one: verifying takes none of it
    from engine.call.flow import Call
    from engine.call.step import Flow
    from engine.calling import Caller
    from engine.client import AsyncClient, Client
    from engine.plan import Webhooks

__all__ = ["Delivery", "Seen", "public_keys", "receive", "receive_async", "said", "verify"]

LARGEST = 16 << 20  # bytes of a delivery
MOST = 32  # signatures of one delivery that are looked at
REMEMBERED = 10_000  # deliveries whose repetition is noticed
KEYS_KEPT = 3600.0  # seconds public keys are used before they are asked for again
KEYS_FRESH = 60.0  # seconds within which an unknown signature is no reason to ask again


@dataclass(slots=True, repr=False, eq=False, match_args=False)
class Delivery(_Plain):
    """A verified webhook. `document` is its body; `poll` and `result` are what of it polling or the last call would have said."""

    provider: str
    id: str | None = None  # the same when it is repeated
    time: float | None = None  # Unix seconds at which it was signed
    event: str | None = None
    job_id: str | None = None
    document: Any = None
    poll: Any = None
    result: Any = None
    repeated: bool = False  # it was here before: answer as before, and do nothing


@dataclass(slots=True)
class Seen:
    """What a client remembers: deliveries, to know a repeated one, and public keys."""

    ids: OrderedDict[tuple[str, str], None] = field(default_factory=OrderedDict)
    keys: dict[str, tuple[float, list[bytes]]] = field(default_factory=dict)

    def again(self, provider: str, id: str | None) -> bool:
        """Whether a delivery was here before; it is remembered."""
        if id is None:
            return False
        known = (provider, id) in self.ids
        self.ids[(provider, id)] = None
        while len(self.ids) > REMEMBERED:
            self.ids.popitem(last=False)
        return known


def receive(client: Client, provider: str, headers: Any, body: bytes | str, secret: str | Sequence[str] | None) -> Delivery:
    """The Delivery that headers and raw body are."""
    from engine.calling import _leaving

    problem: Error
    try:
        found: Delivery = client._driver.run(_receiving(client, provider, headers, body, secret))
        return found
    except Exception as caught:
        problem = _leaving(caught, None)
    except BaseException as stop:
        raise passing(stop)  # noqa: B904
    raise problem


async def receive_async(
    client: AsyncClient, provider: str, headers: Any, body: bytes | str, secret: str | Sequence[str] | None
) -> Delivery:
    """The same on an event loop."""
    from engine.calling import _leaving

    problem: Error
    try:
        found: Delivery = await client._driver.run(_receiving(client, provider, headers, body, secret))
        return found
    except Exception as caught:
        problem = _leaving(caught, None)
    except BaseException as stop:
        raise passing(stop)  # noqa: B904
    raise problem


def _receiving(client: Caller, provider: str, headers: Any, body: bytes | str, secret: str | Sequence[str] | None) -> Flow:
    catalog, now = client.catalog, client._clock.time()
    provider = catalog.resolve(provider)
    plan: Webhooks = catalog.webhooks(provider)
    raw = body.encode() if isinstance(body, str) else bytes(body)
    if len(raw) > LARGEST:
        raise LimitError(f"the delivery is larger than {LARGEST} bytes", provider=provider)
    contexts = [context_of(headers, raw, found) for found in _secrets(client, provider, plan, secret)]
    if client.seen is None:
        client.seen = Seen()
    seen = client.seen
    keys: list[bytes] = []
    if plan.keys is not None:
        keys = yield from _keys(client, provider, plan, seen, KEYS_KEPT, now)
    try:
        context = verify(plan, contexts, now, keys)
    except AuthenticationError:
        held = seen.keys.get(provider)
        if plan.keys is None or held is None or now - held[0] < KEYS_FRESH:
            raise
        keys = yield from _keys(client, provider, plan, seen, KEYS_FRESH, now)  # it may be signed with a new one
        context = verify(plan, contexts, now, keys)
    found = said(provider, plan, context)
    found.repeated = seen.again(provider, found.id)
    return found


def _secrets(client: Caller, provider: str, plan: Webhooks, given: str | Sequence[str] | None) -> list[dict[str, Any]]:
    """The values of the secrets of a table: those given for this delivery, or the provider's settings, every one of a list."""
    from engine.secret import reveal
    from engine.settings import bind

    if given is not None:
        if len(plan.reads) != 1:
            raise ConfigError(f"the webhooks of {provider} are not verified with one secret", provider=provider)
        return [{plan.reads[0]: text} for text in ([given] if isinstance(given, str) else given)]
    settings = client._settings_of(provider)
    bound = bind(client.catalog.plan(provider), settings.plain(), os.environ)
    missing = [name for name in plan.reads if name not in bound.secrets]
    if missing:
        raise ConfigError(f"webhooks of {provider} are verified with `{missing[0]}`: pass secret=…, or set it", provider=provider)
    sets = [bound.secrets, *({**bound.secrets, **more} for more in settings.keys)]
    return [{**bound.values, **{name: value for name, value in reveal(one).items() if name in plan.reads}} for one in sets]


def context_of(headers: Any, raw: bytes, secrets: Mapping[str, Any]) -> dict[str, Any]:
    """What the templates of a table see. A body that is no UTF-8 was signed by nobody."""
    pairs: Iterable[tuple[Any, Any]] = headers.items() if hasattr(headers, "items") else headers
    named: dict[str, str] = {}
    for name, value in pairs:
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        named.setdefault((name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower(), text)
    try:
        return {**secrets, "headers": named, "body": raw.decode("utf-8")}
    except UnicodeDecodeError:
        raise AuthenticationError("the delivery is not text") from None


def verify(plan: Webhooks, contexts: Sequence[dict[str, Any]], now: float, keys: Sequence[bytes] = ()) -> dict[str, Any]:
    """The context whose secrets verify the delivery. AuthenticationError if it is none of the provider's, or not of now."""
    moment = _moment(plan, contexts[0])
    if plan.time is not None and (moment is None or abs(now - moment) > plan.tolerance):
        raise AuthenticationError("the delivery is too old, from the future, or does not say when it was signed")
    good: dict[str, Any] | None = None
    for context in contexts:
        given = plan.received(context)
        received = [str(item) for item in given] if isinstance(given, (list, tuple)) else [str(given)] if given is not None else []
        for text in received[:MOST]:  # every one is looked at, so that the time says nothing
            if _right(plan, context, text, keys):
                good = context
    if good is None:
        raise AuthenticationError("the signature of the delivery is not one of the provider's")
    return good


def _right(plan: Webhooks, context: dict[str, Any], text: str, keys: Sequence[bytes]) -> bool:
    if plan.scheme == "equals":
        key = plan.key(context) if plan.key is not None else None
        return bool(key) and hmac.compare_digest(str(key).encode(), text.encode())
    signed = plan.signed(context) if plan.signed is not None else None
    if signed is None or not text.startswith(plan.prefix):
        return False
    text, message = text[len(plan.prefix) :], str(signed).encode()
    if plan.scheme == "hmac":
        key = _bytes(plan.key_as, str(plan.key(context))) if plan.key is not None and plan.key(context) else b""
        made = hmac.digest(key, message, "sha256")
        shown = made.hex() if plan.written == "hex" else base64.b64encode(made).decode()
        return bool(key) and hmac.compare_digest(shown.encode(), text.encode())
    try:
        signature = _bytes(plan.written, text)
    except ConfigError:
        return False
    return any(_signed_by(key, signature, message) for key in keys)


def _bytes(written: str, text: str) -> bytes:
    try:
        if written == "hex":
            return bytes.fromhex(text)
        if written == "base64":
            return base64.b64decode(text.translate(_STANDARD) + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise ConfigError(f"the key of the webhooks is not {written}") from None
    return text.encode()


_STANDARD = str.maketrans("-_", "+/")


def _signed_by(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise ConfigError("these webhooks are verified with `cryptography`: install llmkit-engine[jwt]") from None
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _moment(plan: Webhooks, context: dict[str, Any]) -> float | None:
    text = plan.time(context) if plan.time is not None else None
    try:
        return float(str(text)) if text is not None else None
    except ValueError:
        return None


def said(provider: str, plan: Webhooks, context: dict[str, Any]) -> Delivery:
    """What a verified delivery says. ProtocolError if it is not JSON."""
    try:
        document = loads(context["body"].encode())
    except JsonError:
        raise ProtocolError("the delivery is not JSON", provider=provider) from None

    def at(query: Any) -> Any:
        return query(document) if query is not None else None

    job, event = at(plan.job), at(plan.event)
    id = plan.id(context) if plan.id is not None else None
    return Delivery(
        provider=provider,
        id=str(id) if id is not None else None,
        time=_moment(plan, context),
        event=str(event) if event is not None else None,
        job_id=str(job) if job is not None else None,
        document=document,
        poll=at(plan.poll),
        result=at(plan.result),
    )


def _bare(client: Caller, provider: str) -> Call:
    """A call in the surroundings of a provider, for an exchange that is no operation's."""
    from engine.call.flow import Call
    from engine.reliability.attempts import Attempts
    from engine.reliability.deadline import Deadline

    operations = client.catalog.plan(provider).operations
    if not operations:
        raise ConfigError(f"{provider} has no operation", provider=provider)
    target = client._target(f"{provider}/webhooks", operations[0], None)
    limits, clock = target.limits, client._clock
    run = Attempts(target.name, limits, Deadline(clock, limits.deadline), clock, target.bucket, target.provider.ring)
    bound, keys, tokens = target.operation, target.credentials, target.provider.tokens
    return Call(bound, None, target.route, run, clock, keys, tokens, lambda response: None)


def _keys(client: Caller, provider: str, plan: Webhooks, seen: Seen, kept: float, now: float) -> Flow:
    """The provider's public keys, asked for again when they have been kept for so many seconds."""
    from engine.call.flow import exchanged

    held = seen.keys.get(provider)
    if held is not None and now - held[0] < kept:
        return held[1]
    call = _bare(client, provider)
    wanted, operation = plan.keys, call.operation

    def ready() -> Flow:
        request = build(wanted, dict(operation.values), operation.base_url, operation.plan, main=False)  # type: ignore[arg-type]
        return (yield from call.signed(request, wanted.auth))  # type: ignore[union-attr]

    def read(answer: Any) -> Any:
        return read_value(wanted, operation.plan, answer.status, answer.headers, answer.body, now)[0]  # type: ignore[arg-type]

    value, _ = yield from exchanged(call, None, read, ready)
    found = public_keys(value)
    if not found:
        raise ProtocolError("the answer holds no public key", provider=provider)
    seen.keys[provider] = (now, found)
    return found


def public_keys(value: Any) -> list[bytes]:
    """The keys of a list of base64url texts; what is none is left out."""
    found: list[bytes] = []
    for text in value if isinstance(value, list) else [value]:
        try:
            found.append(_bytes("base64", str(text)))
        except Error:
            continue
    return found
