"""`llmkit sim` and `llmkit demo`: providers without a key."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from engine.catalog import Catalog
from engine.cli.listing import table
from engine.examples.given import dummy_settings

if TYPE_CHECKING:
    from engine import Client

#: the demo's wires: one target per chat dialect of the catalog is chosen by `_targets`
WEATHER = {
    "name": "get_weather",
    "description": "Current weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def sim(arguments: argparse.Namespace) -> int:
    """Serve on 127.0.0.1 until interrupted."""
    from engine.serve.loopback import Loopback

    server = Loopback(Catalog(arguments.catalog, arguments.override), arguments.port)
    print(f"answering as any provider on http://127.0.0.1:{server.port}/PROVIDER")
    print(f"""try:  llmkit chat groq/any-model "hello" --base-url {server.url("groq")} --key HOME""", flush=True)
    server.run()
    return 0


def demo(arguments: argparse.Namespace) -> int:
    """A text stream, a tool call with its result, a JSON-schema answer and thinking, over every chat dialect."""
    from engine import Client
    from engine.serve.loopback import Loopback

    catalog = Catalog(arguments.catalog, arguments.override)
    rows: list[dict[str, Any]] = []
    with Loopback(catalog) as server:
        for dialect, target in _targets(catalog):
            head = target.partition("/")[0]
            provider = head.partition(":")[0]
            settings = {**dummy_settings(catalog.plan(provider)), "base_url": server.url(head)}
            client = Client(catalog=arguments.catalog, override=arguments.override, providers={provider: settings})
            for step, run in (("text", _text), ("tool", _tool), ("schema", _schema), ("thinking", _thinking)):
                if step == "thinking" and not catalog.capabilities(provider).get("thinking"):
                    continue
                start = time.perf_counter()
                said, events, answer = run(client, target)
                milliseconds = (time.perf_counter() - start) * 1000
                usage = answer.usage
                rows.append(
                    {
                        "dialect": dialect,
                        "target": target,
                        "step": step,
                        "said": said,
                        "events": events,
                        "in": usage.input_tokens,
                        "out": usage.output_tokens,
                        "ms": round(milliseconds, 1),
                        "cost": str(answer.cost) if answer.cost is not None else None,
                    }
                )
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        head = ["dialect", "target", "step", "events", "in", "out", "ms", "cost", "answer"]
        keys = ["dialect", "target", "step", "events", "in", "out", "ms", "cost", "said"]
        table(head, [["" if row[k] is None else str(row[k])[:60] for k in keys] for row in rows])
        print("\nEvery answer came over a real socket, in the provider's own wire format, from the examples of its spec.")
        _next_steps(catalog)
    return 0


def _targets(catalog: Catalog) -> list[tuple[str, str]]:
    """One provider (or variant) per chat dialect that has examples: the first whose file is nearest to the dialect."""
    from engine.examples.cases import dialect_examples

    chosen: dict[str, str] = {}
    wanted = [d for d in catalog.dialect_ids() if (n := catalog.dialect(d)) and n.get("operation") and dialect_examples(catalog, d)]
    for provider in catalog.provider_ids():
        who = catalog.plan(provider)
        if who.status != "active" or "chat" not in who.operations or who.base_url is not None:
            continue
        for variant in (None, *who.variants):
            plan = catalog.compile(provider, "chat", who.default_model or "m", variant)
            if plan and plan.dialect in wanted:
                name = f"{provider}:{variant}" if variant else provider
                target = f"{name}/{who.default_model or 'm'}"
                known = chosen.get(plan.dialect)
                if known is None or _closeness(plan.dialect, target) > _closeness(plan.dialect, known):
                    chosen[plan.dialect] = target
    for dialect in wanted:
        if dialect not in chosen:
            local = [p for p in catalog.provider_ids() if catalog.plan(p).base_url and "chat" in catalog.plan(p).operations]
            for provider in local:
                plan = catalog.compile(provider, "chat", "m")
                if plan and plan.dialect == dialect:
                    chosen[dialect] = f"{provider}/{catalog.plan(provider).default_model or 'm'}"
                    break
    return [(d, chosen[d]) for d in wanted if d in chosen]


def _closeness(dialect: str, target: str) -> int:
    """How much of a target's name a dialect's name shares: a dialect is shown by the provider it is named after."""
    words = set(dialect.replace("-", " ").split())
    return len(words & set(target.partition("/")[0].replace("-", " ").replace(":", " ").split()))


def _stream(client: Client, target: str, **fields: Any) -> tuple[str, int, Any]:
    with client.chat.stream(target, **fields) as stream:
        count = sum(1 for _ in stream)
        return stream.response.text, count, stream.response


def _text(client: Client, target: str) -> tuple[str, int, Any]:
    return _stream(client, target, messages="Say hello.")


def _tool(client: Client, target: str) -> tuple[str, int, Any]:
    """The model calls a tool; its result goes back and the second answer is shown."""
    question = {"role": "user", "content": "What is the weather in Rome?"}
    first = client.chat(target, messages=[question], tools=[WEATHER])
    if not first.tool_calls:
        return first.text, 1, first
    call = first.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"temperature_c": 18}'}
    second = client.chat(target, messages=[question, first.message, result], tools=[WEATHER])
    said = f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)}) → {second.text}"
    return said, 2, second


def _schema(client: Client, target: str) -> tuple[str, int, Any]:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    answer = client.chat(target, messages="Invent a person.", response_format=wanted)
    return answer.text.replace("\n", " "), 1, answer


def _thinking(client: Client, target: str) -> tuple[str, int, Any]:
    said, count, answer = _stream(client, target, messages="What is 17 * 23? Think first.", reasoning_effort="low")
    thought = (answer.thinking or "").replace("\n", " ")
    return (f"({thought}) {said}" if thought else said), count, answer


def _next_steps(catalog: Catalog) -> None:
    ready = []
    for provider in catalog.provider_ids():
        who = catalog.plan(provider)
        needed = [s for s in who.secrets if not s.optional]
        if needed and "chat" in who.operations and all(any(e in os.environ for e in s.env) for s in needed):
            ready.append(f"{provider}/{who.default_model or 'MODEL'}")
        elif who.base_url is not None and _listens(who.base_url.default({}) if who.base_url.default else None):
            ready.append(f"{provider}/{who.default_model or 'MODEL'}")
    if ready:
        print("\nA key or a local server is there. The same for real:")
        for target in ready[:5]:
            print(f'  llmkit chat {target} "Say hello."')
    else:
        print('\nWith a key in the environment the same runs for real:  llmkit chat groq/llama-3.3-70b-versatile "Say hello."')
    sys.stdout.flush()


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
