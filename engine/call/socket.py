"""Messages of a session, both ways: client events become frames, frames become events. Pure (SPEC_LANGUAGE 7.4).

    wire = Wire(operation, context)
    frames = wire.frames("audio", audio=pcm)          # texts and bytes, to be sent in turn
    events = wire.feed(frame)                         # what a frame of the server says, in canonical events

What is not in the frames themselves follows from them: the model's turn begins with its first output, an interrupted one is
told once, a transcript grows until it is final, counters add up over the turns.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from engine import errors
from engine.call import counts
from engine.call.failure import failure
from engine.call.json import JsonError, dumps, loads, loads_event
from engine.call.outputs import output_fields, text_of
from engine.plan import OperationPlan
from engine.types import Event, Usage

__all__ = ["FRAME_BYTES", "Wire", "sounding"]

FRAME_BYTES = 16 * 1024 * 1024  # of one message (RELIABILITY W1)
_PREVIEW = 200
#: outputs that begin a turn of the model where the wire does not say so itself
_SAYS = frozenset(("audio", "text", "tool_call"))
_ROLES = ("user", "assistant")
_TELEPHONE, _TELEPHONE_RATE = ("mulaw", "alaw"), 8000  # formats that are made for one rate


def sounding(plan: OperationPlan, context: dict[str, Any]) -> None:
    """Fill in how a session sounds where the caller left it to the spec. UnsupportedError for what the spec does not take."""
    live = plan.realtime
    if live is None:
        return
    for name, known in (("audio_format", live.formats), ("sample_rate", live.rates)):
        given = context.get(name)
        if given is None and known:
            narrow = name == "sample_rate" and context.get("audio_format") in _TELEPHONE and _TELEPHONE_RATE in known
            context[name] = _TELEPHONE_RATE if narrow else known[0]
        elif given is not None and known and name in plan.reads and given not in known:
            words = ", ".join(map(str, known))
            raise errors.UnsupportedError(f"`{name}` of a session is one of {words}, not {given!s:.40}", param=name)


class Wire:
    """One session's messages. Keeps what the session has told so far; no socket, no clock.

    `session` are the facts of the session, `usage` the counters of all turns, `active` whether the model is speaking,
    `error` the last failure that was told and that nothing has followed yet.
    """

    def __init__(self, operation: Any, context: Mapping[str, Any]) -> None:
        plan: OperationPlan = operation.plan
        assert plan.realtime is not None
        self.operation = operation
        self.plan = plan
        self.live = plan.realtime
        self.context = dict(context)
        self.session: dict[str, Any] = {}
        self.ready = "session" not in self.live.gives
        self.active = False
        self.error: errors.Error | None = None
        self.pings: list[Any] = []  # ids the server wants to see again, until they are answered
        self.ignored: dict[str, int] = {}
        self.waiting: dict[str, str | None] = {}  # calls of tools without a result: id -> name
        self._interrupted = False
        self._said = dict.fromkeys(_ROLES, "")  # as it was last told
        self._settled = dict.fromkeys(_ROLES, "")  # the part of it that stays
        self._totals: dict[str, Any] = {}
        self._turn: dict[str, Any] = {}
        self._events: list[Event] = []
        self._base64 = "data" in plan.part_reads

    # --- what is sent -----------------------------------------------------------------------------------------------

    def can(self, event: str) -> bool:
        """Whether the wire has a message for a client event."""
        return bool(self.live.send.get(event))

    def frames(self, event: str, **said: Any) -> list[str | bytes]:
        """The messages of a client event. UnsupportedError where the wire has none.

        `said` are the names its templates read: `audio` (bytes), `text`, and of a result `id`, `name`, `json`, `is_error`.
        """
        templates = self.live.send.get(event)
        if not templates:
            if event == "history":
                return []
            raise self.operation.place(errors.UnsupportedError(f"a session of {self.plan.provider} has no message for `{event}`"))
        if event == "audio":
            chunk = said["audio"]
            said["audio"] = {"bytes": chunk, "data": b64encode(chunk).decode() if self._base64 else None}
        context = {**self.context, **said}
        found = []
        for template in templates:
            message = template(context)
            for one in message if isinstance(message, list) else [message]:
                if one is not None:
                    found.append(one if isinstance(one, (str, bytes)) else dumps(one).decode())
        return found

    def answered(self, id: str | None) -> bool:
        """A call of a tool has its result; whether it was the last one that had none."""
        self.waiting.pop(id or "", None)
        return not self.waiting

    # --- what comes -------------------------------------------------------------------------------------------------

    def feed(self, frame: str | bytes) -> list[Event]:
        """The events of one message. Raises ProtocolError for one that cannot be read, LimitError for one too large."""
        if len(frame) > FRAME_BYTES:
            raise errors.for_kind("limit")(f"a message is larger than {FRAME_BYTES} bytes")
        self._events = []
        if frame.__class__ is bytes and self.live.binary == "audio":
            self._emit("audio", 0, {"data": frame})
        elif frame:
            document = self._document(frame)
            if self.live.map is not None:
                try:
                    self.live.map(document, self._emit, None, self._unknown)
                except errors.Error as error:
                    raise self.operation.place(error) from None
            self._told(document)
        return self._events

    def closed(self) -> list[Event]:
        """The end of the session: transcripts that were open are final, the last turn's counters are added."""
        self._events = []
        self._settle()
        return self._events

    @property
    def usage(self) -> Usage:
        """The counters of all turns so far."""
        known = {name: self._totals.get(name, 0) + self._turn.get(name, 0) for name in {**self._totals, **self._turn}}
        return Usage(**counts.canonical(known, self.plan.usage_totals))

    def _document(self, frame: str | bytes) -> Any:
        try:
            return loads_event(frame.encode() if isinstance(frame, str) else frame)
        except (JsonError, UnicodeError):
            shown = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
            raise self.operation.place(
                errors.for_kind("protocol")(f"a message of the session is not JSON: {shown[:_PREVIEW]}", raw=shown[:2000])
            ) from None

    def _unknown(self, name: Any) -> None:
        shown = str(name)[:100]
        if shown in self.ignored or len(self.ignored) < 100:
            self.ignored[shown] = self.ignored.get(shown, 0) + 1

    def _emit(self, kind: str, choice: int, fields: dict[str, Any]) -> None:
        if kind in _SAYS and not self.active:
            self._begin()
        take = getattr(self, f"_take_{kind}", None)
        if take is not None:
            take(fields)
        else:
            self._add(kind, output_fields(kind, fields))

    def _add(self, kind: str, fields: dict[str, Any]) -> None:
        self._events.append(Event(kind, fields))

    def _begin(self) -> None:
        self.active, self._interrupted = True, False
        self._add("turn", {"state": "started"})

    def _told(self, document: Any) -> None:
        """Whatever follows a failure shows that the session went on."""
        if self._events and all(event.kind != "error" for event in self._events):
            self.error = None

    # --- one kind each ----------------------------------------------------------------------------------------------

    def _take_session(self, fields: dict[str, Any]) -> None:
        known = {k: v for k, v in fields.items() if v is not None}
        rate = counts.whole(known.pop("rate", None))
        if rate:
            known["rate"] = rate
        self.session.update(known)
        self.ready = self.ready or known.get("state") != "opening"
        self._add("session", known)

    def _take_ping(self, fields: dict[str, Any]) -> None:
        self.pings.append(fields.get("id"))

    def _take_audio(self, fields: dict[str, Any]) -> None:
        data = fields.get("data")
        if data.__class__ is not bytes:
            try:
                data = _decoded(data, fields)
            except ValueError:
                raise self.operation.place(errors.for_kind("protocol")("a message of the session holds broken base64")) from None
        if not self._interrupted:  # what was still on its way when somebody broke in is not to be heard
            self._add("audio", {"data": data})

    def _take_text(self, fields: dict[str, Any]) -> None:
        self._add("text", {"text": text_of(fields.get("text"))})

    def _take_transcript(self, fields: dict[str, Any]) -> None:
        """`text` is a piece, `full` everything so far, `tail` what may still change behind it; a final one closes what was said.

        The event has `full`, and as `text` what is new in it, if nothing was taken back.
        """
        found = output_fields("transcript", fields)
        role = "assistant" if found.get("role") == "assistant" else "user"
        if role == "assistant" and not self.active:
            self._begin()
        final, tail = bool(found.pop("final", False)), text_of(found.pop("tail", None))
        given, piece = found.pop("full", None), text_of(found.pop("text", None))
        settled = self._settled[role] + piece if given is None else text_of(given)
        full, before = settled + tail, self._said[role]
        if (full == before and not final) or not full:
            return
        new = {"text": full[len(before) :]} if full.startswith(before) and full != before else {}
        self._said[role], self._settled[role] = ("", "") if final else (full, settled)
        self._add("transcript", {**found, **new, "role": role, "full": full, "final": final})

    def _take_speech(self, fields: dict[str, Any]) -> None:
        state = text_of(fields.get("state"))
        self._add("speech", {"state": state})
        if state == "started" and self.active:
            self._interrupt()

    def _take_turn(self, fields: dict[str, Any]) -> None:
        state = text_of(fields.get("state"))
        if state == "started":
            if not self.active or self._interrupted:
                self._begin()
            return
        if state == "interrupted" and self.active:
            self._interrupt()
        elif self._interrupted and not self.active:
            return  # that an interrupted turn is done is no news
        self.active = False
        self._settle()
        self._add("turn", {"state": state})

    def interrupted(self) -> list[Event]:
        """The caller breaks in."""
        self._events = []
        if self.active:
            self._interrupt()
        return self._events

    def _interrupt(self) -> None:
        if not self._interrupted:
            self._interrupted = True
            self._add("interrupted", {})

    def _take_tool_call(self, fields: dict[str, Any]) -> None:
        """A call is told whole; its arguments are text or a mapping."""
        given = fields.get("arguments") if fields.get("arguments") is not None else fields.get("full_arguments")
        id = str(fields.get("id") or f"call_{len(self.waiting)}")
        call: dict[str, Any] = {"id": id, "name": fields.get("name")}
        if isinstance(given, str):
            try:
                call["arguments"] = loads(given.encode()) if given.strip() else {}
            except JsonError:
                call.update(arguments=given, invalid=True)
        else:
            call["arguments"] = given or {}
        self.waiting[id] = call["name"]
        self._add("tool_call", call)

    def _take_usage(self, fields: dict[str, Any]) -> None:
        found = {name: v for name, value in fields.items() if (v := counts.counter(name, value)) is not None}
        self._turn.update(found)
        self._add("usage", {k: v for k, v in counts.canonical(found, self.plan.usage_totals).items() if v is not None})
        if not self.active:
            self._count()

    def _take_error(self, fields: dict[str, Any]) -> None:
        error = failure(self.plan, None, {}, fields, fields=fields, model=self.operation.model, now=self.operation.clock())
        self.error = self.operation.place(error)
        told = {"message": error.message, "kind": error.kind, "code": error.code, "type": error.type, "param": error.param}
        self._add("error", {k: v for k, v in told.items() if v is not None})

    def _settle(self) -> None:
        """A turn is over: what was said is final, its counters are added."""
        for role, full in self._said.items():
            if full:
                self._said[role] = self._settled[role] = ""
                self._add("transcript", {"role": role, "full": full, "final": True})
        self._count()

    def _count(self) -> None:
        for name, value in self._turn.items():
            self._totals[name] = self._totals.get(name, 0) + value
        self._turn = {}


def _decoded(data: Any, fields: dict[str, Any]) -> bytes:
    """Sound of an output: base64 in any spelling, or hex. ValueError if it is neither."""
    try:
        return b64decode(data, validate=True)
    except (TypeError, ValueError):
        return b64decode(output_fields("audio", fields).get("data") or "", validate=True)
