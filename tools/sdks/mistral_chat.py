"""Mistral's library."""

from __future__ import annotations

import base64
from typing import Any

from mistralai.client import Mistral, errors
from seen import PERSON, PNG, TOOLS, WEATHER, Sdk, Seen, parsed

FUNCTIONS = [{"type": "function", "function": tool} for tool in TOOLS]


def _status(*codes: int) -> Any:
    return lambda error: isinstance(error, errors.MistralError) and error.status_code in codes


class Adapter(Sdk):
    dialect = "mistral"
    package = "mistralai"
    finish = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "error": "error"}
    raises = {
        "authentication": _status(401),
        "rate_limit": _status(429),
        "invalid_request": _status(400),
        "overloaded": _status(503),
        "not_found": _status(404),
        "server": _status(500, 502),
    }
    midstream = errors.ResponseValidationError  # its events know no error: the library calls the frame invalid

    def __init__(self, url: str, key: str = "") -> None:
        super().__init__(url, key)
        self.client = Mistral(api_key=self.key, server_url=url)

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
            content = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": uri}]
        more: dict[str, Any] = {"tools": FUNCTIONS} if tools else {}
        if choice:
            more["tool_choice"] = {"type": "function", "function": {"name": WEATHER["name"]}} if choice == "tool" else choice
        if schema:
            more["response_format"] = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
        if thinking:
            more["reasoning_effort"] = "high"
        return self._send(model, [{"role": "user", "content": content}], stream, more)

    def again(self, model: str, prompt: str, seen: Seen, results: list[str], *, stream: bool = False) -> Seen:
        answers = [
            {"role": "tool", "tool_call_id": id, "name": name, "content": result}
            for (id, name, _), result in zip(seen.calls, results)
        ]
        return self._send(model, [{"role": "user", "content": prompt}, seen.native, *answers], stream, {"tools": FUNCTIONS})

    def _send(self, model: str, messages: list[Any], stream: bool, more: dict[str, Any]) -> Seen:
        seen = Seen()
        if not stream:
            made = self.client.chat.complete(model=model, messages=messages, **more)
            message = made.choices[0].message
            pieces, seen.native = [message], message
            seen.finish = made.choices[0].finish_reason
            _count(seen, made.usage)
        else:
            pieces = []
            for event in self.client.chat.stream(model=model, messages=messages, **more):
                for choice in event.data.choices:
                    pieces.append(choice.delta)
                    seen.finish = choice.finish_reason or seen.finish
                if event.data.usage:
                    _count(seen, event.data.usage)
        calls = []
        for piece in pieces:
            content = piece.content if isinstance(piece.content, list) else [piece.content] if piece.content else []
            for item in content:
                if isinstance(item, str):
                    seen.text += item
                elif item.type == "text":
                    seen.text += item.text
                else:
                    seen.thinking += "".join(t.text for t in item.thinking)
                    seen.signature += getattr(item, "signature", None) or ""
            calls += piece.tool_calls or []
        seen.calls = [(c.id, c.function.name, parsed(c.function.arguments)) for c in calls]
        if stream:
            thought: dict[str, Any] = {
                "type": "thinking",
                "thinking": [{"type": "text", "text": seen.thinking}],
                "signature": seen.signature,
            }
            content = [*([thought] if seen.thinking else []), *([{"type": "text", "text": seen.text}] if seen.text else [])]
            seen.native = {"role": "assistant", "content": content, "tool_calls": calls or None}
        return seen


def _count(seen: Seen, usage: Any) -> None:
    seen.usage = (usage.prompt_tokens, usage.completion_tokens)
    details = getattr(usage, "prompt_tokens_details", None) or {}
    seen.cached = details.get("cached_tokens") if isinstance(details, dict) else details.cached_tokens
