"""A stream becomes events and ends in a Response (RELIABILITY T1-T3, SPEC_LANGUAGE 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine import errors
from engine.call.accumulate import Accumulator
from engine.call.decode import DecodeLimits, Decoder, Frame, JsonArray, decoder
from engine.call.decode.sse import Sse
from engine.call.failure import failure
from engine.call.json import JsonError, JsonLimitError, loads_event
from engine.call.read import describe, error_document, finish, map_document, read_document
from engine.call.repeat import TEXTS, Going, Repeat, learnt
from engine.call.repeat import going as find
from engine.call.waits import lower
from engine.plan import OperationPlan, Stream
from engine.types import Event, Response

_LIMITS = DecodeLimits()
_PICTURES = DecodeLimits(line=_LIMITS.body, event=_LIMITS.body)  # one event holds what else is a whole answer
_SPACE = b"\xef\xbb\xbf \t\r\n"
_DONE = b"[DONE]"
_SHORT = 16  # a `[DONE]` with white space around it is shorter
_BEATS = frozenset((b"ping", b"heartbeat", b"keepalive", b"keep-alive", b"[heartbeat]", b"[ping]"))
_BEAT_EVENTS = frozenset(("ping", "heartbeat", "keepalive", "keep-alive"))
_EVENT_KEYS = ("type", "event", "event_type")  # where a document names its event if the framing does not
_PREVIEW = 200
_LESSONS = 3  # frames that are learnt in vain before no more are, but for those that come after many that were alike
_MANY = 16
_FEW = 2
_BURST = 4096  # bytes of events that came at once, from which on they are read together


class Reader:
    """Reads one streamed answer, whatever way its bytes are cut.

        for data in body:
            deliver(reader.feed(data))
        deliver(reader.end())
        response = reader.close()

    `feed` and `end` never raise: a failure is the last event, of kind `error`, and stands in `error` (with `partial`, the
    Response of what arrived); later bytes are ignored. `close` raises it, or returns the Response. `done` tells that an end
    mark was read, so that nobody needs to wait for the connection to close.
    """

    def __init__(
        self,
        plan: OperationPlan,
        headers: Mapping[str, Any] | None = None,
        *,
        context: Mapping[str, Any] | None = None,
        model: str | None = None,
        status: int = 200,
        now: float = 0.0,
        limits: DecodeLimits | None = None,
        masked: Callable[[errors.Error], errors.Error] | None = None,
    ) -> None:
        self.plan = plan
        self._masked = masked  # takes secrets out of an error before anybody sees it
        self.stream = plan.stream or Stream(map=plan.response)
        self.headers = lower(headers)
        self.status = status
        self.now = now
        self.limits = limits or (_PICTURES if plan.name in ("image", "image_edit") else _LIMITS)
        self.error: errors.Error | None = None
        self.done = False
        self.response: Response | None = None
        self._into = Accumulator(plan, context=context, model=model)
        self._decoder: Decoder = decoder(self.stream.framing, self.stream.data, self.limits)
        self._kept = b""  # bytes before it is known what kind of answer this is
        self._known = False
        self._whole: list[bytes] | None = None  # one JSON answer in place of a stream
        self._size = 0
        self._plain = plan.errors.ok is None and self.stream.data != "text"
        self._repeat: Repeat | None = None  # a frame that others may be like
        self._going: Going | None = None  # and where their texts go
        self._lessons = _LESSONS
        self._alike = 0  # frames like it
        self._texts = 0  # frames with text that were read in full

    def feed(self, data: bytes) -> list[Event]:
        """The events of some more bytes."""
        if self.error is not None or self.response is not None or self.done:
            return []
        self._size += len(data)
        try:
            if not self._known:
                data = self._recognise(data)
            if self._whole is not None:
                self._keep_whole(data)
            elif self._size > self.limits.stream:
                raise errors.for_kind("limit")(f"the stream is larger than {self.limits.stream} bytes")
            else:
                if len(data) > _BURST and self._lessons and self._decoder.__class__ is Sse:
                    data = self._burst(data)
                self._decoded(data)
        except errors.Error as error:
            self._fail(error)
        except RecursionError:
            self._fail(errors.for_kind("limit")("the answer is nested too deep"))
        into = self._into
        events = into.events
        if events:
            into.events = []
        return events

    def end(self) -> list[Event]:
        """The bytes have ended: the last events, then `end` with the Response, or `error`."""
        if self.error is None and self.response is None:
            try:
                self._finish()
            except errors.Error as error:
                self._fail(error)
            except RecursionError:
                self._fail(errors.for_kind("limit")("the answer is nested too deep"))
        return self._drain()

    def close(self) -> Response:
        """The Response. Raises the error of a stream that failed or was cut."""
        self.end()
        if self.error is not None:
            raise self.error
        assert self.response is not None
        return self.response

    def interrupt(self, error: errors.Error) -> None:
        """The transport failed: the stream ends here with this error and what arrived before it."""
        if self.error is None and self.response is None:
            self._fail(error)

    @property
    def partial(self) -> Response:
        """What has arrived so far; no tool call whose arguments may be cut."""
        return self._into.response(partial=True)

    # --- what kind of answer this is --------------------------------------------------------------------------------

    def _recognise(self, data: bytes) -> bytes:
        """Judge by the first bytes: a stream, a page, one JSON answer, a JSON array of events."""
        data = self._kept + data
        self._kept = b""
        start = data.lstrip(_SPACE)[:1]
        framing = self.stream.framing
        if framing == "raw":
            self._known = bool(data)
            if start == b"{" and "json" in self.headers.get("content-type", ""):
                self._whole = []
            return data
        if not start:
            self._kept = data
            if len(data) > self.limits.event:
                raise errors.for_kind("limit")("the stream begins with nothing but white space")
            return b""
        self._known = True
        if start == b"<":
            self._whole = []
        elif start == b"[" and framing in ("sse", "ndjson", "eventstream"):
            self._decoder = JsonArray(self.limits)
        elif start == b"{" and framing in ("sse", "eventstream"):
            self._whole = []
        elif framing == "ndjson" and start == b"{" and self._is_pretty(data):
            self._decoder = JsonArray(self.limits)
        return data

    def _is_pretty(self, data: bytes) -> bool:
        """A document over several lines in place of one per line."""
        return data.lstrip(_SPACE)[1:].lstrip(b" \t")[:1] in (b"\n", b"\r")

    def _keep_whole(self, data: bytes) -> None:
        assert self._whole is not None
        if self._size > self.limits.body:
            raise errors.for_kind("limit")(f"the answer is larger than {self.limits.body} bytes")
        self._whole.append(data)

    def _read_whole(self, body: bytes) -> None:
        """One JSON answer, or a page, where a stream was expected."""
        document = read_document("json", self.status, self.headers, body, self.limits)
        error = map_document(self._into, self.plan.response, document, self.headers, self.status, self.now)
        if error is not None:
            raise error
        if self._into.empty:
            raise errors.for_kind("protocol")("the answer is no stream and has none of the expected fields", raw=document)
        self.done = True

    # --- frames -----------------------------------------------------------------------------------------------------

    def _burst(self, data: bytes) -> bytes:
        """Read what is alike of many events that came at once; the bytes that are left."""
        first = data.find(b"\n\n", 0 if self._going is not None else _BURST // 2) + 2
        if first < 2 or b"\r" in data or len(data) > min(self.limits.event, self.limits.line):
            return data
        self._decoded(data[:first])
        data = data[first:]
        repeat, going = self._repeat, self._going
        found = repeat.texts(data) if repeat is not None and going is not None and not self.done else None
        if found is None or repeat is None or going is None:
            return data
        texts, left = found
        kind, choice, name, fields = repeat.kind, repeat.choice, repeat.name, going.fields
        going.pieces.extend(texts)
        self._into.events += [Event(kind, {**fields, name: text}, choice) for text in texts]
        self._alike += len(texts)
        return left

    def _decoded(self, data: bytes) -> None:
        try:
            frames = self._decoder.feed(data)
        except errors.Error:  # first what was whole before the bytes broke; an end mark among it ends the stream (T1)
            self._frames(self._decoder.before)
            if not self.done:
                raise
        else:
            if frames and not self.done:
                self._frames(frames)

    def _frames(self, frames: list[Frame]) -> None:
        into = self._into
        mapping = self.stream.map
        if mapping is None:
            self._audio(frames)
            return
        emit, unknown, ends, plain = into.emit, into.unknown, self.stream.end, self._plain
        text_frames = self.stream.data == "text"
        repeat, going = self._repeat, self._going
        for frame in frames:
            event, data, exception = frame
            if repeat is not None:
                text = repeat.text(event, data) if not exception else None
                if text:
                    if going is not None:
                        going.pieces.append(text)
                        into.events.append(Event(repeat.kind, {**going.fields, repeat.name: text}, repeat.choice))
                    else:
                        emit(repeat.kind, repeat.choice, {**repeat.fields, repeat.name: text})
                        going = self._going = find(repeat, into.candidates)
                    self._alike += 1
                    continue
                repeat = self._repeat = going = self._going = None
            if len(data) < _SHORT and data.strip() == _DONE:
                self.done = True
                return
            try:
                document = data.decode("utf-8", "replace") if text_frames else loads_event(data)
            except JsonLimitError as error:
                raise errors.for_kind("limit")(str(error)) from None
            except JsonError:
                if event in _BEAT_EVENTS or data.strip().lower() in _BEATS:
                    continue
                text = data.decode("utf-8", "replace")
                raise errors.for_kind("protocol")(f"an event of the stream is not JSON: {text[:_PREVIEW]}", raw=text) from None
            if (
                plain
                and document.__class__ is dict
                and "error" not in document
                and document.get("type") != "error"  # the usual signs, see `is_error`
                and document.get("object") != "error"
                and event != "error"
                and not exception
            ):
                try:
                    mapping(document, emit, event, unknown)
                except Exception as error:
                    raise self._explained(error) from None
                if into.error is not None:
                    self._raise_emitted(document)
                if self._lessons and into.events and into.events[-1].kind in TEXTS:
                    repeat = self._learn(mapping, event, data, document)
            else:
                self._carefully(frame, document)
            if ends and self._is_end(event, document):
                return

    def _learn(self, mapping: Any, event: str | None, data: bytes, document: Any) -> Repeat | None:
        """What frames like this one have in common. Streams whose frames all differ are left alone after some lessons, and short
        ones need none."""
        self._texts += 1
        if self._texts > _FEW:
            self._lessons = _LESSONS if self._alike >= _MANY else self._lessons - 1
            self._alike = 0
            self._repeat = learnt(mapping, event, data, document)
        return self._repeat

    def _carefully(self, frame: Frame, document: Any) -> None:
        """A frame that is or may be an error."""
        into = self._into
        if frame.exception:
            told = dict(document) if isinstance(document, dict) else {"message": document}
            told.setdefault("code", frame.event)
            raise failure(self.plan, self.status, self.headers, told, model=into.model, now=self.now)
        error = map_document(into, self.stream.map, document, self.headers, self.status, self.now, frame.event)
        if error is None and frame.event == "error":
            error = failure(self.plan, self.status, self.headers, document, model=into.model, now=self.now)
        if error is not None:
            raise error

    def _raise_emitted(self, document: Any) -> None:
        """Raise the error that the map emitted."""
        into = self._into
        raise failure(self.plan, self.status, self.headers, document, fields=into.error, model=into.model, now=self.now)

    def _is_end(self, event: str | None, document: Any) -> bool:
        """Whether this was a declared end event, by the frame's name or the document's own."""
        ends = self.stream.end
        names = [document.get(k) for k in _EVENT_KEYS] if document.__class__ is dict else []
        self.done = event in ends or any(n in ends for n in names if n.__class__ is str)
        return self.done

    def _explained(self, error: Exception) -> errors.Error:
        if isinstance(error, errors.Error):
            return error
        from engine.call.read import unreadable

        return unreadable(self.plan, self.status, self.headers, self._into.model, error)

    def _audio(self, frames: list[Frame]) -> None:
        """Raw bytes are audio, of the type the headers state."""
        media_type = self.headers.get("content-type", "").split(";", 1)[0].strip() or None
        for frame in frames:
            self._into.emit("audio", 0, {"data": frame.data, "media_type": media_type})

    # --- the end ----------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        into = self._into
        complete = self.done
        if not complete:
            if self._whole is not None:
                self._read_whole(b"".join(self._whole))
                complete = True
            else:
                complete = self._last_frames()
        completeness = "complete"
        if (not complete and not into.finished) or into.empty:
            if not ("eof" in self.stream.end and not into.empty):
                what = "the stream ended before its end mark" if not into.empty else "the stream is empty"
                raise errors.for_kind("stream_interrupted")(what)
            completeness = "unverified"
        into.close()
        self.response = finish(into, self.headers, None, self.now)
        self.response.completeness = completeness
        self.response.warnings[:0] = into.report.warnings
        into.events.append(Event("end", {"response": self.response}))

    def _last_frames(self) -> bool:
        """Events that lack their end. One that cannot be read was cut; that matters unless the answer was already complete."""
        frames = self._decoder.feed(self._kept) if self._kept else []
        frames += self._decoder.close()
        if self.stream.framing == "raw":
            return not self._into.empty
        try:
            self._frames(frames)
        except errors.Error as error:
            if error.kind != "protocol" or not frames:
                raise
            if self._into.finished:
                self._into.warn("the last event of the stream was cut")
            else:
                raise errors.for_kind("stream_interrupted")("the stream was cut in the middle of an event") from None
        return self.done

    def _fail(self, error: errors.Error) -> None:
        self._whole = None
        self._into.error = None
        self.error = describe(error, self.plan, self.status, self.headers, self._into.model)
        self.error.partial = self._into.response(partial=True)
        if self._masked is not None:
            self.error = self._masked(self.error)
        names = ("code", "type", "param", "status")
        fields = {"message": error.message, "kind": error.kind, **{n: getattr(error, n) for n in names}}
        self._into.events.append(Event("error", {k: v for k, v in fields.items() if v is not None}))

    def _drain(self) -> list[Event]:
        events, self._into.events = self._into.events, []
        return events


def error_of(plan: OperationPlan, status: int, headers: Mapping[str, Any] | None, body: bytes, now: float = 0.0) -> errors.Error:
    """The error of a stream that was refused: its status says so, and its body is whole."""
    return failure(plan, status, headers, error_document(body), now=now)
