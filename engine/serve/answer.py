"""Canonical answers as the templates of a reply see them (SERVE.md 5): parts and choices as mappings, native words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any

from engine import errors
from engine.call.json import dumps
from engine.plan import Served
from engine.types import Part, Report, Usage

PROSE = ("text", "thinking", "refusal")
MEDIA = frozenset(("image", "audio", "video", "document"))
_FALLBACK = ("refusal", "json")  # written as text where they have no place
_FIELDS = tuple(name for name in Part.__slots__ if name not in ("citations", "native", "dialect"))
_fields = attrgetter(*_FIELDS)


def part_view(part: Part, item_id: str, number: int) -> dict[str, Any]:
    """A part with the fields its templates may read. `item_id` names its block, `number` counts the parts."""
    view: dict[str, Any] = {}
    for name, value in zip(_FIELDS, _fields(part), strict=True):
        if value is not None:
            view[name] = value
    view["item_id"], view["index"], view["number"] = item_id, number, number
    if part.citations:
        view["citations"] = [c.to_dict() for c in part.citations]
    if part.type == "tool_call":
        complete_call(view)
    elif part.type in MEDIA:
        complete_media(view)
    elif part.type == "native":
        view["dialect"], view["native"] = part.dialect, part.native
    if part.native is not None and part.type != "native":  # of a tool that the provider ran: it returns as it came
        view.update(type="native", dialect=part.dialect, native=part.native, tool=part.type.removeprefix("tool_"))
    return view


def complete_call(view: dict[str, Any]) -> None:
    """Arguments parsed and as text; the id counts as given, as clients send it back."""
    if view.get("arguments") is None:
        view["arguments"] = {}
    if view.get("arguments_json") is None:
        arguments = view["arguments"]
        view["arguments_json"] = arguments if isinstance(arguments, str) else dumps(arguments).decode()
    view["given_id"] = view.get("id")


def complete_media(view: dict[str, Any]) -> None:
    """`via`, `uri` and `format` beside the data or address."""
    media_type, data, url = view.get("media_type"), view.get("data"), view.get("url")
    view["via"] = "data" if data is not None else "url"
    view["uri"] = f"data:{media_type or 'application/octet-stream'};base64,{data}" if data is not None else url
    if media_type:
        view["format"] = media_type.rpartition("/")[2]


class Places:
    """What a reply or a stream of a dialect has a place for, and what becomes of the rest."""

    __slots__ = ("dialects", "label", "reads", "report", "writes")

    def __init__(self, served: Served, streamed: bool, report: Report) -> None:
        holder = served.stream if streamed and served.stream is not None else served
        self.reads = holder.reads
        self.writes = holder.writes
        self.dialects = served.plan.dialects
        self.label = f"{served.dialect}: {served.operation}"
        self.report = report

    def fit(self, view: dict[str, Any]) -> dict[str, Any] | None:
        """The part as it can be written: itself, a refusal or JSON as text, or None with a warning.

        Raises UnsupportedError for content that would be lost.
        """
        type = view["type"]
        if type == "native":
            if view.get("dialect") in self.dialects and "native" in self.writes:
                return view
            tool, name = view.get("tool"), view.get("name") or "a tool"
            told = f"a {tool} of {name}, which the provider ran," if tool else "an item"
            self._drop(f"{told} only {view.get('dialect') or 'another dialect'} understands")
            return None
        if type == "tool_call" and view.get("server") and "server" not in self.reads:
            self._drop(f"a call of {view.get('name')}, which the provider ran")
            return None
        if type in self.writes:
            bare = type == "thinking" and not view.get("text")
            if bare and not any(f"thinking.{name}" in self.reads and view.get(name) for name in ("signature", "redacted")):
                if not (view.get("signature") or view.get("redacted")):
                    return view
                self._drop("thinking without words")
                return None
            return view
        if type in _FALLBACK and "text" in self.writes:
            text = view.get("text")
            return {**view, "type": "text", "text": text if text is not None else dumps(view.get("json")).decode()}
        if type == "thinking":
            self._drop("thinking")
            return None
        article = "an" if type[:1] in "aeiou" else "a"
        raise errors.for_kind("unsupported")(f"{self.label} cannot express {article} {type} part")

    def _drop(self, what: str) -> None:
        self.warn(f"{what} was dropped: {self.label} has no place for it")

    def warn(self, text: str) -> None:
        """A sentence on the report, once."""
        if text not in self.report.warnings:
            self.report.warnings.append(text)


def choice_view(
    index: int,
    parts: list[dict[str, Any]],
    citations: list[dict[str, Any]] | None = None,
    finish: str | None = None,
    logprobs: Sequence[Any] | None = None,
) -> dict[str, Any]:
    """A choice: its parts in order, and the views that short wires write. `finish` is native."""
    told: dict[str, list[str]] = {}
    calls = []
    for part in parts:
        kind = part["type"]
        if kind == "tool_call":
            if not part.get("server"):
                calls.append(part)
        elif kind in PROSE and part.get("text"):
            told.setdefault(kind, []).append(part["text"])
    known = [item for item in logprobs if isinstance(item, dict) and "token" in item] if logprobs else None
    return {
        "index": index,
        "parts": parts,
        "finish": finish,
        "citations": citations or None,
        **{kind: "".join(told[kind]) if kind in told else None for kind in PROSE},
        "tool_calls": calls or None,
        "logprobs": known or None,
    }


def native_usage(served: Served, usage: Usage | Mapping[str, Any]) -> dict[str, Any]:
    """The native usage object: canonical counters at their paths, what a total includes subtracted again."""
    told: dict[str, Any] = {}
    if isinstance(usage, Usage):
        names, counters = _counting(served)
        for name, value in zip(names, counters(usage), strict=True):
            if value is not None:
                told[name] = value
    else:
        told.update({name: value for name, value in usage.items() if value is not None})
    given = told["input_tokens"] = told.get("input_tokens") or 0
    made = told["output_tokens"] = told.get("output_tokens") or 0
    told["total_tokens"] = given + made
    if served.plan.usage_totals:
        _take_apart(told, served.plan.usage_totals)
    out: dict[str, Any] = {}
    for counter, path in served.usage:
        if counter in told:
            place = out
            for step in path[:-1] if len(path) > 1 else ():
                place = place.setdefault(step, {})
            value = told[counter]
            place[path[-1]] = str(value) if value.__class__ is Decimal else value
    return out


@lru_cache(maxsize=64)
def _counting(served: Served) -> tuple[tuple[str, ...], Callable[[Usage], tuple[Any, ...]]]:
    """The counters that a native usage object is made of, and what reads them."""
    wanted = {"input_tokens", "output_tokens", *(counter for counter, _ in served.usage)}
    wanted.update(*served.plan.usage_totals.values())
    names = tuple(name for name in Usage.__slots__ if name in wanted)
    return names, attrgetter(*names)


def _take_apart(told: dict[str, Any], totals: Mapping[str, tuple[str, ...]]) -> None:
    """Counters that include others, in place, as the provider counts them: without."""
    apart = {}
    for total, counters in totals.items():
        if total in counters:
            own = told.get(total, 0)
            for name in counters:
                if name != total and name in told:
                    own -= int(told[name])
            apart[total] = max(0, own)
    told.update(apart)
