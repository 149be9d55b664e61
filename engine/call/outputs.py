"""Fields of outputs in their canonical types (SPEC_LANGUAGE 12.2, 12.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.call import counts, media
from engine.call.json import JsonError, dumps
from engine.types import Event, Stored

_MILLISECONDS = 10**11  # a Unix time beyond it is in milliseconds


#: words for how a voice sounds -> ours; others say nothing
_GENDERS = {
    "female": "female", "feminine": "female", "f": "female", "male": "male", "masculine": "male", "m": "male",
    "neutral": "neutral", "gender_neutral": "neutral",
}  # fmt: skip


def text_of(value: Any) -> str:
    """Text of any value: of a list its items joined, of a mapping its `text`, of other values their JSON."""
    if value is None:
        return ""
    if value.__class__ is str:
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return "".join(map(text_of, value))
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        return str(value["text"])
    try:
        return dumps(value).decode()
    except JsonError:
        return str(value)


def word(value: Any) -> str | None:
    """Text that may stand alone: nothing and empty text are None."""
    if value.__class__ is str:
        return value or None
    return None if value is None else text_of(value) or None


def key_of(value: Any) -> Any:
    """An index that can be looked up."""
    if value is None or value.__class__ in (int, str):
        return value
    try:
        return dumps(value).decode()
    except JsonError:
        return str(value)


def timestamp(value: Any) -> int | None:
    """Unix seconds of a number (seconds or milliseconds) or an ISO 8601 date."""
    found = counts.real(value)
    if found is not None:
        return int(found / 1000 if abs(found) > _MILLISECONDS else found)
    if not isinstance(value, str):
        return None
    from datetime import UTC, datetime

    try:
        date = datetime.fromisoformat(value)
    except ValueError:
        return None
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())


def _languages(value: Any) -> list[str] | None:
    """Each language once, in order; one may stand alone."""
    words = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(word for word in words if isinstance(word, str) and word)) or None


_SCALARS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("index", "seed", "bytes", "context", "max_output", "completed", "total"), counts.whole),
    **dict.fromkeys(("score", "start", "end", "confidence"), counts.real),
    **dict.fromkeys(("created", "expires"), timestamp),
    "languages": _languages,
    "gender": lambda word: _GENDERS.get(str(word).lower()),
}


def output_fields(kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are known, numbers as numbers, media as base64, vectors as lists."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None or name == "hex":
            continue
        convert = _SCALARS.get(name)
        found[name] = convert(value) if convert is not None else value
    if kind == "details" and found.get("facts").__class__ is dict:
        return {"facts": {name: value for name, value in found["facts"].items() if value is not None}}
    if kind == "embedding":
        found["vector"] = media.vector(found.get("vector"), found.get("dtype"))
        return found
    if found.get("data").__class__ is Stored:
        kept = found.pop("data")
        return {**found, "path": kept.path, "bytes": kept.bytes}
    if "hex" in fields or "data" in found:
        data = media.from_hex(fields["hex"]) if fields.get("hex") is not None else None
        given = media.split_data_uri(found.get("data"))
        if given is not None:
            found.setdefault("media_type", given[0])
        found["data"] = data or media.as_base64(found.get("data"))
    given = media.split_data_uri(found.get("url"))
    if given is not None:
        del found["url"]
        found["media_type"], found["data"] = found.get("media_type") or given[0], given[1]
    return found


def named_as_asked(outputs: list[Event], kind: str, asked: Any) -> None:
    """What the answer does not name is the one that was asked for."""
    for event in outputs:
        if event.kind == kind and asked is not None:
            event.fields.setdefault("id", asked)


def ranked(outputs: list[Event]) -> list[Event]:
    """The results of a rerank, the best first, as most services tell them; those without scores as they came."""
    scores = [event.fields.get("score") for event in outputs]
    if None in scores:
        return list(outputs)
    return sorted(outputs, key=lambda event: event.fields["score"], reverse=True)


def join_audio(outputs: list[Event]) -> list[Event]:
    """The outputs with pieces of one audio stream joined into one output."""
    pieces = [e for e in outputs if e.kind == "audio" and e.fields.get("data") is not None and not e.fields.get("url")]
    if len(pieces) < 2:
        return list(outputs)
    joined = Event("audio", {**pieces[0].fields, "data": media.join_base64([e.fields["data"] for e in pieces])})
    first, rest = pieces[0], set(map(id, pieces[1:]))
    return [joined if e is first else e for e in outputs if id(e) not in rest]
