"""OpenAI's library, the Responses API."""

from __future__ import annotations

import base64
from typing import Any

import openai
from openai_chat import Adapter as Chat
from seen import PERSON, PNG, TOOLS, WEATHER, Sdk, Seen, parsed

OFFERED = [{"type": "function", "strict": False, **tool} for tool in TOOLS]


class Adapter(Sdk):
    dialect = "openai-responses"
    package = "openai"
    finish = {
        "stop": ("completed", None),
        "length": ("incomplete", "max_output_tokens"),
        "tool_calls": ("completed", None),
        "error": ("failed", None),
    }
    raises = Chat.raises
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
            content = [{"type": "input_text", "text": prompt}, {"type": "input_image", "image_url": uri, "detail": "auto"}]
        more: dict[str, Any] = {}
        if tools:
            more["tools"] = OFFERED
        if choice:
            more["tool_choice"] = {"type": "function", "name": WEATHER["name"]} if choice == "tool" else choice
        if schema:
            more["text"] = {"format": {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}}
        if thinking:
            more.update(reasoning={"effort": "low", "summary": "auto"}, include=["reasoning.encrypted_content"])
        return self._send(model, [{"role": "user", "content": content}], stream, more)

    def again(self, model: str, prompt: str, seen: Seen, results: list[str], *, stream: bool = False) -> Seen:
        answers = [
            {"type": "function_call_output", "call_id": id, "output": result} for (id, _, _), result in zip(seen.calls, results)
        ]
        return self._send(model, [{"role": "user", "content": prompt}, *seen.native, *answers], stream, {"tools": OFFERED})

    def _send(self, model: str, messages: list[Any], stream: bool, more: dict[str, Any]) -> Seen:
        if not stream:
            made = self.client.responses.create(model=model, input=messages, store=False, **more)
        else:
            with self.client.responses.stream(model=model, input=messages, store=False, **more) as events:
                made = None
                for event in events:
                    if event.type in ("response.completed", "response.incomplete"):
                        made = event.response
                    elif event.type in ("error", "response.failed"):
                        raise openai.APIError(str(event), request=None, body=None)  # type: ignore[arg-type]
                assert made is not None
        thoughts = [item for item in made.output if item.type == "reasoning"]
        return Seen(
            text=made.output_text,
            thinking="".join(s.text for t in thoughts for s in t.summary),
            signature="".join(t.encrypted_content or "" for t in thoughts),
            calls=[(i.call_id, i.name, parsed(i.arguments)) for i in made.output if i.type == "function_call"],
            usage=(made.usage.input_tokens, made.usage.output_tokens),
            cached=made.usage.input_tokens_details.cached_tokens if made.usage.input_tokens_details else None,
            finish=(made.status, made.incomplete_details.reason if made.incomplete_details else None),
            native=made.output,
        )
