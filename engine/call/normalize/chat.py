"""A chat request of any spelling -> the canonical one, with the views its templates read (SPEC_LANGUAGE 12.1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from engine.call.json import finite
from engine.call.normalize.choices import read_choice, read_format, read_reasoning, read_tools
from engine.call.normalize.messages import read_messages
from engine.call.normalize.native import leave_foreign_calls
from engine.call.normalize.pairing import pair
from engine.call.normalize.parts import Notes, mapping_of
from engine.call.normalize.views import dress, gather_media, place, prefill_of, turns_of
from engine.errors import ConfigError

_WIDE = frozenset(("content", "text_only"))
#: fields with more than one spelling
_SETTINGS = frozenset([
    "max_completion_tokens", "stop", "functions", "function_call", "tools", "server_tools", "tool_choice",
    "response_format", "stream_options", "reasoning", "reasoning_effort", "thinking", "thinking_budget",
])  # fmt: skip
_SYSTEM = frozenset(("system", "system_parts", "system_plain"))
_SCALARS = frozenset((str, int, bool))
_FEW = 8  # messages: a shorter body is sooner searched for the null that a NaN becomes than its fields are looked at
_LARGE = 1e100  # what a template could make infinite out of lies far beyond it
_REASONING = ("reasoning", "reasoning_effort", "thinking", "thinking_budget")


def chat(
    fields: Mapping[str, Any], reads: frozenset[str] | None, part_reads: frozenset[str], proofs: bool, dialects: Collection[str]
) -> dict[str, Any]:
    """The canonical request. `fields` has known names only and no None."""
    notes = Notes()
    out = {**fields}
    given = out.get("messages")
    if given.__class__ is not list or "system" in out or "system_parts" in out:
        given = _messages(out)
    messages, rest = read_messages(given, notes, not part_reads.isdisjoint(_WIDE))
    out["has_tool_history"] = False
    if rest:
        leave_foreign_calls(messages, part_reads, dialects)
        out["has_tool_history"] = pair(messages)
        dress(messages, part_reads)
    elif proofs:
        out["$plain"] = True
        if len(messages) > _FEW and _finite(fields):
            out["$finite"] = True
    out["messages"] = messages
    if not _SETTINGS.isdisjoint(out):
        _settings(out, notes)
    _whole_views(out, messages, reads, part_reads)
    if notes:
        out["$warnings"] = list(notes)
    return out


def _finite(fields: Mapping[str, Any]) -> bool:
    """Can no number be NaN or infinite, nor become so in a template? Messages are bare texts."""
    for name, value in fields.items():
        kind = value.__class__
        if kind is float:
            if not -_LARGE < value < _LARGE:
                return False
        elif kind not in _SCALARS and name != "messages" and not finite(value):
            return False
    return True


def _messages(out: dict[str, Any]) -> list[Any] | tuple[Any, ...] | str:
    """What the caller said, as one list: messages (or turns), after a system text given beside them."""
    given: Any = out.get("messages")
    turns = out.pop("turns", None)
    if given is None:
        given = turns
    system, parts = out.pop("system", None), out.pop("system_parts", None)
    system = parts or system
    if given is None:
        if system is None:
            raise ConfigError("`messages` is missing: give a text or a list of messages", param="messages")
        given = []
    if not isinstance(given, (list, tuple, str)):
        given = [given]
    found: list[Any] | tuple[Any, ...] | str = given
    if system is None:
        return found
    return [{"role": "system", "content": system}, *([found] if isinstance(found, str) else found)]


def _settings(out: dict[str, Any], notes: Notes) -> None:
    """Everything but the messages, in place."""
    limit = out.pop("max_completion_tokens", None)
    if limit is not None:
        out.setdefault("max_tokens", limit)
    stop = out.get("stop")
    if stop is not None and stop.__class__ is not list:
        if isinstance(stop, str):
            out["stop"] = [stop]
        elif isinstance(stop, (tuple, set, frozenset)):
            out["stop"] = list(stop)
        else:
            raise ConfigError("`stop` is a text or a list of texts", param="stop")
    if "functions" in out:
        functions = out.pop("functions")
        out.setdefault("tools", functions)
    if "function_call" in out:
        choice = out.pop("function_call")
        out.setdefault("tool_choice", choice)
    server = out.pop("server_tools", None)
    if "tools" in out or server:
        tools, found = read_tools(out.pop("tools", ()), notes)
        if server:
            native, more = read_tools(server, notes)
            found += [t for t in native if t.get("type") == "native"] + more
        if tools:
            out["tools"] = tools
        if found:
            out["server_tools"] = found
    if "tool_choice" in out:
        out["tool_choice"], parallel = read_choice(out["tool_choice"], out.get("tools") or ())
        if parallel is not None:
            out.setdefault("parallel_tool_calls", parallel)
    if "response_format" in out:
        out["response_format"] = read_format(out["response_format"])
    options = out.get("stream_options")
    if options is not None:
        out.setdefault("stream_usage", bool(mapping_of(options, "stream_options").get("include_usage")))
    for name in _REASONING:
        if name in out:
            reasoning, effort = read_reasoning(out)
            for key in _REASONING:
                out.pop(key, None)
            if reasoning is not None:
                out["reasoning"] = reasoning
                if effort is not None:
                    out["reasoning_effort"] = effort
                if reasoning.get("budget") is not None:
                    out["thinking_budget"] = reasoning["budget"]
            break


def _whole_views(
    out: dict[str, Any], messages: list[dict[str, Any]], reads: frozenset[str] | None, part_reads: frozenset[str]
) -> None:
    """The views of the whole conversation."""
    if messages:
        place(messages, part_reads)
        if "run_media" in part_reads and out["has_tool_history"]:
            gather_media(messages)
    system: list[dict[str, Any]] | None = None
    if reads is None or "turns" in reads:
        out["turns"], system = turns_of(messages)
    if reads is None or "prefill" in reads:
        text = prefill_of(messages)
        if text is not None:
            out["prefill"] = text
    if reads is None or not reads.isdisjoint(_SYSTEM):
        if system is None:
            system = [m for m in messages if m.get("role") == "system"]
        if system:
            text, parts = system[0]["text"], system[0]["parts"]
            if len(system) > 1:
                text = "\n\n".join([m["text"] for m in system if m["text"]])
                parts = [p for m in system for p in m["parts"]]
            out["system"] = text or None
            out["system_parts"] = parts
            out["system_plain"] = len(parts) == 1 and len(parts[0]) == 2 and "text" in parts[0]
