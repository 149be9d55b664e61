"""Canonical answers a served dialect can express, and what of them survives the wire.

What a dialect can express is read off its compiled file: part types with a place, what prose carries beside its words,
counters with a path.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from engine.catalog import Catalog
from engine.plan import Served
from engine.types import Choice, Citation, Part, Response, Usage
from engine.vocabulary import FINISH_REASONS

CATALOG = Catalog()
_NODES = {d: node for d in CATALOG.dialect_ids() if (node := CATALOG.dialect(d)) is not None}
#: every dialect that is served
SERVED = [d for d, node in _NODES.items() if (serve := node.get("serve")) is not None and serve.value is not None]
#: conversations that are served
DIALECTS = [d for d in _NODES if (d in SERVED or d == "mistral") and _NODES[d].value["operation"].value == "chat"]
PROSE = ("text", "thinking", "refusal")
#: dialects whose parts tables keep the order of different kinds; the others have one place per kind
ORDERED = ("anthropic-messages", "gemini", "openai-responses", "bedrock-converse")


def law(few: int = 20) -> settings:
    """900 examples per dialect in CI, few elsewhere."""
    count = 900 if os.environ.get("CI") else int(os.environ.get("LLMKIT_FEW", few))
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
ids = st.text("abcdefghijkLMNOP0123456789_-", min_size=1, max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
arguments = st.dictionaries(words, values, max_size=3)
base64s = st.binary(min_size=1, max_size=12).map(lambda b: base64.b64encode(b).decode())
urls = st.sampled_from(["https://example.com/a", "https://example.org/b?c=d"])


def kinds(served: Served, streamed: bool) -> frozenset[str]:
    """Part types a whole reply (or a stream) of a dialect has a place for."""
    holder = served.stream if streamed else served
    assert holder is not None
    return holder.writes & {"text", "thinking", "refusal", "tool_call", "image"}


@st.composite
def parts(draw: st.DrawFn, served: Served, streamed: bool = False, media: bool = True) -> list[Part]:
    """Parts in any order; neighbours of one prose type are one part, as a wire cannot tell them apart."""
    holder = served.stream if streamed else served
    assert holder is not None
    made: list[Part] = []
    taken: set[str] = set()
    for kind in draw(st.lists(st.sampled_from(sorted(kinds(served, streamed) - ({"image"} if not media else set()))), max_size=5)):
        if kind in PROSE and made and made[-1].type == kind:
            continue
        if kind in PROSE:
            part = Part(kind, text=draw(words))
            if kind == "thinking" and "thinking.signature" in holder.reads and draw(st.booleans()):
                part.signature = draw(base64s)
            elif kind == "thinking" and "thinking.redacted" in holder.reads and draw(st.booleans()):
                part.text, part.redacted = None, draw(base64s)
        elif kind == "tool_call":
            given = draw(arguments)
            part = Part(kind, id=draw(ids.filter(lambda i: i not in taken)), name=draw(ids), arguments=given)
            part.arguments_json = json.dumps(given)
            taken.add(part.id or "")
        else:
            part = Part("image", media_type="image/png", data=draw(base64s))
        made.append(part)
    return made


@st.composite
def usages(draw: st.DrawFn, served: Served) -> Usage:
    """Counters the dialect has a path for; totals include what they stand for."""
    counters = {name for name, _ in served.usage}
    counts = st.integers(0, 10**6)
    known = {name: draw(counts) for name in sorted(counters) if name != "total_tokens" and draw(st.booleans())}
    known["input_tokens"] = draw(counts) + sum(
        known.get(n, 0) for n in ("cache_read_tokens", "cache_write_tokens", "audio_input_tokens")
    )
    known["output_tokens"] = draw(counts) + known.get("reasoning_tokens", 0)
    if "total_tokens" in counters:
        known["total_tokens"] = known["input_tokens"] + known["output_tokens"]
    return Usage(**known)


@st.composite
def responses(draw: st.DrawFn, served: Served) -> Response:
    """A whole answer of one choice, or of two where the dialect has them."""
    several = "choices" in served.reads and draw(st.booleans())
    choices = []
    for index in range(2 if several else 1):
        made = draw(parts(served))
        cited = [Citation(url=draw(urls), title=draw(words))] if "citations" in served.reads and draw(st.booleans()) else []
        if cited and not any(p.type == "text" for p in made):
            cited = []
        for part in made:
            if part.type == "text" and cited:
                part.citations = cited
                break
        choices.append(Choice(index, made, citations=cited, finish_reason=draw(st.sampled_from(FINISH_REASONS))))
    return Response(id=draw(ids), model=draw(ids), created=draw(st.integers(0, 2**31)), choices=choices, usage=draw(usages(served)))


def finish(served: Served, choice: Choice) -> str:
    """The canonical reason after the way through the dialect's own words."""
    reason = served.plan.finish_reasons[served.finish[choice.finish_reason or "stop"]]
    calls = any(p.type == "tool_call" for p in choice.parts)
    return "tool_calls" if reason == "stop" and calls else reason


def told(served: Served, choices: Iterable[Choice], usage: Usage) -> dict[str, Any]:
    """What must be the same on both sides: content by kind, its order where the wire has one, sources, counters."""
    return {"choices": [_choice(served, c) for c in choices], "usage": usage}


def _choice(served: Served, choice: Choice) -> dict[str, Any]:
    found: dict[str, Any] = {kind: "".join(p.text or "" for p in choice.parts if p.type == kind) for kind in PROSE}
    found["calls"] = [(p.id, p.name, p.arguments, bool(p.server)) for p in choice.parts if p.type == "tool_call"]
    found["images"] = [p.data for p in choice.parts if p.type == "image"]
    found["sealed"] = [(p.signature, p.redacted) for p in choice.parts if p.type == "thinking" and (p.signature or p.redacted)]
    found["cited"] = [(c.url, c.title) for c in choice.citations]
    if served.dialect in ORDERED:
        found["order"] = [(p.type, p.text) for p in choice.parts if p.type in (*PROSE, "tool_call")]
    return found
