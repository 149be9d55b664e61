"""Requests in the words of any dialect: `client.chat(model, messages, dialect="acme-messages", …)`.

What the caller passes is read by the dialect's own `accept`, as a gateway reads a client, so everything behind it (other
providers too) sees the one canonical request. Messages may mix the dialect's own with those the engine gives back
(`answer.message`); fields the dialect has no word for are the canonical ones.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from engine.call.normalize import names
from engine.errors import ConfigError, UnsupportedError
from engine.vocabulary import PART_TYPES

if TYPE_CHECKING:
    from engine.calling import Caller
    from engine.catalog import Catalog
    from engine.plan import Served

__all__ = ["Words", "bound", "canonical", "worded"]

#: fields that every call takes: no dialect has words for them
CALL_FIELDS = frozenset(
    "unsupported extra extra_body extra_headers extra_query stream timeout attempts on_interrupt tenant tags hints cache".split()
)
_DEPTH = 64


class Words(str):
    """The dialect a request came in: its provider's variant that speaks it is preferred, not demanded."""


def worded(catalog: Catalog, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a call whose messages are in the words of its `dialect`, in canonical ones."""
    dialect = str(fields["dialect"])
    found = canonical(catalog, dialect, {k: v for k, v in fields.items() if k != "dialect"})
    found["dialect"] = Words(dialect)
    return found


def bound(caller: Caller, model: str, operation: str, dialect: str | None) -> Any:
    """The target of a call: the variant that speaks a dialect, which only a request in its words can do without."""
    if not isinstance(dialect, Words):
        return caller._target(model, operation, dialect)
    try:
        return caller._target(model, operation, str(dialect))
    except UnsupportedError:
        return caller._target(model, operation, None)


def canonical(catalog: Catalog, dialect: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a call, read in the words of a chat dialect."""
    served = catalog.served(dialect)
    if served.operation != "chat" or served.accept is None:
        raise ConfigError(f"{dialect} is no dialect of chat: messages cannot be read in its words")
    ours = {name: value for name, value in fields.items() if name in CALL_FIELDS}
    body: dict[str, Any] = {}
    for name, value in fields.items():
        if name in CALL_FIELDS or value is None:
            continue
        if name == "messages" and isinstance(value, str):
            ours[name] = value
            continue
        try:
            body[name] = _plain(value)
        except _NotPlain:
            ours[name] = value  # a function, a type: the engine's own way of saying it
    key = served.content or "messages"
    if "messages" in body and key not in body:
        body[key] = body.pop("messages")
    read = _read(served, key, dict(body))
    extra = read.get("extra")
    left = extra.get(dialect_of(served)) if isinstance(extra, dict) else None
    if isinstance(left, dict):
        for name in names("chat").intersection(body):
            for spelled in (name, _camel(name)):
                if spelled in left:
                    del left[spelled]
                    ours.setdefault(name, body[name])
        if not left:
            del extra[dialect_of(served)]  # type: ignore[union-attr]
        if not extra:
            del read["extra"]
    if "messages" in ours and read.get("messages"):  # a lone text, after the system text that the dialect has elsewhere
        ours["messages"] = [*read["messages"], {"role": "user", "content": ours["messages"]}]
    for name in ("model", "stream", "stream_usage"):  # said by how the call is made; usage is always wanted
        read.pop(name, None)
    if "stream_options" in body:
        ours.setdefault("stream_options", body["stream_options"])
    if "extra" in ours and "extra" in read:
        ours["extra"] = {**read["extra"], **ours["extra"]}
    return {**read, **ours}


def dialect_of(served: Served) -> str:
    """The name under which a dialect keeps what it has no word for."""
    return served.plan.dialects[-1]


def _read(served: Served, key: str, body: dict[str, Any]) -> dict[str, Any]:
    """The accepted body. Messages the engine gave back are taken as they are, at their place."""
    assert served.accept is not None
    said = body.get(key)
    if not isinstance(said, list) or not any(map(_own, said)):
        return served.accept(body)
    read: dict[str, Any] = {}
    messages: list[Any] = []
    for own, run in groupby(said, _own):
        if own:
            if not read:
                read = served.accept({k: v for k, v in body.items() if k != key})
                messages += read.pop("messages", None) or ()
            messages += run
            continue
        found = served.accept({**(body if not read else {}), key: list(run)})
        messages += found.pop("messages", None) or ()
        read = {**found, **read}
    return {**read, "messages": messages}


def _own(message: Any) -> bool:
    """Whether a message is the engine's: its parts have the engine's types."""
    parts = message.get("parts") if isinstance(message, dict) else None
    return isinstance(parts, list) and bool(parts) and all(isinstance(p, dict) and p.get("type") in PART_TYPES for p in parts)


def _camel(name: str) -> str:
    """A name as dialects spell it that read both ways of writing."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class _NotPlain(Exception):
    """A value that is no JSON."""


def _plain(value: Any, depth: int = 0) -> Any:
    """JSON of a caller's value: models of other libraries as mappings, bytes as base64."""
    if depth > _DEPTH:
        raise ConfigError(f"the request is nested deeper than {_DEPTH} levels")
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, type):
        raise _NotPlain
    for name, options in (("to_dict", {}), ("model_dump", {"exclude_none": True})):
        if not isinstance(value, Mapping) and hasattr(value, name):
            value = getattr(value, name)(**options)
            break
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner, depth + 1) for inner in value]
    raise _NotPlain
