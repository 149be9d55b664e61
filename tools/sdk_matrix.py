#!/usr/bin/env python3
"""Official client libraries, unmodified, against the simulator: every library on its own dialect (SERVE.md 14).

    tools/sdk_matrix.py [--sdk NAME] [--case NAME] [--base NAME=URL] [--model NAME=PATTERN] [--json]

The libraries run in their own environment: LLMKIT_SDK_PYTHON is its Python. Without `--base` each library talks to a
simulator in this process; with it, to whatever listens there (a gateway in front of one: `tools/sdk_matrix.py --serve PORT`
runs the scripted model alone). A cell is two marks, the whole answer and the stream: `+` passed, `-` there is no such thing,
`X` failed. Exit code 0: nothing failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUNNER = ROOT / "tools" / "sdks" / "run.py"
for _path in (ROOT, ROOT / "tools" / "sdks"):
    if str(_path) not in sys.path:
        sys.path.insert(0, str(_path))

from cases import CALLS, ERRORS, SIGNATURE, TEXT, THOUGHT  # noqa: E402

#: library -> the name under which the simulator answers it
SDKS = {
    "openai-chat": "openai-chat",
    "openai-responses": "openai-responses",
    "anthropic-messages": "anthropic-messages",
    "gemini": "gemini",
    "bedrock-converse": "bedrock-converse",
    "cohere-v2": "cohere-v2",
    "ollama": "ollama",
    "mistral": "mistral",
}
COLUMNS = (
    "text",
    "usage",
    "finish",
    "thinking",
    "signature",
    "tools",
    "second",
    "image",
    "schema",
    "choice",
    "errors",
    "midstream",
)


def model(request: dict[str, Any]) -> Any:
    """The scripted model: what it says depends on the last word of the model's name."""
    from engine.errors import for_kind

    name = str(request.get("model")).rpartition("/")[2]
    usage = {"usage": {"input_tokens": 50, "output_tokens": 30, "cache_read_tokens": 10, "reasoning_tokens": 5}}
    thought = {"thinking": {"text": THOUGHT, "signature": SIGNATURE}}
    if name.startswith("err-"):
        kind = name.removeprefix("err-")
        return for_kind(kind)(f"scripted {kind}")
    if name == "think":
        return [thought, TEXT, usage]
    if name == "tools":
        return [{"text": _told(request)}, usage] if request.get("has_tool_history") else [thought, *_calls(), usage]
    if name == "image":
        return [_images(request), usage]
    if name == "schema":
        known = (request.get("response_format") or {}).get("schema", {}).get("properties", {})
        return [json.dumps({key: {"name": "Ada", "age": 36}[key] for key in known}), usage]
    if name == "choice":
        choice = request.get("tool_choice") or {}
        named = choice.get("name") or " ".join(choice.get("allowed") or ())
        return [f"{choice.get('mode')} {named}".strip(), usage]
    if name == "midstream":
        return ["Grüße aus ", {"error": {"kind": "overloaded", "message": "scripted overload"}}]
    return [TEXT, {"finish": "length" if name == "length" else "stop"}, usage]


def _calls() -> Iterator[dict[str, Any]]:
    for number, arguments in enumerate(CALLS, 1):
        yield {"tool_call": {"id": f"call0000{number}", "name": "get_weather", "arguments": arguments}}


def _told(request: dict[str, Any]) -> str:
    """What the history of the second turn says."""
    messages = request["messages"]
    calls = [p for m in messages for p in m.get("parts") or () if p["type"] == "tool_call"]
    results = [p for m in messages for p in m.get("parts") or () if p["type"] == "tool_result"]
    signature = "".join(p.get("signature") or "" for m in messages for p in m.get("parts") or ())  # a stream may sign an empty text
    told = {
        "results": [_result(p) for p in results],
        "calls": [c.get("arguments") for c in calls],
        "paired": [c.get("id") for c in calls] == [r.get("id") for r in results],
        "signature": signature,
    }
    return json.dumps(told)


def _result(part: dict[str, Any]) -> Any:
    text = part.get("text")
    value = part.get("json")
    return value.get("result", value) if isinstance(value, dict) else text


def _images(request: dict[str, Any]) -> str:
    import base64

    found = [p for m in request["messages"] for p in m.get("parts") or () if p["type"] == "image"]
    sizes = [f"{p.get('media_type')}, {len(base64.b64decode(p.get('data') or ''))} bytes" for p in found]
    return f"{len(found)} image, {'; '.join(sizes)}"


# --- running and telling -------------------------------------------------------------------------------------------------


def run(python: str, targets: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows the libraries' process prints, as they come."""
    command = [python, str(RUNNER), json.dumps(targets)]
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL")}
    with tempfile.TemporaryFile("w+") as problems:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=problems, text=True, env=clean) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield json.loads(line)
        if process.returncode:
            problems.seek(0)
            raise RuntimeError(f"the libraries' process ended with code {process.returncode}: {problems.read()[-2000:]}")


def matrix(
    python: str,
    sdks: Iterable[str] = SDKS,
    cases: Iterable[str] = (),
    bases: dict[str, str] | None = None,
    models: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Every row; libraries without a base URL talk to a simulator that runs meanwhile."""
    from engine.testing import Simulator

    with Simulator(script=model) as simulator:
        targets: dict[str, dict[str, Any]] = {}
        for sdk in sdks:
            base = (bases or {}).get(sdk)
            targets[sdk] = {"url": base or simulator.url(SDKS[sdk]), "model": (models or {}).get(sdk, "{}"), "cases": list(cases)}
        return list(run(python, targets))


def cell(rows: list[dict[str, Any]]) -> str:
    """`++`: whole and streamed; a failure of one case of several is a failure."""
    marks = ""
    for stream in (False, True):
        mine = [row for row in rows if row["stream"] == stream]
        tried = [row for row in mine if "ok" in row]
        marks += " " if not mine else "-" if not tried else "+" if all(row["ok"] for row in tried) else "X"
    return marks.strip() or "."


def table(rows: list[dict[str, Any]]) -> str:
    """One line per library, one column per group of cases."""
    groups = {"choice": [f"choice-{m}" for m in ("auto", "none", "required", "tool")], "errors": list(ERRORS)}
    lines = [["library", *COLUMNS]]
    for sdk in dict.fromkeys(row["sdk"] for row in rows):
        mine = [row for row in rows if row["sdk"] == sdk]
        version = next((row.get("package") or f"missing: {row['missing']}" for row in mine if "case" not in row), "")
        cells = [cell([row for row in mine if row.get("case") in groups.get(column, [column])]) for column in COLUMNS]
        lines.append([f"{sdk} ({version})", *cells])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines)


def main() -> int:
    """Exit code 1 if a cell failed, 2 if the libraries are not there."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sdk", action="append", choices=SDKS, help="only this library (repeatable)")
    parser.add_argument("--case", action="append", default=[], help="only this case (repeatable)")
    parser.add_argument("--base", action="append", default=[], metavar="NAME=URL", help="where this library finds its dialect")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=PATTERN", help="how models are named there: groq/{}")
    parser.add_argument("--serve", type=int, metavar="PORT", help="run the scripted model alone until interrupted")
    parser.add_argument("--json", action="store_true", help="print every row")
    arguments = parser.parse_args()
    if arguments.serve is not None:
        return _serve(arguments.serve)
    python = os.environ.get("LLMKIT_SDK_PYTHON")
    if not python:
        print("LLMKIT_SDK_PYTHON names no Python with the client libraries (make sdk-matrix sets it up)", file=sys.stderr)
        return 2
    pairs = [dict(item.split("=", 1) for item in given) for given in (arguments.base, arguments.model)]
    rows = matrix(python, arguments.sdk or SDKS, arguments.case, *pairs)
    failed = [row for row in rows if row.get("ok") is False or "missing" in row]
    if arguments.json:
        print("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
        return 1 if failed else 0
    print(table(rows))
    for row in failed:
        print(
            f"\n{row['sdk']} {row.get('case', '')} {'streamed' if row.get('stream') else 'whole'}: {row.get('why') or row.get('missing')}"
        )
        if row.get("trace"):
            print("  " + row["trace"].rstrip().replace("\n", "\n  "))
    passed = sum(row.get("ok") is True for row in rows)
    print(f"\n{passed} passed, {len(failed) or 'none'} failed, {sum('lacks' in row for row in rows)} that no such API has")
    return 1 if failed else 0


def _serve(port: int) -> int:
    from engine.catalog import Catalog
    from engine.serve.listener import Listener
    from engine.serve.simulator import Simulator

    listener = Listener(Simulator(Catalog(), model), port)
    print(f"the scripted model listens on {listener.origin}", flush=True)
    try:
        listener.run()
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
