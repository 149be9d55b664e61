"""What templates see of messages besides their parts (SPEC_LANGUAGE 12.1): texts, calls, turns, system, ids.

A view is made only when a template of the operation reads it. Parts are changed in place (they are the normaliser's own);
nothing of the caller's is.
"""

from __future__ import annotations

from typing import Any

from engine.call.json import JsonError, loads
from engine.call.normalize.media import format_of
from engine.call.normalize.parts import arguments_of, json_text, text_of_document
from engine.vocabulary import MEDIA_TYPES

_BARE = {"type", "text"}


def _bare(part: dict[str, Any]) -> bool:
    """A text and nothing but its text; thinking and refusals have the same two keys."""
    return part.keys() == _BARE and part["type"] == "text"


def dress(messages: list[dict[str, Any]], reads: frozenset[str]) -> None:
    """Add the views of every message and part, in place."""
    for message in messages:
        if "plain" in message:
            continue
        parts = message.get("parts")
        if parts is None:  # native
            continue
        for part in parts:
            if part["type"] != "text":
                dress_part(part, reads)
        message["plain"] = len(parts) == 1 and _bare(parts[0])
        if message["role"] == "tool":
            _dress_tool(message, parts[0])
            continue
        message["text"] = "".join(texts) if (texts := [p["text"] for p in parts if p["type"] == "text"]) else None
        calls = [p for p in parts if p["type"] == "tool_call" or p["type"] == "native"]
        thinking = [p for p in parts if p["type"] == "thinking"]
        content = [p for p in parts if p["type"] != "tool_call" and p["type"] != "thinking"] if calls or thinking else parts
        message["text_only"] = all(map(_bare, content))
        message["content"] = content or None
        if calls:
            message["tool_calls"] = calls
        if thinking:
            message["thinking_parts"] = thinking
            message["thinking"] = "".join(p.get("text") or "" for p in thinking) or None


def _dress_tool(message: dict[str, Any], part: dict[str, Any]) -> None:
    message["id"], message["given_id"] = part.get("id"), part.get("given_id")
    message["tool_name"], message["text"], message["json"] = part.get("name"), part["text"], part.get("json")
    message["is_error"], message["plain"] = part.get("is_error"), part["plain"]
    message["result_parts"] = part["parts"] or None
    message["text_only"] = all(map(_bare, part["parts"]))
    for key in ("cache", "extra"):
        if key in part:
            message[key] = part[key]
    if "turn_extra" in message:
        message["extra"] = {**message["turn_extra"], **message.get("extra", {})}


def dress_part(part: dict[str, Any], reads: frozenset[str], depth: int = 0) -> None:
    """Add the views of one part, in place: uri, format, json, arguments_json, given_id, the parts inside."""
    kind = part["type"]
    if kind in MEDIA_TYPES:
        if "uri" in reads:
            if part.get("via") == "data":
                part["uri"] = f"data:{part.get('media_type') or 'application/octet-stream'};base64,{part['data']}"
            elif "url" in part:
                part["uri"] = part["url"]
        if "format" in reads and "media_type" in part:
            part["format"] = format_of(part["media_type"])
        if kind == "document" and "text" in reads:
            text_of_document(part)
        if "bytes" in reads or "size" in reads:
            give_bytes(part)
    elif kind == "tool_call":
        arguments_of(part, "arguments" in reads, "arguments_json" in reads)
        if "made" not in part:
            part["given_id"] = part.get("id")
    elif kind == "tool_result":
        if "made" not in part:
            part["given_id"] = part.get("id")
        inner = part["parts"]
        for item in inner:
            if item["type"] != "text":
                dress_part(item, reads, depth + 1)
        text = "".join(p["text"] for p in inner if p["type"] == "text")
        value = next((p["json"] for p in inner if p["type"] == "json"), None)
        if value is not None and not text:
            text = next(p["text"] for p in inner if p["type"] == "json")
        elif value is not None:  # both: the value is words too, where a result is one text
            text, value = "\n".join(p["text"] for p in inner if p["type"] in ("text", "json")), None
        elif value is None and "json" in reads and text.lstrip()[:1] in ("{", "["):
            value = _parsed(text)
        part["text"] = text
        part["json"] = value
        part["plain"] = not inner or (len(inner) == 1 and _bare(inner[0]))
    elif kind == "json":
        part["text"] = json_text(part["json"], "a json part")


def give_bytes(part: dict[str, Any]) -> None:
    """Raw bytes and size of a part with data, for bodies that are files."""
    from engine.call.normalize.media import decoded

    if "bytes" not in part and part.get("data") is not None:
        part["bytes"] = decoded(part["data"])
        part["size"] = len(part["bytes"])


def _parsed(text: str) -> Any:
    """The mapping or list a tool answered as JSON text, if it did."""
    try:
        value = loads(text)
    except JsonError:
        return None
    return value if isinstance(value, (dict, list)) else None


def turns_of(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(turns, system messages): runs of one side are joined; tool results are the user's. Native items stand alone.

    A message that is a turn by itself is its own turn: it has all a turn has.
    """
    turns: list[dict[str, Any]] = []
    system: list[dict[str, Any]] = []
    add = turns.append
    side = ""
    for message in messages:
        role = message.get("role")
        if role == "user" or role == "assistant":
            if role != side:
                add(message)
                side = role
                continue
        elif role == "system":
            system.append(message)
            continue
        elif role == "tool":
            role = "user"
            if role != side:
                turn = {"role": role, "parts": message["parts"], "text": None, "plain": False}
                add({**turn, "extra": message["turn_extra"]} if "turn_extra" in message else turn)
                side = role
                continue
        else:  # native
            add(message)
            side = ""
            continue
        last = turns[-1]
        text = message["text"] if message["role"] != "tool" else None
        joined = {
            "role": role,
            "parts": last["parts"] + message["parts"],
            "text": f"{last['text']}\n\n{text}" if last["text"] and text else last["text"] or text,
            "plain": False,
        }
        extra = {**last.get("extra", {}), **message.get("extra" if message["role"] != "tool" else "turn_extra", {})}
        if extra:
            joined["extra"] = extra
        turns[-1] = joined
    if turns and "last" not in turns[-1]:
        turns[-1] = {**turns[-1], "last": True}
    return turns, system


def place(messages: list[dict[str, Any]], reads: frozenset[str]) -> None:
    """Number the messages: `index`, and `first` and `last` where they are true."""
    if not messages:
        return
    if "index" in reads:
        for index, message in enumerate(messages):
            message["index"] = index
    messages[0]["first"] = True
    messages[-1]["last"] = True


def gather_media(messages: list[dict[str, Any]]) -> None:
    """Add `run_media` to the last message of each run of tool messages, for wires whose results are text only, in place."""
    run: list[dict[str, Any]] = []
    last: dict[str, Any] | None = None
    for message in [*messages, {}]:
        if message.get("role") == "tool":
            last = message
            if not message["text_only"]:
                run += [p for p in message["result_parts"] if p["type"] in MEDIA_TYPES]
        elif last is not None:
            if run:
                last["run_media"], run = run, []
            last = None


def prefill_of(messages: list[dict[str, Any]]) -> str | None:
    """The text of a last assistant message that the model shall go on with."""
    last = messages[-1] if messages else None
    if last is None or last.get("role") != "assistant" or last.get("tool_calls"):
        return None
    text = last["text"]
    return text if isinstance(text, str) and text else None
