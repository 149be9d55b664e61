"""Hand-built plans: two wires whose maps are plain functions, as compiled maps behave."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

from engine.plan import Auth, Call, Errors, OperationPlan, Stream

Emit = Callable[[str, Any, dict[str, Any]], None]


def path(document: Any, *steps: Any) -> Any:
    """A value inside a document, None where a step is missing."""
    for step in steps:
        if isinstance(step, int):
            document = document[step] if isinstance(document, list) and -len(document) <= step < len(document) else None
        else:
            document = document.get(step) if isinstance(document, dict) else None
    return document


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _chat_usage(document: Any, emit: Emit) -> None:
    usage = path(document, "usage")
    if isinstance(usage, dict):
        names = {
            "input_tokens": ("prompt_tokens",),
            "output_tokens": ("completion_tokens",),
            "total_tokens": ("total_tokens",),
            "reasoning_tokens": ("completion_tokens_details", "reasoning_tokens"),
            "cache_read_tokens": ("prompt_tokens_details", "cached_tokens"),
            "audio_input_tokens": ("prompt_tokens_details", "audio_tokens"),
        }
        emit("usage", 0, {name: path(usage, *steps) for name, steps in names.items()})


def _chat_error(document: Any, emit: Emit) -> None:
    error = path(document, "error")
    if error is not None:
        emit("error", 0, {"message": path(error, "message") or error, "code": path(error, "code"), "type": path(error, "type")})


def chat_map(holder: str) -> Callable[..., None]:
    """The map of an OpenAI-like wire; `holder` is message for a whole reply, delta for a chunk."""

    def run(document: Any, emit: Emit, event: str | None = None, unknown: Any = None) -> None:
        if path(document, "id") is not None or path(document, "model") is not None:
            emit("start", 0, {"id": path(document, "id"), "model": path(document, "model")})
        _chat_error(document, emit)
        for one in items(path(document, "choices")):
            choice = path(one, "index") or 0
            thinking = path(one, holder, "reasoning_content")
            if thinking is not None:
                emit("thinking", choice, {"text": thinking})
            text = path(one, holder, "content")
            if text is not None and text != "":
                emit("text", choice, {"text": text})
            for call in items(path(one, holder, "tool_calls")):
                fields = {"index": path(call, "index"), "id": path(call, "id")}
                fields.update(name=path(call, "function", "name"), arguments=path(call, "function", "arguments"))
                emit("tool_call", choice, fields)
            if path(one, "finish_reason") is not None:
                emit("finish", choice, {"reason": path(one, "finish_reason")})
        _chat_usage(document, emit)

    return run


def blocks_stream(document: Any, emit: Emit, event: str | None = None, unknown: Any = None) -> None:
    """The stream map of an Anthropic-like wire, dispatching on `type`."""
    kind, index = path(document, "type"), path(document, "index")
    if kind == "message_start":
        emit("start", 0, {"id": path(document, "message", "id"), "model": path(document, "message", "model")})
        emit("usage", 0, dict(path(document, "message", "usage") or {}))
    elif kind == "content_block_start":
        block = path(document, "content_block")
        if path(block, "type") == "tool_use":
            emit("tool_call", 0, {"index": index, "id": path(block, "id"), "name": path(block, "name")})
    elif kind == "content_block_delta":
        delta = path(document, "delta")
        if path(delta, "text") is not None:
            emit("text", 0, {"index": index, "text": path(delta, "text")})
        if path(delta, "thinking") is not None or path(delta, "signature") is not None:
            emit("thinking", 0, {"index": index, "text": path(delta, "thinking"), "signature": path(delta, "signature")})
        if path(delta, "partial_json") is not None:
            emit("tool_call", 0, {"index": index, "arguments": path(delta, "partial_json")})
    elif kind == "message_delta":
        if path(document, "delta", "stop_reason") is not None:
            emit("finish", 0, {"reason": path(document, "delta", "stop_reason")})
        emit("usage", 0, dict(path(document, "usage") or {}))
    elif kind == "error":
        error = path(document, "error")
        emit("error", 0, {"message": path(error, "message"), "code": path(error, "type")})
    elif kind not in ("content_block_stop", "message_stop", "ping"):
        unknown(kind)


def make(**over: Any) -> OperationPlan:
    """An OpenAI-like chat plan; keywords replace fields of the plan."""
    fields: dict[str, Any] = {
        "provider": "acme",
        "name": "chat",
        "dialect": "wire",
        "dialects": ("wire",),
        "call": Call("POST", lambda c: "/chat", payload="json", body=lambda c: {"model": c.get("model"), "input": c.get("input")}),
        "auth": Auth(),
        "base_url": lambda c: "https://api.acme.test/v1",
        "response": chat_map("message"),
        "stream": Stream(map=chat_map("delta")),
        "finish_reasons": {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"},
        "usage_totals": {"input_tokens": ("input_tokens",), "output_tokens": ("output_tokens",)},
    }
    return OperationPlan(**{**fields, **over})


CHAT = make()
BLOCKS = make(
    stream=Stream(map=blocks_stream),
    finish_reasons={"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length"},
    usage_totals={"input_tokens": ("input_tokens", "cache_read_tokens", "cache_write_tokens"), "output_tokens": ("output_tokens",)},
    errors=Errors(kinds={"overloaded_error": "overloaded"}),
)

TEXT = "Hello wörld — 你好 🎉 a\u2028b\u0085c\x0cd done."


def sse(*documents: Any, named: bool = False, end: bytes = b"\n", done: bool = False) -> bytes:
    """Documents as server-sent events."""
    out = b""
    for document in documents:
        if named:
            out += b"event: " + document["type"].encode() + end
        out += b"data: " + json.dumps(document, ensure_ascii=False).encode() + end + end
    return out + (b"data: [DONE]" + end + end if done else b"")


def chunk(content: str | None = None, finish: str | None = None, **over: Any) -> dict[str, Any]:
    """A chunk of the OpenAI-like wire."""
    one: dict[str, Any] = {"index": 0, "delta": {"content": content} if content is not None else {}, "finish_reason": finish}
    return {"id": "r1", "model": "m-1", "choices": [{**one, **over}]}


def call_chunk(index: Any, id: str | None = None, name: str | None = None, arguments: str | None = None) -> dict[str, Any]:
    """A chunk with a piece of a tool call."""
    call = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    return chunk(delta={"tool_calls": [call]})


def chat_stream(text: str = TEXT, size: int = 4) -> list[dict[str, Any]]:
    """Chunks whose text joins to `text`, then the finish and a chunk with usage only."""
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    last = {"id": "r1", "model": "m-1", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}
    return [*(chunk(p) for p in pieces), chunk(None, "stop"), last]


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """The bytes cut at these places (any numbers)."""
    places = sorted({p % (len(data) + 1) for p in at})
    edges = [0, *places, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]
