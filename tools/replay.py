#!/usr/bin/env python3
"""Replay recorded traffic through the engine and compare every expectation.

    tools/replay.py DIR [--dialect NAME] [--case ID] [--verbose] [--exceptions FILE]

DIR holds `<dialect>[.<operation>].jsonl` files in the format its README describes. Whole replies are read, streams are
folded twice (in one piece, and cut at seeded random bytes) and must give the same events. Prints passes and failures by
dialect and operation, each failure with its reason. Exit code 0: everything passes but for the cases that
`tests/traffic_exceptions.yaml` lists, and every listed case fails; else 1.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "tools"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import replay_operations as others  # noqa: E402

EXCEPTIONS = ROOT / "tests" / "traffic_exceptions.yaml"
#: dialect of the recordings -> (dialect of the catalog, provider that reads it, who else of the catalog answered in it)
#: (no dialect: the provider's file says by model which one)
DIALECTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "openai-chat": (
        "openai-chat",
        "openai-compatible",
        {
            **{p: p for p in ("openai", "groq", "deepseek", "xai", "perplexity", "openrouter", "together", "fireworks")},
            **{"cerebras": "cerebras", "sambanova": "sambanova", "azure": "azure-openai", "snowflake": "snowflake-cortex"},
            **{p: p for p in ("huggingface", "hyperbolic", "crusoe", "alibaba", "ai21", "heroku", "nebius")},
            "zai": "zhipu",
        },
    ),
    "openai-responses": ("openai-responses", "openai", {}),
    "anthropic-messages": ("anthropic-messages", "anthropic", {"vertexai": "google-vertex:anthropic"}),
    "gemini-generatecontent": ("gemini", "google-gemini", {"vertexai": "google-vertex"}),
    "gemini-interactions": ("gemini-interactions", "google-gemini:interactions", {}),
    "bedrock-converse": ("bedrock-converse", "amazon-bedrock", {}),
    "cohere-v2": ("cohere-v2", "cohere", {}),
    "mistral": ("mistral", "mistral", {}),
    "ollama": ("ollama", "ollama", {}),
    "bedrock-invoke": ("", "amazon-bedrock-invoke", {}),
    "cohere-v1": ("cohere-v1", "cohere", {}),
    "alephalpha": ("aleph-complete", "aleph-alpha", {}),
}
OPERATIONS = ("chat", "responses")
USAGE = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_input_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "reasoning_tokens": "reasoning_tokens",
}
CANONICAL = ("stop", "length", "tool_calls", "content_filter")


@dataclass
class Tally:
    """What became of the cases of one dialect and operation."""

    passed: int = 0
    excepted: int = 0
    failures: dict[str, list[str]] = field(default_factory=dict)  # case id -> reasons


def cases(directory: Path, dialect: str | None = None, case: str | None = None) -> Iterator[dict[str, Any]]:
    """The recorded chat exchanges of our dialects that state an expectation."""
    for name, (own, _, _) in DIALECTS.items():
        path = directory / f"{name}.jsonl"
        if (dialect in (None, name, own)) and path.exists():
            for line in path.open(encoding="utf-8"):
                found = json.loads(line)
                wanted = case in (None, found["id"]) and found["operation"] in OPERATIONS
                if wanted and ("expected" in found or "expected_error" in found):
                    yield found


def every_case(directory: Path, dialect: str | None = None, case: str | None = None) -> Iterator[dict[str, Any]]:
    """The same of all operations."""
    yield from cases(directory, dialect, case)
    yield from others.cases(directory, dialect, case)


def body_bytes(body: Any) -> bytes:
    """The bytes that went over the wire: JSON is dumped, text is UTF-8, binary comes as {"base64": ...}."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, dict) and set(body) == {"base64"}:
        return base64.b64decode(body["base64"])
    return json.dumps(body).encode()


def is_stream(case: dict[str, Any]) -> bool:
    """Whether the answer was streamed: text that is no JSON document, binary frames, or the chunks of a stream as a list."""
    response = case["response"]
    body = response["body"]
    if (response["status"] or 400) >= 300:
        return False
    if isinstance(body, str):
        try:
            json.loads(body)
        except ValueError:
            return True
        return False
    if isinstance(body, dict):
        return set(body) == {"base64"}
    return isinstance(body, list) and ":stream" in (case["request"] or {}).get("url", "")


def target(case: dict[str, Any]) -> tuple[str, str]:
    """`provider[:variant]/model` of the catalog and the dialect (beside chat the operation) that a case is read with."""
    if "file" in case:
        return others.target(case)
    dialect, default, known = DIALECTS[case["dialect"]]
    request = case["request"] or {}
    model = (request.get("body") or {}).get("model") if isinstance(request.get("body"), dict) else None
    if not model:
        found = re.search(r"/models?/([^/:?]+(?::\d+)?)", request.get("url") or "")
        model = unquote(found.group(1)) if found else "model"
    return f"{known.get(case['provider'], default)}/{model}", dialect


def cut(data: bytes, seed: str) -> list[bytes]:
    """The data in pieces of random length; the same seed gives the same pieces."""
    source = random.Random(seed)
    pieces, at = [], 0
    while at < len(data):
        step = source.choice((1, 2, 3, 7, 31, 127, 1024))
        pieces.append(data[at : at + step])
        at += step
    return pieces


def fold(operation: Any, headers: dict[str, str], pieces: Iterable[bytes]) -> tuple[list[dict[str, Any]], Any, Any]:
    """Feed a stream: (events as plain JSON, the Response or what was delivered, the Error that ended it or None)."""
    from engine.errors import Error

    events: list[Any] = []
    reader = operation.reader(headers)
    try:
        for piece in pieces:
            events += reader.feed(piece)
        response = reader.close()
    except Error as error:
        return [e.to_dict() for e in events], error.partial, error
    return [e.to_dict() for e in events], response, None


def answer(case: dict[str, Any], operation: Any) -> tuple[Any, Any, list[str]]:
    """The Response, the Error, and what is wrong with how a stream was folded."""
    from engine.errors import Error

    recorded = case["response"]
    data, headers = body_bytes(recorded["body"]), dict(recorded["headers"])
    if not is_stream(case):
        try:
            return operation.read(recorded["status"] or _stated_status(case), headers, data), None, []
        except Error as error:
            return error.partial, error, []
    events, response, error = fold(operation, headers, [data])
    cut_events, cut_response, cut_error = fold(operation, headers, cut(data, case["id"]))
    problems = []
    if error is None and cut_events != events:
        problems.append("events depend on how the bytes were cut")
    if _plain(cut_response) != _plain(response) or str(cut_error) != str(error):
        problems.append("the answer depends on how the bytes were cut")
    problems += _equals_final(case, operation, response)
    return response, error, problems


def _stated_status(case: dict[str, Any]) -> int:
    """The status of an error whose HTTP status was not recorded: what its body states, else 400."""
    return next(iter(_numbers(case["expected_error"])), 400)


def _plain(response: Any) -> Any:
    out = response.to_dict() if response is not None else {}
    return {k: out.get(k) for k in ("id", "model", "choices", "usage")}


def _equals_final(case: dict[str, Any], operation: Any, response: Any) -> list[str]:
    """A stream that carries its own final document (`response.completed`) must fold to what that document reads as."""
    if "deltas differ from final text" in case.get("wire_notes", ()) or not isinstance(case["response"]["body"], str):
        return []
    final = [
        event["response"]
        for line in case["response"]["body"].splitlines()
        if line.startswith("data:") and '"response.completed"' in line[:200]
        for event in [json.loads(line[5:])]
    ]
    if not final or response is None or "abridged" in str(case.get("altered", "")):
        return []
    whole = operation.read(200, {"content-type": "application/json"}, json.dumps(final[-1]).encode())
    names = ("text", "thinking", "refusal", "finish_reason")
    problems = [f"stream gives another {n} than its final document" for n in names if getattr(whole, n) != getattr(response, n)]
    if [(c.id, c.name, c.arguments) for c in whole.tool_calls] != [(c.id, c.name, c.arguments) for c in response.tool_calls]:
        problems.append("stream gives other tool calls than its final document")
    return problems


def differences(expected: dict[str, Any], response: Any, error: Any) -> list[str]:
    """Every expectation of a 2xx answer that is not met, by the conventions of the recordings' README."""
    out: list[str] = []

    def same(name: str, want: Any, have: Any) -> None:
        if want != have:
            out.append(f"{name}: expected {_short(want)}, got {_short(have)}")

    wanted_error = expected.get("stream_error")
    if error is not None and not wanted_error:
        return [f"error {error.kind}: {_short(str(error))}"]
    if wanted_error:
        if error is None:
            return [f"no error although the stream ends in one: {_short(wanted_error)}"]
        same("stream_error", wanted_error if isinstance(wanted_error, str) else wanted_error.get("message"), error.message)
    if response is None:
        return [*out, "nothing was delivered before the error"] if expected.get("text") else out
    same("text", expected["text"], response.text or None)
    # the tool plan is thinking in the canonical model; the recordings keep it apart and before the rest
    same("thinking", ((expected.get("tool_plan") or "") + (expected["thinking"] or "")) or None, response.thinking or None)
    same("refusal", expected.get("refusal"), response.refusal)
    out += _calls(expected["tool_calls"], response.tool_calls)
    if not wanted_error:
        out += _finish(expected, response)
    usage = expected["usage"] or {}
    for theirs, ours in USAGE.items():
        found = getattr(response.usage, ours)
        # a zero that the wire states and the expectation does not look for says nothing else
        same(f"usage.{theirs}", usage.get(theirs), None if found == 0 and usage.get(theirs) is None else found)
    same("citations", expected["citations"], len(response.citations))
    if "redacted_thinking" in expected:
        closed = [p for p in response.parts if p.type == "thinking" and not p.text and (p.redacted or p.signature)]
        same("redacted_thinking", expected["redacted_thinking"], len(closed))
    same("choices", expected.get("choices", 1), max(len(response.choices), 1))
    kinds = [(p.media_type or p.type).split("/")[0] for p in response.parts]
    if "images" in expected:
        same("images", expected["images"], kinds.count("image"))
    if expected.get("audio"):
        same("audio", True, "audio" in kinds)
    return out


def _calls(wanted: list[dict[str, Any]], have: list[Any]) -> list[str]:
    if [w["name"] for w in wanted] != [h.name for h in have]:
        return [f"tool_calls: expected {[w['name'] for w in wanted]}, got {[h.name for h in have]}"]
    out = []
    for w, h in zip(wanted, have, strict=True):
        if w["id"] is not None and w["id"] != h.id:
            out.append(f"tool_calls.{w['name']}.id: expected {w['id']}, got {h.id}")
        if w["arguments"] != h.arguments:
            out.append(f"tool_calls.{w['name']}.arguments: expected {_short(w['arguments'])}, got {_short(h.arguments)}")
        # the input of a custom tool is free text, no JSON
        if not w.get("custom") and bool(w.get("arguments_invalid")) != bool(h.invalid):
            out.append(f"tool_calls.{w['name']}: invalid is {h.invalid}")
    return out


def _finish(expected: dict[str, Any], response: Any) -> list[str]:
    want, have = expected["finish_reason"], response.finish_reason
    # a plain stop beside tool calls may be reported as tool_calls; a reason outside the four is compared as the raw word
    ok = want == have or (want == "stop" and have == "tool_calls" and bool(response.tool_calls))
    if want is not None and want not in CANONICAL:
        ok = want == response.finish_reason_raw
    out = [] if ok else [f"finish_reason: expected {want}, got {have}"]
    if (expected["finish_reason_raw"] or None) != response.finish_reason_raw:
        out.append(f"finish_reason_raw: expected {expected['finish_reason_raw']}, got {response.finish_reason_raw}")
    return out


def error_differences(expected: dict[str, Any], error: Any) -> list[str]:
    """Every expectation of a failed call that is not met. Recordings may call `type` what a spec calls `code`."""
    if error is None:
        return ["no error was raised"]
    out = []
    if expected["status"] is not None and error.status != expected["status"] and error.status not in _numbers(expected):
        out.append(f"status: expected {expected['status']}, got {error.status}")
    if expected["message"] is not None and expected["message"].strip() != error.message:
        out.append(f"message: expected {_short(expected['message'])}, got {_short(error.message)}")
    known = {str(x) for x in (error.type, error.code, error.status) if x is not None}
    for name in ("type", "code"):
        if expected[name] is not None and str(expected[name]) not in known:
            out.append(f"{name}: expected {expected[name]}, got type {error.type}, code {error.code}")
    wait = expected.get("retry_after")
    if wait is not None and error.retry_after != float(wait):
        out.append(f"retry_after: expected {wait}, got {error.retry_after}")
    return out


def _numbers(expected: dict[str, Any]) -> list[int]:
    """Statuses that the body itself states, beside the HTTP status of a 200 that holds an error."""
    return [int(x) for x in (expected["type"], expected["code"]) if str(x).isdigit()]


def _short(value: Any, limit: int = 160) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else text[:limit] + "…"


def operation_of(case: dict[str, Any], catalog: Any) -> Any:
    """The operation that reads a case, with dummy settings."""
    from engine.examples.given import dummy_settings

    name, dialect = target(case)
    settings = dummy_settings(catalog.plan(name.split("/")[0].split(":")[0]))
    if "file" in case:
        return catalog.operation(name, dialect, settings=settings, environ={})
    return catalog.operation(name, "chat", dialect=dialect or None, settings=settings, environ={})


def check(case: dict[str, Any], catalog: Any, operations: dict[tuple[str, str], Any] | None = None) -> list[str]:
    """Reasons why a case fails; empty if every expectation is met. `operations` keeps compiled ones between calls."""
    operations = {} if operations is None else operations
    key = target(case)
    if key not in operations:
        operations[key] = operation_of(case, catalog)
    response, error, problems = answer(case, operations[key])
    if "expected_error" in case:
        return problems + error_differences(case["expected_error"], error)
    compare = others.differences if "file" in case else differences
    return problems + compare(case["expected"], response, error)


def exceptions(path: Path = EXCEPTIONS) -> dict[str, str]:
    """Case id -> reason of the cases whose expectation is wrong."""
    import yaml

    if not path.exists():
        return {}
    return {entry["id"]: entry["reason"] for entry in yaml.safe_load(path.read_text(encoding="utf-8")) or []}


def replay(found: Iterable[dict[str, Any]], listed: dict[str, str]) -> dict[str, Tally]:
    """Run cases; tallies by "dialect operation". A listed case that passes is a failure too."""
    from engine.catalog import Catalog

    catalog, operations, tallies = Catalog(), {}, {}  # type: Any, dict[tuple[str, str], Any], dict[str, Tally]
    for case in found:
        tally = tallies.setdefault(f"{case['dialect']} {case['operation']}", Tally())
        try:
            reasons = check(case, catalog, operations)
        except Exception as escaped:  # a foreign exception is the worst finding, not the end of the run
            reasons = [f"{type(escaped).__name__} escaped: {_short(str(escaped))}"]
        if case["id"] in listed:
            if reasons:
                tally.excepted += 1
                continue
            reasons = ["listed as an exception but passes"]
        if reasons:
            tally.failures[case["id"]] = reasons
        else:
            tally.passed += 1
    return tallies


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--dialect", help="only this dialect (the recordings' name or ours)")
    parser.add_argument("--case", help="only the case with this id")
    parser.add_argument("--verbose", action="store_true", help="print every failure, not the first 20 of a dialect")
    parser.add_argument("--exceptions", type=Path, default=EXCEPTIONS)
    options = parser.parse_args(argv)
    if not options.directory.is_dir():
        parser.error(f"{options.directory} is no folder")
    tallies = replay(every_case(options.directory, options.dialect, options.case), exceptions(options.exceptions))
    print(f"{'dialect and operation':34} {'passed':>7} {'excepted':>9} {'failed':>7}")
    for name, tally in tallies.items():
        print(f"{name:34} {tally.passed:7} {tally.excepted:9} {len(tally.failures):7}")
    for name, tally in tallies.items():
        shown = list(tally.failures.items())[: None if options.verbose else 20]
        for identity, reasons in shown:
            print(f"{identity}: " + ("\n    " + "\n    ".join(reasons) if options.verbose else reasons[0]))
        if len(shown) < len(tally.failures):
            print(f"{name}: {len(tally.failures) - len(shown)} more failures, see --verbose")
    if not tallies:
        print("no case was found")
    return 1 if not tallies or any(t.failures for t in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
