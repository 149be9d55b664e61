"""Random canonical requests, as plain JSON: what callers ask of any dialect, and now and then what few can express."""

from __future__ import annotations

from collections.abc import Collection
from random import Random
from typing import Any

from engine.laws.words import PAPER, PIXEL, chance, mapping, name, one, sealed, value, words
from engine.vocabulary import EFFORTS

#: parameter -> some value of it that no service would change
_PARAMS: dict[str, Any] = {
    "max_tokens": lambda r: r.randint(5000, 9000),
    "temperature": lambda r: one(r, (0.25, 0.5, 0.75, 1)),
    "top_p": lambda r: one(r, (0.25, 0.5, 0.75)),
    "top_k": lambda r: r.randint(1, 40),
    "min_p": lambda r: one(r, (0.125, 0.5)),
    "seed": lambda r: r.randint(0, 99),
    "n": lambda r: r.randint(2, 3),
    "stop": lambda r: [words(r, 2) for _ in range(r.randint(1, 4))],
    "frequency_penalty": lambda r: one(r, (0.25, 0.5)),
    "presence_penalty": lambda r: one(r, (0.25, 0.5)),
    "repetition_penalty": lambda r: one(r, (1.25, 1.5)),
    "logprobs": lambda r: True,
    "user": lambda r: name(r),
    "parallel_tool_calls": lambda r: chance(r, 0.5),
    "verbosity": lambda r: one(r, ("low", "medium", "high")),
    "service_tier": lambda r: one(r, ("auto", "default")),
    "store": lambda r: chance(r, 0.5),
    "metadata": lambda r: {name(r, 3): name(r, 3)},
    "prompt_cache_key": lambda r: name(r),
    "safety_identifier": lambda r: name(r),
}


def request(random: Random, types: Collection[str]) -> dict[str, Any]:
    """A conversation with its settings. `types` are the part types the dialect has an entry for."""
    out: dict[str, Any] = {"messages": _messages(random, types)}
    tools = [_tool(random) for _ in range(int(random.random() * 4))] if chance(random, 0.6) else []
    tools = list({tool["name"]: tool for tool in tools}.values())
    if tools:
        out["tools"] = tools
        if chance(random, 0.7):
            out["tool_choice"] = _choice(random, [tool["name"] for tool in tools])
    for key in ("max_tokens", "temperature", "stop"):
        if chance(random, 0.4):
            out[key] = _PARAMS[key](random)
    if chance(random, 0.4):
        for key in random.sample(list(_PARAMS), 3):
            out[key] = _PARAMS[key](random)
    if chance(random, 0.5):
        out["stream"] = chance(random, 0.5)
    if chance(random, 0.25):
        out["reasoning"] = {"effort": one(random, EFFORTS)} if chance(random, 0.6) else {"budget": one(random, (1024, 4096))}
        if chance(random, 0.3):
            out["reasoning"]["visible"] = chance(random, 0.5)
    if chance(random, 0.25):
        out["response_format"] = _format(random)
    return out


def _messages(random: Random, types: Collection[str]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for _ in range(one(random, (0, 0, 1, 1, 2))):
        out.append({"role": "system", "parts": [_text(random)]})
    out.append(_user(random, types))
    for _ in range(int(random.random() * 4)):
        calls = [_call(random, len(out) * 10 + i) for i in range(one(random, (0, 0, 1, 2, 3)))]
        out.append({"role": "assistant", "parts": _said(random, calls)})
        out += [{"role": "tool", "parts": [_result(random, call["id"], types)]} for call in calls]
        if not calls or chance(random, 0.4):
            out.append(_user(random, types))
    return out


def _text(random: Random) -> dict[str, Any]:
    return {"type": "text", "text": words(random)}


def _user(random: Random, types: Collection[str]) -> dict[str, Any]:
    parts = [_text(random)]
    if chance(random, 0.15):
        parts.append(_text(random))
    if "image" in types and chance(random, 0.15):
        parts.insert(random.randint(0, 1), _image(random))
    if "document" in types and chance(random, 0.1):
        paper = {"type": "document", "media_type": "application/pdf", "data": PAPER, "filename": f"{name(random)}.pdf"}
        parts.append(paper)
    message: dict[str, Any] = {"role": "user", "parts": parts}
    if chance(random, 0.06):
        message["name"] = name(random)
    return message


def _image(random: Random) -> dict[str, Any]:
    if chance(random, 0.2):
        return {"type": "image", "url": f"https://example.com/{name(random)}.png"}
    return {"type": "image", "media_type": "image/png", "data": PIXEL}


def _said(random: Random, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if chance(random, 0.25):
        thought: dict[str, Any] = {"type": "thinking", "text": words(random)}
        if chance(random, 0.6):
            thought["signature"] = sealed(random)
            if chance(random, 0.5):
                thought["id"] = f"rs_{name(random)}"
        parts.append(thought)
    if not calls or chance(random, 0.4):
        parts.append(_text(random))
    return parts + calls


def _call(random: Random, number: int) -> dict[str, Any]:
    return {"type": "tool_call", "id": f"{name(random, 5)}{number:04}", "name": name(random), "arguments": mapping(random)}


def _result(random: Random, id: str, types: Collection[str]) -> dict[str, Any]:
    inner: list[dict[str, Any]] = [_text(random)]
    if chance(random, 0.12):
        inner = [{"type": "json", "json": mapping(random, 1, least=1)}]
    elif "image" in types and chance(random, 0.04):
        inner.append({"type": "image", "media_type": "image/png", "data": PIXEL})
    part: dict[str, Any] = {"type": "tool_result", "id": id, "parts": inner}
    if chance(random, 0.12):
        part["is_error"] = True
    return part


def _tool(random: Random) -> dict[str, Any]:
    tool: dict[str, Any] = {"name": name(random), "description": words(random), "parameters": _schema(random)}
    if chance(random, 0.1):
        tool["strict"] = True
    return tool


def _schema(random: Random) -> dict[str, Any]:
    kinds = ("string", "integer", "number", "boolean")
    fields = {name(random, 4): {"type": one(random, kinds)} for _ in range(1 + int(random.random() * 3))}
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _choice(random: Random, names: list[str]) -> dict[str, Any]:
    mode = one(random, ("auto", "none", "required", "tool", "allowed"))
    if mode == "tool":
        return {"mode": mode, "name": one(random, names)}
    if mode == "allowed":
        return {"mode": one(random, ("auto", "required")), "allowed": names[:1]}
    return {"mode": mode}


def _format(random: Random) -> dict[str, Any]:
    if chance(random, 0.3):
        return {"type": "json_object"}
    return {"type": "json_schema", "name": name(random), "schema": _schema(random)}


def unknown(random: Random) -> tuple[str, Any]:
    """A field that no dialect has, for the laws of what is not understood."""
    return f"x{name(random, 4)}", value(random)


def sound(given: dict[str, Any]) -> bool:
    """Whether a request is one a caller could make: what is left when it is shrunk may not be."""
    messages = given.get("messages")
    if not messages or messages[0].get("role") not in ("user", "system") or not any(m.get("role") == "user" for m in messages):
        return False
    open_calls: list[Any] = []
    for message in messages:
        parts = message.get("parts")
        if not parts or not all(_whole(part) for part in parts):
            return False
        if message.get("role") == "tool":
            if len(parts) != 1 or parts[0]["type"] != "tool_result" or parts[0].get("id") not in open_calls:
                return False
            open_calls.remove(parts[0]["id"])
        elif message.get("role") not in ("system", "user", "assistant") or open_calls:
            return False
        else:
            open_calls = [part["id"] for part in parts if part["type"] == "tool_call"]
    names = [tool.get("name") for tool in given.get("tools", ())]
    choice = given.get("tool_choice", {})
    if not all(tool.get("parameters") and tool.get("description") and tool.get("name") for tool in given.get("tools", ())):
        return False
    if choice and (not choice.get("mode") or (choice["mode"] == "tool" and choice.get("name") not in names)):
        return False
    wanted = given.get("response_format", {"type": "text"})
    if wanted.get("type") == "json_schema" and not (wanted.get("name") and wanted.get("schema")):
        return False
    return not open_calls and set(choice.get("allowed", ())) <= set(names) and "type" in wanted and given.get("stop") != []


def _whole(part: dict[str, Any]) -> bool:
    kind = part.get("type")
    if kind in ("text", "thinking"):
        text = part.get("text")
        return bool(text and text.strip() == text)
    if kind == "tool_call":
        return bool(part.get("id") and part.get("name")) and isinstance(part.get("arguments"), dict)
    if kind == "tool_result":
        return bool(part.get("id") and part.get("parts")) and all(_whole(inner) for inner in part["parts"])
    if kind == "json":
        return bool(part.get("json"))
    return bool(kind and (part.get("url") or (part.get("data") and part.get("media_type"))))
