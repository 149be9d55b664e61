"""Recorded answers of real providers, written again by the served dialect: read, write, read gives the same (L2 and L3).

And written by every other dialect: words and calls arrive, what does not is refused by name or stands in a warning.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from engine.call.json import dumps
from engine.call.read import read_whole
from engine.call.reader import Reader
from engine.errors import Error
from engine.serve.encoder import Encoder
from engine.serve.reply import write_reply
from engine.types import Choice, Event, Report, Response
from tests.serve.answers import CATALOG, DIALECTS
from tests.shared_data import ROOT, shared

sys.path.insert(0, str(ROOT / "tools"))

import replay

JSON = {"content-type": "application/json"}
CASES: dict[str, list[tuple[str, Response, list[Event] | None]]] = {}


def recorded(name: str) -> list[tuple[str, Response, list[Event] | None]]:
    """(id, Response, the events if it was streamed) of every recorded answer without an error."""
    if name not in CASES:
        CASES[name] = list(_recorded(name))
    return CASES[name]


def _recorded(name: str) -> Iterator[tuple[str, Response, list[Event] | None]]:
    served = CATALOG.served(replay.DIALECTS[name][0])
    for case in replay.cases(shared("traffic"), name):
        reply = case["response"]
        if "expected" not in case or case["expected"].get("stream_error") or (reply["status"] or 400) >= 300:
            continue
        data, headers = replay.body_bytes(reply["body"]), dict(reply["headers"])
        try:
            if not replay.is_stream(case):
                yield case["id"], read_whole(served.plan, 200, headers, data), None
            else:
                reader = Reader(served.plan, headers)
                events = reader.feed(data) + reader.end()
                yield case["id"], reader.close(), events
        except Error:
            continue  # what cannot be read is the business of test_traffic


#: recordings in the words of dialects that are served
SERVED = [name for name, (dialect, *_) in replay.DIALECTS.items() if dialect in DIALECTS]
MADE = re.compile(r"call_(\d+|[0-9a-f]{24})\Z")  # ids of calls that came without


def told(choice: Choice) -> dict[str, Any]:
    """What an answer says, in its order but for the parts that wires keep apart."""
    parts = [p.to_dict() for p in choice.parts]
    for part in parts:
        for field in ("arguments_json", "signed_by", "citations", "item_id"):
            part.pop(field, None)
        if part["type"] in ("text", "thinking", "refusal"):
            part.pop("id", None)
        elif MADE.match(part.get("id") or ""):
            part["id"] = "made"
    kinds = {kind: [p for p in parts if p["type"] == kind] for kind in ("tool_call", "native")}
    words = {kind: "".join(p.get("text") or "" for p in parts if p["type"] == kind) for kind in ("text", "thinking", "refusal")}
    sealed = [p.get("signature") or p.get("redacted") for p in parts if p["type"] in ("text", "thinking")]
    cited = sorted(str((c.url, c.title)) for c in choice.citations if c.url)
    return {
        **words,
        **kinds,
        "sealed": [s for s in sealed if s],
        "cited": cited,
        "finish": choice.finish_reason or ("tool_calls" if choice.tool_calls else "stop"),
    }


def both(a: Response, b: Response, dialect: str) -> str | None:
    """The first difference, or None. Reasons and counters that a wire has no word for are not compared."""
    served = CATALOG.served(dialect)
    for x, y in zip(a.choices or [Choice()], b.choices or [Choice()], strict=False):
        want, have = told(x), told(y)
        want["finish"] = have["finish"] if want["finish"] not in served.plan.finish_reasons.values() else want["finish"]
        for key, value in want.items():
            if value != have[key]:
                return f"{key}: {json.dumps(value)[:300]} != {json.dumps(have[key])[:300]}"
    if len(a.choices) > len(b.choices):
        return f"{len(b.choices)} of {len(a.choices)} choices"
    for name, count in a.usage.to_dict().items():
        if count and name in dict(served.usage) and name not in UNSAID and getattr(b.usage, name) != count:
            return f"usage.{name}: {count} != {getattr(b.usage, name)}"
    return None


UNSAID = ("total_tokens", "seconds", "cost")


def written(dialect: str, response: Response, events: list[Event] | None, source: str, report: Report) -> Response:
    """An answer served by a dialect and read back."""
    served = CATALOG.served(dialect)
    if events is None:
        return read_whole(served.plan, 200, JSON, dumps(write_reply(served, response, report=report)))
    encoder = Encoder(served, {"stream_usage": True}, dialect=source, report=report)
    data = encoder.feed(events) + encoder.end()
    reader = Reader(served.plan, {"content-type": encoder.content_type})
    reader.feed(data)
    return reader.close()


@pytest.mark.parametrize("name", SERVED)
def test_recorded_answers_survive_their_own_dialect(name: str) -> None:
    dialect = replay.DIALECTS[name][0]
    lost = {}
    for id, response, events in recorded(name):
        found = both(response, written(dialect, response, events, dialect, Report()), dialect)
        if found:
            lost[id] = found
    assert recorded(name)
    assert not lost, f"{len(lost)} of {len(recorded(name))}: " + json.dumps(lost, indent=1)[:6000]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_recorded_answers_cross_to_every_dialect(dialect: str) -> None:
    lost = {}
    for name in SERVED:
        for id, response, events in recorded(name)[::7]:
            report = Report()
            try:
                read = written(dialect, response, events, replay.DIALECTS[name][0], report)
            except Error as error:
                if error.kind != "unsupported" and "cannot express" not in str(error):
                    lost[id] = str(error)
                continue
            want, have = told(response.choices[0] if response.choices else Choice()), told(read.choices[0])
            calls = [(c["name"], c.get("arguments")) for c in want["tool_call"] if not c.get("server") and not c.get("invalid")]
            said = [(c["name"], c.get("arguments")) for c in have["tool_call"] if not c.get("server")]
            kept = have["text"] + have["refusal"]
            if want["text"] not in kept or want["refusal"] not in kept or any(c not in said for c in calls):
                lost[id] = f"{want['text'][:200]!r} {calls} != {kept[:200]!r} {said}"
            elif (want["native"] or want["thinking"]) and not (have["native"] or have["thinking"] or report.warnings):
                lost[id] = "nothing was said of what was dropped"
    assert not lost, f"{len(lost)}: " + json.dumps(lost, indent=1)[:6000]
