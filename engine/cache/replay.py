"""A whole answer told again as the events of a stream (SPEC_LANGUAGE 12.2). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.call.json import dumps
from engine.types import Choice, Event, Part, Response, Usage

__all__ = ["replayed"]

_PROSE = frozenset(("text", "thinking", "refusal"))
_MEDIA = frozenset(("image", "audio", "video", "document"))
_COUNTERS = tuple(name for name in Usage.__dataclass_fields__)


def replayed(response: Response) -> list[Event]:
    """The events of an answer, `start` first and `end` with the Response last; a piece of prose is one event."""
    start = {"id": response.id, "model": response.model, "created": response.created}
    found = [Event("start", {name: value for name, value in start.items() if value is not None})]
    for choice in response.choices:
        found += _choice(choice)
    found += response.outputs
    counters = {name: value for name in _COUNTERS if (value := getattr(response.usage, name)) is not None}
    if counters:
        found.append(Event("usage", counters))
    for choice in response.choices:
        found += _calls(choice)
    found.append(Event("end", {"response": response}))
    return found


def _choice(choice: Choice) -> Iterator[Event]:
    calls = 0
    told = []
    before = ""
    for index, part in enumerate(choice.parts):
        if part.type == "tool_call" and part.native is None:
            said = _fields(index=calls, id=part.id, name=part.name, arguments=_written(part))
            said.update(_fields(signature=part.signature, server=part.server))
            yield Event("tool_call", said, choice.index)
            calls += 1
        elif part.type in _PROSE:
            yield from _prose(part, choice.index, index if part.type == before else None)
        elif part.type in _MEDIA:
            fields = _fields(type=part.type, media_type=part.media_type, data=part.data, url=part.url, id=part.id, text=part.text,
                             index=index, signature=part.signature)  # fmt: skip
            yield Event("media", fields, choice.index)
        else:
            yield Event("native", _native(part, index), choice.index)
        before = part.type
        for citation in part.citations or ():
            told.append(citation)
            yield Event("citation", citation.to_dict(), choice.index)
    for citation in choice.citations:
        if citation not in told:
            yield Event("citation", citation.to_dict(), choice.index)
    if choice.logprobs:
        yield Event("logprobs", {"content": choice.logprobs}, choice.index)
    if choice.finish_reason is not None:
        yield Event("finish", {"reason": choice.finish_reason, "raw": choice.finish_reason_raw, "detail": None}, choice.index)


def _prose(part: Part, choice: int, index: int | None) -> Iterator[Event]:
    """The text, then what seals it; with an index where the part before is of the same type, which else would go on."""
    if part.text or part.redacted is not None:
        yield Event(part.type, _fields(text=part.text or None, id=part.id, redacted=part.redacted, index=index), choice)
    if part.signature is not None:
        yield Event(part.type, _fields(id=part.id, signature=part.signature, index=index), choice)


def _calls(choice: Choice) -> Iterator[Event]:
    """Every call as a whole, as a stream ends with them."""
    calls = [part for part in choice.parts if part.type == "tool_call" and part.native is None]
    for index, part in enumerate(calls):
        fields = {"index": index, "id": part.id, "name": part.name, "arguments": part.arguments}
        fields.update(signature=part.signature, server=part.server, invalid=part.invalid)
        yield Event("tool_call_end", fields, choice.index)


def _native(part: Part, index: int) -> dict[str, Any]:
    """An item as it came; of a tool that the provider ran also what it says in canonical words."""
    if part.type == "native":
        return {"data": part.native, "index": index}
    said = part.arguments if part.type == "tool_call" else None
    return _fields(data=part.native, index=index, tool=part.type.removeprefix("tool_"), id=part.id, name=part.name, arguments=said,
                   text=part.text, is_error=part.is_error)  # fmt: skip


def _written(part: Part) -> str:
    if part.arguments_json is not None:
        return part.arguments_json
    said = part.arguments if part.arguments is not None else {}
    return said if isinstance(said, str) else dumps(said).decode()


def _fields(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
