"""Cohere's library, version 2 of the API."""

from __future__ import annotations

import base64
from typing import Any

import cohere
from seen import PERSON, PNG, TOOLS, Sdk, Seen, parsed

FUNCTIONS = [{"type": "function", "function": tool} for tool in TOOLS]


class Adapter(Sdk):
    dialect = "cohere-v2"
    package = "cohere"
    lacks = {
        "signature": "the API signs no thinking",
        "choice-auto": "tool_choice has REQUIRED and NONE only",
        "choice-tool": "tool_choice has REQUIRED and NONE only",
    }
    finish = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "error": "ERROR"}
    raises = {
        "authentication": cohere.UnauthorizedError,
        "rate_limit": cohere.TooManyRequestsError,
        "invalid_request": cohere.BadRequestError,
        "overloaded": cohere.ServiceUnavailableError,
        "not_found": cohere.NotFoundError,
        "server": lambda error: isinstance(error, cohere.core.ApiError) and error.status_code in (500, 502),
    }
    midstream = cohere.core.ApiError

    def __init__(self, url: str, key: str = "") -> None:
        super().__init__(url, key)
        self.client = cohere.ClientV2(api_key=self.key, base_url=url)

    def ask(
        self,
        model: str,
        prompt: str,
        *,
        stream: bool = False,
        tools: bool = False,
        choice: str | None = None,
        schema: bool = False,
        image: bool = False,
        thinking: bool = False,
    ) -> Seen:
        content: Any = prompt
        if image:
            uri = "data:image/png;base64," + base64.b64encode(PNG).decode()
            content = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": uri}}]
        more: dict[str, Any] = {"tools": FUNCTIONS} if tools else {}
        if choice:
            more["tool_choice"] = choice.upper()
        if schema:
            more["response_format"] = {"type": "json_object", "json_schema": PERSON}
        if thinking:
            more["thinking"] = {"type": "enabled", "token_budget": 1024}
        return self._send(model, [{"role": "user", "content": content}], stream, more)

    def again(self, model: str, prompt: str, seen: Seen, results: list[str], *, stream: bool = False) -> Seen:
        answers = [{"role": "tool", "tool_call_id": id, "content": result} for (id, _, _), result in zip(seen.calls, results)]
        return self._send(model, [{"role": "user", "content": prompt}, seen.native, *answers], stream, {"tools": FUNCTIONS})

    def _send(self, model: str, messages: list[Any], stream: bool, more: dict[str, Any]) -> Seen:
        options = {"max_retries": 0}
        if stream:
            return _gathered(self.client.chat_stream(model=model, messages=messages, request_options=options, **more))
        made = self.client.chat(model=model, messages=messages, request_options=options, **more)
        content = made.message.content or []
        return Seen(
            text="".join(c.text for c in content if c.type == "text"),
            thinking="".join(c.thinking for c in content if c.type == "thinking"),
            calls=[(c.id, c.function.name, parsed(c.function.arguments)) for c in made.message.tool_calls or ()],
            usage=_usage(made.usage),
            cached=_cached(made.usage),
            finish=str(made.finish_reason),
            native=made.message,
        )


def _usage(usage: Any) -> tuple[Any, Any]:
    return (usage.tokens.input_tokens, usage.tokens.output_tokens) if usage and usage.tokens else (None, None)


def _cached(usage: Any) -> int | None:
    return int(usage.cached_tokens) if usage and usage.cached_tokens is not None else None


def _gathered(events: Any) -> Seen:
    seen = Seen()
    calls: list[dict[str, Any]] = []
    for event in events:
        if event.type == "content-delta":
            content = event.delta.message.content
            seen.text += content.text or ""
            seen.thinking += getattr(content, "thinking", None) or ""
        elif event.type == "tool-call-start":
            call = event.delta.message.tool_calls
            calls.append(
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments or ""},
                }
            )
        elif event.type == "tool-call-delta":
            calls[-1]["function"]["arguments"] += event.delta.message.tool_calls.function.arguments
        elif event.type == "message-end":
            seen.finish = str(event.delta.finish_reason)
            seen.usage, seen.cached = _usage(event.delta.usage), _cached(event.delta.usage)
    seen.calls = [(c["id"], c["function"]["name"], parsed(c["function"]["arguments"])) for c in calls]
    content = [{"type": "text", "text": seen.text}] if seen.text else None
    thought = [{"type": "thinking", "thinking": seen.thinking}] if seen.thinking else []
    seen.native = {"role": "assistant", "content": [*thought, *(content or [])] or None, "tool_calls": calls or None}
    seen.native = {k: v for k, v in seen.native.items() if v is not None}
    return seen
