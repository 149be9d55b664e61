"""LangChain's package for Anthropic."""

from __future__ import annotations

from typing import Any

from anthropic_messages import Adapter as Plain
from langchain_anthropic import ChatAnthropic
from langchain_openai_chat import Adapter as Chain
from seen import PERSON, WEATHER


class Adapter(Chain):
    dialect = "anthropic-messages"
    package = "langchain-anthropic"
    lacks: dict[str, str] = {}
    finish = Plain.finish
    raises = Plain.raises
    midstream = Plain.midstream

    def _chat(self, model: str, thinking: bool) -> Any:
        more: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if thinking else {}
        return ChatAnthropic(model=model, base_url=self.url, api_key=self.key, max_retries=0, max_tokens=4096, **more)

    def _choice(self, choice: str | None) -> dict[str, Any]:
        named = {"required": "any", "tool": WEATHER["name"]}
        return {"tool_choice": named.get(choice) or {"type": choice}} if choice else {}

    def _schema(self) -> dict[str, Any]:
        return {"output_config": {"format": {"type": "json_schema", "schema": PERSON}}}

    def _finish(self, told: dict[str, Any]) -> Any:
        return told.get("stop_reason")

    def _thoughts(self, made: Any) -> tuple[str, str]:
        found = [b for b in made.content if isinstance(b, dict) and b.get("type") == "thinking"]
        return "".join(b.get("thinking") or "" for b in found), "".join(b.get("signature") or "" for b in found)
