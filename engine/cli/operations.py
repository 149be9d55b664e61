"""`llmkit embeddings`, `llmkit count-tokens` and `llmkit models --live`: one call each, JSON or plain lines out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from engine.cli.chat import settings_of, standard_input
from engine.cli.terminal import dumps, safe
from engine.errors import ConfigError


def embeddings(arguments: argparse.Namespace) -> int:
    """One JSON line for each text: its number and its vector. With --json the whole response."""
    texts = list(arguments.prompt)
    if arguments.lines:
        texts += [line for line in Path(arguments.lines).read_text("utf-8").splitlines() if line.strip()]
    if not texts:
        texts = [line for line in standard_input().splitlines() if line.strip()]
    if not texts:
        raise ConfigError("no text: give it as an argument, with --lines or on standard input, one a line")
    wanted = {name: getattr(arguments, name) for name in ("dimensions", "input_type", "encoding")}
    fields = {"input": texts, **{name: value for name, value in wanted.items() if value is not None}}
    answer = called(arguments, "embeddings", arguments.model, fields)
    if answer is None:
        return 0
    if arguments.json:
        print(dumps(answer.to_dict(), indent=2))
        return 0
    for index, vector in enumerate(answer.embeddings):
        print(dumps({"index": index, "vector": vector}))
    _notes(answer)
    return 0


def count_tokens(arguments: argparse.Namespace) -> int:
    """How many input tokens a message has: as the provider counts, or as is counted here."""
    prompt = " ".join(arguments.prompt) or standard_input()
    if not prompt:
        raise ConfigError("no prompt: give it as an argument or on standard input")
    messages = [{"role": "system", "content": arguments.system}] if arguments.system else []
    fields: dict[str, Any] = {"messages": [*messages, {"role": "user", "content": prompt}]}
    if arguments.tokenizer:
        fields["tokenizer"] = arguments.tokenizer
    answer = called(arguments, "count_tokens", arguments.model, fields)
    if answer is None:
        return 0
    print(dumps(answer.to_dict(), indent=2) if arguments.json else answer.usage.input_tokens)
    for warning in answer.warnings:
        print(f"note: {safe(warning)}", file=sys.stderr)
    return 0


def live_models(arguments: argparse.Namespace) -> list[Any] | None:
    """The models that a provider lists now, for this key; None if only an explanation was wanted, which is printed."""
    if not arguments.provider:
        raise ConfigError("--live asks one provider: name it")
    answer = called(arguments, "list_models", arguments.provider.partition("/")[0], {})
    return answer.models if answer is not None else None


def called(arguments: argparse.Namespace, operation: str, model: str, fields: dict[str, Any]) -> Any:
    """The answer, or None if only an explanation was wanted, which is printed."""
    from engine import Client

    with Client(catalog=arguments.catalog, override=arguments.override, providers=settings_of(arguments, model)) as client:
        face = getattr(client, operation)
        if arguments.explain:
            print(dumps(face.explain(model, **fields).to_dict(), indent=2))
            return None
        return face(model, timeout=arguments.timeout, **fields)


def _notes(answer: Any) -> None:
    vectors, usage = answer.embeddings, answer.usage
    words = [f"{len(vectors)} of {len(vectors[0]) if vectors else 0}"]
    if usage.input_tokens is not None:
        words.append(f"{usage.input_tokens} tokens")
    if answer.cost is not None:
        words.append(f"${answer.cost}")
    print(f"[{', '.join(words)}]", file=sys.stderr)
    for warning in answer.warnings:
        print(f"note: {safe(warning)}", file=sys.stderr)
