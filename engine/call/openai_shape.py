"""The answer in the shape of an OpenAI chat completion (platform.openai.com/docs/api-reference/chat/object)."""

from __future__ import annotations

from typing import Any

from engine.types import Choice, Citation, Response, Usage

_REASONS = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}


def completion(response: Response) -> dict[str, Any]:
    """A `chat.completion` mapping: plain JSON. Thinking stands in `reasoning_content`, as most servers have it."""
    out: dict[str, Any] = {
        "id": response.id or response.request_id or "",
        "object": "chat.completion",
        "created": response.created or 0,
        "model": response.model or "",
        "choices": [_choice(choice) for choice in response.choices],
    }
    usage = _usage(response.usage)
    if usage:
        out["usage"] = usage
    return out


def _choice(choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": choice.refusal}
    if choice.thinking:
        message["reasoning_content"] = choice.thinking
    if choice.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments_json if call.arguments_json is not None else "{}"},
            }
            for call in choice.tool_calls
        ]
    annotations = [_annotation(citation) for citation in choice.citations if citation.url]
    if annotations:
        message["annotations"] = annotations
    audio = next((part for part in choice.parts if part.type == "audio" and part.data), None)
    if audio is not None:
        message["audio"] = {"id": audio.id, "data": audio.data, "transcript": audio.text}
    return {
        "index": choice.index,
        "message": message,
        "finish_reason": _REASONS.get(choice.finish_reason or "", "stop") if choice.finish_reason else None,
        "logprobs": {"content": choice.logprobs} if choice.logprobs is not None else None,
    }


def _annotation(citation: Citation) -> dict[str, Any]:
    known = {
        "url": citation.url,
        "title": citation.title or "",
        "start_index": citation.start,
        "end_index": citation.end,
    }
    return {"type": "url_citation", "url_citation": {k: v for k, v in known.items() if v is not None}}


def _usage(usage: Usage) -> dict[str, Any]:
    """Counters under their OpenAI names; unknown ones are left out, totals are 0 as that shape demands numbers."""
    given, made = usage.input_tokens, usage.output_tokens
    if given is None and made is None and usage.total_tokens is None:
        return {}
    total = usage.total_tokens if usage.total_tokens is not None else (given or 0) + (made or 0)
    out: dict[str, Any] = {"prompt_tokens": given or 0, "completion_tokens": made or 0, "total_tokens": total}
    inside = {"cached_tokens": usage.cache_read_tokens, "audio_tokens": usage.audio_input_tokens}
    outside = {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": usage.audio_output_tokens}
    for name, details in (("prompt_tokens_details", inside), ("completion_tokens_details", outside)):
        known = {k: v for k, v in details.items() if v is not None}
        if known:
            out[name] = known
    return out
