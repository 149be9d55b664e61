"""Messages of any spelling -> canonical messages `{role, parts, name?, cache?, extra?}` (SPEC_LANGUAGE 12.1).

A tool message holds exactly one tool_result part; results inside a user message leave it, in order. Views come later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.call.normalize.parts import EPHEMERAL, Notes, call_part, mapping_of, read_content, result_part, words
from engine.errors import ConfigError, LimitError

MESSAGES = 10_000  # RELIABILITY G6
_BARE = frozenset(("system", "user", "assistant"))
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "tool": "tool",
    "function": "tool",
}
#: keys that carry nothing to send, or that are read elsewhere
_KNOWN = frozenset([
    "role", "content", "parts", "text", "name", "tool_calls", "function_call", "tool_call_id", "id", "given_id",
    "tool_name", "refusal", "thinking_blocks", "reasoning_details", "reasoning_content", "reasoning", "thinking",
    "is_error", "json", "result_parts", "cache", "cache_control", "extra", "audio", "annotations", "type", "index",
    "prefix", "provider_specific_fields", "status", "created", "plain", "text_only", "first", "last", "prefill",
    "thinking_parts",
])  # fmt: skip


def read_messages(given: Any, notes: Notes, wide: bool) -> tuple[list[dict[str, Any]], bool]:
    """(canonical messages, whether some still lack their views). A text is one user message.

    Bare text messages, the most of all, get their views at once; `wide` says whether `content` and `text_only` are read.
    """
    if isinstance(given, str):
        given = ({"role": "user", "content": given},)
    if len(given) > MESSAGES:
        raise LimitError(f"{len(given)} messages are more than the limit of {MESSAGES}", param="messages")
    out: list[dict[str, Any]] = []
    add = out.append
    rest = False
    bare = _BARE
    for message in given:
        if message.__class__ is dict and len(message) == 2:
            try:
                text, role = message["content"], message["role"]
            except KeyError:
                text, role = message.get("parts"), message.get("role")
            if text.__class__ is not str:
                text = _only_text(text)
            if text and role in bare:
                if wide:
                    parts = [{"type": "text", "text": text}]
                    add({"role": role, "parts": parts, "text": text, "plain": True, "content": parts, "text_only": True})
                else:
                    add({"role": role, "parts": [{"type": "text", "text": text}], "text": text, "plain": True})
                continue
        rest = True
        try:
            _read(message, out, notes)
        except (ConfigError, LimitError) as error:
            at = next(i for i, m in enumerate(given) if m is message)
            raise type(error)(f"messages[{at}]: {error.message}", param="messages") from None
    return out, rest


def _only_text(content: Any) -> str | None:
    """The text of a content that is one part of nothing but text."""
    part = content[0] if content.__class__ is list and len(content) == 1 else None
    if part.__class__ is dict and len(part) == 2 and part.get("type") == "text":
        text = part.get("text")
        return text if text.__class__ is str else None
    return None


def _read(message: Any, out: list[dict[str, Any]], notes: Notes) -> None:
    if isinstance(message, str):
        out.append({"role": "user", "parts": [{"type": "text", "text": message}]})
        return
    if hasattr(message, "choices") and hasattr(message, "message"):  # an answer of the engine
        message = message.message
    message = mapping_of(message, "a message")
    if message.get("type") == "native":
        data = message.get("data")
        out.append({"type": "native", "dialect": message.get("dialect"), "data": message.get("native") if data is None else data})
        return
    named = message.get("role")
    role = ROLES.get(named) if isinstance(named, str) else None
    if role is None:
        raise ConfigError(_unknown_role(named, message))
    notes.left_out(message, _KNOWN, f"a message of role {named}")
    if role == "tool":
        _tool(message, out, notes)
    elif role == "assistant":
        out.append(_dressed(message, role, _assistant(message, notes), notes))
    else:
        parts = _content(message, notes)
        if not any(p["type"] == "tool_result" for p in parts):
            out.append(_dressed(message, role, parts, notes))
            return
        run: list[dict[str, Any]] = []
        for part in parts:
            if part["type"] == "tool_result":
                if run:
                    out.append(_dressed(message, role, run, notes))
                    run = []
                out.append({"role": "tool", "parts": [part]})
            else:
                run.append(part)
        if run:
            out.append(_dressed(message, role, run, notes))
        elif message.get("extra") and parts[0]["type"] == "tool_result":
            out[-len(parts)]["turn_extra"] = message["extra"]  # what came with the turn is not that of one result


def _unknown_role(named: Any, message: Mapping[str, Any]) -> str:
    from difflib import get_close_matches

    if named is None:
        return "a message needs a `role`: system, user, assistant or tool"
    near = get_close_matches(str(named), ROLES, 1)
    return f"the role `{named!s:.40}` is not known; " + (
        f"did you mean `{near[0]}`?" if near else "use system, user, assistant or tool"
    )


def _content(message: Mapping[str, Any], notes: Notes) -> list[dict[str, Any]]:
    """Everything a message says, whichever of `parts`, `content` and `text` it is in."""
    parts = read_content(message.get("parts"), notes)
    if not parts:
        parts = read_content(message.get("content"), notes)
    if not parts and message.get("text") is not None:
        parts = [{"type": "text", "text": words(message["text"], "text of a message")}]
    return parts


def _dressed(message: Mapping[str, Any], role: str, parts: list[dict[str, Any]], notes: Notes) -> dict[str, Any]:
    """A message with its name, cache mark and extra; a cache mark counts for its last part as well."""
    out: dict[str, Any] = {"role": role, "parts": parts}
    name = message.get("name")
    if name:
        out["name"] = words(name, "name of a message")
    if message.get("extra"):
        out["extra"] = message["extra"]
    cache = message.get("cache_control", message.get("cache"))
    if cache:
        cache = EPHEMERAL if cache is True else cache
        out["cache"] = cache
        if parts and "cache" not in parts[-1]:
            parts[-1]["cache"] = cache
    return out


def _assistant(message: Mapping[str, Any], notes: Notes) -> list[dict[str, Any]]:
    """Parts in the order models write them: thinking, content, refusal, tool calls; empty texts are dropped."""
    given = _content(message, notes)
    parts = [p for p in given if p["type"] != "text" or p["text"] or "extra" in p or "signature" in p]
    if not any(p["type"] == "thinking" for p in parts):
        parts[:0] = _thinking(message, notes)
    refusal = message.get("refusal")
    if refusal and not any(p["type"] == "refusal" for p in parts):
        parts.append({"type": "refusal", "text": words(refusal, "refusal")})
    audio = message.get("audio")
    if audio:
        audio = mapping_of(audio, "the audio of a message")
        part: dict[str, Any] = {"type": "audio"}
        part.update((k, audio[k]) for k in ("id", "data", "transcript") if audio.get(k) is not None)
        parts.append(part)
    calls = message.get("tool_calls")
    if calls and not any(p["type"] == "tool_call" for p in parts):
        if not isinstance(calls, (list, tuple)):
            raise ConfigError("`tool_calls` is a list")
        for given_call in calls:
            parts.append(_call(mapping_of(given_call, "a tool call")))
    legacy = message.get("function_call")
    if legacy and not calls:
        legacy = mapping_of(legacy, "`function_call`")
        parts.append(call_part({}, legacy))
    if not parts and given:
        parts = given[:1]  # nothing but empty text: a message has to say something
    return parts


def _call(call: dict[str, Any]) -> dict[str, Any]:
    if call.get("type") == "native":
        return {"type": "native", "dialect": call.get("dialect"), "data": call.get("data")}
    function = call.get("function")
    if function is None:
        custom = call.get("custom")
        if custom is not None:
            function = mapping_of(custom, "a custom tool call")
            return {**call_part(call, {"name": function.get("name"), "arguments": function.get("input")}), "invalid": True}
        return call_part(call, call)
    part = call_part(call, function if function.__class__ is dict else mapping_of(function, "the function of a tool call"))
    extra = call.get("extra_content")
    if extra.__class__ is dict:  # a thought's signature beside the call, where a compatible wire has no field for it
        for vendor in extra.values():
            if vendor.__class__ is dict and isinstance(vendor.get("thought_signature"), str):
                part.setdefault("signature", vendor["thought_signature"])
    return part


def _thinking(message: Mapping[str, Any], notes: Notes) -> list[dict[str, Any]]:
    """Thinking of earlier turns: signed blocks where there are any, else details, else the bare text."""
    blocks = message.get("thinking_blocks") or message.get("thinking_parts")
    parts: list[dict[str, Any]] = []
    if blocks:
        for part in read_content(blocks, notes):
            if part["type"] != "thinking":
                raise ConfigError(f"`thinking_blocks` holds thinking, not {part['type']}")
            if len(part) > 1:
                parts.append(part)
    else:
        details = message.get("reasoning_details")
        if isinstance(details, (list, tuple)):
            parts = [p for d in details if len(p := _detail(mapping_of(d, "an item of `reasoning_details`"))) > 1]
    if not any(p.get("text") for p in parts):
        text = message.get("reasoning_content") or message.get("thinking") or message.get("reasoning")
        if isinstance(text, str) and text:
            parts.insert(0, {"type": "thinking", "text": text})
    return parts


def _detail(item: dict[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "thinking"}
    text = item.get("text") or item.get("summary")
    if isinstance(text, str) and text:
        part["text"] = text
    if isinstance(item.get("data"), str):
        part["redacted"] = item["data"]
    part.update((k, item[k]) for k in ("signature", "format", "id") if item.get(k) is not None)
    return part if "text" in part or "redacted" in part or "signature" in part else {"type": "thinking"}


def _tool(message: Mapping[str, Any], out: list[dict[str, Any]], notes: Notes) -> None:
    """A tool message, one for each result in it."""
    given = message.get("parts")
    if given is None:
        given = message.get("result_parts", message.get("content"))
    if given is None and message.get("text") is not None:
        given = message["text"]
    if given is None and message.get("json") is not None:
        given = [{"type": "json", "json": message["json"]}]
    id = message.get("tool_call_id") or message.get("given_id") or message.get("id")
    part = result_part(id, given, notes)
    results = [p for p in part["parts"] if p["type"] == "tool_result"]
    if results and len(results) == len(part["parts"]):
        if len(results) == 1 and id and "id" not in results[0]:
            results[0]["id"] = id
        for result in results:
            _finish_result(result, message if len(results) == 1 else {})
            out.append({"role": "tool", "parts": [result]})
        return
    _finish_result(part, message)
    out.append({"role": "tool", "parts": [part]})


def _finish_result(part: dict[str, Any], message: Mapping[str, Any]) -> None:
    name = message.get("name") or message.get("tool_name")
    if name and "name" not in part:
        part["name"] = words(name, "name of a tool")
    if message.get("is_error"):
        part["is_error"] = True
    cache = message.get("cache_control", message.get("cache"))
    if cache:
        part["cache"] = EPHEMERAL if cache is True else cache
    if message.get("extra"):
        part["extra"] = message["extra"]
