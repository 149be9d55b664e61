#!/usr/bin/env python3
"""Official client libraries, unmodified: each against the simulator, and through `llmkit serve` onto every other dialect.

    tools/sdk_matrix.py [--sdk NAME] [--upstream NAME] [--case NAME] [--json] [--write]
    tools/sdk_matrix.py --base NAME=URL [--model NAME=PATTERN]     against whatever listens there
    tools/sdk_matrix.py --serve PORT                               the scripted model alone

The libraries run in their own environment: LLMKIT_SDK_PYTHON is its Python. `direct` is the simulator on the library's own
dialect; the other upstreams are dialects behind one gateway that is started for this. A case passes, fails, or is not carried:
then the upstream's own library has no such thing either, and where a request asked for it the gateway's warning named it.
`--write` renews docs/sdk-matrix.md and .svg. Exit code 0: nothing failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUNNER = ROOT / "tools" / "sdks" / "run.py"
for _path in (ROOT, ROOT / "tools", ROOT / "tools" / "sdks"):
    if str(_path) not in sys.path:
        sys.path.insert(0, str(_path))

from cases import CALLS, SIGNATURE, TEXT, THOUGHT  # noqa: E402
from sdk_gateway import Gateway  # noqa: E402
from sdk_picture import features, page, picture, summary  # noqa: E402

DIALECTS = (
    "openai-chat",
    "openai-responses",
    "anthropic-messages",
    "gemini",
    "bedrock-converse",
    "cohere-v2",
    "ollama",
    "mistral",
)
#: library -> the dialect it speaks
SDKS = {
    **{name: name for name in DIALECTS},
    "langchain-openai": "openai-chat",
    "langchain-responses": "openai-responses",
    "langchain-anthropic": "anthropic-messages",
}
UPSTREAMS = ("direct", *DIALECTS)
SIGNERS = ("bedrock-converse",)  # the libraries that sign their requests; the others send a key
KEY = "sdk-matrix-client-key"
SIGNER = "AKIDEXAMPLE:sdk-matrix-client-secret"


def model(request: dict[str, Any]) -> Any:
    """The scripted model: what it says depends on the last word of the model's name."""
    from engine.errors import for_kind

    name = str(request.get("model")).rpartition("/")[2].rpartition(".")[2]
    usage = {"usage": {"input_tokens": 50, "output_tokens": 30, "cache_read_tokens": 10, "reasoning_tokens": 5}}
    thought = {"thinking": {"text": THOUGHT, "signature": SIGNATURE}}
    if name.startswith("err-"):
        kind = name.removeprefix("err-")
        return for_kind(kind)(f"scripted {kind}", retry_after=0)  # a gateway would hold back the next call for a while
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
        return [_choice(request), usage]
    if name == "midstream":
        return ["Grüße aus ", {"error": {"kind": "overloaded", "message": "scripted overload"}}]
    return [TEXT, {"finish": "length" if name == "length" else "stop"}, usage]


def _choice(request: dict[str, Any]) -> str:
    """What the model may do: `must` and the names of the tools it may choose from, or the mode. A tool that is not offered may not
    be called either."""
    choice = request.get("tool_choice") or {}
    offered = {tool["name"] for tool in request.get("tools") or ()}
    if choice.get("mode") not in ("required", "tool"):
        return str(choice.get("mode"))
    named = {choice["name"]} if choice["mode"] == "tool" else set(choice.get("allowed") or offered)
    return " ".join(["must", *sorted(named & offered)])


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


def run(python: str, targets: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
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
    upstreams: Iterable[str] = ("direct",),
    cases: Iterable[str] = (),
    bases: dict[str, str] | None = None,
    models: dict[str, str] | None = None,
    pairs: Iterable[tuple[str, str]] | None = None,
) -> Iterator[dict[str, Any]]:
    """Every row, as it comes. `pairs` names (library, upstream) instead of every combination; a library with a base URL of its own
    is tried there."""
    from engine.testing import Simulator

    wanted = list(pairs) if pairs is not None else [(sdk, upstream) for upstream in upstreams for sdk in sdks]
    with Simulator(script=model) as simulator, ExitStack() as running:
        gateway = running.enter_context(Gateway(simulator, KEY, SIGNER)) if any(u != "direct" for _, u in wanted) else None
        targets: list[dict[str, Any]] = []
        for sdk, upstream in wanted:
            target: dict[str, Any] = {"sdk": sdk, "upstream": upstream, "cases": list(cases)}
            if sdk in (bases or {}):
                target.update(url=(bases or {})[sdk], model=(models or {}).get(sdk, "{}"))
            elif upstream == "direct" or gateway is None:
                target.update(url=simulator.url(SDKS[sdk]))
            else:
                target.update(url=gateway.url(SDKS[sdk]), model=gateway.model(upstream), key=SIGNER if sdk in SIGNERS else KEY)
            targets.append(target)
        yield from run(python, targets)


def main() -> int:
    """Exit code 1 if a cell failed, 2 if the libraries are not there."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sdk", action="append", choices=SDKS, help="only this library (repeatable)")
    parser.add_argument("--upstream", action="append", choices=UPSTREAMS, help="only this one (repeatable; default: all)")
    parser.add_argument("--case", action="append", default=[], help="only this case (repeatable)")
    parser.add_argument("--base", action="append", default=[], metavar="NAME=URL", help="where this library finds its dialect")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=PATTERN", help="how models are named there: groq/{}")
    parser.add_argument("--serve", type=int, metavar="PORT", help="run the scripted model alone until interrupted")
    parser.add_argument("--json", action="store_true", help="print every row")
    parser.add_argument("--write", action="store_true", help="renew docs/sdk-matrix.md and docs/sdk-matrix.svg")
    arguments = parser.parse_args()
    if arguments.serve is not None:
        return _serve(arguments.serve)
    python = os.environ.get("LLMKIT_SDK_PYTHON")
    if not python:
        print("LLMKIT_SDK_PYTHON names no Python with the client libraries (make sdk-matrix sets it up)", file=sys.stderr)
        return 2
    bases, models = (dict(item.split("=", 1) for item in given) for given in (arguments.base, arguments.model))
    upstreams = arguments.upstream or (["direct"] if bases else UPSTREAMS)
    rows = list(_progress(matrix(python, arguments.sdk or SDKS, upstreams, arguments.case, bases, models)))
    failed = [row for row in rows if row.get("ok") is False or "missing" in row]
    if arguments.json:
        print("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
        return 1 if failed else 0
    print(features([row for row in rows if row["upstream"] == upstreams[0]]), summary(rows), sep="\n\n")
    for row in failed:
        streamed = "streamed" if row.get("stream") else "whole"
        print(f"\n{row['sdk']} on {row['upstream']} {row.get('case', '')} {streamed}: {row.get('why') or row.get('missing')}")
        if row.get("trace"):
            print("  " + row["trace"].rstrip().replace("\n", "\n  "))
    if arguments.write:
        (ROOT / "docs" / "sdk-matrix.md").write_text(page(rows), "utf-8")
        (ROOT / "docs" / "sdk-matrix.svg").write_text(picture(rows), "utf-8")
        print("docs/sdk-matrix.md and docs/sdk-matrix.svg are renewed")
    return 1 if failed else 0


def _progress(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows, with a line on stderr for every library and upstream that is begun."""
    start = time.monotonic()
    for row in rows:
        if "case" not in row:
            print(f"{time.monotonic() - start:6.1f} s  {row['sdk']} on {row['upstream']}", file=sys.stderr, flush=True)
        yield row


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
