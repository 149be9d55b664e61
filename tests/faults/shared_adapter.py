"""Our client before the shared judge: its adapter interface, filled in. Copied into the judge's `adapters` package.

One file, two module names: as `llmkit_aiohttp` it uses the aiohttp transport, as `llmkit_httpcore` the connection pools of
httpx's core. The settings are the judge's: 2 s limits and two retries, by our documented arguments.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import engine
from engine import errors

from . import MESSAGES, TOOLS, Base

WIRES = ("openai", "anthropic")
MODELS = {"openai": "openai/gpt-4.1", "anthropic": "anthropic/claude-sonnet-4-5"}
#: the judge's word for the same kind; every other kind has one name in both tables
SAME = {"stream_interrupted": "stream"}
DEADLINE = 20.0  # of the whole call: three attempts of 2 s each and the waits between them


class Adapter(Base):
    root = (errors.Error,)

    def __init__(self, wire: str) -> None:
        self.wire = wire
        self.name = __name__.rpartition(".")[2]
        self.version = engine.__version__

    async def setup(self, base_url: str, key: str, timeout: float) -> None:
        if self.name.endswith("httpcore"):
            from engine.call.send.evented import AsyncPooledTransport as Transport
        else:
            from engine.call.send.aio import AiohttpTransport as Transport
        url = base_url + "/v1" if self.wire == "openai" else base_url
        self.client = engine.AsyncClient(
            providers={self.wire: {"api_key": key, "base_url": url}},
            transport=Transport(),
            timeout=DEADLINE,
            connect=timeout,
            headers=timeout,
            first_event=timeout,
            idle=timeout,
            max_retries=2,
        )

    async def unary(self) -> str:
        response = await self.client.chat(MODELS[self.wire], MESSAGES)
        return str(response.text)

    async def stream(self) -> AsyncIterator[str]:
        async with self.client.chat.stream(MODELS[self.wire], MESSAGES) as events:
            async for event in events:
                if event.kind == "text":
                    yield event.text

    async def tools(self) -> list[tuple[Any, str, str]]:
        async with self.client.chat.stream(MODELS[self.wire], MESSAGES, tools=TOOLS) as events:
            response = await events.finish()
        return [(call.id, call.name, call.arguments_json) for call in response.tool_calls]

    def kind(self, error: BaseException) -> str | None:
        kind = getattr(error, "kind", None)
        return SAME.get(kind, kind) if isinstance(kind, str) else None

    def status(self, error: BaseException) -> int | None:
        return getattr(error, "status", None)

    async def close(self) -> None:
        await self.client.close()


def make(wire: str) -> Adapter:
    return Adapter(wire)
