"""When two request bodies say the same in other words (SERVE.md 14)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from engine.expr.template.filters import ident

_EMPTY: tuple[Any, ...] = (None, [], {}, "")
_RENAMED = {
    "max_completion_tokens": "max_tokens",
    "functions": "tools",
    "parameters": "parametersJsonSchema",
    "responseSchema": "responseJsonSchema",
}
#: settings that say what is so anyway
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "stream": (False,),
    "tool_choice": ("auto", {"type": "auto"}),
    "toolChoice": ({"auto": {}},),
    "response_format": ({"type": "text"},),
    "strict": (False,),
    "strict_tools": (False,),
    "is_error": (False,),
    "detail": ("auto",),
    "logprobs": (False,),
    "status": ("completed", "success"),
    "toolConfig": ({"functionCallingConfig": {"mode": "AUTO"}},),
    "parallel_tool_calls": (True,),
    "include_usage": (False,),
    "includeThoughts": (False,),
    "stream_options": ({"include_usage": False},),
    "responseMimeType": ("text/plain",),
    "annotations": ([],),
    "disable_parallel_tool_use": (False,),
    "prefix": (False,),
    "truncation": ("disabled",),
}


def alike(dialect: str, a: Any, b: Any) -> bool:
    """Whether two bodies are one but for spelling."""
    return bool(plain(dialect, a) == plain(dialect, b))


def difference(dialect: str, a: Any, b: Any) -> str:
    """The first place where two bodies differ, for people."""
    return _difference(plain(dialect, a), plain(dialect, b), "")


def _difference(a: Any, b: Any, at: str) -> str:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(k for k in b if k not in a)]:
            if a.get(key) != b.get(key):
                return _difference(a.get(key), b.get(key), f"{at}.{key}")
    if isinstance(a, list) and isinstance(b, list):
        for i in range(max(len(a), len(b))):
            left, right = a[i] if i < len(a) else None, b[i] if i < len(b) else None
            if left != right:
                return _difference(left, right, f"{at}[{i}]")
    return f"{at}: {json.dumps(a, default=str)[:160]} became {json.dumps(b, default=str)[:160]}"


def plain(dialect: str, body: Any) -> Any:
    """A body in one spelling."""
    found = _shaped(_camel(body) if dialect == "gemini" else body)
    if not isinstance(found, dict):
        return found
    for key in ("stop", "stop_sequences"):
        if isinstance(found.get(key), str):
            found[key] = [found[key]]
    if "output_format" in found:  # its name before it was general
        found["output_config"] = {**found.get("output_config", {}), "format": found.pop("output_format")}
    if "include" in found:  # what is asked for so that thinking can be sent back
        found["include"] = [x for x in found["include"] if x != "reasoning.encrypted_content"]
        if not found["include"]:
            del found["include"]
    if "tools" not in found:
        found.pop("parallel_tool_calls", None)  # says nothing without tools
    if isinstance(found.get("instructions"), str) and isinstance(found.get("input"), (str, list)):  # a system text of its own
        said = found["input"]
        found["input"] = [
            {"role": "system", "content": found.pop("instructions")},
            *(said if isinstance(said, list) else [{"role": "user", "content": said}]),
        ]
    for key in ("messages", "contents", "input"):
        if key in found:
            found[key] = _conversation(found[key], found, dialect)
            if not found[key]:
                del found[key]
    for key in ("system", "systemInstruction"):
        if key in found:
            found[key] = _words(found[key])
    if isinstance(found.get("tools"), list):
        found["tools"] = _sorted(_declared(found["tools"]))
    return found


def _declared(tools: list[Any]) -> list[Any]:
    """One list of functions, however many lists there were."""
    functions = [f for t in tools if isinstance(t, dict) and "functionDeclarations" in t for f in t["functionDeclarations"]]
    rest = [
        t for t in ({k: v for k, v in t.items() if k != "functionDeclarations"} if isinstance(t, dict) else t for t in tools) if t
    ]
    return rest + functions


def _sorted(items: list[Any]) -> list[Any]:
    return sorted(items, key=lambda x: json.dumps(x, sort_keys=True, default=str))


_SCHEMA_WORDS = ("STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT")


def _shaped(value: Any, key: str = "") -> Any:
    """Without nothing and defaults; arguments parsed; schema words in one case."""
    if isinstance(value, dict):
        out = {}
        for name, inner in value.items():
            made = _shaped(inner, name)
            name = _RENAMED.get(name, name)
            if made in _EMPTY or made in _DEFAULTS.get(name, ()):
                continue
            out[name] = made
        if isinstance(out.get("function"), dict):
            inner = {_RENAMED.get(k, k): v for k, v in out.pop("function").items()}
            out = {**out, **inner, "type": "function"}
        if out.get("description") is not None and out["description"] == out.get("name"):
            out.pop("description")  # filled in where a description is required
        if out.get("type") == "custom" and "input_schema" in out:
            out.pop("type")
        return out
    if isinstance(value, list):
        return [made for v in value if (made := _shaped(v)) not in (None,)]
    if isinstance(value, str):
        if key in ("arguments", "schema") and value[:1] in "{[":
            try:
                return _shaped(json.loads(value))
            except ValueError:
                return value
        if key == "thinkingLevel" or (key == "type" and value in _SCHEMA_WORDS):
            return value.lower()
        if key in ("data", "bytes", "thoughtSignature", "image_url", "url"):
            return value.replace("-", "+").replace("_", "/").rstrip("=")
    if isinstance(value, float) and value == int(value):
        return int(value)
    return value


def _conversation(given: Any, body: dict[str, Any], dialect: str) -> Any:
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list):
        return given
    out: list[Any] = []
    called = {call.get("id"): call.get("name") for item in given if isinstance(item, dict) for call in item.get("tool_calls") or ()}
    for item in given:
        if isinstance(item, dict):
            item = dict(item)
            if item.get("role") == "tool" and item.get("name") == called.get(item.get("tool_call_id"), ""):
                item.pop("name", None)  # the name its call has already
            if item.get("type") == "reasoning" and item.get("encrypted_content"):
                # the id that is made of the content where a client had none says no more than its absence
                item.setdefault("id", "rs_" + str(ident([1 << 30], item["encrypted_content"], 40)))
            if item.get("type") == "message" or (dialect == "gemini" and "role" not in item):
                item.pop("type", None)
                item.setdefault("role", "user")
            if item.get("role") == "developer":
                item["role"] = "system"
            for key in ("content", "parts", "output"):
                if key in item:
                    item[key] = _parts(item[key])
                    if not item[key]:
                        del item[key]
            if item.keys() == {"role"}:
                continue  # it says nothing
            last = out[-1] if out else None
            if isinstance(last, dict) and "role" in item and last.get("role") == item.get("role") and _JOINABLE(last, item):
                out[-1] = {
                    **last,
                    **item,
                    **{k: last.get(k, []) + item.get(k, []) for k in ("content", "parts") if k in last or k in item},
                }
                continue
        out.append(item)
    return out


def _joinable(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return set(a) <= {"role", "content", "parts"} and set(b) <= {"role", "content", "parts"} and a.get("role") != "tool"


_JOINABLE: Callable[[dict[str, Any], dict[str, Any]], bool] = _joinable


def _parts(content: Any) -> Any:
    """Content as a list; texts that follow each other are one."""
    items = content if isinstance(content, list) else [content]
    out: list[Any] = []
    for item in items:
        if isinstance(item, str):
            item = {"text": item}
        if isinstance(item, dict):
            item = dict(item)
            if item.get("type") in ("text", "input_text", "output_text") and "text" in item:
                item.pop("type")
            if isinstance(item.get("image_url"), dict) and item["image_url"].keys() == {"url"}:
                item["image_url"] = item["image_url"]["url"]  # both forms are documented
            if "content" in item and item.get("type") == "tool_result":
                item["content"] = _parts(item["content"])
                if not item["content"]:
                    del item["content"]
            if not item or (item.keys() == {"type"} and str(item["type"]).endswith("text")):
                continue
            if item.keys() == {"text"} and isinstance(item["text"], str) and not item["text"].strip():
                continue
        out.append(item)
    return out


def _words(system: Any) -> Any:
    """A system prompt as its parts."""
    if isinstance(system, dict):
        system = system.get("parts", system)
    return _parts(system)


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            re.sub(r"_([a-z])", lambda m: m[1].upper(), k): v if k in ("args", "response", "properties") else _camel(v)
            for k, v in value.items()
        }
    return [_camel(v) for v in value] if isinstance(value, list) else value
