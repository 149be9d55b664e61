"""What the clients of the bench send and what the provider behind answers, written by the engine itself."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.catalog import Catalog
from engine.examples.given import dummy_settings
from engine.serve.encoder import Encoder
from engine.serve.mounts import Mounts
from engine.serve.reply import write_reply
from engine.types import Choice, Event, Part, Response, Usage

#: dialect -> the provider whose clients speak it
HOMES = {"openai-chat": "openai", "anthropic-messages": "anthropic", "gemini": "gemini", "cohere-v2": "cohere", "ollama": "ollama"}
#: how the last bytes of a whole stream can be told
TAILS = {
    "openai-chat": "data: [DONE]",
    "anthropic-messages": "message_stop",
    "gemini": '"finishReason"',
    "cohere-v2": "message-end",
    "ollama": '"done":true',
}
COUNTS = (64, 500)  # deltas of a stream
USAGE = {"input_tokens": 27, "output_tokens": 64}
CATALOG = Catalog()
MOUNTS = Mounts(CATALOG)


def conversation(long: bool = False) -> list[dict[str, Any]]:
    """Two messages, or a hundred with 32 KB of text."""
    head = [{"role": "system", "content": "You are a terse assistant."}]
    if not long:
        return [*head, {"role": "user", "content": "What is the capital of France? Answer in one word."}]
    words = "the server keeps the connection open for further requests from the same client under load. " * 4
    return [*head, *({"role": "assistant" if number % 2 else "user", "content": words[:330]} for number in range(99))]


def answers() -> dict[str, Any]:
    """Per dialect the whole answer and the frames of streams, for `upstream.py`."""
    return {dialect: _answers(dialect) for dialect in HOMES}


def _answers(dialect: str) -> dict[str, Any]:
    served = CATALOG.served(dialect)
    said = Part(type="text", text="Paris is the capital.")
    whole = Response(id="msg_0123456789abcdef", model="bench", choices=[Choice(parts=[said], finish_reason="stop")])
    whole.usage = Usage(**USAGE)
    frames: dict[str, list[str]] = {}
    for count in COUNTS:
        encoder = Encoder(served, {"stream_usage": True}, dialect=None, now=1.0, make_id=lambda: "0123456789abcdef")
        made = [encoder.feed([Event("start", {"id": "msg_0123456789abcdef", "model": "bench"})])]
        made += [encoder.feed([Event("text", {"text": f"w{number} "})]) for number in range(count)]
        made.append(encoder.feed([Event("finish", {"reason": "stop"}), Event("usage", USAGE)]) + encoder.end())
        frames[str(count)] = [base64.b64encode(data).decode() for data in made if data]
        kind = encoder.content_type
    body = json.dumps(write_reply(served, whole, now=1.0)).encode()
    return {"whole": base64.b64encode(body).decode(), "frames": frames, "type": kind}


def request(dialect: str, model: str, port: int, key: str, *, stream: bool = False, long: bool = False, prefix: str = "") -> bytes:
    """The bytes of a client's request to the server at a port. `prefix` is a path in place of the gateway's own."""
    provider = HOMES[dialect]
    origin = f"http://127.0.0.1:{port}"
    settings = {**dummy_settings(CATALOG.plan(provider)), "base_url": origin + (prefix or MOUNTS.path(dialect))}
    operation = CATALOG.operation(f"{provider}/{model}", "chat", settings=settings, environ={})
    made = operation.render(messages=conversation(long), max_tokens=256, temperature=0.2, stream=stream)
    url = urlsplit(made.url)
    path = url.path + (f"?{url.query}" if url.query else "")
    body = made.body or b""
    headers = {
        "host": f"127.0.0.1:{port}",
        **made.headers,
        "authorization": f"Bearer {key}",
        "x-api-key": key,
        "x-goog-api-key": key,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body


def upstream_settings(port: int) -> dict[str, dict[str, Any]]:
    """Settings of every home, with the bench's provider as its server."""
    found = {}
    for dialect, provider in HOMES.items():
        plan = CATALOG.plan(provider)
        found[provider] = {**dummy_settings(plan), "base_url": f"http://127.0.0.1:{port}/{dialect}"}
    return found


def write_answers(path: Path) -> None:
    """`answers()` as a file."""
    path.write_text(json.dumps(answers()))
