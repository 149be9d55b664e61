"""The model that answers where no script does: it greets, calls the tools it is offered, tells their results, fills schemas.

Everything is derived from the canonical request, so the same request always gets the same answer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from engine.serve.invent import Inventor
from engine.types import Event

SIGNATURE = "c2ltdWxhdGVk"  # "simulated": opaque to everybody, valid where signatures are base64
PIECE = 12  # characters of arguments per event
_TOKEN = 4  # characters of a token, about
_MEDIA_TOKENS = 256
_GREETING = re.compile(r"\b(hello|hi|hey|greet\w*)\b", re.IGNORECASE)
_SUM = re.compile(r"(-?\d{1,9})\s*([-+*x×])\s*(-?\d{1,9})")


def pieces(text: str) -> list[str]:
    """A text as the pieces a stream brings: words with the space around them; joined they are the text."""
    return re.findall(r"\s*\S+", text[: len(text.rstrip())]) + ([text[len(text.rstrip()) :]] if text != text.rstrip() else [])


def prose(kind: str, parts: Iterable[str], choice: int = 0, **fields: Any) -> Iterator[Event]:
    """Events of a text, one per piece."""
    for part in parts:
        yield Event(kind, {"text": part, **fields}, choice)


def call(index: int, id: str, name: str, arguments: Any, choice: int = 0) -> Iterator[Event]:
    """Events of a tool call: its name, then its arguments in pieces."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    yield Event("tool_call", {"index": index, "id": id, "name": name, "arguments": ""}, choice)
    for i in range(0, len(text), PIECE):
        yield Event("tool_call", {"index": index, "arguments": text[i : i + PIECE]}, choice)


def tokens(text: str | None) -> int:
    """About how many tokens a text is."""
    return math.ceil(len(text) / _TOKEN) if text else 0


def improvise(request: Mapping[str, Any]) -> Iterator[Event]:
    """The events of an answer, without usage."""
    count = request.get("n")
    for choice in range(count if isinstance(count, int) and 1 < count <= 128 else 1):
        yield from _limited(_answer(request, choice), request, choice)


def _answer(request: Mapping[str, Any], choice: int) -> Iterator[Event]:
    text = last_text(request)
    results = _results(request)
    tool = None if results else _tool(request, text)
    reasoning = request.get("reasoning") or {}
    if (
        reasoning
        and reasoning.get("mode") != "none"
        and reasoning.get("effort") != "none"
        and reasoning.get("visible") is not False
    ):
        thought = "The tool has answered." if results else f"I should call {tool['name']}." if tool else "I have to answer this."
        yield from prose("thinking", pieces(f"Let me think. {thought}"), choice)
        yield Event("thinking", {"signature": SIGNATURE}, choice)
    if tool is not None:
        yield from call(0, f"call_sim{calls_of(request) + 1}", tool["name"], Inventor(text).value(tool.get("parameters")), choice)
        yield Event("finish", {"reason": "tool_calls"}, choice)
        return
    wanted = request.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        said = json.dumps(Inventor(text).value(wanted.get("schema")), ensure_ascii=False)
    elif wanted.get("type") == "json_object":
        said = json.dumps({"answer": _reply(request, text, results)}, ensure_ascii=False)
    else:
        said = _reply(request, text, results)
    yield from prose("text", pieces(said), choice)
    yield Event("finish", {"reason": "stop"}, choice)


def _reply(request: Mapping[str, Any], text: str, results: list[Mapping[str, Any]]) -> str:
    if results:
        return " ".join(f"{r.get('tool_name') or 'The tool'} says: {_told(r.get('text'))}." for r in results)
    attached = [p for m in request.get("messages") or () for p in m.get("parts") or () if p.get("type") in _ATTACHED]
    if attached:
        kinds = ", ".join(f"{p['type']} ({p.get('media_type') or 'by its address'})" for p in attached)
        return f"I see what you attached: {kinds}."
    found = _SUM.search(text)
    if found:
        a, b = int(found[1]), int(found[3])
        return f"{found[0]} = {a + b if found[2] == '+' else a - b if found[2] == '-' else a * b}."
    if not text or _GREETING.search(text):
        return "Hello! How can I help you today?"
    return f"You said: {text}"


_ATTACHED = frozenset(("image", "audio", "video", "document"))


def last_text(request: Mapping[str, Any]) -> str:
    """The last text of the user."""
    return next((m["text"] for m in reversed(request.get("messages") or ()) if m.get("role") == "user" and m.get("text")), "")


def _results(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Tool results that came in since the model spoke last."""
    found: list[Mapping[str, Any]] = []
    for message in reversed(request.get("messages") or ()):
        if message.get("role") == "assistant":
            break
        if message.get("role") == "tool":
            found.insert(0, message)
    return found


def _told(text: str | None) -> str:
    """A result in words: an object as its entries."""
    try:
        value = json.loads(text or "")
    except ValueError:
        return (text or "nothing").strip().rstrip(".")
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _tool(request: Mapping[str, Any], text: str) -> Mapping[str, Any] | None:
    """The tool to call: the one that must be, else the one whose name and description share most words with the text."""
    choice = request.get("tool_choice") or {}
    allowed = choice.get("allowed")
    tools = [t for t in request.get("tools") or () if t.get("name") and (not allowed or t["name"] in allowed)]
    if not tools or choice.get("mode") == "none":
        return None
    if choice.get("mode") == "tool":
        return next((t for t in tools if t["name"] == choice.get("name")), None)
    words = set(re.findall(r"\w+", text.lower()))
    return max(tools, key=lambda t: len(words & set(re.findall(r"[a-z]+", f"{t['name']} {t.get('description')}".lower()))))


def calls_of(request: Mapping[str, Any]) -> int:
    """How many calls stand in the conversation; made ids go on from there."""
    return sum(len(m.get("tool_calls") or ()) for m in request.get("messages") or ())


def _limited(events: Iterator[Event], request: Mapping[str, Any], choice: int) -> Iterator[Event]:
    """The answer up to `max_tokens` and the first of `stop`."""
    most = request.get("max_tokens")
    room = most * _TOKEN if isinstance(most, int) else None
    stops = [s for s in request.get("stop") or () if isinstance(s, str) and s]
    said = ""
    for event in events:
        text = event.text if event.kind in ("text", "thinking") else None
        if text and room is not None and len(text) > room:
            if room > 0:
                yield Event(event.kind, {"text": text[:room]}, choice)
            yield Event("finish", {"reason": "length"}, choice)
            return
        room = room - len(text) if text and room is not None else room
        if text and event.kind == "text" and stops:
            ends = [at for s in stops if (at := (said + text).find(s)) >= 0]
            if ends:
                if min(ends) > len(said):
                    yield Event("text", {"text": (said + text)[len(said) : min(ends)]}, choice)
                yield Event("finish", {"reason": "stop"}, choice)
                return
            said += text
        yield event


def input_tokens(request: Mapping[str, Any]) -> int:
    """About how many tokens a request is."""
    count = 3
    for message in request.get("messages") or ():
        count += 3
        for part in message.get("parts") or ():
            if part.get("type") in _ATTACHED:
                count += _MEDIA_TOKENS
            else:
                count += tokens(part.get("text")) + tokens(part.get("arguments_json"))
    return count + sum(tokens(json.dumps(t, default=str)) for t in request.get("tools") or ())


def usage_of(request: Mapping[str, Any], events: Iterable[Event]) -> dict[str, int]:
    """Estimated counters of a call."""
    thought = said = 0
    for event in events:
        amount = len(event.text or "") if event.kind != "tool_call" else len(event.name or "") + len(str(event.arguments or ""))
        if event.kind == "thinking":
            thought += amount
        elif event.kind in ("text", "refusal", "tool_call"):
            said += amount
    made = {"input_tokens": input_tokens(request), "output_tokens": math.ceil(said / _TOKEN) + math.ceil(thought / _TOKEN)}
    return {**made, "reasoning_tokens": math.ceil(thought / _TOKEN)} if thought else made
