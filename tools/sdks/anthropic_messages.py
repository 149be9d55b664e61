"""Anthropic's library."""

from __future__ import annotations

import base64
from typing import Any

import anthropic
from seen import PERSON, PNG, TOOLS, WEATHER, Sdk, Seen

OFFERED = [{"name": t["name"], "description": t["description"], "input_schema": t["parameters"]} for t in TOOLS]


class Adapter(Sdk):
    dialect = "anthropic-messages"
    package = "anthropic"
    finish = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
    raises = {
        "authentication": anthropic.AuthenticationError,
        "rate_limit": anthropic.RateLimitError,
        "invalid_request": anthropic.BadRequestError,
        "overloaded": anthropic.InternalServerError,
        "not_found": anthropic.NotFoundError,
        "server": anthropic.InternalServerError,
    }
    midstream = anthropic.APIStatusError

    def __init__(self, url: str, key: str = "") -> None:
        super().__init__(url, key)
        self.client = anthropic.Anthropic(base_url=url, api_key=self.key, max_retries=0)

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
            source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
            content = [{"type": "image", "source": source}, {"type": "text", "text": prompt}]
        more: dict[str, Any] = {}
        if tools:
            more["tools"] = OFFERED
        if choice:
            more["tool_choice"] = {"tool": {"type": "tool", "name": WEATHER["name"]}, "required": {"type": "any"}}.get(
                choice, {"type": choice}
            )
        if schema:
            more["output_config"] = {"format": {"type": "json_schema", "schema": PERSON}}
        if thinking:
            more["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        return self._send(model, [{"role": "user", "content": content}], stream, more)

    def again(self, model: str, prompt: str, seen: Seen, results: list[str], *, stream: bool = False) -> Seen:
        answers = [{"type": "tool_result", "tool_use_id": id, "content": result} for (id, _, _), result in zip(seen.calls, results)]
        messages = [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": seen.native},
            {"role": "user", "content": answers},
        ]
        return self._send(model, messages, stream, {"tools": OFFERED})

    def _send(self, model: str, messages: list[Any], stream: bool, more: dict[str, Any]) -> Seen:
        if not stream:
            made = self.client.messages.create(model=model, messages=messages, max_tokens=4096, **more)
        else:
            with self.client.messages.stream(model=model, messages=messages, max_tokens=4096, **more) as events:
                made = events.get_final_message()
        thoughts = [b for b in made.content if b.type == "thinking"]
        return Seen(
            text="".join(b.text for b in made.content if b.type == "text"),
            thinking="".join(b.thinking for b in thoughts),
            signature="".join(b.signature for b in thoughts),
            calls=[(b.id, b.name, dict(b.input)) for b in made.content if b.type == "tool_use"],
            usage=(made.usage.input_tokens + (made.usage.cache_read_input_tokens or 0), made.usage.output_tokens),
            cached=made.usage.cache_read_input_tokens,
            finish=made.stop_reason,
            native=made.content,
        )
