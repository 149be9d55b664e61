"""What was bound by reading a request backwards -> the canonical request (SERVE.md 2).

Every view of the normaliser has its inverse here or in the normaliser itself, which takes data URIs, formats, unparsed
arguments and missing ids as they come: turns and system texts become messages, what stands beside a message's content
becomes parts of it.
"""

from __future__ import annotations

from typing import Any

from engine.vocabulary import CHAT

assert CHAT.fields is not None
_CONVERSATION = frozenset(("messages", "turns", "system", "system_parts"))
#: names of a request that are views, or read elsewhere
_FIELDS = (
    (frozenset(CHAT.fields) | {"chat_body"}) - _CONVERSATION - {"system_plain", "has_tool_history", "prefill", "stream_options"}
)
_KEPT = ("name", "cache", "extra")
_TEXT = {"type", "text"}


def request_of(bindings: dict[str, Any], dialect: str) -> dict[str, Any]:
    """The fields of a request, for `normalize`. `bindings` are taken over."""
    messages = _messages(bindings)
    fields = bindings
    if None in fields.values() or not _FIELDS.issuperset(fields):
        fields = {name: value for name, value in fields.items() if value is not None and name in _FIELDS}
    if messages is not None:
        fields["messages"] = messages
    server = fields.get("server_tools")
    if server:
        fields["server_tools"] = [_server_tool(tool, dialect) for tool in server]
    if "tool_choice" in fields:
        _choice(fields)
    if "response_format" in fields:
        _format(fields)
    return fields


def inputs_of(bindings: dict[str, Any], dialect: str) -> dict[str, Any]:
    """The fields of a request for embeddings: its texts, or its inputs of several parts, are the `input`."""
    texts, inputs, lone = (bindings.pop(name, None) for name in ("texts", "inputs", "input_parts"))
    if lone is not None:
        inputs = [{"parts": lone}]
    if "input" not in bindings and (texts is not None or inputs is not None):
        given = texts if texts is not None else [_input(item) for item in inputs or ()]
        bindings["input"] = [given] if isinstance(given, str) else given
    return {k: v for k, v in bindings.items() if v is not None}


def _input(item: dict[str, Any]) -> Any:
    """One text, or its parts."""
    parts = item.get("parts")
    if parts is None:
        return item.get("text") or ""
    if len(parts) == 1 and parts[0].keys() == _TEXT and "extra" not in item:
        return parts[0]["text"]
    return {"parts": parts, **({"extra": item["extra"]} if "extra" in item else {})}


def _messages(bindings: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The conversation, taken out of the bindings; None if they have none."""
    out: list[dict[str, Any]] = []
    system, parts = bindings.pop("system", None), bindings.pop("system_parts", None)
    if parts:
        out.append(
            {"role": "system", "parts": parts if len(parts) == 1 and parts[0].keys() == _TEXT else [_part(p) for p in parts]}
        )
    elif system:
        out.append({"role": "system", "content": system})
    add = out.append
    said = None
    for name in ("turns", "messages"):
        given = bindings.pop(name, None)
        if given is not None:
            said = out
            for item in given:
                role = item.get("role")
                if role == "tool":
                    add(_result(item))
                elif len(item) == 2 and role is not None:
                    if "text" in item:
                        add({"role": role, "content": item["text"]})
                        continue
                    parts = item.get("parts")
                    if parts and len(parts) == 1 and len(parts[0]) == 2 and parts[0]["type"] == "text" and "text" in parts[0]:
                        add({"role": role, "content": parts[0]["text"]})
                    else:
                        add(_message(item))
                elif item.get("type") == "native":
                    add(item)
                else:
                    add(_message(item))
    return out if out or said is not None else None


def _message(item: dict[str, Any]) -> dict[str, Any]:
    """A message with everything it says as parts, in the order models write them. `item` is taken over."""
    parts: list[dict[str, Any]]
    if len(item) == 2 and "parts" in item and "role" in item:
        parts = item["parts"]
        for part in parts:
            if "cache" in part or part["type"] == "tool_result":
                _part(part)
        return item
    parts = []
    thinking, text = item.get("thinking"), item.get("text")
    if thinking:
        parts.append({"type": "thinking", "text": thinking})
    if text is not None and (text or not (item.get("parts") or item.get("content") or item.get("tool_calls"))):
        parts.append({"type": "text", "text": text})
    for name in ("content", "parts"):
        parts += [_part(p) for p in item.get(name) or ()]
    for call in item.get("tool_calls") or ():
        parts.append(call if call.get("type") == "native" else _part({"type": "tool_call", **call}))
    out: dict[str, Any] = {"role": item.get("role") or "user", "parts": parts}
    for key in _KEPT:
        if item.get(key):
            out[key] = item[key]
    return out


def _result(item: dict[str, Any]) -> dict[str, Any]:
    """A tool message: one result, whichever of `text`, `json` and parts it is in."""
    own = item.get("parts")
    if own and all(p.get("type") == "tool_result" for p in own):
        return {"role": "tool", "parts": [_part(p) for p in own]}
    part: dict[str, Any] = {"type": "tool_result"}
    id, name = item.get("id") or item.get("given_id"), item.get("tool_name") or item.get("name")
    if id:
        part["id"] = id
    if name:
        part["name"] = name
    inner = item.get("result_parts")
    inner = inner if inner is not None else own
    if inner is not None:
        part["parts"] = inner
    for key in ("text", "json", "is_error", "cache", "extra"):
        if item.get(key) is not None:
            part[key] = item[key]
    return {"role": "tool", "parts": [_part(part)]}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    """A part as the normaliser takes it, in place."""
    kind = part["type"]
    if kind == "tool_result":
        inner, text, value = part.get("parts"), part.pop("text", None), part.pop("json", None)
        parts = [_part(p) for p in inner or ()]
        if value is not None:
            parts.insert(0, {"type": "json", "json": value})
        elif text is not None:
            parts.insert(0, {"type": "text", "text": text})
        part["parts"] = parts
    cache = part.get("cache")
    if cache.__class__ is dict and "type" not in cache:
        part["cache"] = {"type": "ephemeral", **cache}
    return part


def _server_tool(tool: dict[str, Any], dialect: str) -> dict[str, Any]:
    """A tool the provider runs: neutral where its type has a word, else as it came and for its own dialect only."""
    if "native" in tool:
        return {"type": "native", "dialect": dialect, "data": tool["native"]}
    return tool


def _choice(fields: dict[str, Any]) -> None:
    choice = fields["tool_choice"]
    if choice.get("name") and "mode" not in choice:
        choice["mode"] = "tool"
    if not choice.get("mode"):
        if choice.get("allowed"):
            choice["mode"] = "auto"
        else:
            del fields["tool_choice"]


def _format(fields: dict[str, Any]) -> None:
    wanted = fields["response_format"]
    if wanted.get("schema") is not None:
        wanted["type"] = "json_schema"
    elif wanted.get("type") in (None, "json_schema"):
        del fields["response_format"]
