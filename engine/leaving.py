"""How an error leaves the engine: typed, complete, without a secret and without an inner exception (RELIABILITY E1, E3, S2, S5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from engine.call.json import loads
from engine.errors import ConfigError, Error, ProtocolError, clean
from engine.secret import MASK, Masker

if TYPE_CHECKING:
    from engine.call.flow import Call
    from engine.types import HttpRequest

__all__ = ["added_secrets", "bare", "foreign", "leaving", "masked", "passing", "secrets_of"]


RAW_LIMIT = 1 << 20  # characters of a body that an error keeps (RELIABILITY M1: error bodies)
TOO_LARGE = "(the body is larger than an error keeps)"


def leaving(error: Error, call: Call) -> Error:
    """The error of a call, ready to be raised: placed, masked, bare."""
    operation = call.operation
    error.provider = error.provider or operation.provider
    error.model = error.model or operation.model
    error.operation = error.operation or operation.name
    if not error.attempts:
        error.attempts = call.attempts.records
    return bare(masked(error, secrets_of(call)))


def secrets_of(call: Call) -> list[Any]:
    """Every secret a call knows: its keys, its tokens, and what signing made of them."""
    added = [secret for pair in call.pairs for secret in added_secrets(*pair)]
    tokens = [token for cache in call.tokens for token in cache.values()]
    return [*(s for keys in call.credentials for s in keys.values()), *added, *tokens]


def masked(error: Error, secrets: Iterable[Any]) -> Error:
    """The error with every known secret masked, wherever it stands in it."""
    masker = Masker(secrets)
    error.message = clean(masker.text(error.message))
    error.args = (error.message,)
    for name in ("code", "param", "type", "request_id"):
        value = getattr(error, name)
        if isinstance(value, str):
            setattr(error, name, clean(masker.text(value)))
    if error.raw is not None:
        error.raw = masker.value(error.raw) if _small(error.raw) else TOO_LARGE
    if error.partial is not None:
        _mask_in_place(error.partial, masker)
    return error


def _small(raw: Any) -> bool:
    """Whether a body is worth keeping in an error: as much of it is as an error body may have."""
    left, todo = RAW_LIMIT, [raw]
    while todo and left >= 0:
        value = todo.pop()
        left -= len(value) + 1 if isinstance(value, (str, bytes, bytearray, dict, list, tuple)) else 1
        if isinstance(value, dict):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple)):
            todo += value
    return left >= 0


def passing(stop: BaseException) -> BaseException:
    """A cancellation or an interrupt on its way through, without the frames whose variables hold requests and keys."""
    stop.__context__ = None
    return stop.with_traceback(None)


def bare(error: Error) -> Error:
    """The error without what hangs on it: inner exceptions, and frames whose variables hold requests and keys."""
    error.__cause__ = error.__context__ = None
    error.__suppress_context__ = True
    return error.with_traceback(None)


def foreign(problem: Exception, sent: bool) -> Error:
    """One of our errors for an exception that should not have happened, with the place it came from but not its values."""
    from engine.expr.function import locate

    frame = problem.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}" if frame is not None else "an unknown place"
    mark = locate(problem)
    where = f"{mark}, " if mark else ""
    kind = ProtocolError if sent else ConfigError
    what = "the reply could not be read" if sent else "the request could not be made"
    return kind(f"{what}: {type(problem).__name__} ({where}{place})")


SHORTEST = 20  # characters of a made credential; what is shorter is a date or a version (keys themselves are masked anyway)


def added_secrets(request: HttpRequest | None, signed: HttpRequest | None) -> Iterable[str]:
    """What signing wrote into a request: tokens and signatures are as secret as the keys they were made from."""
    if signed is None:
        return
    for name, value in signed.headers.items():
        if request is None or request.headers.get(name) != value:
            _, space, credential = value.partition(" ")
            credential = (credential if space else value).rpartition("Signature=")[2]  # its scope is no secret
            if len(credential) >= SHORTEST:
                yield credential
    if request is not None and request.url != signed.url:
        known = set(request.url.partition("?")[2].split("&"))
        for pair in signed.url.partition("?")[2].split("&"):
            if pair not in known:
                yield unquote_plus(pair.partition("=")[2])
    if request is not None and request.body != signed.body:
        yield from _added_leaves(_document(request.body), _document(signed.body))


def _added_leaves(before: Any, after: Any) -> Iterator[str]:
    """The texts of a document that another lacks."""
    if isinstance(after, dict):
        for key, value in after.items():
            yield from _added_leaves(before.get(key) if isinstance(before, dict) else None, value)
    elif isinstance(after, str) and after != before:
        yield after


def _document(body: bytes | None) -> Any:
    try:
        return loads(body) if body else None
    except ValueError:
        return None


def _mask_in_place(value: Any, masker: Masker, depth: int = 32) -> None:
    """Mask every text in a tree of our result types, lists and mappings."""
    if not depth:
        return
    names = _fields(value.__class__)
    if names is not None:
        entries: Any = [(n, getattr(value, n)) for n in names]
        put: Any = lambda n, v: setattr(value, n, v)  # noqa: E731
    elif isinstance(value, dict):
        entries, put = list(value.items()), value.__setitem__
    elif isinstance(value, list):
        entries, put = list(enumerate(value)), value.__setitem__
    elif hasattr(value, "fields"):
        return _mask_in_place(value.fields, masker, depth - 1)
    else:
        return None
    for key, inner in entries:
        if isinstance(inner, str):
            masked = masker.text(inner) if len(inner) > 3 else inner
            if masked != inner:
                put(key, masked)
        elif inner.__class__ not in _TEXTLESS:
            _mask_in_place(inner, masker, depth - 1)
    return None


_TEXTLESS = frozenset((type(None), bool, int, float))


@lru_cache(maxsize=256)
def _fields(kind: type) -> tuple[str, ...] | None:
    """The names of a dataclass's fields; None for any other type."""
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) else None


def masked_headers(headers: dict[str, str], unsigned: dict[str, str], masker: Masker) -> dict[str, str]:
    """Headers to be shown: what signing added keeps its scheme word only, the rest loses known secrets."""
    out = {}
    for name, value in headers.items():
        if unsigned.get(name) == value:
            out[name] = masker.text(value)
        else:
            scheme, space, _ = value.partition(" ")
            out[name] = f"{scheme} {MASK}" if space and scheme.isalpha() else MASK
    return out
