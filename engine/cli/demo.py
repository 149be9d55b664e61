"""`llmkit demo`: one conversation over every chat wire, with stand-ins on loopback or with real models."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine.catalog import Catalog
from engine.cli.listing import columns
from engine.cli.local import answers
from engine.errors import Error, ProtocolError
from engine.examples.given import dummy_settings

if TYPE_CHECKING:
    from engine import Client
    from engine.types import Response

WEATHER = {
    "name": "get_weather",
    "description": "Current weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

#: what the stand-in's model says; `llmkit sim --script` takes the same words from a file
SCRIPT = """
- when: "messages[-1].role == 'tool'"
  say: "It is {{ (messages[-1].text | fromjson).temperature_c }} °C and {{ (messages[-1].text | fromjson).sky }} in Rome."
- when: "tools"
  say: [{tool_call: {name: get_weather, arguments: {city: Rome}}}]
- when: "response_format.type == 'json_schema'"
  say: '{"name": "Ada", "age": 36}'
- when: "contains(messages[-1].text, '17 * 23')"
  say: [{thinking: "17 * 20 = 340, 17 * 3 = 51."}, "17 * 23 = 391."]
- say: "Hello! How can I help you today?"
"""


@dataclass(slots=True)
class Row:
    """One step with one model: what it said, or why it failed."""

    dialect: str
    target: str
    step: str
    said: str = ""
    events: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    ms: float = 0.0
    cost: str | None = None
    error: str | None = None


def demo(arguments: argparse.Namespace) -> int:
    """A text stream, a tool call with its result, a JSON-schema answer and thinking. Exit code 1 if a step failed."""
    catalog = Catalog(arguments.catalog, arguments.override)
    start = time.perf_counter()
    rows = list(_real(catalog, arguments.models) if arguments.models else _simulated(catalog))
    seconds = time.perf_counter() - start
    if arguments.json:
        print(json.dumps([{k: v for k, v in asdict(row).items() if v is not None} for row in rows], indent=2, ensure_ascii=False))
    else:
        _show(rows, seconds)
        if not arguments.models:
            _next_steps(catalog)
    return 1 if any(row.error for row in rows) else 0


def _simulated(catalog: Catalog) -> Iterator[Row]:
    from engine import Client
    from engine.serve.listener import Listener
    from engine.serve.simulator import Simulator

    simulator = Simulator(catalog, SCRIPT)
    with Listener(simulator, 0) as listener:
        for dialect, head in simulator.mounts.homes():
            provider = head.partition(":")[0]
            settings = {**dummy_settings(catalog.plan(provider)), "base_url": f"{listener.origin}/{head}"}
            target = f"{head}/{catalog.plan(provider).default_model or 'any-model'}"
            simulator.mounts.named(head)  # both sides are compiled here, so that the times below are those of calls
            with Client(catalog=catalog, providers={provider: settings}, timeout=30) as client:
                client.operation(target, "chat")
                yield from _conversation(catalog, client, dialect, target)


def _real(catalog: Catalog, models: list[str]) -> Iterator[Row]:
    from engine import Client

    with Client(catalog=catalog) as client:
        for target in models:
            try:
                dialect = client.operation(target, "chat").plan.dialect
            except Error as error:
                yield Row("", target, "", error=f"{error.kind}: {error.message}")
            else:
                yield from _conversation(catalog, client, dialect or "", target)


def _conversation(catalog: Catalog, client: Client, dialect: str, target: str) -> Iterator[Row]:
    provider, variant, model = catalog.split(target)
    flags = catalog.capabilities(provider, "chat", model, variant)
    for step, (needs, run) in STEPS.items():
        row = Row(dialect, target, step)
        if flags.get(needs) is False:
            row.said = f"({provider} has no {needs})"
            yield row
            continue
        start = time.perf_counter()
        try:
            row.said, row.events, answers = run(client, target)
        except Error as error:
            row.error = f"{error.kind}: {error.message}"
        else:
            row.input_tokens = _sum(a.usage.input_tokens for a in answers)
            row.output_tokens = _sum(a.usage.output_tokens for a in answers)
            cost = _sum(a.cost for a in answers)
            row.cost = str(cost) if cost is not None else None
        row.ms = round((time.perf_counter() - start) * 1000, 1)
        yield row


def _sum(values: Any) -> Any:
    known = [v for v in values if v is not None]
    return sum(known[1:], known[0]) if known else None


# --- the four steps: (what was said, events, the answers) ----------------------------------------------------------------


def _text(client: Client, target: str) -> tuple[str, int, list[Response]]:
    return _stream(client, target, messages="Say hello.")


def _tool(client: Client, target: str) -> tuple[str, int, list[Response]]:
    """The model calls a tool; its result goes back and the second answer is streamed."""
    question = {"role": "user", "content": "What is the weather in Rome?"}
    first = client.chat(target, messages=[question], tools=[WEATHER])
    if not first.tool_calls:
        raise ProtocolError(f"no tool was called; the model said {first.text!r}")
    call = first.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"temperature_c": 18, "sky": "sunny"}'}
    said, count, (second,) = _stream(client, target, messages=[question, first.message, result], tools=[WEATHER])
    return f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)}) → {said}", 1 + count, [first, second]


def _schema(client: Client, target: str) -> tuple[str, int, list[Response]]:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    answer = client.chat(target, messages="Invent a person.", response_format=wanted)
    if not isinstance(answer.parsed, dict) or answer.parsed.keys() != PERSON["properties"].keys():  # type: ignore[attr-defined]
        raise ProtocolError(f"no person of the schema: {answer.text!r}")
    return json.dumps(answer.parsed, ensure_ascii=False), 1, [answer]


def _thinking(client: Client, target: str) -> tuple[str, int, list[Response]]:
    said, count, answers = _stream(client, target, messages="What is 17 * 23? Think first.", reasoning_effort="low")
    thought = answers[0].thinking
    return (f"({thought}) {said}" if thought else said), count, answers


def _stream(client: Client, target: str, **fields: Any) -> tuple[str, int, list[Response]]:
    with client.chat.stream(target, **fields) as stream:
        count = sum(1 for _ in stream)
        return stream.response.text, count, [stream.response]


#: step -> (the capability it shows, how it runs)
STEPS: dict[str, tuple[str, Callable[[Client, str], tuple[str, int, list[Response]]]]] = {
    "text": ("stream", _text),
    "tool": ("tools", _tool),
    "schema": ("json_schema", _schema),
    "thinking": ("thinking", _thinking),
}

# --- what is printed -----------------------------------------------------------------------------------------------------


def _show(rows: list[Row], seconds: float) -> None:
    priced = any(row.cost for row in rows)
    head = ["wire", "model", "step", "events", "in", "out", "ms", *(["cost"] if priced else []), "answer"]
    cells, above = [], None
    for row in rows:
        first = row.target != above
        above = row.target
        cost = [f"${Decimal(row.cost):.6f}" if row.cost else ""] if priced else []
        counts = [_cell(row.events or None), _cell(row.input_tokens), _cell(row.output_tokens), f"{row.ms:.1f}"]
        said = f"FAILED {row.error}" if row.error else row.said.replace("\n", " ")
        cells.append([row.dialect if first else "", row.target if first else "", row.step, *counts, *cost, said])
    width = shutil.get_terminal_size((140, 24)).columns if sys.stdout.isatty() else 0
    for line in columns(head, cells, right={"events", "in", "out", "ms", "cost"}):
        print(line if not width or len(line) <= width else line[: width - 1] + "…")
    failed = sum(1 for row in rows if row.error)
    tokens = f"{_sum(r.input_tokens for r in rows) or 0} tokens in, {_sum(r.output_tokens for r in rows) or 0} out"
    spent = f", ${_sum(Decimal(r.cost) for r in rows if r.cost):.4f}" if priced else ""
    wires = len({row.dialect for row in rows if row.dialect})
    print(
        f"\n{wires} wire format{'s' if wires != 1 else ''}, {len(rows)} steps, {failed or 'none'} failed: "
        f"{sum(r.events for r in rows)} events, {tokens}{spent}, {seconds:.1f} s"
    )


def _cell(value: int | None) -> str:
    return "" if value is None else str(value)


def _next_steps(catalog: Catalog) -> None:
    print("Every answer came over a real socket, in the provider's own wire format, from a scripted model: nothing was spent.\n")
    ready = list(_ready(catalog))
    if ready:
        print("A key or a local server is there. The same for real:")
        print("\n".join(f"  llmkit demo {target}" for target in ready[:5]))
    else:
        print("With a key in the environment (GROQ_API_KEY, …) the same for real:\n  llmkit demo groq/llama-3.3-70b-versatile")
    print("Without one:")
    print("  llmkit sim                                               a stand-in for any provider, for your own code")
    print('  llmkit chat anthropic/claude-sonnet-4-5 --explain "hi"   what would be sent')
    sys.stdout.flush()


def _ready(catalog: Catalog) -> Iterator[str]:
    for provider in catalog.provider_ids():
        who = catalog.plan(provider)
        if "chat" not in who.operations:
            continue
        needed = [s for s in who.secrets if not s.optional]
        keyed = needed and all(any(e in os.environ for e in s.env) for s in needed)
        url = who.base_url.default({}) if who.base_url is not None and who.base_url.default else None
        if keyed or (_listens(url) and answers(catalog, provider)):
            yield f"{provider}/{who.default_model or 'MODEL'}"


def _listens(url: str | None) -> bool:
    from urllib.parse import urlsplit

    if not url:
        return False
    parts = urlsplit(url)
    if parts.hostname not in ("localhost", "127.0.0.1", "::1") or not parts.port:
        return False
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=0.2):
            return True
    except OSError:
        return False
