"""What maps emit becomes events and, at the end, one Response (SPEC_LANGUAGE 7.2, 12.2, 12.3).

The same code reads whole answers and streams, so both end in the same Response. All state of a stream is here: per
candidate its ordered blocks, the table (kind, index) -> block, the finish; and the usage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine import errors
from engine.call import counts, media
from engine.call.block import Candidate, name_calls
from engine.call.choices import choice_of, finish_reason
from engine.call.outputs import join_audio, key_of, output_fields, ranked, text_of, timestamp, word
from engine.call.thinking_tags import TagCutter
from engine.plan import OperationPlan
from engine.types import Citation, Event, Report, Response, Usage

_COUNTERS = frozenset(Usage.__dataclass_fields__)
_SECONDS = 10**11  # a larger time is in milliseconds
MOST_CANDIDATES = 1024  # an answer that names more is hostile


class Accumulator:
    """Takes what a map emits; gives events (drained by the reader from `events`) and the Response.

    With `whole` the commonest events are not made, since the answer comes at once and nobody would look at them.
    An `error` that is emitted is kept in `error` (its fields) and is no event: whoever reads raises it after what came
    before has been delivered. `finished` tells whether every candidate that was seen has a finish reason.
    """

    __slots__ = (
        "_closed", "_counters", "_doubtful", "_outputs", "_start", "_started", "_usage", "_vectors", "candidates", "error",
        "events", "model", "plan", "provider", "report", "warnings", "whole",
    )  # fmt: skip

    def __init__(
        self,
        plan: OperationPlan,
        provider: str | None = None,
        context: Mapping[str, Any] | None = None,
        model: str | None = None,
        whole: bool = False,
    ) -> None:
        self.plan = plan
        self.provider = provider or plan.provider
        self.model: str | None = model or (context or {}).get("model")  # what was asked for
        self.events: list[Event] = []
        self.whole = whole
        self.error: dict[str, Any] | None = None
        self.warnings: list[str] = []
        report = (context or {}).get("$report")
        self.report: Report = report if isinstance(report, Report) else Report()
        self.candidates: dict[int, Candidate] = {}
        self._start: dict[str, Any] = {}
        self._started: dict[str, Any] | None = None
        self._usage: dict[str, Any] = {}
        self._counters: dict[str, Any] = {}  # the same in canonical form
        self._doubtful = False  # one of them is unknown, for what was reported is nonsense
        self._outputs: list[Event] = []
        self._vectors: dict[Any, int] = {}  # how many of each type came without a number
        self._closed = False

    # --- what maps call ---------------------------------------------------------------------------------------------

    def emit(self, kind: str, choice: Any, fields: dict[str, Any]) -> None:
        """One output of a map. `fields` belongs to the accumulator from now on."""
        if kind == "text" and len(fields) == 1 and choice.__class__ is int:  # by far the most frequent
            candidate = self.candidates.get(choice)
            if candidate is not None and candidate.append is not None:
                text = fields.get("text")
                if text.__class__ is str:
                    if text:
                        candidate.append(text)
                        self.events.append(Event("text", fields, choice))
                    return
        elif kind == "start" and fields == self._started:  # many wires repeat it in every chunk
            return
        handler = _HANDLERS.get(kind)
        if handler is None:
            self._output(kind, choice, fields)
        else:
            handler(self, choice, fields)

    def unknown(self, event: Any) -> None:
        """An event the spec does not list: ignored and counted."""
        ignored = self.report.ignored_events
        name = str(event)[:100]
        if name in ignored or len(ignored) < 100:
            ignored[name] = ignored.get(name, 0) + 1

    def warn(self, text: str) -> None:
        """A sentence for `Response.warnings`, once."""
        if text not in self.warnings:
            self.warnings.append(text)

    @property
    def finished(self) -> bool:
        """Every candidate that was seen has ended."""
        return bool(self.candidates) and all(c.finish is not None for c in self.candidates.values())

    def seen(self) -> int:
        """How much was read so far: a number that grows with every output."""
        return len(self.events) if not self.whole else not self.empty

    @property
    def empty(self) -> bool:
        """Nothing at all was read."""
        return not (self.candidates or self._outputs or self._usage or self._start)

    @property
    def content(self) -> bool:
        """Something of the answer itself was read: more than its id and usage."""
        return bool(self._outputs) or any(c.blocks for c in self.candidates.values())

    # --- kinds ------------------------------------------------------------------------------------------------------

    def _candidate(self, choice: Any) -> tuple[int, Candidate]:
        number = choice if choice.__class__ is int else counts.whole(choice) or 0
        found = self.candidates.get(number)
        if found is None:
            if len(self.candidates) >= MOST_CANDIDATES:
                raise errors.for_kind("limit")(f"the answer has more than {MOST_CANDIDATES} candidates")
            cutter = TagCutter(*self.plan.thinking_tags) if self.plan.thinking_tags else None
            found = self.candidates[number] = Candidate(cutter)
        return number, found

    def _text(self, choice: Any, fields: dict[str, Any]) -> None:
        number, candidate = self._candidate(choice)
        if candidate.cutter is None:
            text = fields.get("text")
            if len(fields) == 1 and text and text.__class__ is str:
                block = candidate.prose("text", None, None, False) if candidate.blocks else candidate.new("text")
                block.pieces.append(text)
                if not self.whole:
                    self.events.append(Event("text", fields, number))
                return
            self._prose("text", number, candidate, fields)
            return
        text = self._new_text("text", candidate, fields)
        for kind, piece in candidate.cutter.feed(text):
            self._prose(kind, number, candidate, {**fields, "text": piece, "full": None})

    def _thinking(self, choice: Any, fields: dict[str, Any]) -> None:
        self._prose("thinking", *self._candidate(choice), fields)

    def _refusal(self, choice: Any, fields: dict[str, Any]) -> None:
        self._prose("refusal", *self._candidate(choice), fields)

    def _prose(self, kind: str, number: int, candidate: Candidate, fields: dict[str, Any]) -> None:
        full = fields.get("full")
        text = fields.get("text")
        if full is not None:
            text = self._new_text(kind, candidate, fields)
            fields = {k: v for k, v in fields.items() if k != "full"}
        elif text.__class__ is not str:
            text = text_of(text)
        signature, redacted = word(fields.get("signature")), word(fields.get("redacted"))
        if not text and signature is None and redacted is None:
            return
        index = key_of(fields.get("index"))
        if index is None and full is not None:
            index = "full"
        block = candidate.prose(kind, index, word(fields.get("id")), not text and redacted is None)
        if text:
            block.pieces.append(text)
        if signature is not None:
            block.signature = (block.signature or "") + signature
        if redacted is not None:
            block.redacted = redacted
        if fields.get("id") is not None and block.id is None:
            block.id = word(fields["id"])
        if text != fields.get("text"):
            fields = {**fields, "text": text or None}
        self.events.append(Event(kind, fields, number))

    def _new_text(self, kind: str, candidate: Candidate, fields: dict[str, Any]) -> str:
        """The text of an emission; of `full`, everything so far, only what is new."""
        full = fields.get("full")
        if full is None:
            return text_of(fields.get("text"))
        full = text_of(full)
        key = (kind, key_of(fields.get("index")))
        before = candidate.fulls.get(key)
        if before is None:  # deltas may have come before a closing event that repeats everything
            block = candidate.keys.get(key)
            same = [block] if block is not None else [b for b in candidate.blocks if b.type == kind and key[1] is None]
            before = "".join(b.text for b in same)
        if not full.startswith(before):
            raise errors.for_kind("protocol")(f"the {kind} so far does not begin with the {kind} that came before")
        candidate.fulls[key] = full
        return full[len(before) :]

    def _tool_call(self, choice: Any, fields: dict[str, Any]) -> None:
        number, candidate = self._candidate(choice)
        id, name = word(fields.get("id")), word(fields.get("name"))
        block = candidate.call(key_of(fields.get("index")), id, name)
        if name is not None:
            block.name = name
        arguments, full = fields.get("arguments"), fields.get("full_arguments")
        if arguments.__class__ is str:
            block.pieces.append(arguments)
        elif arguments is not None:
            block.arguments = arguments
        if full.__class__ is str:
            block.pieces[:] = [full]
        elif full is not None:
            block.arguments = full
            block.pieces.clear()
        if fields.get("at") is not None:
            block.put(fields["at"], fields.get("piece"))
        if fields.get("signature") is not None:
            block.signature = (block.signature or "") + text_of(fields["signature"])
        if fields.get("server"):
            block.server = True
        fields["index"] = block.ordinal
        self.events.append(Event("tool_call", fields, number))

    def _citation(self, choice: Any, fields: dict[str, Any]) -> None:
        number, candidate = self._candidate(choice)
        citation = Citation(
            url=word(fields.get("url")),
            title=word(fields.get("title")),
            text=word(fields.get("text")),
            start=counts.whole(fields.get("start")),
            end=counts.whole(fields.get("end")),
            source=word(fields.get("source")),
            index=counts.whole(fields.get("index")),
        )
        identity = (citation.url, citation.title, citation.text, citation.start, citation.end, citation.source, citation.index)
        if identity in candidate.seen:
            return
        candidate.seen.add(identity)
        candidate.citations.append(citation)
        block = next((b for b in reversed(candidate.blocks) if b.type == "text"), None)
        if block is not None:
            block.citations = [*(block.citations or ()), citation]
        self.events.append(Event("citation", citation.to_dict(), number))

    def _media(self, choice: Any, fields: dict[str, Any]) -> None:
        number, candidate = self._candidate(choice)
        found = output_fields("media", fields)
        type = media.kind_of(found.get("media_type"), found.get("type"))
        key = key_of(found.get("index"))
        if key is None and found.get("id") is not None:
            key = ("id", key_of(found["id"]))
        block = candidate.keys.get((type, key)) if key is not None else None
        if block is None:
            block = candidate.new(type, key)
        if found.get("data") is not None:
            block.pieces.append(found["data"])
        if found.get("text") is not None:
            block.fields["text"] = block.fields.get("text", "") + text_of(found["text"])
        block.fields.update((k, found[k]) for k in ("url", "media_type") if found.get(k) is not None)
        block.id = word(found.get("id")) or block.id
        block.signature = word(found.get("signature")) or block.signature
        self.events.append(Event("media", {**found, "type": type}, number))

    def _native(self, choice: Any, fields: dict[str, Any]) -> None:
        number, candidate = self._candidate(choice)
        key = key_of(fields.get("index"))
        block = (candidate.keys.get(("native", key)) if key is not None else None) or candidate.new("native", key)
        block.lay(fields)
        self.events.append(Event("native", fields, number))

    def _logprobs(self, choice: Any, fields: dict[str, Any]) -> None:
        number, candidate = self._candidate(choice)
        content = fields.get("content")
        if not content:
            return
        items = content if isinstance(content, list) else [content]
        candidate.logprobs = [*(candidate.logprobs or ()), *items]
        self.events.append(Event("logprobs", fields, number))

    def _on_usage(self, choice: Any, fields: dict[str, Any]) -> None:
        told, plain = counts.told(fields)
        if not plain:
            for name, value in list(told.items()):
                found = told[name] = counts.counter(name, value)
                if found is None:
                    self._doubtful = True
                    self.warn(f"the provider reported a nonsense value for {name}; it is unknown")
                    if name not in self._usage:
                        del told[name]
        if not told:
            return
        self._usage = {**self._usage, **told} if self._usage else told
        known = counts.canonical(self._usage, self.plan.usage_totals)
        self._counters = {k: v for k, v in known.items() if v is not None} if self._doubtful else known
        if not self.whole:
            self.events.append(Event("usage", dict(self._counters)))

    def _finish(self, choice: Any, fields: dict[str, Any]) -> None:
        reason = fields.get("reason")
        if reason is None or reason == "":
            return
        number, candidate = self._candidate(choice)
        candidate.finish = reason if reason.__class__ is str else text_of(reason)
        if self.whole:
            return
        told = {"reason": finish_reason(self.plan, candidate), "raw": candidate.finish, "detail": fields.get("detail")}
        self.events.append(Event("finish", told, number))

    def _error(self, choice: Any, fields: dict[str, Any]) -> None:
        if self.error is None:
            self.error = fields

    def _begin(self, choice: Any, fields: dict[str, Any]) -> None:
        self._started = fields
        known, news = self._start, fields
        if known or None in fields.values():
            news = {k: v for k, v in fields.items() if v is not None and known.get(k) != v}
        if news:
            known.update(news)
            if not self.whole:
                self.events.append(Event("start", news))

    def _output(self, kind: str, choice: Any, fields: dict[str, Any]) -> None:
        event = Event(kind, output_fields(kind, fields), counts.whole(choice) or 0)
        if (kind == "embedding" or (kind == "result" and self.plan.name == "rerank")) and event.fields.get("index") is None:
            dtype = key_of(event.fields.get("dtype"))  # many wires rely on the order
            event.fields["index"] = self._vectors.get(dtype, 0)
            self._vectors[dtype] = event.fields["index"] + 1
        if kind not in ("partial_image", "progress"):  # on the way, no part of the answer
            self._outputs.append(event)
        self.events.append(event)

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """The answer is complete: what was held back comes out, and each tool call is handed over as a whole."""
        if self._closed:
            return
        self._closed = True
        if self.whole and self.plan.thinking_tags is None:
            return
        if not self.whole:
            name_calls(self.candidates, self.warn)
        for number, candidate in self.candidates.items():
            for kind, piece in candidate.cutter.close() if candidate.cutter else ():
                self._prose(kind, number, candidate, {"text": piece})
            for block in candidate.blocks if not self.whole else ():
                if block.type == "tool_call":
                    arguments, _, valid = block.read_arguments()
                    fields = {"index": block.ordinal, "id": block.id, "name": block.name, "arguments": arguments}
                    fields.update(signature=block.signature, server=block.server or None, invalid=None if valid else True)
                    self.events.append(Event("tool_call_end", fields, number))

    def response(self, partial: bool = False) -> Response:
        """The Response of everything so far. A partial one holds no tool call whose arguments may be cut (T6)."""
        counters, start, candidates = self._counters, self._start, self.candidates
        name_calls(candidates, self.warn)
        if not _COUNTERS.issuperset(counters):
            counters = {k: v for k, v in counters.items() if k in _COUNTERS}
        usage = Usage(**counters)
        created = start.get("created")
        choices = []
        for n in sorted(candidates) if len(candidates) > 1 else candidates:
            choices.append(choice_of(self.plan, n, candidates[n], partial))
        return Response(
            word(start.get("id")),
            word(start.get("model")) or self.model,
            self.provider,
            created if created is None or (created.__class__ is int and 0 <= created < _SECONDS) else timestamp(created),
            choices,
            self._outputs and (ranked if self.plan.name == "rerank" else join_audio)(self._outputs),
            usage,
            usage.cost,
            list(self.warnings),
            self.report,
            None,
            None,
            "partial" if partial else "complete",
        )


_HANDLERS: dict[str, Callable[[Accumulator, Any, dict[str, Any]], None]] = {
    "text": Accumulator._text,
    "thinking": Accumulator._thinking,
    "refusal": Accumulator._refusal,
    "tool_call": Accumulator._tool_call,
    "citation": Accumulator._citation,
    "media": Accumulator._media,
    "native": Accumulator._native,
    "logprobs": Accumulator._logprobs,
    "usage": Accumulator._on_usage,
    "finish": Accumulator._finish,
    "error": Accumulator._error,
    "start": Accumulator._begin,
}
