"""Samples of the operations beside chat, and when two of them say the same: embeddings, token counts, lists of models.

A token count holds a conversation, so its requests are those of chat without what only an answer has. A list has no request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any

from engine.call.normalize import normalize
from engine.laws import answers, requests
from engine.laws.sameness import CHANGED
from engine.laws.subject import Subject
from engine.laws.words import chance, name, one, words
from engine.types import Event, Report, Response, Usage
from engine.vocabulary import INPUT_TYPES

Sides = tuple[dict[str, Any], dict[str, Any]]
_COUNTED = ("messages", "tools", "tool_choice")
_PARAMS: dict[str, Any] = {
    "dimensions": lambda r: r.randint(8, 512),
    "encoding": lambda r: one(r, ("float", "base64")),
    "input_type": lambda r: one(r, INPUT_TYPES),
    "truncate": lambda r: one(r, ("start", "end")),
    "user": lambda r: name(r),
}
_ABOUT: dict[str, Any] = {
    "name": lambda r: words(r),
    "owner": lambda r: name(r),
    "created": lambda r: r.randint(1, 2_000_000_000),
    "context": lambda r: r.randint(1, 10**6),
    "max_output": lambda r: r.randint(1, 10**6),
}


def request(random: Random, subject: Subject) -> dict[str, Any]:
    """What a caller asks of one of these operations."""
    plan = subject.operation.plan
    if plan.name == "count_tokens":
        drawn = requests.request(random, subject.chat_types)
        return {key: drawn[key] for key in _COUNTED if key in drawn}
    most = plan.batch_size if plan.batch_size is not None and plan.batch_size < 3 else 3
    out: dict[str, Any] = {"input": [words(random) for _ in range(random.randint(1, most))]}
    for key, draw in _PARAMS.items():
        if chance(random, 0.4):
            out[key] = draw(random)
    return out


def sound(sample: Mapping[str, Any]) -> bool:
    """Whether a sample is one that could be: what is left when it is shrunk may not be."""
    if "messages" in sample:
        return requests.sound(dict(sample))
    if "input" in sample:
        texts = sample["input"]
        word = sample.get("input_type", "query") in INPUT_TYPES and sample.get("truncate", "end") in ("start", "end")
        return bool(texts) and all(text and text.strip() == text for text in texts) and word
    return all(item.get("id") or item.get("vector") for item in sample["outputs"])


def said_of_inputs(sample: Mapping[str, Any], fields: Mapping[str, Any], report: Report, carried: Callable[[str], bool]) -> Sides:
    """What a request for embeddings says, and what of it was accepted again. `carried` tells whether the wire says a field: what it
    has no word for may be left to the service."""
    back = normalize("embeddings", {k: v for k, v in fields.items() if k not in ("extra", "stream")})
    expected: dict[str, Any] = {"input": sample["input"]}
    got: dict[str, Any] = {"input": back.get("input")}
    for key in sample.keys() - {"input"}:
        fate = report.parameters.get(key, {})
        if fate.get("fate") not in CHANGED and fate.get("sent", sample[key]) == sample[key] and carried(key):
            expected[key], got[key] = sample[key], back.get(key)
    return expected, got


# --- answers ------------------------------------------------------------------------------------------------------------


def reply(random: Random, subject: Subject) -> dict[str, Any]:
    """An answer the file can write: vectors or models, counters."""
    plan = subject.operation.plan
    written = subject.reply_text
    out: dict[str, Any] = {"outputs": [], "request": {}, "usage": answers.counts(random, {c for c, _ in subject.served.usage})}
    if plan.name == "embeddings":
        small = subject.tree.get("response", "embedding", "dtype")  # of a service that has integers only
        kind = {"dtype": str(small.value).strip("'")} if small is not None else {}
        out["outputs"] = [
            {"vector": [random.randint(-64, 64) if kind else random.randint(-64, 64) / 8 for _ in range(3)], "index": i, **kind}
            for i in range(1 if plan.batch_size == 1 else random.randint(1, 3))
        ]
        if "request.encoding" in written and chance(random, 0.5):
            out["request"] = {"encoding": "base64"}
    elif plan.name == "list_models":
        for number in range(random.randint(0, 3)):
            about = {key: draw(random) for key, draw in _ABOUT.items() if f"m.{key}" in written and chance(random, 0.6)}
            out["outputs"].append({"id": f"{name(random)}-{number}", **about})
    return out


def response(subject: Subject, sample: Mapping[str, Any]) -> Response:
    """The answer as what a provider's reply reads as."""
    kind = "embedding" if subject.operation.name == "embeddings" else "model"
    made = Response(id="r1", model="m", created=7, outputs=[Event(kind, dict(item)) for item in sample["outputs"]])
    made.usage = Usage(**sample["usage"])
    return made


def said_of_reply(subject: Subject, sample: Mapping[str, Any], read: Response) -> Sides:
    """What an answer says, and what of it was read; of a model what the file has a place for."""
    counts = sample["usage"]
    found = {key: n for key, n in read.usage.to_dict().items() if key in counts or (n and key != "total_tokens")}
    expected: dict[str, Any] = {"usage": counts, "outputs": []}
    got: dict[str, Any] = {"usage": found, "outputs": []}
    known = subject.tree.get("response", "model")
    for item in sample["outputs"]:
        expected["outputs"].append({k: v for k, v in item.items() if k in ("id", "vector") or (known and known.get(k) is not None)})
    for number, event in enumerate(read.outputs):
        keys = expected["outputs"][number] if number < len(expected["outputs"]) else {"id": None, "vector": None}
        got["outputs"].append({k: _plain(k, event.fields.get(k)) for k in keys if event.fields.get(k) is not None})
    if read.id is not None and "id" in subject.served.reads:
        expected["id"], got["id"] = "r1", read.id
    return json.loads(json.dumps(expected)), json.loads(json.dumps(got))


def _plain(key: str, value: Any) -> Any:
    """A day as its seconds."""
    if key == "created" and isinstance(value, str):
        return int(datetime.fromisoformat(value).astimezone(UTC).timestamp())
    return value
