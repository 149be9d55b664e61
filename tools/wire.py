#!/usr/bin/env python3
"""Render every recorded chat case for every provider we ship and judge the bodies by the providers' own types.

    tools/wire.py DIR [--provider ID] [--case NAME] [--patched] [--verbose]
    tools/wire.py --judge DIR < requests.jsonl            (inner mode: needs the SDKs, not the engine)

Providers beside TARGETS are judged by the types of the wire their dialect comes from, with their default model; --patched leaves
those out whose file changes nothing of it. DIR is the wire reference: `cases/*.json`, `assets/`, `validate_wire.py`. Two questions per case and provider: is the body
valid by the official types, and did everything of the input arrive (texts, media, tools, calls, results, parameters), or
does a warning or a typed error say what did not? The SDKs that the types come from are looked for in this interpreter,
else in the one that `LLMKIT_SDK_PYTHON` names. Exit code 0: no invalid body and no silent loss; 1 otherwise; 3 without SDKs.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [p for p in (str(ROOT), str(ROOT / "tools")) if p not in sys.path]

from wire_targets import ADDITIONS, DOCUMENTED, inside, targets  # noqa: E402

STAND_INS = {"https://assets.example.com/cat.png": ("tiny.png", "image/png")}
#: names under which a fate may be reported or a value travel, where they are not the input's own key
SAME = {
    "max_completion_tokens": ("max_tokens",),
    "thinking": ("reasoning", "thinking", "think"),
    "reasoning_effort": ("reasoning", "thinking", "think"),
    "top_logprobs": ("logprobs",),
}
#: words by which a warning names what it dropped, where they are not the kind itself
SAID_AS = {"thinking": ("thinking", "signature"), "tool result": ("tool result", "result"), "tool": ("tool",)}
STRUCTURE = ("messages", "tools", "tool_choice", "response_format", "extra_body", "stream")


@dataclass
class Row:
    """What came of all cases of one target."""

    cases: int = 0
    valid: int = 0
    invalid: dict[str, list[str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    losses: dict[str, list[str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def bad(self) -> bool:
        return bool(self.invalid or self.losses or self.broken)


def chat_cases(directory: Path, name: str | None = None) -> list[dict[str, Any]]:
    """The canonical chat inputs, by file name."""
    found = [json.loads(p.read_text(encoding="utf-8")) for p in sorted((directory / "cases").glob("*.json"))]
    return [c for c in found if c["kind"] == "chat" and name in (None, c["name"])]


# --- what of an input must arrive ---------------------------------------------------------------------------------------


def needles(request: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(kind, value) of everything in an input that a provider must get to see."""
    for message in request["messages"]:
        yield from _content("tool result" if message["role"] == "tool" else "text", message.get("content"))
        for block in message.get("thinking_blocks") or ():
            yield "thinking", block.get("thinking") or block.get("data")
        if not message.get("thinking_blocks"):
            yield "thinking", message.get("reasoning_content")
        for call in message.get("tool_calls") or ():
            yield "tool call", call["function"]["name"]
            yield "tool call", call["function"].get("arguments")
    for tool in request.get("tools") or ():
        yield from (("tool", tool["function"].get(k)) for k in ("name", "description"))
        for name, schema in (tool["function"].get("parameters") or {}).get("properties", {}).items():
            yield from (("tool", x) for x in (name, schema.get("description"), *schema.get("enum", ())))
    schema = ((request.get("response_format") or {}).get("json_schema") or {}).get("schema") or {}
    yield from (("response_format", name) for name in schema.get("properties", {}))
    choice = request.get("tool_choice")
    if isinstance(choice, dict):
        yield "tool_choice", choice["function"]["name"]


def _content(kind: str, content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, str):
        yield kind, content
        return
    for part in content or ():
        data = part.get(part["type"])
        if part["type"] == "text":
            yield kind, data
        elif part["type"] == "image_url":
            yield "image", data["url"].split(";base64,")[-1]
        elif part["type"] == "input_audio":
            yield "audio", data["data"]
        elif part["type"] == "file":
            yield "document", data["file_data"].split(";base64,")[-1]


def leaves(value: Any) -> Iterator[str]:
    """Every key and scalar of a JSON value as text; texts that hold JSON are opened too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, str):
        yield value
        if value[:1] in ("{", "["):
            try:
                yield from leaves(json.loads(value))
            except ValueError:
                pass
    elif value is not None:
        yield json.dumps(value)


def arrived(needle: str, hay: list[str]) -> bool:
    """Whether a text stands in the body, as it is or (JSON) piece by piece."""
    if any(needle in text for text in hay):
        return True
    pieces = list(leaves(needle))[1:]
    return bool(pieces) and all(piece in hay for piece in pieces)


def lost(case: dict[str, Any], body: Any, report: Any) -> list[str]:
    """What of an input is neither in the body nor named by a warning or a parameter's fate."""
    request = case["input"]
    hay = list(leaves(body))
    said = " ".join(report.warnings).lower()
    out = []
    for kind, needle in needles(request):
        if isinstance(needle, str) and needle.strip() and needle.strip() not in ("{}",) and not arrived(needle, hay):
            words = {"thinking": ("thinking", "signature"), "tool result": ("tool result", "result")}.get(
                kind, (kind, kind.replace(" ", "_"))
            )
            if not any(word in said for word in words):
                out.append(f"{kind}: {needle[:80]!r}")
    for name, value in request.items():
        if name in STRUCTURE or value is None:
            continue
        names = (name, *SAME.get(name, ()))
        if not any(n in report.parameters or n in said or _named(n, hay) for n in names):
            out.append(f"parameter {name}")
    mode = request.get("tool_choice")
    if mode in ("required", "none") and "tool_choice" not in said and "tool_choice" not in report.parameters:
        known = {"required": ("required", "REQUIRED", "any", "ANY"), "none": ("none", "NONE")}[mode]
        if not any(word in hay for word in known):
            out.append(f"tool_choice {mode}")
    form = (request.get("response_format") or {}).get("type")
    if form == "json_object" and "response_format" not in said and not {"json_object", "application/json", "json"} & set(hay):
        out.append("response_format json_object")
    return out


def _named(parameter: str, hay: list[str]) -> bool:
    """Whether a parameter's name stands among the keys and words of a body, alone or (a long one) inside another."""
    return parameter in hay or (len(parameter) > 4 and any(parameter in word.lower() for word in hay if len(word) < 40))


# --- rendering ----------------------------------------------------------------------------------------------------------


def inlined(request: Any, directory: Path) -> Any:
    """The input with known URLs as data, as the engine hands them to providers that take no URLs."""
    if isinstance(request, dict):
        return {k: inlined(v, directory) for k, v in request.items()}
    if isinstance(request, list):
        return [inlined(v, directory) for v in request]
    if request in STAND_INS:
        file, media_type = STAND_INS[request]
        return f"data:{media_type};base64,{base64.b64encode((directory / 'assets' / file).read_bytes()).decode()}"
    return request


def render(
    catalog: Any, target: str, judged_by: str, envelope: Any, cases: list[dict[str, Any]], directory: Path, row: Row
) -> list[dict[str, Any]]:
    """Render all cases for a target. Returns what is to be judged; refusals, losses and escapes go to the row."""
    from engine.errors import ConfigError, Error, UnsupportedError
    from engine.examples import given_operation

    operation = given_operation(catalog, target, "chat")
    out = []
    for case in cases:
        row.cases += 1
        used = {**case, "input": inlined(case["input"], directory)} if "image" in operation.plan.inline else case
        try:
            sent = operation.render(**used["input"])
        except (UnsupportedError, ConfigError) as refusal:
            row.refused[case["name"]] = str(refusal)
            continue
        except Error as error:
            row.broken[case["name"]] = f"{error.kind}: {error}"
            continue
        except Exception as escaped:
            row.broken[case["name"]] = f"{type(escaped).__name__} escaped: {escaped}"
            continue
        body = json.loads(sent.body or b"null")
        if found := lost(used, body, sent.report):
            row.losses[case["name"]] = found
        # parameters the caller adds by hand are unknown to any type
        judged = {k: v for k, v in inside(envelope, body).items() if k not in used["input"].get("extra_body", {})}
        out.append({"target": target, "case": case["name"], "dialect": judged_by, "body": judged, "path": urlsplit(sent.url).path})
    return out


# --- judging ------------------------------------------------------------------------------------------------------------


def judge(directory: Path, requests: list[dict[str, Any]]) -> list[list[str] | None]:
    """Violations of each request by the official types; None where the library of its dialect is missing."""
    spec = importlib.util.spec_from_file_location("validate_wire", directory / "validate_wire.py")
    assert spec is not None and spec.loader is not None
    wire = importlib.util.module_from_spec(spec)
    sys.modules["validate_wire"] = wire
    spec.loader.exec_module(wire)
    out: list[list[str] | None] = []
    for request in requests:
        try:
            out.append(wire.validate(request["dialect"], request["body"], request["path"]))
        except wire.NotInstalled:
            out.append(None)
    return out


def verdicts(directory: Path, requests: list[dict[str, Any]]) -> list[list[str] | None]:
    """Like `judge`, in the interpreter that has the SDKs."""
    python = os.environ.get("LLMKIT_SDK_PYTHON")
    if not python or importlib.util.find_spec("anthropic"):
        return judge(directory, requests)
    lines = "\n".join(json.dumps(r) for r in requests)
    done = subprocess.run([python, __file__, "--judge", str(directory)], input=lines, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def run(directory: Path, provider: str | None = None, case: str | None = None, patched: bool = False) -> tuple[dict[str, Row], int]:
    """Rows by target, and how many bodies could not be judged."""
    from engine.catalog import Catalog

    catalog, rows, requests = Catalog(), {}, []  # type: Any, dict[str, Row], list[dict[str, Any]]
    found = chat_cases(directory, case)
    wanted = targets(catalog, patched)
    for target, (judged_by, _, envelope) in wanted.items():
        if provider in (None, target.split("/")[0].split(":")[0], target):
            rows[target] = Row()
            requests += render(catalog, target, judged_by, envelope, found, directory, rows[target])
    unjudged = 0
    for request, violations in zip(requests, verdicts(directory, requests), strict=True):
        row = rows[request["target"]]
        documented = DOCUMENTED.get(request["target"].split("/")[0], ())
        if violations:
            violations = [v for v in violations if not any(word in v for word in documented)]
        if violations is None:
            unjudged += 1
        elif found := [v for v in violations if not _documented(request["target"], v, wanted[request["target"]][1])]:
            row.invalid[request["case"]] = found
        else:
            row.valid += 1
    return rows, unjudged


def _documented(target: str, violation: str, own: frozenset[str]) -> bool:
    path, _, message = violation.partition(": ")
    added = ADDITIONS.get(target.split("/")[0].split(":")[0], ())
    return message.startswith("unknown key") and (path.endswith(added) or path.rpartition("/")[2] in own)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--provider", help="only this provider or target")
    parser.add_argument("--case", help="only the case with this name")
    parser.add_argument("--patched", action="store_true", help="only providers whose file changes the wire of its dialect")
    parser.add_argument("--verbose", action="store_true", help="print refusals and every violation too")
    parser.add_argument("--judge", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.judge:
        requests = [json.loads(line) for line in sys.stdin if line.strip()]
        print(json.dumps(judge(options.directory, requests)))
        return 0
    if not (options.directory / "cases").is_dir():
        parser.error(f"{options.directory} holds no cases")
    rows, unjudged = run(options.directory, options.provider, options.case, options.patched)
    print(f"{'target':62} {'cases':>5} {'valid':>6} {'invalid':>8} {'refused':>8} {'losses':>7}")
    for target, row in rows.items():
        print(f"{target:62} {row.cases:5} {row.valid:6} {len(row.invalid):8} {len(row.refused):8} {len(row.losses):7}")
    for target, row in rows.items():
        for word, found in (("escaped", row.broken), ("invalid", row.invalid), ("lost", row.losses)):
            for name, why in found.items():
                shown = why if isinstance(why, str) else "; ".join(why if options.verbose else why[:3])
                print(f"{word}: {target} {name}: {shown}")
        for name, reason in row.refused.items() if options.verbose else ():
            print(f"refused: {target} {name}: {reason}")
    if unjudged:
        print(f"{unjudged} bodies were not judged: the SDKs they are judged by are not installed (LLMKIT_SDK_PYTHON)")
    if any(row.bad for row in rows.values()) or not rows:
        return 1
    return 3 if unjudged else 0


if __name__ == "__main__":
    sys.exit(main())
