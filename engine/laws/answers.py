"""Random answers a served dialect can express, as plain JSON, and the events a provider would send for them.

    {"choices": [{"parts": [...], "finish": "stop", "cited": [...]}], "usage": {...}, "weave": 7, "cuts": 3}

`weave` is the seed by which pieces of parallel calls and of several choices are interleaved (0: one after the other, whole),
`cuts` the one by which the bytes of the stream are cut (0: not at all). So an answer can be shrunk as any JSON can.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from engine.call.json import dumps
from engine.laws.words import chance, mapping, name, one, pieces, sealed, words
from engine.plan import Served
from engine.types import Choice, Citation, Event, Part, Response, Usage
from engine.vocabulary import FINISH_REASONS

PROSE = ("text", "thinking", "refusal")
_KINDS = frozenset((*PROSE, "tool_call", "image"))
_INSIDE_INPUT = ("cache_read_tokens", "cache_write_tokens", "audio_input_tokens")


def answer(random: Random, served: Served, streamed: bool) -> dict[str, Any]:
    """An answer of one choice, or of two where the dialect has them. What it can express is read off its compiled file."""
    holder = served.stream if streamed else served
    assert holder is not None
    kinds = sorted(holder.writes & _KINDS - ({"image"} if streamed else set()))
    count = 2 if "choices" in holder.reads and chance(random, 0.3) else 1
    choices = []
    for _ in range(count):
        made = _parts(random, holder.reads, kinds)
        choice: dict[str, Any] = {"parts": made, "finish": one(random, FINISH_REASONS)}
        if not streamed and "citations" in holder.reads and chance(random, 0.3) and any(p["type"] == "text" for p in made):
            choice["cited"] = [{"url": f"https://example.com/{name(random)}", "title": words(random)}]
        choices.append(choice)
    made_usage = counts(random, {counter for counter, _ in served.usage})
    return {"choices": choices, "usage": made_usage, "weave": random.randint(1, 10**6), "cuts": random.randint(1, 10**6)}


def _parts(random: Random, reads: frozenset[str], kinds: list[str]) -> list[dict[str, Any]]:
    """Parts in any order; neighbours of one prose type are one part, as a wire cannot tell them apart."""
    made: list[dict[str, Any]] = []
    for number in range(int(random.random() * 6)):
        kind = one(random, kinds)
        part: dict[str, Any] = {"type": kind}
        if kind in PROSE:
            if made and made[-1]["type"] == kind:
                continue
            part["text"] = words(random)
            if kind == "thinking" and "thinking.signature" in reads and chance(random, 0.5):
                part["signature"] = sealed(random)
            elif kind == "thinking" and "thinking.redacted" in reads and chance(random, 0.3):
                part = {"type": kind, "redacted": sealed(random)}
        elif kind == "tool_call":
            part.update(id=f"{name(random, 5)}{number:04}", name=name(random), arguments=mapping(random))
        else:
            part.update(media_type="image/png", data=sealed(random))
        made.append(part)
    return made


def counts(random: Random, counters: set[str]) -> dict[str, int]:
    """Counters the dialect has a path for; totals include what they stand for."""
    found = {
        name: random.randint(0, 10**6)
        for name in sorted(counters - {"total_tokens", "seconds", "cost", "input_tokens", "output_tokens"})
        if chance(random, 0.5)
    }
    found["input_tokens"] = random.randint(0, 10**6) + sum(found.get(n, 0) for n in _INSIDE_INPUT)
    found["output_tokens"] = random.randint(0, 10**6) + found.get("reasoning_tokens", 0)
    if {"total_tokens", "input_tokens", "output_tokens"} <= counters:
        found["total_tokens"] = found["input_tokens"] + found["output_tokens"]
    return {name: count for name, count in found.items() if name in counters}


def sound(given: dict[str, Any]) -> bool:
    """Whether an answer is one a provider could give: what is left when it is shrunk may not be."""
    counts = given["usage"]
    into, out = counts.get("input_tokens", 0), counts.get("output_tokens", 0)
    if into < sum(counts.get(name, 0) for name in _INSIDE_INPUT) or out < counts.get("reasoning_tokens", 0):
        return False
    if counts.get("total_tokens", into + out) != into + out:
        return False
    return bool(given["choices"]) and all(_sound(choice) for choice in given["choices"])


def _sound(choice: dict[str, Any]) -> bool:
    parts = choice["parts"]
    if choice["finish"] not in FINISH_REASONS or (choice.get("cited") and not any(p.get("type") == "text" for p in parts)):
        return False
    calls = [p for p in parts if p.get("type") == "tool_call"]
    if len({c.get("id") for c in calls}) < len(calls):
        return False
    for before, part in zip([{}, *parts], parts):
        kind = part.get("type")
        if kind in PROSE and (kind == before.get("type") or not (part.get("text") or part.get("redacted"))):
            return False
        if kind == "tool_call" and not (part.get("id") and part.get("name") and isinstance(part.get("arguments"), dict)):
            return False
        if kind == "image" and not part.get("data"):
            return False
    return all("type" in p for p in parts)


def response(given: dict[str, Any]) -> Response:
    """The answer as what a provider's reply reads as."""
    choices = []
    for number, told in enumerate(given["choices"]):
        parts = [_part(p) for p in told["parts"]]
        cited = [Citation(**c) for c in told.get("cited", ())]
        for part in parts:
            if part.type == "text" and cited:
                part.citations = cited
                break
        choices.append(Choice(number, parts, citations=cited, finish_reason=told["finish"]))
    return Response(id="r1", model="m", created=7, choices=choices, usage=Usage(**given["usage"]))


def _part(given: dict[str, Any]) -> Part:
    part = Part(**given)
    if part.type == "tool_call":
        part.arguments_json = dumps(part.arguments).decode()
    return part


def events(given: dict[str, Any]) -> list[Event]:
    """The events of an answer: runs of prose in order, the pieces of calls anywhere after their first."""
    random = Random(given["weave"]) if given["weave"] else None
    lanes = [_lane(random, choice, number) for number, choice in enumerate(given["choices"])]
    merged = [Event("start", {"id": "r1", "model": "m", "created": 7})]
    while any(lanes):
        waiting = [lane for lane in lanes if lane]
        merged.append((one(random, waiting) if random else waiting[0]).pop(0))
    counters = {k: v for k, v in given["usage"].items() if k != "total_tokens"}
    merged.insert(random.randint(1, len(merged)) if random else len(merged), Event("usage", counters))
    return merged


def _lane(random: Random | None, choice: dict[str, Any], number: int) -> list[Event]:
    out: list[Event] = []
    late: list[list[Event]] = []
    calls = 0
    for part in choice["parts"]:
        if part["type"] == "tool_call":
            first, *rest = _call(random, part, calls)
            calls += 1
            out.append(first)
            late.append(rest)
        else:
            out += _prose(random, part)
        for queue in late:  # some of what calls still have to say
            while queue and (random is None or chance(random, 0.5)):
                out.append(queue.pop(0))
    while any(late):
        waiting = [queue for queue in late if queue]
        out.append((one(random, waiting) if random else waiting[0]).pop(0))
    out.append(Event("finish", {"reason": choice["finish"]}))
    for event in out:
        event.choice = number
    return out


def _prose(random: Random | None, part: dict[str, Any]) -> Iterable[Event]:
    if part["type"] == "image":
        return [Event("media", part)]
    if "redacted" in part:
        return [Event(part["type"], {"redacted": part["redacted"]})]
    found = pieces(random, part["text"]) if random else [part["text"]]
    made = [Event(part["type"], {"text": p}) for p in found]
    return [*made, Event(part["type"], {"signature": part["signature"]})] if part.get("signature") else made


def _call(random: Random | None, part: dict[str, Any], index: int) -> list[Event]:
    """One call as providers send it: in pieces, at once, or with everything repeated at the end."""
    head = {"index": index, "id": part["id"], "name": part["name"]}
    text = dumps(part["arguments"]).decode()
    way = one(random, ("pieces", "once", "mapping", "full")) if random else "once"
    if way == "once":
        return [Event("tool_call", {**head, "arguments": text})]
    if way == "mapping":
        return [Event("tool_call", {**head, "arguments": part["arguments"]})]
    assert random is not None
    made = [Event("tool_call", head), *(Event("tool_call", {"index": index, "arguments": p}) for p in pieces(random, text))]
    return [*made, Event("tool_call", {"index": index, "full_arguments": text})] if way == "full" else made


def cut(data: bytes, seed: int) -> list[bytes]:
    """Bytes in pieces, cut anywhere; seed 0 leaves them whole."""
    if not seed or not data:
        return [data]
    random = Random(seed)
    if chance(random, 0.1):
        size = random.randint(1, 40)
        return [data[i : i + size] for i in range(0, len(data), size)]
    places = sorted(int(random.random() * (len(data) + 1)) for _ in range(int(random.random() * 20)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)])]
