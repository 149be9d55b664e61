#!/usr/bin/env python3
"""Every pair of wires: what a client of one says to a provider of the other, and what it gets back (SERVE.md 10).

    tools/pairs.py [--write] [--verbose]

`tests/pairs/cases.json` holds what is said: requests, answers and errors, in canonical words. Each is written by the first
wire, read, written by the second and read again, whole and streamed. Of each is told whether it was carried, carried with a
warning (`w`), or refused by name (`x`); a loss that nobody tells (`LOST`) or an exception that is not ours fails. What a
wire cannot say itself is not asked of it. `--write` writes `docs/pairs.md` and the verdicts in `tests/pairs/verdicts.json`.
Exit code 0: nothing is lost, and both files are what they were.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine.call.failure import failure  # noqa: E402
from engine.call.json import dumps, loads  # noqa: E402
from engine.call.read import read_whole  # noqa: E402
from engine.call.reader import Reader  # noqa: E402
from engine.catalog import Catalog  # noqa: E402
from engine.errors import Error, for_kind  # noqa: E402
from engine.laws import answers  # noqa: E402
from engine.laws.sameness import lost_in_silence  # noqa: E402
from engine.laws.subject import Subject, subjects  # noqa: E402
from engine.serve.encoder import Encoder  # noqa: E402
from engine.serve.failure import write_failure  # noqa: E402
from engine.serve.reply import write_reply  # noqa: E402
from engine.types import Event, Report, Response  # noqa: E402

CASES = ROOT / "tests" / "pairs" / "cases.json"
VERDICTS = ROOT / "tests" / "pairs" / "verdicts.json"
PAGE = ROOT / "docs" / "pairs.md"
WIRES = ("openai-chat", "openai-responses", "anthropic-messages", "gemini", "bedrock-converse", "cohere-v2", "mistral", "ollama")
SHORT = {"openai-chat": "OpenAI", "openai-responses": "Responses", "anthropic-messages": "Anthropic", "gemini": "Gemini"}
SHORT |= {"bedrock-converse": "Bedrock", "cohere-v2": "Cohere", "mistral": "Mistral", "ollama": "Ollama"}
MARKS = {"carried": "+", "warned": "w", "refused": "x", "unsaid": ".", "LOST": "LOST"}
JSON = {"content-type": "application/json"}
Verdict = tuple[str, str]  # word, why


def wires() -> dict[str, Subject]:
    """Both directions of every wire."""
    catalog = Catalog()
    return {name: subjects(catalog, "dialects", name)[0] for name in WIRES}


# --- requests: the client's wire -> canonical -> the provider's wire -----------------------------------------------------


def _accepted(wire: Subject, fields: dict[str, Any]) -> tuple[dict[str, Any], Report]:
    """What a wire's own server understands of what its client wrote, and the report of the writing."""
    request = wire.operation.render(**loads(dumps(fields)))
    assert wire.served.accept is not None and request.report is not None
    back = wire.served.accept(loads(request.body or b"null"), Report())
    back.pop("model", None)
    if "stream" in fields:
        back.setdefault("stream", fields["stream"])
    return back, request.report


def request_verdict(client: Subject, provider: Subject, fields: dict[str, Any]) -> Verdict:
    """What becomes of a request of one wire on the other."""
    try:
        said, report = _accepted(client, fields)
    except Error as error:
        return "unsaid", str(error)
    if report.warnings or lost_in_silence(_asked(fields), said, Report()):
        return "unsaid", "; ".join(report.warnings)
    try:
        got, report = _accepted(provider, said)
    except Error as error:
        return "refused", str(error)
    lost = lost_in_silence(_asked(said), got, report)
    if lost:
        return "LOST", ", ".join(lost)
    return ("warned", "; ".join(report.warnings)) if report.warnings else ("carried", "")


def _asked(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in fields.items() if k not in ("stream", "extra")}


# --- answers: the provider's wire -> canonical -> the client's wire ------------------------------------------------------


def _whole(wire: Subject, response: Response, report: Report) -> Response:
    return read_whole(wire.served.plan, 200, JSON, dumps(write_reply(wire.served, response, report=report)))


def _streamed(wire: Subject, events: list[Event], report: Report, cuts: int) -> tuple[list[Event], Response]:
    encoder = Encoder(wire.served, {"stream_usage": True}, report=report)
    data = b"".join([encoder.feed([event]) for event in events]) + encoder.end()
    reader = Reader(wire.served.plan, {"content-type": encoder.content_type})
    found = [event for piece in answers.cut(data, cuts) for event in reader.feed(piece)]
    return found + reader.end(), reader.close()


def answer_verdict(client: Subject, provider: Subject, given: dict[str, Any], stream: bool) -> Verdict:
    """What a client of one wire gets of an answer given on the other."""
    first, second = Report(), Report()
    try:
        if stream:
            events, said = _streamed(provider, answers.events(given), first, given["cuts"])
        else:
            said = _whole(provider, answers.response(given), first)
    except Error as error:
        return "unsaid", str(error)
    if first.warnings or _gone(answers.response(given), said):
        return "unsaid", "; ".join(first.warnings)
    try:
        got = _streamed(client, events, second, given["cuts"])[1] if stream else _whole(client, said, second)
    except Error as error:
        return "refused", str(error)
    gone = _gone(said, got)
    if second.warnings:
        return "warned", "; ".join(second.warnings)
    return ("LOST", ", ".join(gone)) if gone else ("carried", "")


def _gone(said: Response, got: Response) -> list[str]:
    """What of an answer did not arrive. Finer counters and signatures count only where the wire has a place for them."""
    words = _words(got, "text") + _words(got, "refusal")
    gone = {
        "text": any(_words(said, kind) not in words for kind in ("text", "refusal")),
        "thinking": _words(said, "thinking") not in _words(got, "thinking"),
        "calls": _calls(said) != _calls(got),
        "image": any(part.data not in [p.data for p in got.parts] for part in said.parts if part.type == "image"),
        "usage": (said.usage.input_tokens, said.usage.output_tokens) != (got.usage.input_tokens, got.usage.output_tokens),
        "finish": said.finish_reason != got.finish_reason,
    }
    return [name for name, lost in gone.items() if lost]


def _words(response: Response, kind: str) -> str:
    return "".join(part.text or "" for part in response.parts if part.type == kind)


def _calls(response: Response) -> list[Any]:
    return [(part.name, part.arguments) for part in response.parts if part.type == "tool_call" and not part.server]


def error_verdict(client: Subject, provider: Subject, case: dict[str, Any], stream: bool) -> Verdict:
    """Which kind of error a client of one wire sees of one of the other."""
    kind = case["kind"]
    error = for_kind(kind)("scripted")
    if case.get("midstream"):
        if not stream:
            return "unsaid", "an answer that is whole has no middle"
        seen = _broken_off(provider, error)
        if seen.kind != kind:
            return "unsaid", f"it reads as {seen.kind}"
        got = _broken_off(client, seen)
        return ("carried", "") if got.kind in (kind, "server", "stream_interrupted") else ("LOST", got.kind)
    seen = _failed(provider, error)
    if seen.kind != kind:
        return "unsaid", f"it reads as {seen.kind}"
    got = _failed(client, seen)
    return ("carried", "") if got.kind == kind else ("LOST", f"{kind} became {got.kind}")


def _failed(wire: Subject, error: Error) -> Error:
    status, headers, body = write_failure(wire.served, error)
    return failure(wire.served.plan, status, headers, loads(body))


def _broken_off(wire: Subject, error: Error) -> Error:
    """What a reader of a stream makes of an error after its first words."""
    encoder = Encoder(wire.served)
    data = encoder.feed([Event("text", {"text": "Grüße aus "})]) + encoder.fail(error)
    reader = Reader(wire.served.plan, {"content-type": encoder.content_type})
    try:
        reader.feed(data)
        reader.close()
    except Error as found:
        return found
    return for_kind("protocol")("the stream ended as if nothing had happened")


# --- all of it -----------------------------------------------------------------------------------------------------------


def run(cases: dict[str, Any]) -> Iterator[tuple[str, str, str, str, bool, Verdict]]:
    """(direction, feature, client, provider, streamed, verdict) of every case on every pair, whole and streamed."""
    known = wires()
    for direction, judge in _JUDGES.items():
        for case in cases[direction]:
            for client in WIRES:
                for provider in WIRES:
                    for stream in (False, True):
                        try:
                            verdict = judge(known[client], known[provider], case, stream)
                        except Exception as error:
                            verdict = "LOST", f"{type(error).__name__}: {error}"
                        yield direction, case["feature"], client, provider, stream, verdict


_JUDGES: dict[str, Callable[[Subject, Subject, dict[str, Any], bool], Verdict]] = {
    "requests": lambda client, provider, case, stream: request_verdict(client, provider, {**case["fields"], "stream": stream}),
    "answers": lambda client, provider, case, stream: answer_verdict(client, provider, case["answer"], stream),
    "errors": error_verdict,
}


def verdicts(rows: list[tuple[str, str, str, str, bool, Verdict]]) -> dict[str, Any]:
    """direction -> feature -> the wire it goes to -> marks, whole then streamed, one per wire it comes from."""
    out: dict[str, Any] = {}
    for direction, feature, client, provider, stream, (word, _) in rows:
        target = provider if direction == "requests" else client
        cell = out.setdefault(direction, {}).setdefault(feature, {}).setdefault(target, ["", ""])
        cell[stream] += MARKS[word]
    return {d: {f: {t: " ".join(cell) for t, cell in cells.items()} for f, cells in found.items()} for d, found in out.items()}


def page(found: dict[str, Any], rows: list[tuple[str, str, str, str, bool, Verdict]]) -> str:
    """The table for people."""
    tried = [row for row in rows if row[5][0] != "unsaid"]
    counts = {word: sum(row[5][0] == word for row in tried) for word in ("carried", "warned", "refused", "LOST")}
    lines = [
        "# Every pair of wires",
        "",
        "Written by `make pairs` from `tests/pairs/cases.json`; do not edit. Each feature goes through all 64 pairs of the eight wire",
        "formats, whole and streamed: a client of one, a provider of the other, this library between them, no network.",
        "",
        f"{len(tried)} cells: {counts['carried']} carried, {counts['warned']} carried with a warning that names what was dropped,",
        f"{counts['refused']} refused by name before anything is sent, {counts['LOST']} lost in silence. What a wire cannot say is not asked of it.",
        "",
        "`+` carried from every wire that can say it · `w` something is dropped, with a warning · `x` refused by name · `.` no wire can say",
        "it there. Several marks: it depends on the wire it comes from.",
    ]
    titles = {
        "requests": "## Requests, by the wire they go to",
        "answers": "## Answers, by the wire the client speaks",
        "errors": "## Errors, by the wire the client speaks",
    }
    for direction, title in titles.items():
        lines += ["", title, "", "| | " + " | ".join(SHORT[w] for w in WIRES) + " |", "|---" * (len(WIRES) + 1) + "|"]
        for feature, cells in found[direction].items():
            lines.append(f"| {feature} | " + " | ".join(_cell(cells[wire]) for wire in WIRES) + " |")
    return "\n".join(lines) + "\n"


def _cell(marks: str) -> str:
    seen = [mark for mark in "+wx" if mark in marks]
    return " ".join(seen) or "."


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args(arguments)
    rows = list(run(json.loads(CASES.read_text("utf-8"))))
    bad = 0
    for direction, feature, client, provider, stream, (word, why) in rows:
        if word == "LOST" or given.verbose:
            bad += word == "LOST"
            print(f"{direction}: {feature}: {client} to {provider}{' streamed' if stream else ''}: {word}: {why[:200]}")
    found = verdicts(rows)
    for path, text in ((VERDICTS, json.dumps(found, indent=1) + "\n"), (PAGE, page(found, rows))):
        if given.write:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            bad += 1
            print(f"{path.relative_to(ROOT)} is not what it was; `make pairs` writes it")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
