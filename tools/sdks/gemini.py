"""Google's Gen AI library, with an API key."""

from __future__ import annotations

import base64
from typing import Any

from google import genai
from google.genai import errors, types
from seen import PERSON, PNG, TOOLS, WEATHER, Sdk, Seen


def _code(*codes: int) -> Any:
    return lambda error: isinstance(error, errors.APIError) and error.code in codes


class Adapter(Sdk):
    dialect = "gemini"
    package = "google-genai"
    finish = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}
    raises = {
        "authentication": _code(401),
        "rate_limit": _code(429),
        "invalid_request": _code(400),
        "overloaded": _code(503),
        "not_found": _code(404),
        "server": _code(500, 502),
    }
    midstream = errors.APIError

    def __init__(self, url: str, key: str = "") -> None:
        super().__init__(url, key)
        self.client = genai.Client(api_key=self.key, http_options=types.HttpOptions(base_url=url))

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
        parts = [types.Part(text=prompt)]
        if image:
            parts.append(types.Part.from_bytes(data=PNG, mime_type="image/png"))
        more: dict[str, Any] = self._tools() if tools else {}
        if choice:
            mode = {"required": "ANY", "tool": "ANY"}.get(choice, choice.upper())
            only = [WEATHER["name"]] if choice == "tool" else None
            more["tool_config"] = types.ToolConfig(
                function_calling_config=types.FunctionCallingConfig(mode=mode, allowed_function_names=only)
            )
        if schema:
            more.update(response_mime_type="application/json", response_json_schema=PERSON)
        if thinking:
            more["thinking_config"] = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
        return self._send(model, [types.Content(role="user", parts=parts)], stream, more)

    def again(self, model: str, prompt: str, seen: Seen, results: list[str], *, stream: bool = False) -> Seen:
        answers = [
            types.Part(function_response=types.FunctionResponse(id=id, name=name, response={"result": result}))
            for (id, name, _), result in zip(seen.calls, results)
        ]
        contents = [
            types.Content(role="user", parts=[types.Part(text=prompt)]),
            seen.native,
            types.Content(role="user", parts=answers),
        ]
        return self._send(model, contents, stream, self._tools())

    def _tools(self) -> dict[str, Any]:
        declared = [
            types.FunctionDeclaration(name=t["name"], description=t["description"], parameters_json_schema=t["parameters"])
            for t in TOOLS
        ]
        return {
            "tools": [types.Tool(function_declarations=declared)],
            "automatic_function_calling": types.AutomaticFunctionCallingConfig(disable=True),
        }

    def _send(self, model: str, contents: list[Any], stream: bool, more: dict[str, Any]) -> Seen:
        config = types.GenerateContentConfig(**more)
        parts: list[Any] = []
        usage = finish = None
        if stream:
            answers = self.client.models.generate_content_stream(model=model, contents=contents, config=config)
        else:
            answers = iter([self.client.models.generate_content(model=model, contents=contents, config=config)])
        for answer in answers:
            for candidate in answer.candidates or ():
                parts += (candidate.content.parts if candidate.content else None) or []
                finish = candidate.finish_reason.value if candidate.finish_reason else finish
            usage = answer.usage_metadata or usage
        signatures = [p.thought_signature for p in parts if p.thought_signature]
        thought = (usage.thoughts_token_count or 0) if usage else 0
        return Seen(
            text="".join(p.text for p in parts if p.text and not p.thought),
            thinking="".join(p.text for p in parts if p.text and p.thought),
            signature=base64.b64encode(b"".join(signatures)).decode(),
            calls=[(p.function_call.id, p.function_call.name, dict(p.function_call.args or {})) for p in parts if p.function_call],
            usage=(usage.prompt_token_count, (usage.candidates_token_count or 0) + thought) if usage else (None, None),
            cached=usage.cached_content_token_count if usage else None,
            finish=finish,
            native=types.Content(role="model", parts=parts),
        )
