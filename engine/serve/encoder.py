"""Canonical events become the bytes of a served stream (SERVE.md 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine import errors
from engine.call.accumulate import MOST_CANDIDATES
from engine.plan import Served, ServedStream, Template
from engine.serve.answer import MEDIA, PROSE, Places, choice_view, complete_media, native_usage
from engine.serve.blocks import Order, Piece
from engine.serve.failure import error_fields, event_error
from engine.serve.frames import Pattern, Recorder, Run, Wire
from engine.serve.reply import base_context, item_id, native_finish, random_id
from engine.types import Event, Report

_PIECES = frozenset((*PROSE, "tool_call"))
_DELTAS = ("text", "signature", "redacted")


class Encoder:
    """Writes one streamed answer.

        for events in upstream:
            send(encoder.feed(events))
        send(encoder.end())

    The first bytes come with the first content; until then `started` is false and a failure can still be an HTTP error
    (`engine.serve.failure`). `request` is the accepted canonical request, `dialect` the one the events come from (its
    native items and error codes are kept where the served dialect is the same), `framing` another one than the dialect's
    own. Warnings go to `report`.
    """

    def __init__(
        self,
        served: Served,
        request: Mapping[str, Any] | None = None,
        *,
        dialect: str | None = None,
        now: float = 0.0,
        make_id: Callable[[], str] = random_id,
        report: Report | None = None,
        framing: str | None = None,
    ) -> None:
        if served.stream is None:
            raise errors.for_kind("unsupported")(f"{served.dialect} has no streamed {served.operation} to serve")
        self.served = served
        self.stream: ServedStream = served.stream
        self._wire = Wire(self.stream, framing or self.stream.framing)
        self.content_type = self._wire.content_type
        self.started = False
        self.ended = False
        self.report = report if report is not None else Report()
        self._request = request
        self._dialect = dialect
        self._now = now
        self._make_id = make_id
        self._places = Places(served, True, self.report)
        self._orders: dict[int, Order] = {}
        self._start: dict[str, Any] = {}
        self._base: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._finishes: dict[int, str] = {}
        self._opened: dict[int, list[Piece]] = {}  # choice -> its blocks in wire order
        self._begun: set[int] = set()  # choices that had a chunk
        self._citations: list[dict[str, Any]] = []
        self._held: tuple[int, dict[str, Any]] | None = None  # a medium whose native item may follow
        self._run: Run | None = None
        self._early: list[dict[str, Any]] = []  # citations that came before any text

    def feed(self, events: Iterable[Event]) -> bytes:
        """The bytes of some more events. `error` ends the stream with an error frame, `end` ends it."""
        run = self._run
        for event in events:
            kind, choice, fields = event.kind, event.choice, event.fields
            if run is not None:
                if run.takes(kind, choice, fields):
                    continue
                run.flush()
            if kind not in _PIECES or self._held is not None or not self._more(kind, choice, fields):
                self._run = None
                self._event(kind, choice, fields)
            run = self._run
        if run is not None:
            run.flush()
        return self._wire.drain()

    def end(self) -> bytes:
        """The last bytes: what waited, then finish and usage."""
        self._end()
        return self._wire.drain()

    def fail(self, error: errors.Error) -> bytes:
        """The stream ends here, with an error frame."""
        self._fail(error)
        return self._wire.drain()

    def _end(self) -> None:
        if not self.ended:
            if self._held is not None:
                self._content("media", *self._held)
            self._begin()
            for number in sorted(self._orders):
                self._orders[number].finish()
            self.ended = True
            if self.stream.chunk is not None:
                self._last_chunks()
            elif self.stream.end is not None:
                self._send(self.stream.end(self._state(self._finish(0), whole=True)))
            self._wire.close(complete=True)
            self._orders.clear()  # they know this encoder in turn: nothing of a stream shall wait for the collector

    def _fail(self, error: errors.Error) -> None:
        if not self.ended:
            self.ended = True
            base = self._base or self._names()
            fields = {**base, **error_fields(self.served, error, dialect=self._dialect, id=base["id"])}
            if self.stream.error is not None:
                self._send(self.stream.error(fields))
            else:
                self._wire.put(None, self.served.error(fields))
            self._wire.close(complete=False)

    # --- events -----------------------------------------------------------------------------------------------------

    def _event(self, kind: str, choice: int, fields: dict[str, Any]) -> None:
        if self.ended:
            return
        try:
            if kind == "start":
                self._start.update((k, v) for k, v in fields.items() if v is not None)
            elif kind == "usage":
                self._usage.update((k, v) for k, v in fields.items() if v is not None)
            elif kind == "error":
                self._fail(event_error(fields))
            elif kind == "end":
                self._end()
            elif choice and "choices" not in self.stream.reads:
                self._places.warn(f"{self._places.label} streams one choice; others were dropped")
            elif kind == "finish":
                self._order(choice)
                if fields.get("reason"):
                    self._finishes[choice] = fields["reason"]
            else:
                self._told(kind, choice, fields)
        except errors.Error as error:
            self._fail(error)

    def _order(self, choice: int) -> Order:
        found = self._orders.get(choice)
        if found is None:
            if len(self._orders) >= MOST_CANDIDATES:
                raise errors.for_kind("limit")(f"the answer has more than {MOST_CANDIDATES} candidates")
            found = self._orders[choice] = Order(choice, self._write, self._close, self._places.warn)
        return found

    def _told(self, kind: str, choice: int, fields: dict[str, Any]) -> None:
        """Content, but for a medium that a native item of this dialect repeats whole right after it."""
        held, self._held = self._held, None
        if held is not None:
            data = fields.get("data")
            if kind != "native" or not isinstance(data, dict) or data.get("id") != held[1]["id"]:
                self._content("media", *held)
        if kind == "media" and fields.get("id") and self._dialect in self.served.plan.dialects and "native" in self.stream.writes:
            self._held = (choice, fields)
        else:
            self._content(kind, choice, fields)

    def _content(self, kind: str, choice: int, fields: dict[str, Any]) -> None:
        if kind in PROSE:
            if (kind == "text" and fields.get("text")) or self._writes(kind, fields):
                self._order(choice).prose(kind, fields)
        elif kind == "tool_call" or kind == "tool_call_end":
            if self._places.fit({**fields, "type": "tool_call"}) is not None:
                self._order(choice).call({**fields, "whole": True} if kind == "tool_call_end" else fields)
        elif kind == "citation":
            self._citation(choice, fields)
        elif kind == "media":
            self._item(str(fields.get("type")), choice, fields)
        elif kind == "native":
            self._item("native", choice, {**fields, "type": "native", "dialect": self._dialect, "native": fields.get("data")})
        elif kind == "logprobs" and self.stream.chunk is not None and "logprobs" in self.stream.reads:
            self._begin()
            content = fields.get("content")
            self._chunk(choice, [], logprobs=content if isinstance(content, list) else [content])

    def _writes(self, kind: str, fields: dict[str, Any]) -> bool:
        """Whether a piece has a place. Signatures without one stay behind in silence: the words they sign do not."""
        if fields.get("text"):
            return self._places.fit({**fields, "type": kind}) is not None
        return kind in self.stream.writes and any(
            fields.get(n) and f"{kind}.{n}" in self.stream.reads for n in ("signature", "redacted")
        )

    def _item(self, type: str, choice: int, fields: dict[str, Any]) -> None:
        if self._places.fit({**fields, "type": type}) is not None:
            self._order(choice).item(type, fields)

    def _citation(self, choice: int, fields: dict[str, Any]) -> None:
        if choice == 0:
            self._citations.append(fields)
        if self.stream.chunk is not None:
            if "citations" in self.stream.reads:
                self._begin()
                self._chunk(choice, [], citations=[fields])
        elif "citation" in self.stream.delta:
            text = next((piece for piece in reversed(self._opened.get(0, ())) if piece.type == "text"), None)
            if text is None:
                self._early.append(fields)
            else:
                self._cite(text, fields)

    def _cite(self, piece: Piece, fields: dict[str, Any]) -> None:
        view = piece.view or {}
        self._send(self.stream.delta["citation"]({**self._base, "block": view, "index": view.get("index"), "delta": fields}))

    # --- blocks -----------------------------------------------------------------------------------------------------

    def _write(self, piece: Piece, fields: dict[str, Any]) -> None:
        """One delta of the block that is open; the first opens it."""
        self._begin()
        type = piece.type
        first = piece.view is None
        if first:
            self._open(piece, fields)
        view = piece.view
        assert view is not None
        if type == "tool_call":
            more = piece.arguments(fields)
            if more:
                piece.pieces.append(more)
            delta: dict[str, Any] = {"arguments_json": more}
            if fields.get("signature") is not None:
                view["signature"] = delta["signature"] = fields["signature"]
        elif type in PROSE:
            delta = fields
            text = fields.get("text")
            if text:
                piece.pieces.append(text)
            for name in ("signature", "redacted"):
                if fields.get(name) is not None:
                    view[name] = (view.get(name) or "") + fields[name] if name == "signature" and not first else fields[name]
        else:
            view.update((k, v) for k, v in fields.items() if v is not None and k not in ("index", "data"))
            if fields.get("data") is not None and type != "native":
                piece.pieces.append(fields["data"])
            delta = fields
        self._delta(piece, type, view, delta, first)

    def _more(self, kind: str, choice: int, fields: dict[str, Any]) -> bool:
        """Write a piece of the block that is open without rendering its frame anew. False if it is more than that."""
        order = self._orders.get(choice)
        piece = order.open if order is not None else None
        if order is None or piece is None or piece.pattern is False or self.ended:
            return False
        text = order.more(kind, fields)
        if text is None:
            return False
        if kind not in self.stream.whole:
            if piece.pattern is None:
                piece.pattern = self._learn(piece) or False
                if piece.pattern is False:
                    return False
            self._wire.repeat(piece.pattern, text)
            self._run = Run.of(kind, choice, fields, piece.pieces.extend, self._wire.repeater(piece.pattern))
        piece.pieces.append(text)
        return True

    def _learn(self, piece: Piece) -> Pattern | None:
        """What the frames of a block have in common."""
        wire, recorder = self._wire, Recorder(self._wire)
        name = "arguments_json" if piece.type == "tool_call" else "text"
        self._wire = recorder  # type: ignore[assignment]
        try:
            self._delta(piece, piece.type, piece.view or {}, {name: recorder.sample}, False)
        finally:
            self._wire = wire
        return recorder.pattern()

    def _open(self, piece: Piece, fields: dict[str, Any]) -> None:
        blocks = self._opened.setdefault(piece.choice, [])
        block, number = piece.block, len(blocks)
        blocks.append(piece)
        if piece.type == "tool_call":
            piece.made = "call_" + self._make_id()[:24] if block.id is None else None
            piece.ordinal = sum(1 for p in blocks[:-1] if p.type == "tool_call")
        view = piece.begin(number, item_id(self._base["id"], number, piece.type, block.id), fields)
        self._moment(self.stream.open, piece, view)
        if piece.type == "text" and self._early:
            early, self._early = self._early, []
            for one in early:
                self._cite(piece, one)

    def _delta(self, piece: Piece, type: str, view: dict[str, Any], delta: dict[str, Any], first: bool) -> None:
        if self.stream.chunk is not None:
            if type in self.stream.whole:
                return
            if type == "tool_call":
                part = {"type": type, "index": piece.ordinal, **delta}
                if first:
                    part.update(id=view["id"], name=view["name"], given_id=view["id"])
                elif len(delta) == 1 and not delta["arguments_json"]:
                    return
            elif type in PROSE:
                part = {"type": type, "text": "", **{k: v for k, v in delta.items() if k in _DELTAS and v is not None}}
            else:
                part = {**view, **{k: v for k, v in delta.items() if v is not None}}
                if type in MEDIA:
                    complete_media(part)
            self._chunk(piece.choice, [part])
        elif type != "tool_call" or delta["arguments_json"]:
            template = self._template(self.stream.delta, type)
            if template is not None:
                self._send(template({**self._base, "block": view, "index": view["index"], "delta": delta}))

    def _close(self, piece: Piece) -> None:
        view = self._final(piece)
        if piece.type == "tool_call" and not piece.pieces and piece.type not in self.stream.whole:
            self._delta(piece, piece.type, view, {"arguments_json": "{}"}, False)  # clients parse what they joined
        if self.stream.chunk is None:
            self._moment(self.stream.close, piece, view)
        elif piece.type in self.stream.whole:
            self._chunk(piece.choice, [{**view, "index": piece.ordinal}])

    def _final(self, piece: Piece) -> dict[str, Any]:
        """What is known of a block now: its text, its arguments."""
        return piece.told(self._citations if piece.choice == 0 else [])

    def _template(self, table: dict[str, Template], type: str) -> Template | None:
        found = table.get(type)
        return table.get("text") if found is None and type == "refusal" else found

    def _moment(self, table: dict[str, Template], piece: Piece, view: dict[str, Any]) -> None:
        template = self._template(table, piece.type)
        if template is not None:
            self._send(template({**self._base, "block": view, "index": view["index"]}))

    # --- frames -----------------------------------------------------------------------------------------------------

    def _names(self) -> dict[str, Any]:
        start = self._start
        id = start.get("id") or self._make_id()
        created = start.get("created")
        created = created if created.__class__ is int else None
        return base_context(self.served, self._request, self.report, id, start.get("model"), created, self._now)

    def _begin(self) -> None:
        if self.started:
            return
        self.started = True
        self._base = self._names()
        if self.stream.start is not None:
            self._send(self.stream.start(self._state(None)))

    def _state(self, finish: str | None, whole: bool = False) -> dict[str, Any]:
        """The names of a reply for everything so far, with `reply` rendered."""
        parts = [self._final(piece) for piece in self._opened.get(0, [])]
        choice = choice_view(0, parts, self._citations, finish)
        context = {**self._base, **choice, "choices": [choice], "usage": native_usage(self.served, self._usage)}
        if "reply" in self.stream.reads:
            context["reply"] = self.served.reply(context)
        return context

    def _finish(self, choice: int) -> str:
        reason = self._finishes.get(choice) or "stop"
        if reason == "stop" and choice in self._orders and self._orders[choice].calls:
            reason = "tool_calls"
        return native_finish(self.served, self._places, reason) or reason

    def _chunk(
        self,
        choice: int,
        parts: list[dict[str, Any]],
        *,
        citations: list[dict[str, Any]] | None = None,
        finish: str | None = None,
        usage: dict[str, Any] | None = None,
        logprobs: list[Any] | None = None,
    ) -> None:
        written = [part if part["type"] in self.stream.writes else self._places.fit(part) for part in parts]
        view = choice_view(choice, [part for part in written if part is not None], citations, finish, logprobs)
        context = {**self._base, **view, "choices": [view], "usage": usage, "first": choice not in self._begun}
        self._begun.add(choice)
        assert self.stream.chunk is not None
        self._wire.put(None, self.stream.chunk(context))

    def _last_chunks(self) -> None:
        usage = native_usage(self.served, self._usage)
        choices = sorted(self._orders) or [0]
        for choice in choices:
            self._chunk(choice, [], finish=self._finish(choice), usage=usage if choice == choices[-1] else None)
        if self.stream.end is not None:
            self._wire.put(None, self.stream.end({**self._base, "usage": usage}))

    def _send(self, made: Any) -> None:
        """What a moment rendered: `name: body` once, or a list of them."""
        for frame in made if made.__class__ is list else (made,) if made is not None else ():
            for name, body in frame.items():
                self._wire.put(name, body)
