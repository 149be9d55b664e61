"""Ollama's library."""

from __future__ import annotations

from typing import Any

import ollama
from seen import PERSON, PNG, TOOLS, Sdk, Seen

FUNCTIONS = [{"type": "function", "function": tool} for tool in TOOLS]


def _status(*codes: int) -> Any:
    return lambda error: isinstance(error, ollama.ResponseError) and error.status_code in codes


class Adapter(Sdk):
    dialect = "ollama"
    package = "ollama"
    lacks = {
        "signature": "the API signs no thinking",
        "cached": "the API counts no cached tokens",
        **{f"choice-{mode}": "the API has no tool_choice" for mode in ("auto", "none", "required", "tool")},
    }
    finish = {"stop": "stop", "length": "length", "tool_calls": "stop"}
    raises = {
        "authentication": _status(401),
        "rate_limit": _status(429),
        "invalid_request": _status(400),
        "overloaded": _status(503),
        "not_found": _status(404),
        "server": _status(500, 502),
    }
    midstream = ollama.ResponseError

    def __init__(self, url: str, key: str = "") -> None:
        super().__init__(url, key)
        self.client = ollama.Client(host=url, headers={"Authorization": f"Bearer {self.key}"})

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
        message: dict[str, Any] = {"role": "user", "content": prompt}
        if image:
            message["images"] = [PNG]
        more: dict[str, Any] = {"tools": FUNCTIONS} if tools else {}
        if schema:
            more["format"] = PERSON
        if thinking:
            more["think"] = True
        return self._send(model, [message], stream, more)

    def again(self, model: str, prompt: str, seen: Seen, results: list[str], *, stream: bool = False) -> Seen:
        answers = [{"role": "tool", "tool_name": name, "content": result} for (_, name, _), result in zip(seen.calls, results)]
        return self._send(model, [{"role": "user", "content": prompt}, seen.native, *answers], stream, {"tools": FUNCTIONS})

    def _send(self, model: str, messages: list[Any], stream: bool, more: dict[str, Any]) -> Seen:
        answers = self.client.chat(model=model, messages=messages, stream=stream, **more)
        seen, calls = Seen(), []
        for made in answers if stream else [answers]:
            seen.text += made.message.content or ""
            seen.thinking += made.message.thinking or ""
            calls += made.message.tool_calls or []
            if made.done:
                seen.usage, seen.finish = (made.prompt_eval_count, made.eval_count), made.done_reason
        seen.calls = [(None, c.function.name, dict(c.function.arguments)) for c in calls]
        seen.native = ollama.Message(role="assistant", content=seen.text, thinking=seen.thinking or None, tool_calls=calls or None)
        return seen
