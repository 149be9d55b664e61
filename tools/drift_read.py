"""Which places of a reply a spec reads: found by changing one after the other and looking whether the answer changes.

Part of tools/drift.py. Nothing is assumed of how maps are written, and streams go through the engine's own decoders.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import Error
from engine.operation import Operation

CANONICAL = frozenset(("stop", "length", "tool_calls", "content_filter", "pause", "error", "other", "cancelled"))
EVENTS = 3  # types of events in which a field is named one by one
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{1,60}")  # a word, not a sentence or a status
Edit = Callable[[str | None, Any], Any]  # (name of a stream's event; None: a whole reply; document) -> document


@dataclass
class Reply:
    """One recorded reply. `document` is the parsed body of a whole one, `data` the bytes of a stream."""

    status: int
    headers: dict[str, str]
    document: Any = None
    data: bytes | None = None


@dataclass
class Found:
    """What a reply has that the spec does not know."""

    unread: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    reasons: set[str] = field(default_factory=set)  # to finish
    codes: set[str] = field(default_factory=set)  # of errors
    events: set[str] = field(default_factory=set)  # of streams
    failed: bool = False  # it was read as an error
    problem: str | None = None  # kind of error, of the reply of a success that could not be read


class Reading:
    """One operation, asked again and again."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation

    def look(self, reply: Reply, known: set[str] = frozenset()) -> Found:  # type: ignore[assignment]
        """What of a reply is unknown. Places in `known` are read for sure and not tried again."""
        found = Found()
        seen: list[tuple[str | None, Any]] = []

        def watched(event: str | None, document: Any) -> Any:
            seen.append((event, document))
            return document

        before, answer = self._ask(reply, watched)
        if reply.data is None:
            seen = [(None, reply.document)]
        self._judge(found, reply, answer)
        places = dict.fromkeys(path for event, document in seen for path in places_of(document, event))
        for path in places:
            if path in known:
                continue
            after, _ = self._ask(reply, _changing(path))
            (found.read if after != before else found.unread).add(path)
        return found

    def reason_places(self, reply: Reply) -> Iterator[str]:
        """The places whose change changes why the answer finished."""
        _, answer = self._ask(reply, lambda event, document: document)
        before = [c.finish_reason_raw for c in getattr(answer, "choices", ())]
        for path in dict.fromkeys(places_of(reply.document, None)):
            _, other = self._ask(reply, _changing(path))
            after = [c.finish_reason_raw for c in getattr(other, "choices", ())]
            if before and len(after) == len(before) and after != before:
                yield path

    def event(self, document: Any) -> Found:
        """The same of one event of a stream, by itself: what its map tells of it. `events` has its type if it is passed over."""
        found = Found()
        plan = self._operation.plan
        name = document.get("type") if isinstance(document, dict) else None
        before, known = _emitted(plan.stream, document, name)
        if not known:
            found.events.add(str(name))
            return found
        for path in dict.fromkeys(places_of(document, name or "")):
            after, _ = _emitted(plan.stream, changed(document, path, name or ""), name)
            (found.read if after != before else found.unread).add(path)
        return found

    def _judge(self, found: Found, reply: Reply, answer: Any) -> None:
        plan = self._operation.plan
        if isinstance(answer, Error):
            found.failed = True
            code = str(answer.code or "")
            if code and code not in plan.errors.kinds and _CODE.fullmatch(code):
                found.codes.add(code)
            elif not code and reply.status < 400 and answer.kind in ("protocol", "stream_interrupted"):
                found.problem = answer.kind
            return
        raw = [choice.finish_reason_raw for choice in answer.choices if choice.finish_reason_raw]
        found.reasons = {reason for reason in raw if reason not in plan.finish_reasons and reason not in CANONICAL}
        found.events = set(answer.report.ignored_events)

    def _ask(self, reply: Reply, edit: Edit) -> tuple[str, Any]:
        """(all that the spec makes of a reply, as one text; the Response or the Error)."""
        try:
            answer = self._streamed(reply, edit) if reply.data is not None else self._whole(reply, edit)
        except Error as error:
            told = error.to_dict()
            told.pop("raw", None)
            return json.dumps(told, default=repr, sort_keys=True), error
        told = answer.to_dict()
        for name in ("raw", "report"):
            told.pop(name, None)
        return json.dumps(told, default=repr, sort_keys=True), answer

    def _whole(self, reply: Reply, edit: Edit) -> Any:
        body = json.dumps(edit(None, reply.document)).encode()
        return self._operation.read(reply.status, reply.headers, body)

    def _streamed(self, reply: Reply, edit: Edit) -> Any:
        plan = self._operation.plan
        assert plan.stream is not None and reply.data is not None
        real = plan.stream.map

        def told(document: Any, emit: Any, event: str | None = None, unknown: Any = None) -> None:
            assert real is not None
            real(edit(event or "", document), emit, event, unknown)

        own = self._operation
        other = Operation(
            replace(plan, stream=replace(plan.stream, map=told)),
            own.who,
            own.model,
            values=own.values,
            clock=own.clock,
            uuid=own.uuid,
        )
        reader = other.reader(reply.headers)
        reader.feed(reply.data)
        return reader.close()


def _emitted(stream: Any, document: Any, event: Any) -> tuple[str, bool]:
    """(what a stream's map tells of an event, as text; whether it knows the event)."""
    told: list[Any] = []
    passed: list[Any] = []
    try:
        stream.map(document, lambda *given: told.append(given), event, lambda *given: passed.append(given))
    except Error as error:
        told.append(error.to_dict())
    return json.dumps(told, default=repr, sort_keys=True), not passed


# --- places -----------------------------------------------------------------------------------------------------------


def places_of(document: Any, event: str | None) -> Iterator[str]:
    """The places of a document's plain values, lists as their items: `choices[].message.content`, `content[][text].text`.

    Objects in lists, and documents of a stream, are told apart by their `type`, documents also by the name of their event;
    what only names a type is no place.
    """
    for path, _, _ in walk(document, _head(document, event)):
        yield path


def changed(document: Any, place: str, event: str | None, value: Any = None) -> Any:
    """A copy of a document with another value at a place: this one, or any other."""
    made = copy.deepcopy(document)
    for path, holder, key in walk(made, _head(document, event)):
        if path == place:
            holder[key] = _other(holder[key]) if value is None else value
    return made


def is_read(place: str, read: set[str]) -> bool:
    """Whether a place is read, or something below it where there was more than null."""
    return place in read or any(other.startswith(place) and other[len(place)] in ".[" for other in read)


def gathered(unread: Mapping[str, int], read: set[str]) -> dict[str, int]:
    """Unread places; those of an object or event of which nothing at all is read as one (`container.*`), and what is unread in
    more than three types of events as one (`*: sequence_number`)."""
    found: dict[str, int] = {}
    for place, times in unread.items():
        head, colon, rest = place.rpartition(": ")
        steps = re.findall(r"\[\]\[[^\]]*\]|\[\]|\.?[^.\[]+", rest)
        if head and not any(other.startswith(head + colon) for other in read):
            place = f"{head}: *"
        for count in range(1, len(steps)) if not place.endswith(": *") else ():
            start = head + colon + "".join(steps[:count])
            if not any(other.startswith(start) and other[len(start) :][:1] in (".", "[") for other in read):
                place = f"{start}.*"
                break
        found[place] = max(found.get(place, 0), times)
    alike: dict[str, list[str]] = {}
    for place in found:
        head, colon, rest = place.partition(": ")
        if colon and rest != "*":
            alike.setdefault(rest, []).append(place)
    for rest, places in alike.items():
        if len(places) > EVENTS:
            found[f"*: {rest}"] = sum(found.pop(place) for place in places)
    return found


def _changing(place: str) -> Edit:
    return lambda event, document: changed(document, place, event)


def _head(document: Any, event: str | None) -> str:
    if event is None:
        return ""
    tag = document.get("type") if isinstance(document, dict) else None
    head = tag if isinstance(tag, str) else event
    return f"{head}: " if head else ""


def walk(value: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """(place, what holds it, under which key) of every plain value but types."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()):
        if isinstance(value, list):
            tag = inner.get("type") if isinstance(inner, dict) else None
            place = f"{path}[]" + (f"[{tag}]" if isinstance(tag, str) else "")
        else:
            place = f"{path}.{key}" if path and not path.endswith(": ") else f"{path}{key}"
        if isinstance(inner, (dict, list)):
            yield from walk(inner, place)
        elif key != "type" or not isinstance(inner, str):
            yield place, value, key


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return f"~{value}" if isinstance(value, str) else "~"
