"""The four laws (SERVE.md 13), each as a sample that is drawn and a check that gives the first difference, or None.

| L1 | accept(render(c)) = c for what the dialect expresses without a warning; render(accept(render(c))) = render(c) for every c |
| L2 | read(reply(r)) = r |
| L3 | fold(decode(encode(events))) = fold(events), bytes cut anywhere, calls interleaved anyhow |
| L4 | render(accept(body)) = body, whatever fields nobody knows are in it and whichever accepted spelling it is in |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from engine.call.json import dumps, loads
from engine.call.read import read_whole
from engine.call.reader import Reader
from engine.errors import Error
from engine.laws import answers, others, requests
from engine.laws.sameness import difference, said_of_answer, said_of_request
from engine.laws.subject import Subject
from engine.laws.words import chance
from engine.serve.encoder import Encoder
from engine.serve.reply import write_reply
from engine.types import Report

Sample = dict[str, Any]
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two sides that should be the same are not. `path` leads there from the top of a body, or names what an answer has."""

    path: tuple[Any, ...]
    expected: Any
    found: Any
    side: str  # "request" or "answer"


@dataclass(frozen=True, slots=True)
class Law:
    """One law: what is drawn, what is checked."""

    name: str
    says: str
    draw: Callable[[Random, Subject], Sample]
    check: Callable[[Subject, Sample], Difference | None]
    sound: Callable[[Sample], bool]
    applies: Callable[[Subject], bool]


class Unsayable(Exception):
    """The dialect refuses this sample, which is its right."""


# --- L1 -----------------------------------------------------------------------------------------------------------------


def _request(random: Random, subject: Subject) -> Sample:
    if subject.operation.name == "chat":
        return requests.request(random, subject.operation.plan.part_types)
    return others.request(random, subject)


def _written(subject: Subject, fields: Mapping[str, Any]) -> tuple[Any, Report, Mapping[str, Any]]:
    """(body, report, what stands in the path) of rendered fields."""
    request = subject.operation.render(**loads(dumps(fields)))
    assert request.report is not None
    return loads(request.body or b"null"), request.report, {"stream": fields.get("stream")}


def _accepted(subject: Subject, body: Any, beside: Mapping[str, Any]) -> dict[str, Any]:
    accept = subject.served.accept
    assert accept is not None
    fields = accept(body, Report())
    fields.pop("model", None)
    for name, value in beside.items():
        if value is not None:
            fields.setdefault(name, value)
    return fields


def _there_and_back(subject: Subject, sample: Sample) -> Difference | None:
    try:
        first, report, beside = _written(subject, sample)
    except Error as error:
        raise Unsayable from error
    fields = _accepted(subject, loads(dumps(first)), beside)
    again, _, _ = _written(subject, fields)
    found = difference(first, again)
    if found is not None:
        return Difference(*found, side="request")
    if report.warnings:
        return None
    if subject.operation.name == "embeddings":

        def carried(key: str) -> bool:
            return bool(_written(subject, {k: v for k, v in sample.items() if k != key})[0] != first)

        expected, got = others.said_of_inputs(sample, fields, report, carried)
    else:
        expected, got = said_of_request(sample, fields, report, subject.signed)
    found = difference(expected, got)
    return Difference(*found, side="request") if found is not None else None


# --- L2 and L3 ----------------------------------------------------------------------------------------------------------


def _reply(random: Random, subject: Subject) -> Sample:
    if subject.operation.name == "chat":
        return answers.answer(random, subject.served, streamed=False)
    return others.reply(random, subject)


def _read_back(subject: Subject, sample: Sample) -> Difference | None:
    if "outputs" in sample:
        written = write_reply(subject.served, others.response(subject, sample), sample["request"])
        told = read_whole(subject.served.plan, 200, _JSON, dumps(written))
        found = difference(*others.said_of_reply(subject, sample, told))
        return Difference(*found, side="answer") if found is not None else None
    response = answers.response(sample)
    read = read_whole(subject.served.plan, 200, _JSON, dumps(write_reply(subject.served, response)))
    found = difference(*said_of_answer(subject.served, response, read))
    return Difference(*found, side="answer") if found is not None else None


def _sound(sample: Sample) -> bool:
    return others.sound(sample) if "outputs" in sample else answers.sound(sample)


def _stream(random: Random, subject: Subject) -> Sample:
    return answers.answer(random, subject.served, streamed=True)


def _decoded(subject: Subject, sample: Sample) -> Difference | None:
    encoder = Encoder(subject.served, {"stream_usage": True})
    data = b"".join([encoder.feed([event]) for event in answers.events(sample)]) + encoder.end()
    reader = Reader(subject.served.plan, {"content-type": encoder.content_type})
    for piece in answers.cut(data, sample["cuts"]):
        reader.feed(piece)
    found = difference(*said_of_answer(subject.served, answers.response(sample), reader.close()))
    return Difference(*found, side="answer") if found is not None else None


def _framed_alike(subject: Subject) -> bool:
    """Whether frames are read as they are written: a provider may wrap a dialect's frames in others of its own."""
    plan = subject.served.plan.stream
    return plan is not None and plan.data == "json"


# --- L4 -----------------------------------------------------------------------------------------------------------------


def _body(random: Random, subject: Subject) -> Sample:
    """A body as a client writes it: rendered from a request, then spelled otherwise or with fields nobody knows."""
    sample: Sample = {"request": _request(random, subject), "unknown": [], "respelt": chance(random, 0.5)}
    if chance(random, 0.7):
        sample["unknown"] = [[random.randint(0, 99), *requests.unknown(random)] for _ in range(random.randint(1, 3))]
    return sample


def _passed_through(subject: Subject, sample: Sample) -> Difference | None:
    try:
        body, _, beside = _written(subject, sample["request"])
    except Error as error:
        raise Unsayable from error
    if not isinstance(body, dict):
        return None
    places = list(_places(body))
    for place, key, value in sample["unknown"]:
        if key in places[place % len(places)]:
            return None
        places[place % len(places)][key] = value
    given = _respelt(subject, body) if sample["respelt"] else body
    again, _, _ = _written(subject, _accepted(subject, loads(dumps(given)), beside))
    found = difference(body, again)
    return Difference(*found, side="request") if found is not None else None


def _asks(subject: Subject) -> bool:
    """Whether a request says anything: that for a list does not."""
    return subject.operation.name != "list_models"


def _places(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The mappings a client may write further fields in: the body, its messages and its tools."""
    out = [body]
    for value in body.values():
        if isinstance(value, list):
            out += [item for item in value if isinstance(item, dict)]
    return out


def _respelt(subject: Subject, body: dict[str, Any]) -> dict[str, Any]:
    """The same body in another accepted spelling."""
    out = {dict(subject.renamed).get(key, key): value for key, value in body.items()}
    if subject.either:
        out = {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", key): value for key, value in out.items()}
    out["xnothing"] = None
    return out


LAWS = (
    Law(
        "L1",
        "accept(render(c)) = c, and render(accept(render(c))) = render(c)",
        _request,
        _there_and_back,
        others.sound,
        _asks,
    ),
    Law("L2", "read(reply(r)) = r", _reply, _read_back, _sound, lambda subject: True),
    Law(
        "L3",
        "fold(decode(encode(events))) = fold(events)",
        _stream,
        _decoded,
        answers.sound,
        lambda subject: subject.served.stream is not None and _framed_alike(subject),
    ),
    Law(
        "L4",
        "render(accept(body)) = body",
        _body,
        _passed_through,
        lambda sample: others.sound(sample["request"]),
        _asks,
    ),
)
