"""Canonical answers as the templates of a reply see them (SERVE.md 5): parts and choices as mappings, native words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine import errors
from engine.call.json import dumps
from engine.plan import Served
from engine.types import Part, Report, Usage

PROSE = ("text", "thinking", "refusal")
MEDIA = frozenset(("image", "audio", "video", "document"))
_FALLBACK = ("refusal", "json")  # written as text where they have no place


def part_view(part: Part, item_id: str, number: int) -> dict[str, Any]:
    """A part with the fields its templates may read, None where it has none. `item_id` names its block, `number` counts the
    parts."""
    kind = part.type
    view: dict[str, Any] = {
        "type": kind,
        "text": part.text,
        "id": part.id,
        "signature": part.signature,
        "redacted": part.redacted,
        "signed_by": part.signed_by,
        "item_id": item_id,
        "index": number,
        "number": number,
    }
    if kind not in PROSE:
        view |= {
            "name": part.name,
            "arguments": part.arguments,
            "arguments_json": part.arguments_json,
            "invalid": part.invalid,
            "server": part.server,
            "is_error": part.is_error,
            "media_type": part.media_type,
            "data": part.data,
            "url": part.url,
            "filename": part.filename,
        }
        if kind == "tool_call":
            complete_call(view)
        elif kind in MEDIA:
            complete_media(view)
    if part.extra is not None:
        view["extra"] = part.extra
    if part.citations:
        view["citations"] = [c.to_dict() for c in part.citations]
    if kind == "native":
        view["dialect"], view["native"] = part.dialect, part.native
    elif part.native is not None:  # of a tool that the provider ran: it returns as it came
        view.update(type="native", dialect=part.dialect, native=part.native, tool=kind.removeprefix("tool_"))
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

    __slots__ = ("_served", "reads", "report", "writes")

    def __init__(self, served: Served, streamed: bool, report: Report) -> None:
        holder = served.stream if streamed and served.stream is not None else served
        self._served = served
        self.reads = holder.reads
        self.writes = holder.writes
        self.report = report

    @property
    def label(self) -> str:
        """Who speaks, for sentences about what was lost."""
        return f"{self._served.dialect}: {self._served.operation}"

    def fit(self, view: dict[str, Any]) -> dict[str, Any] | None:
        """The part as it can be written: itself, a refusal or JSON as text, or None with a warning.

        Raises UnsupportedError for content that would be lost.
        """
        type = view["type"]
        if type == "native":
            if view.get("dialect") in self._served.plan.dialects and "native" in self.writes:
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
    view: dict[str, Any] = {
        "index": index,
        "parts": parts,
        "finish": finish,
        "citations": citations or None,
        "text": None,
        "thinking": None,
        "refusal": None,
        "tool_calls": None,
        "logprobs": None,
    }
    several: dict[str, list[str]] = {}
    for part in parts:
        kind = part["type"]
        if kind in PROSE:
            words = part.get("text")
            if words:
                several.setdefault(kind, []).append(words)
        elif kind == "tool_call" and not part.get("server"):
            if view["tool_calls"] is None:
                view["tool_calls"] = []
            view["tool_calls"].append(part)
    for kind, pieces in several.items():
        view[kind] = "".join(pieces)
    if logprobs:
        view["logprobs"] = [item for item in logprobs if isinstance(item, dict) and "token" in item] or None
    return view


def native_usage(served: Served, usage: Usage | Mapping[str, Any]) -> dict[str, Any]:
    """The native usage object: canonical counters at their paths, what a total includes subtracted again."""
    if not isinstance(usage, Usage):
        usage = Usage(**{name: value for name, value in usage.items() if name in Usage.__slots__})
    return served.counted(usage)
