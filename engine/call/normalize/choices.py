"""Tools, the choice among them, the wanted format and the reasoning, of any spelling (SPEC_LANGUAGE 12.1, SERVE 15)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.call.normalize.parts import EPHEMERAL, Notes, mapping_of
from engine.errors import ConfigError, LimitError

TOOLS = 10_000
_MODES = {"auto": "auto", "none": "none", "required": "required", "any": "required", "validated": "auto"}
_TOOL_KEYS = frozenset([
    "type", "function", "name", "description", "parameters", "input_schema", "inputSchema", "schema", "strict",
    "cache", "cache_control", "extra",
])  # fmt: skip
_CANONICAL = frozenset(("name", "description", "parameters", "strict"))
_NOTHING: dict[str, Any] = {}
_OWN = frozenset(("function", "custom", None))
#: words that mean one of the effort words
_EFFORTS = {w: w for w in ("none", "minimal", "low", "medium", "high", "xhigh", "auto")} | {
    "max": "xhigh",
    "default": "auto",
    "dynamic": "auto",
    "adaptive": "auto",
    "off": "none",
    "disabled": "none",
}


def read_tools(given: Any, notes: Notes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(the caller's tools `{name, description, parameters, strict}`, the tools that the provider runs `{type, native}`)."""
    if isinstance(given, (str, bytes)):
        raise ConfigError("`tools` is a list of tools")
    if not isinstance(given, (list, tuple)):
        given = [given]
    if len(given) > TOOLS:
        raise LimitError(f"{len(given)} tools are more than the limit of {TOOLS}")
    tools: list[dict[str, Any]] = []
    server: list[dict[str, Any]] = []
    for item in given:
        if item.__class__ is not dict:
            if callable(item) and not isinstance(item, Mapping):
                from engine.call.tools import tool_from_function

                tools.append(tool_from_function(item))
                continue
            item = mapping_of(item, "a tool")
        kind = item.get("type")
        if kind == "function" and len(item) == 2 and (function := item.get("function")).__class__ is dict:
            name = function.get("name")
            if (
                name.__class__ is str
                and name
                and function.keys() <= _CANONICAL
                and (function.get("parameters", _NOTHING)).__class__ is dict
            ):
                tools.append(function)
                continue
            own = item
        elif kind == "native":
            tools.append({"type": "native", "dialect": item.get("dialect"), "data": item.get("data")})
            continue
        elif kind not in _OWN or (kind == "custom" and "input_schema" not in item and "parameters" not in item):
            if not isinstance(kind, str):
                raise ConfigError("the `type` of a tool is text")
            server.append({"type": kind, "native": item.get("native", item) if item.keys() == {"type", "native"} else item})
            continue
        else:
            own = item
            function = item.get("function", item)
            if function.__class__ is not dict:
                function = mapping_of(function, "the function of a tool")
        tools.append(_tool(function, own, notes))
    return tools, server


def _tool(function: dict[str, Any], item: dict[str, Any], notes: Notes) -> dict[str, Any]:
    name = function.get("name")
    if name.__class__ is not str or not name:
        raise ConfigError("a tool needs a name")
    tool: dict[str, Any] = {"name": name}
    tool.update((k, function[k]) for k in ("description", "parameters", "strict") if function.get(k) is not None)
    if "parameters" not in tool:
        for key in ("input_schema", "inputSchema", "schema"):
            if function.get(key) is not None:
                tool["parameters"] = function[key]
                break
    schema = tool.get("parameters")
    if isinstance(schema, Mapping) and schema.keys() == {"json"} and isinstance(schema["json"], Mapping):
        tool["parameters"] = schema = schema["json"]
    if schema is not None and not isinstance(schema, Mapping):
        if not hasattr(schema, "model_json_schema"):
            raise ConfigError(f"the parameters of tool `{name:.60}` are a JSON Schema, not {type(schema).__name__}")
        from engine.call.schema import schema_of

        tool["parameters"] = schema_of(schema)
    for source in (item, function):
        cache = source.get("cache_control", source.get("cache"))
        if cache:
            tool["cache"] = EPHEMERAL if cache is True else cache
        if source.get("extra"):
            tool["extra"] = source["extra"]
        if source.get("strict") is not None:
            tool["strict"] = source["strict"]
        notes.left_out(source, _TOOL_KEYS, f"tool {name}")
    return tool


def read_choice(given: Any, tools: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], bool | None]:
    """(`{mode, name?, allowed?}`, whether calls may be parallel if the choice says so)."""
    if isinstance(given, str):
        mode = _MODES.get(given.lower())
        if mode:
            return {"mode": mode}, None
        if any(t.get("name") == given for t in tools):
            return {"mode": "tool", "name": given}, None
        raise ConfigError(f"tool_choice `{given:.60}` is neither auto, none nor required, nor the name of a tool")
    if isinstance(given, bool):
        raise ConfigError("tool_choice is auto, none, required or a mapping")
    given = mapping_of(given, "tool_choice")
    kind = given.get("type", given.get("mode"))
    parallel = False if given.get("disable_parallel_tool_use") is True else None
    inner = given.get("function") or given.get("custom") or given.get("tool")
    name = inner.get("name") if isinstance(inner, Mapping) else inner if isinstance(inner, str) else given.get("name")
    if kind in ("allowed_tools", "allowed"):
        found = given.get("allowed_tools", given)
        found = mapping_of(found, "allowed_tools") if not isinstance(found, (list, tuple)) else {"tools": found, **given}
        allowed = found.get("tools") if found.get("tools") is not None else found.get("allowed")
        return {"mode": _MODES.get(str(found.get("mode", "auto")), "auto"), "allowed": _names(allowed)}, parallel
    choice: dict[str, Any]
    if isinstance(kind, str) and kind in _MODES and not name:
        choice = {"mode": _MODES[kind]}
    elif name is not None:
        if not isinstance(name, str):
            raise ConfigError("tool_choice names a tool by text")
        choice = {"mode": "tool", "name": name}
    elif isinstance(kind, str) and kind not in ("function", "tool", "custom"):
        choice = {"mode": "tool", "name": kind}  # a tool the provider runs
    else:
        raise ConfigError("tool_choice needs the name of a tool")
    if given.get("allowed"):
        choice["allowed"] = _names(given["allowed"])
    return choice, parallel


def _names(allowed: Any) -> list[str]:
    if not isinstance(allowed, (list, tuple)):
        raise ConfigError("the allowed tools are a list")
    names = []
    for item in allowed:
        if isinstance(item, Mapping):
            inner = item.get("function")
            item = inner.get("name") if isinstance(inner, Mapping) else item.get("name") or item.get("type")
        if not isinstance(item, str):
            raise ConfigError("an allowed tool is named by text")
        names.append(item)
    return names


def read_format(given: Any) -> dict[str, Any]:
    """`{type: text | json_object | json_schema, name, description, schema, strict}` of whatever says so."""
    if given.__class__ is not dict:
        if isinstance(given, str):
            if given in ("text", "json_object", "json"):
                return {"type": "text" if given == "text" else "json_object"}
            raise ConfigError(f"response_format `{given:.60}` is not known; use text, json_object or a JSON Schema")
        if not isinstance(given, Mapping):
            from engine.call.schema import response_format

            given = response_format(given)
    kind = given.get("type")
    inner = given.get("json_schema")
    if kind == "text":
        return {"type": "text"}
    if isinstance(inner, Mapping):
        return _schema_format(inner.get("schema", None if "name" in inner else inner), inner)
    if kind in ("json_schema", None) and isinstance(given.get("schema"), Mapping):
        return _schema_format(given["schema"], given)
    if kind in ("json_object", "json"):
        schema = given.get("schema", given.get("response_schema"))
        return _schema_format(schema, given) if isinstance(schema, Mapping) else {"type": "json_object"}
    if kind == "json_schema":
        raise ConfigError("response_format json_schema needs a `schema`")
    if (
        given and any(k in given for k in ("properties", "$ref", "$defs", "anyOf", "oneOf", "allOf", "items", "enum", "$schema"))
    ) or kind in _SCHEMA_TYPES:
        return _schema_format(given, {"name": given.get("title")})
    raise ConfigError(f"response_format of type `{kind!s:.60}` is not known; use text, json_object, json_schema or a JSON Schema")


_SCHEMA_TYPES = frozenset(("object", "array", "string", "number", "integer", "boolean"))


def _schema_format(schema: Any, about: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(schema, Mapping):
        raise ConfigError("the `schema` of response_format is a JSON Schema")
    name = about.get("name")
    out: dict[str, Any] = {
        "type": "json_schema",
        "name": _ident(name) if isinstance(name, str) and name else "answer",
        "schema": schema,
    }
    for key in ("description", "strict"):
        if about.get(key) is not None:
            out[key] = about[key]
    return out


def _ident(name: str) -> str:
    """A name within letters, digits, `_` and `-`, 64 at most, as the wires want it."""
    if name.isascii() and name.replace("_", "a").replace("-", "a").isalnum() and len(name) <= 64:
        return name
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in name)[:64]


def read_reasoning(fields: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """(`{effort, budget, summary, visible, mode}`, the effort as a parameter) of reasoning, reasoning_effort, thinking(_budget).

    A budget in tokens gives an effort where only that can be said; an effort never gives a budget, which is each dialect's
    table to know.
    """
    out: dict[str, Any] = {}
    given = fields.get("reasoning")
    if given is not None:
        _merge_reasoning(out, given)
    given = fields.get("thinking")
    if given is not None:
        _merge_reasoning(out, given)
    said = fields.get("reasoning_effort")
    if said is not None and not out.get("effort"):
        out["effort"] = said
    if fields.get("thinking_budget") is not None and out.get("budget") is None:
        out["budget"] = fields["thinking_budget"]
    if out.pop("on", False) and out.get("effort") is None and out.get("budget") is None:
        out["effort"] = "auto"
    if not out:
        return None, None
    effort = raw = out.get("effort")
    if effort is not None:
        effort = _EFFORTS.get(effort.lower()) if isinstance(effort, str) else None
        if effort is None:
            raise ConfigError(f"reasoning effort `{raw!s:.60}` is not known; use none, minimal, low, medium, high, xhigh or auto")
        out["effort"] = effort
    budget = out.get("budget")
    if budget is not None:
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < -1:
            raise ConfigError("a reasoning budget is a number of tokens")
        if budget == -1:  # as much as the model wants
            del out["budget"]
            budget = None
            effort = out["effort"] = effort or "auto"
    if effort == "none" or budget == 0:
        out["mode"] = "none"
    elif budget is None and effort in (None, "auto"):
        out["mode"] = "auto"
    else:
        out["mode"] = "enabled"
    if effort is None and budget is not None:
        raw = effort = "none" if budget == 0 else "low" if budget <= 2048 else "medium" if budget <= 8192 else "high"
    return out, None if effort in (None, "auto") and raw != "default" else raw


def _merge_reasoning(out: dict[str, Any], given: Any) -> None:
    if isinstance(given, bool):
        out.setdefault("effort", "auto" if given else "none")
        return
    if isinstance(given, str):
        out.setdefault("effort", given)
        return
    if isinstance(given, int):
        out.setdefault("budget", given)
        return
    given = mapping_of(given, "reasoning")
    for name, keys in (
        ("effort", ("effort",)),
        ("budget", ("budget", "budget_tokens", "max_tokens", "thinking_budget")),
        ("summary", ("summary",)),
    ):
        value = next((given[k] for k in keys if given.get(k) is not None), None)
        if value is not None:
            out[name] = value
    if given.get("visible") is not None:
        out["visible"] = bool(given["visible"])
    elif given.get("exclude") is not None:
        out["visible"] = not given["exclude"]
    elif given.get("include_thoughts", given.get("includeThoughts")) is not None:
        out["visible"] = bool(given.get("include_thoughts", given.get("includeThoughts")))
    elif given.get("display") in ("summarized", "omitted"):
        out["visible"] = given["display"] == "summarized"
    mode = given.get("type", given.get("mode"))
    enabled = given.get("enabled")
    if mode in ("disabled", "none") or enabled is False:
        out["effort"] = "none"
        out.pop("budget", None)
    elif mode in ("enabled", "adaptive", "auto") or enabled is True:
        out["on"] = True
