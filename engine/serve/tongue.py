"""How a session's wire is spoken as a server, learned from its spec and its examples: nothing here knows a provider.

A client's message is understood by writing each client event once with marks in place of what it says: where the marks
stand, the said is read. A server's message is made of one that an example shows: where it holds what the example gives,
something else is put.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from engine.call.json import JsonError, loads_event
from engine.call.socket import Wire
from engine.errors import Error
from engine.examples.sessions import frame_of, wire_of
from engine.vocabulary import CLIENT_EVENTS

if TYPE_CHECKING:
    from engine.operation import Operation

__all__ = ["Heard", "Tongue"]

_TEXTS = ("text", "id", "name", "uuid")
_MARK = {name: f"\ue000{name}\ue001" for name in _TEXTS}
#: what a client chooses: it may be anything, and may be missing
_ANY = "\ue000any\ue001"
_CHOSEN = ("model", "voice", "language", "sample_rate", "speed")
_SOUND = b"\x00\xff\x5amark\xa5\xff\x00"
_SOUND_TEXT = base64.b64encode(_SOUND).decode()
_JSON = {"\ue000": "json"}
#: fields that tell kinds of one output apart
_APART = {"transcript": ("role", "final"), "speech": ("state",), "turn": ("state",), "session": ("state",)}
#: the fields of an output that a message can be given anew
_NEW = ("text", "full", "tail", "data", "id", "name", "arguments", "rate", "message")
#: the ways of a transcript: everything so far, what is not settled yet, the next piece
_WAYS = ("full", "tail", "text")


#: what somebody says: a message that has some of it tells nothing else
_CONTENT = frozenset(("transcript", "text", "audio", "tool_call", "word"))


@dataclass(slots=True)
class Heard:
    """A client's message, understood: its event (`open` for what fits none) and what it says."""

    event: str
    said: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Line:
    """A message of the server with what it gives: [(kind, fields)]."""

    message: Any
    gives: list[tuple[str, dict[str, Any]]]
    uuid: str | None = None  # the client's own id in it

    def shown(self, kind: str) -> dict[str, Any]:
        """The fields of its first output of a kind."""
        return next(fields for known, fields in self.gives if known == kind)

    def ways(self) -> set[str]:
        """How a transcript is told in it."""
        shown = self.shown("transcript")
        return {way for way in _WAYS if shown.get(way)}


class Tongue:
    """One operation's wire, from the server's side."""

    def __init__(self, operation: Operation, examples: list[Mapping[str, Any]]) -> None:
        self.operation = operation
        self.examples = examples
        assert operation.plan.realtime is not None
        self.live = operation.plan.realtime
        self._patterns: list[tuple[str, Any]] = []
        self._lines: dict[tuple[str, ...], list[_Line]] = {}
        self._around: tuple[str, str] | None = None  # the text around the sound in a message that has some
        for example in examples:
            try:
                wire = wire_of(operation, example)
            except Error:
                continue  # the provider's patches refuse this example
            wire.context.update({name: _ANY for name in _CHOSEN if name in wire.context})
            wire.context["$uuid"] = lambda name=None: _MARK["uuid"]
            self._learn_client(wire)
            self._learn_server(example)

    def can(self, kind: str, *apart: str) -> bool:
        """Whether an example shows a message that gives this output, and nothing that contradicts."""
        return (kind, *apart) in self._lines

    # --- the client's messages --------------------------------------------------------------------------------------

    def _learn_client(self, wire: Wire) -> None:
        said = {**_MARK, "json": _JSON, "is_error": None}
        for event in CLIENT_EVENTS:
            if not wire.can(event) or any(known == event for known, _ in self._patterns):
                continue
            try:
                frames = wire.frames(event, **({**said, "audio": _SOUND} if event == "audio" else said))
            except (Error, TypeError, ValueError):
                continue
            if frames:
                self._patterns.insert(0 if event == "audio" else len(self._patterns), (event, _parsed(frames[0])))

    def hear(self, frame: str | bytes) -> Heard:
        """What a message of the client says."""
        document = _parsed(frame)
        best, found = -1, Heard("open")
        for event, pattern in self._patterns:  # sound, which is most of all, is the first of them
            said: dict[str, Any] = {}
            score = _fits(pattern, document, said)
            if score is not None and event == "audio":
                return Heard(event, said)
            if score is not None and score > best:
                best, found = score, Heard(event, said)
        return found

    # --- the server's messages --------------------------------------------------------------------------------------

    def _learn_server(self, example: Mapping[str, Any]) -> None:
        for step in example.get("frames") or ():
            message = step.get("received")
            if message is None:
                continue
            gives: list[tuple[str, dict[str, Any]]] = []
            frame = frame_of(message)
            if isinstance(frame, bytes) and self.live.binary == "audio":
                gives.append(("audio", {"data": frame}))
            elif self.live.map is not None:
                self.live.map(json.loads(frame), lambda kind, _, fields, to=gives: to.append((kind, fields)), None, None)
            line = _Line(message, gives, (example.get("given") or {}).get("uuid"))
            for kind, fields in gives:
                apart = tuple(_word(fields.get(name)) for name in _APART.get(kind, ()))
                self._lines.setdefault((kind, *apart), []).append(line)

    def end(self, uuid: str | None = None) -> list[str | bytes]:
        """The end of the model's turn with its counters, in one message where an example shows both in one."""
        lines = self._lines.get(("turn", "done"), [])
        both = next((line for line in lines if any(kind == "usage" for kind, _ in line.gives)), None)
        if both is not None:
            return [self._frame(both.message)]
        return [m for m in (self.say("usage"), self.say("turn", "done", uuid=uuid)) if m is not None]

    def transcript(self, role: str, piece: str, full: str, final: bool) -> list[str | bytes]:
        """The messages that tell what somebody says: one more piece of it, or that `full` is all."""
        open_lines = self._lines.get(("transcript", role, "false"), [])
        way = next((way for way in _WAYS if any(line.ways() == {way} for line in open_lines)), None)
        if not final:
            return self._told(open_lines, way, piece if way == "text" else full)
        left = full if way in ("full", "tail") else "" if way == "text" else full
        closing = self._lines.get(("transcript", role, "true"), [])
        for told in ("full", "text"):
            if any(told in line.ways() for line in closing):
                return self._told(closing, told, full if told == "full" else left)
        rest = self._told(open_lines, "text", left) if left and way != "full" else []
        return [*rest, *(self._frame(line.message) for line in closing[:1])]

    def _told(self, lines: list[_Line], way: str | None, text: str) -> list[str | bytes]:
        fitting = [line for line in lines if way in line.ways()]
        if not fitting or way is None:
            return []
        line = min(fitting, key=lambda line: (len(line.ways()), len(line.gives)))
        return [self._frame(_swapped(line.message, [(line.shown("transcript")[way], text)]))]

    def sound(self, data: bytes, uuid: str | None = None) -> str | bytes | None:
        """The message that brings sound."""
        if self._around is None or uuid is not None:
            made = self.say("audio", data=_SOUND, uuid=uuid)
            if not isinstance(made, str):
                return self.say("audio", data=data, uuid=uuid)
            before, _, after = made.partition(_SOUND_TEXT)
            self._around = (before, after)
        return f"{self._around[0]}{base64.b64encode(data).decode()}{self._around[1]}"

    def say(self, kind: str, *apart: str, uuid: str | None = None, **fields: Any) -> str | bytes | None:
        """The message that gives an output, with these fields in place of the example's. None if no example shows one.

        `apart` tells kinds of it apart: the state of a turn, of a session. `data` are bytes, `uuid` is the client's own id.
        """
        lines = self._lines.get((kind, *apart), [])
        if kind not in _CONTENT:
            lines = [line for line in lines if all(told not in _CONTENT for told, _ in line.gives)]
        if not lines:
            return None
        line = min(lines, key=lambda line: len(line.gives))
        shown = line.shown(kind)
        if isinstance(line.message, Mapping) and set(line.message) == {"binary"} and kind == "audio":
            return bytes(fields["data"])
        swaps: list[tuple[Any, Any]] = [(line.uuid, uuid)] if line.uuid and uuid else []
        for name in _NEW:
            old, new = shown.get(name), fields.get(name)
            if old is None or new is None:
                continue
            if name == "data":
                new = base64.b64encode(new).decode()
            elif name == "arguments" and isinstance(old, str):
                new = json.dumps(new)
            swaps.append((old, new))
        return self._frame(_swapped(line.message, swaps))

    def _frame(self, message: Any) -> str | bytes:
        frame = frame_of(message)
        return frame.encode() if self.live.binary == "json" and isinstance(frame, str) else frame


def _parsed(frame: str | bytes) -> Any:
    """A message as a document; one that is no JSON stands for itself."""
    try:
        return loads_event(frame.encode() if isinstance(frame, str) else frame)
    except (JsonError, UnicodeError):
        return frame


def _word(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) or value is None else str(value)


def _fits(pattern: Any, document: Any, said: dict[str, Any]) -> int | None:
    """How many constants of a pattern a document has; None if it lacks one. What stands at the marks goes into `said`."""
    if pattern == _JSON:
        said["json"] = document
        return 0
    if isinstance(pattern, Mapping):
        if not isinstance(document, Mapping):
            return None
        known = {_spelled(key): value for key, value in document.items()}
        needed = {_spelled(key): value for key, value in pattern.items() if value != _ANY}
        if not needed.keys() <= known.keys():
            return None
        scores = [_fits(value, known[key], said) for key, value in needed.items()]
        return None if None in scores else sum(s + 1 for s in scores if s is not None)
    if isinstance(pattern, list):
        if not isinstance(document, list) or len(pattern) != len(document):
            return None
        scores = [_fits(p, d, said) for p, d in zip(pattern, document)]
        return None if None in scores else sum(s for s in scores if s is not None)
    if pattern == _SOUND:
        return _take(said, "audio", document if isinstance(document, bytes) else None)
    if pattern == _SOUND_TEXT:
        try:
            return _take(said, "audio", base64.b64decode(document, validate=True) if isinstance(document, str) else None)
        except ValueError:
            return None
    if isinstance(pattern, str):
        if _ANY in pattern:
            return 0
        for name, mark in _MARK.items():
            if mark in pattern:
                before, _, after = pattern.partition(mark)
                if not isinstance(document, str) or not document.startswith(before) or not document.endswith(after):
                    return None
                return _take(said, name, document[len(before) : len(document) - len(after)])
    return 1 if pattern == document else None


@lru_cache(maxsize=1024)
def _spelled(key: str) -> str:
    """A key as client libraries may spell it: some write `camelCase` as `snake_case`, and servers read both."""
    return key.replace("_", "").lower()


def _take(said: dict[str, Any], name: str, value: Any) -> int | None:
    if value is None:
        return None
    said.setdefault(name, value)
    return 0


def _swapped(value: Any, swaps: list[tuple[Any, Any]]) -> Any:
    """A copy of a document with some of its values replaced."""
    for old, new in swaps:
        if value.__class__ is old.__class__ and value == old:
            return new
    if isinstance(value, Mapping):
        return {key: _swapped(inner, swaps) for key, inner in value.items()}
    if isinstance(value, list):
        return [_swapped(inner, swaps) for inner in value]
    return value
