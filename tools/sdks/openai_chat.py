"""OpenAI's library, chat completions."""

from __future__ import annotations

import base64
from typing import Any

import openai
from seen import PERSON, PNG, TOOLS, WEATHER, Sdk, Seen, parsed

FUNCTIONS = [{"type": "function", "function": tool} for tool in TOOLS]


class Adapter(Sdk):
    dialect = "openai-chat"
    package = "openai"
    lacks = {"signature": "chat completions carry no signature of thinking"}
    finish = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}
    raises = {
        "authentication": openai.AuthenticationError,
        "rate_limit": openai.RateLimitError,
        "invalid_request": openai.BadRequestError,
        "overloaded": openai.InternalServerError,
        "not_found": openai.NotFoundError,
        "server": openai.InternalServerError,
    }
    midstream = openai.APIError

    def __init__(self, url: str, key: str = "") -> None:
        super().__init__(url, key)
        self.client = openai.OpenAI(base_url=url, api_key=self.key, max_retries=0)

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
        more: dict[str, Any] = {}
        if tools:
            more["tools"] = FUNCTIONS
        if choice:
            more["tool_choice"] = {"type": "function", "function": {"name": WEATHER["name"]}} if choice == "tool" else choice
        if schema:
            more["response_format"] = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
        if thinking:
            more["reasoning_effort"] = "low"
        return self._send(model, [{"role": "user", "content": content}], stream, more)

    def again(self, model: str, prompt: str, seen: Seen, results: list[str], *, stream: bool = False) -> Seen:
        answers = [{"role": "tool", "tool_call_id": id, "content": result} for (id, _, _), result in zip(seen.calls, results)]
        more = {"tools": FUNCTIONS}
        return self._send(model, [{"role": "user", "content": prompt}, seen.native, *answers], stream, more)

    def _send(self, model: str, messages: list[Any], stream: bool, more: dict[str, Any]) -> Seen:
        if not stream:
            made = self.client.chat.completions.create(model=model, messages=messages, **more)
        else:
            with self.client.chat.completions.stream(
                model=model, messages=messages, stream_options={"include_usage": True}, **more
            ) as events:
                thoughts = "".join(
                    getattr(c.delta, "reasoning_content", None) or "" for e in events if e.type == "chunk" for c in e.chunk.choices
                )
                try:
                    made = events.get_final_completion()
                except openai.LengthFinishReasonError as short:  # how the helper tells that finish
                    made = short.completion
        message = made.choices[0].message
        return Seen(
            text=message.content or "",
            thinking=thoughts if stream else getattr(message, "reasoning_content", None) or "",
            calls=[(c.id, c.function.name, parsed(c.function.arguments)) for c in message.tool_calls or ()],
            usage=(made.usage.prompt_tokens, made.usage.completion_tokens),
            cached=made.usage.prompt_tokens_details.cached_tokens if made.usage.prompt_tokens_details else None,
            finish=made.choices[0].finish_reason,
            native=message,
        )
