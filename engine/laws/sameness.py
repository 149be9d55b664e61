"""When two requests, bodies or answers say the same, and where they first do not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from engine.call.normalize import normalize
from engine.plan import Served
from engine.types import Choice, Report, Response

Found = tuple[tuple[Any, ...], Any, Any]
_PROSE = ("text", "thinking", "refusal")
#: settings that a service may change without losing what was meant; the report tells their fate
CHANGED = ("clamped", "dropped", "default", "refused")
#: what a request says in canonical words -> the key of a body that most likely writes it
PLACES = {"turns": "messages", "system": "system"}
_SO_ANYWAY = {"parallel_tool_calls": True}  # absent, it means the same
_ORDER = {"name": 1, "thinking": 2, "result": 3, "text": 4, "media": 5, "call": 6}
_UNSAID = frozenset(("messages", "tools", "tool_choice", "response_format", "reasoning", "stream"))


def difference(a: Any, b: Any, path: tuple[Any, ...] = ()) -> Found | None:
    """The first place where two JSON values differ, or None. A lone text part is its text (SERVE.md 14)."""
    a, b = _lone(a), _lone(b)
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(k for k in b if k not in a)]:
            if key not in a or key not in b:
                return (*path, key), a.get(key), b.get(key)
            found = difference(a[key], b[key], (*path, key))
            if found is not None:
                return found
        return None
    if isinstance(a, list) and isinstance(b, list):
        for i in range(max(len(a), len(b))):
            if i >= len(a) or i >= len(b):
                return (*path, i), a[i] if i < len(a) else None, b[i] if i < len(b) else None
            found = difference(a[i], b[i], (*path, i))
            if found is not None:
                return found
        return None
    same = a == b and (a.__class__ is b.__class__ or not (isinstance(a, bool) or isinstance(b, bool)))
    return None if same else (path, a, b)


def _lone(value: Any) -> Any:
    only: Any = value[0] if isinstance(value, list) and len(value) == 1 else None
    bare = isinstance(only, dict) and only.keys() <= {"type", "text"} and isinstance(only.get("text"), str)
    return only["text"] if bare else value


# --- requests -----------------------------------------------------------------------------------------------------------


def said_of_request(
    sample: Mapping[str, Any], fields: Mapping[str, Any], report: Report, signed: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a request says and what of it was accepted again, in one form: views, made ids and filled defaults are left out.

    `signed` says whether the wire has a place for signatures: a foreign one means nothing to it.
    """
    known = normalize("chat", dict(sample))
    back = normalize("chat", {k: v for k, v in fields.items() if k != "extra"})
    expected, got = _settings(known), _settings(back)
    called = bool(known.get("tools")) and expected["tool_choice"] != "none"
    for name in known.keys() - _UNSAID - (set() if called else {"parallel_tool_calls"}):
        fate = report.parameters.get(name, {})
        if name in sample and fate.get("fate") not in CHANGED and fate.get("sent", known[name]) == known[name]:
            expected[name], got[name] = known[name], back.get(name, _SO_ANYWAY.get(name))
    if not expected["tools"] or not got["tools"]:
        # some services want a tool where the history has calls
        expected["tools"], got["tools"], expected["tool_choice"], got["tool_choice"] = {}, {}, "none", "none"
    expected["system"], expected["turns"] = _conversation(known["messages"], signed)
    got["system"], got["turns"] = _conversation(back["messages"], signed)
    _without_filling(expected["turns"], got["turns"])
    return json.loads(json.dumps(expected)), json.loads(json.dumps(got))


def facts(said: Mapping[str, Any]) -> dict[str, Any]:
    """What a request says, fact by fact and without its order: to tell which of them a wire has lost."""
    out = {name: value for name, value in said.items() if name != "turns"}
    items = [item for _, turn in said["turns"] for item in turn]
    out["texts"] = [item[1] for item in items if item[0] == "text"]
    out["text"] = "".join(out["texts"])
    out["thinking"] = "".join(item[1] for item in items if item[0] == "thinking")
    out["result"] = [item[1:3] for item in items if item[0] == "result"]
    out["failed"] = [item[3] for item in items if item[0] == "result"]
    for kind in ("name", "call", "media"):
        out[kind] = [item[1:] for item in items if item[0] == kind]
    return out


def lost_in_silence(sample: Mapping[str, Any], fields: Mapping[str, Any], report: Report) -> list[str]:
    """What of a request neither arrived nor is warned about: names of facts, empty if nothing is lost.

    `fields` is what the wire's own reader accepts of the body. What is added (a text beside a document), or said in another
    place (a lone system text), is not lost. Schemas are rewritten to what a service takes, so that there is one counts.
    """
    expected, got = map(facts, said_of_request(sample, fields, report, signed=False))
    words = f"{got['system']}{got['text']}"
    lost = {
        "text": any(text not in words for text in [*expected["texts"], *expected["system"].split()]),
        "thinking": expected["thinking"] not in got["thinking"],
        "call": any(call[0] not in [c[0] for c in got["call"]] for call in expected["call"]),
        "result": any(not _among(words, [r[1] for r in got["result"]]) for _, words in expected["result"]),
        "failed": any(expected["failed"]) and not any(got["failed"]),
        "name": any(name not in got["name"] for name in expected["name"]),
        "media": any(item[1:] not in [i[1:] for i in got["media"]] for item in expected["media"]),
        "tools": any(tool not in got["tools"] for tool in expected["tools"]),
        "tool_choice": expected["tool_choice"] != got["tool_choice"],
        "response_format": expected["response_format"][0] is not None and got["response_format"][0] is None,
    }
    # a foreign tool of the server comes back as an item of its own; usage that is always sent need not be asked for
    plain = expected.keys() - lost.keys() - {"texts", "system", "stream_usage", "server_tools"}
    lost.update((name, expected[name] is not None and got.get(name) is None) for name in plain)
    told = " ".join(report.warnings)
    return [name for name, gone in lost.items() if gone and _WARNED.get(name, name) not in told]


def _among(words: str, others: Iterable[str]) -> bool:
    return any(words in other or (other and other in words) for other in others)


#: a word that a warning about a fact has in it, where it is not the fact's name
_WARNED = {"failed": "failed", "name": "name of a message", "call": "call", "result": "result", "media": "part", "tools": "tool"}


def _settings(request: Mapping[str, Any]) -> dict[str, Any]:
    tools = [tool for tool in request.get("tools") or () if tool.get("name")]
    choice, wanted = dict(request.get("tool_choice") or {}), request.get("response_format") or {}
    if choice.get("mode") == "tool":
        choice = {"mode": "required", "allowed": [choice.get("name")]}
    choice.pop("name", None)
    names = [tool.get("name") for tool in tools]
    allowed = [n for n in choice.pop("allowed", None) or names if n in names]
    mode = choice.get("mode", "auto")
    if mode == "none":
        allowed = []
    return {
        # tools that may not be called need not be offered
        "tools": {t["name"]: [t.get("description"), t.get("parameters")] for t in tools if t["name"] in allowed},
        "tool_choice": mode if allowed else "none",
        "response_format": [
            None if wanted.get("type") == "text" else wanted.get("type") if wanted.get("schema") is None else "json_schema",
            wanted.get("schema"),
        ],
    }


def _conversation(messages: Iterable[Mapping[str, Any]], signed: bool) -> tuple[str, list[Any]]:
    """The system's words, and turns of one side each: what a wire joins or splits is one."""
    system = ""
    turns: list[Any] = []
    calls: dict[Any, int] = {}
    for message in messages:
        if "role" not in message:  # an item only its own dialect understands
            turns.append(["native", [["native", message.get("data")]]])
            continue
        if message["role"] == "system":
            system += "".join(p.get("text") or "" for p in message["parts"]) + "\n"
            continue
        side = "assistant" if message["role"] == "assistant" else "user"
        parts = [said for part in message["parts"] for said in _said(part, calls, signed)]
        if message.get("name"):
            parts.insert(0, ["name", message["name"]])
        if turns and turns[-1][0] == side:
            turns[-1][1].extend(parts)
        else:
            turns.append([side, parts])
    for turn in turns:
        turn[1] = _joined(turn[1])
    return "".join(system.split()), turns


def _said(part: Mapping[str, Any], calls: dict[Any, int], signed: bool) -> list[list[Any]]:
    """What a part says; the media of a result count beside it, where some wires write them."""
    kind = part["type"]
    if kind == "tool_call":
        calls[part.get("id")] = len(calls)
        given = part.get("arguments")
        return [["call", part["name"], json.loads(given) if isinstance(given, str) else given]]
    if kind == "tool_result":
        inner = [p for p in part.get("parts") or () if p["type"] not in ("text", "json")]
        words = "".join(_words(p) for p in part.get("parts") or ())
        failed = bool(part.get("is_error"))
        return [["result", calls.get(part.get("id")), words, failed], *(said for p in inner for said in _said(p, calls, signed))]
    if kind in ("text", "refusal", "json"):
        return [["text", _words(part), part.get("signature") if kind == "text" else None]]
    if kind == "thinking":
        return [["thinking", part.get("text") or "", part.get("signature") if signed else None, part.get("redacted")]]
    if kind == "native":
        return [["native", part.get("data")]]
    return [["media", kind, part.get("data") or part.get("url") or part.get("file_id")]]


def _words(part: Mapping[str, Any]) -> str:
    """What a text or JSON part says; JSON may be written as text."""
    if part["type"] == "json":
        return _tight(part.get("json"))
    text = part.get("text") or ""
    if text[:1] in "{[":
        try:
            return _tight(json.loads(text))
        except ValueError:
            pass
    return "".join(text.split())


def _tight(value: Any) -> str:
    return "".join(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).split())


def _joined(parts: list[list[Any]]) -> list[list[Any]]:
    """Texts that follow each other are one; kinds that have a place of their own on some wire are told apart."""
    out: list[list[Any]] = []
    for part in sorted(parts, key=lambda p: _ORDER.get(p[0], 0)):
        if out and out[-1][0] == part[0] == "text" and not (out[-1][2] or part[2]):
            out[-1][1] += part[1]
        else:
            out.append(list(part))
    return out


def _without_filling(expected: list[Any], got: list[Any]) -> None:
    """Take out what a dialect puts between turns because its service wants it (a turn that nobody said)."""
    at = 0
    while at + 2 < len(got) + 1 and at < len(got):
        missing = at >= len(expected) or expected[at][0] != got[at][0] or expected[at][1] != got[at][1]
        if missing and 0 < at < len(got) - 1 and got[at][0] == "assistant" and got[at - 1][0] == got[at + 1][0] == "user":
            whole = _joined(got[at - 1][1] + got[at + 1][1])
            if at - 1 < len(expected) and whole == expected[at - 1][1]:
                got[at - 1 : at + 2] = [["user", whole]]
                continue
        at += 1


# --- answers ------------------------------------------------------------------------------------------------------------


def said_of_answer(served: Served, given: Response, read: Response) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an answer says and what was read of it: content by kind, order where the wire has one, sources, counters."""
    ordered = _keeps_order(served)
    counts = given.usage.to_dict()
    # what nobody said is written as 0 or added up
    found = {name: n for name, n in read.usage.to_dict().items() if name in counts or (n and name != "total_tokens")}
    expected: dict[str, Any] = {"choices": [_choice(c, ordered, _finish(served, c)) for c in given.choices], "usage": counts}
    got: dict[str, Any] = {"choices": [_choice(c, ordered, c.finish_reason) for c in read.choices], "usage": found}
    for name in ("id", "model", "created"):
        if getattr(read, name) is not None:
            expected[name], got[name] = getattr(given, name), getattr(read, name)
    return expected, got


def _finish(served: Served, choice: Choice) -> str:
    """The canonical reason after the way through the dialect's own words."""
    reason = served.plan.finish_reasons[served.finish[choice.finish_reason or "stop"]]
    calls = any(p.type == "tool_call" for p in choice.parts)
    return "tool_calls" if reason == "stop" and calls else reason


def _choice(choice: Choice, ordered: bool, finish: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {kind: "".join(p.text or "" for p in choice.parts if p.type == kind) for kind in _PROSE}
    found["tool_call"] = [[p.id, p.name, p.arguments, bool(p.server)] for p in choice.parts if p.type == "tool_call"]
    found["image"] = [p.data for p in choice.parts if p.type == "image"]
    found["signature"] = [[p.signature, p.redacted] for p in choice.parts if p.type == "thinking" and (p.signature or p.redacted)]
    found["citations"] = [[c.url, c.title] for c in choice.citations]
    found["finish"] = finish
    if ordered:
        found["order"] = [[p.type, p.text] for p in choice.parts if p.type in (*_PROSE, "tool_call")]
    return found


def _keeps_order(served: Served) -> bool:
    """Whether one table writes every kind of part; else each kind has a place of its own and their order is not on the wire."""
    return "tool_call" in served.writes and "tool_calls" not in served.reads and "thinking" not in served.reads
