"""LangChain's package for OpenAI, chat completions and (as a second adapter) responses."""

from __future__ import annotations

import base64
from typing import Any

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai_chat import Adapter as Chat
from openai_responses import Adapter as Plain
from seen import PERSON, PNG, TOOLS, WEATHER, Sdk, Seen

FUNCTIONS = [{"type": "function", "function": tool} for tool in TOOLS]
IMAGE = {"type": "image", "base64": base64.b64encode(PNG).decode(), "mime_type": "image/png"}


class Adapter(Sdk):
    dialect = "openai-chat"
    package = "langchain-openai"
    lacks = {**Chat.lacks, "thinking": "the library keeps no reasoning_content"}
    finish = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}
    raises = Chat.raises
    midstream = openai.APIError
    settings: dict[str, Any] = {}

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
        content: Any = [{"type": "text", "text": prompt}, IMAGE] if image else prompt
        chat: Any = self._chat(model, thinking)
        if tools:
            chat = chat.bind_tools(FUNCTIONS, **self._choice(choice))
        if schema:
            chat = chat.bind(**self._schema())
        return self._send(chat, [HumanMessage(content)], stream)

    def again(self, model: str, prompt: str, seen: Seen, results: list[str], *, stream: bool = False) -> Seen:
        answers = [ToolMessage(result, tool_call_id=id) for (id, _, _), result in zip(seen.calls, results)]
        chat = self._chat(model, False).bind_tools(FUNCTIONS)
        return self._send(chat, [HumanMessage(prompt), seen.native, *answers], stream)

    def _chat(self, model: str, thinking: bool) -> Any:
        more: dict[str, Any] = {"reasoning_effort": "low"} if thinking else {}
        return ChatOpenAI(model=model, base_url=self.url, api_key=self.key, max_retries=0, stream_usage=True, **more)

    def _choice(self, choice: str | None) -> dict[str, Any]:
        return {"tool_choice": WEATHER["name"] if choice == "tool" else choice} if choice else {}

    def _schema(self) -> dict[str, Any]:
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}}

    def _send(self, chat: Any, messages: list[Any], stream: bool) -> Seen:
        made: Any = None
        if stream:
            for piece in chat.stream(messages):
                made = piece if made is None else made + piece
        else:
            made = chat.invoke(messages)
        thinking, signature = self._thoughts(made)
        usage = made.usage_metadata or {}
        return Seen(
            text=str(made.text),
            thinking=thinking,
            signature=signature,
            calls=[(c["id"], c["name"], c["args"]) for c in made.tool_calls],
            usage=(usage.get("input_tokens"), usage.get("output_tokens")),
            cached=(usage.get("input_token_details") or {}).get("cache_read"),
            finish=self._finish(made.response_metadata),
            native=made,
        )

    def _finish(self, told: dict[str, Any]) -> Any:
        return told.get("finish_reason")

    def _thoughts(self, made: Any) -> tuple[str, str]:
        return "", ""


class Responses(Adapter):
    dialect = "openai-responses"
    lacks: dict[str, str] = {}
    finish = Plain.finish

    def _chat(self, model: str, thinking: bool) -> Any:
        more: dict[str, Any] = {"reasoning": {"effort": "low", "summary": "auto"}} if thinking else {}
        return ChatOpenAI(
            model=model,
            base_url=self.url,
            api_key=self.key,
            max_retries=0,
            use_responses_api=True,
            output_version="responses/v1",
            store=False,
            include=["reasoning.encrypted_content"],
            **more,
        )

    def _schema(self) -> dict[str, Any]:
        return {"text": {"format": {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}}}

    def _finish(self, told: dict[str, Any]) -> Any:
        return told.get("status"), (told.get("incomplete_details") or {}).get("reason")

    def _thoughts(self, made: Any) -> tuple[str, str]:
        found = [b for b in made.content if isinstance(b, dict) and b.get("type") == "reasoning"]
        text = "".join(s["text"] for b in found for s in b.get("summary") or ())
        return text, "".join(b.get("encrypted_content") or "" for b in found)
