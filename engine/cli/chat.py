"""`llmkit chat`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.terminal import dumps, safe
from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.streams import Stream


def chat(arguments: argparse.Namespace) -> int:
    """One user message, streamed to the terminal. Thinking and notes go to standard error, the answer to standard output."""
    from engine import Client

    client = Client(
        catalog=arguments.catalog,
        override=arguments.override,
        providers=settings_of(arguments, arguments.model),
        timeout=arguments.timeout,
    )
    fields = _fields(arguments)
    if arguments.explain:
        print(dumps(_explained(client.chat.explain(arguments.model, **fields)), indent=2))
        return 0
    if arguments.no_stream:
        answer = client.chat(arguments.model, **fields)
        if arguments.json:
            print(dumps(answer.to_dict(), indent=2))
        else:
            print(safe(answer.text))
            _tail(answer)
        return 0
    with client.chat.stream(arguments.model, **fields) as stream:
        _follow(stream, arguments.json)
    return 0


def _follow(stream: Stream, as_json: bool) -> None:
    """Print a stream as it arrives. A line that was begun is ended, also when the stream breaks off."""
    written = thought = False
    try:
        for event in stream:
            if as_json:
                print(dumps(event.to_dict()), flush=True)
            elif event.kind == "text" and event.choice == 0 and event.text:
                if thought:
                    print(file=sys.stderr, flush=True)
                thought, written = False, True
                print(safe(event.text), end="", flush=True)
            elif event.kind == "thinking" and event.text:
                thought = True
                print(_dim(safe(event.text)), end="", file=sys.stderr, flush=True)
    finally:
        if thought:
            print(file=sys.stderr)
        if written:
            print()
    if not as_json:
        _tail(stream.response)


def _tail(answer: Any) -> None:
    for call in answer.tool_calls:
        print(f"tool call {safe(call.name or '')} {safe(json.dumps(call.arguments, ensure_ascii=False))}")
    usage = answer.usage
    counts = [f"{v} {n}" for n, v in (("in", usage.input_tokens), ("out", usage.output_tokens)) if v is not None]
    notes = [answer.finish_reason or "no finish reason", *counts]
    if answer.cost is not None:
        notes.append(f"${answer.cost}")
    print(_dim(f"[{', '.join(notes)}]"), file=sys.stderr)
    for warning in answer.warnings:
        print(_dim(f"note: {safe(warning)}"), file=sys.stderr)


def _dim(text: str) -> str:
    return f"\x1b[2m{text}\x1b[0m" if sys.stderr.isatty() else text


def settings_of(arguments: argparse.Namespace, model: str) -> dict[str, dict[str, Any]]:
    """The settings of the model's provider that options give."""
    settings: dict[str, Any] = {}
    if arguments.base_url:
        settings["base_url"] = arguments.base_url
    for key in arguments.key:
        name, named, variable = key.rpartition("=")
        if variable not in os.environ:
            raise ConfigError(f"--key names the environment variable {variable}, which is not set")
        settings[name if named else "api_key"] = os.environ[variable]
    for setting in arguments.setting:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--setting takes NAME=VALUE, not `{setting}`")
        settings[name] = value
    return {model.partition("/")[0].partition(":")[0]: settings} if settings else {}


def _fields(arguments: argparse.Namespace) -> dict[str, Any]:
    prompt = " ".join(arguments.prompt) if arguments.prompt else standard_input()
    parts: list[dict[str, Any]] = [{"type": "text", "text": prompt}] if prompt else []
    parts += [_attachment(source, "image") for source in arguments.image]
    parts += [_attachment(source, None) for source in arguments.file]
    if not parts:
        raise ConfigError("no prompt: give it as an argument or on standard input")
    messages: list[dict[str, Any]] = [{"role": "system", "content": arguments.system}] if arguments.system else []
    messages.append({"role": "user", "content": prompt if len(parts) == 1 and prompt else parts})
    fields: dict[str, Any] = {"messages": messages}
    tools: list[Any] = []
    for path in arguments.tool_schema:
        loaded = _json_file(path)
        tools += loaded if isinstance(loaded, list) else [loaded]
    if tools:
        fields["tools"] = tools
    if arguments.json_schema:
        schema = _json_file(arguments.json_schema)
        fields["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    for name, value in (("max_tokens", arguments.max_tokens), ("temperature", arguments.temperature)):
        if value is not None:
            fields[name] = value
    if arguments.reasoning:
        fields["reasoning_effort"] = arguments.reasoning
    return {**fields, **parameters(arguments.param)}


def parameters(given: list[str]) -> dict[str, Any]:
    """What `--param NAME=JSON` says; a bare word is a text."""
    fields: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--param takes NAME=JSON, not `{pair}`")
        try:
            fields[name] = json.loads(value)
        except ValueError:
            fields[name] = value
    return fields


def standard_input() -> str:
    """The text on standard input; empty if it is a terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        raise ConfigError("the prompt on standard input is not text; --file attaches other things") from None


def _attachment(source: str, kind: str | None) -> dict[str, Any]:
    import base64
    import mimetypes

    media_type = mimetypes.guess_type(source)[0] or "application/octet-stream"
    head = media_type.partition("/")[0]
    kind = kind or (head if head in ("image", "audio", "video") else "document")
    if source.startswith(("http://", "https://")):
        return {"type": kind, "url": source, "media_type": media_type}
    data = base64.b64encode(Path(source).read_bytes()).decode()
    return {"type": kind, "data": data, "media_type": media_type, "filename": Path(source).name}


def _json_file(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None


def _explained(explained: Any) -> Any:
    return explained.to_dict() if hasattr(explained, "to_dict") else explained
