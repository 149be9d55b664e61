"""A gateway in front of a simulator, and clients of every dialect for it."""

from __future__ import annotations

from typing import Any

import httpx

import engine
from engine.catalog import Catalog
from engine.examples.given import dummy_settings
from engine.serve.gateway.app import Gateway
from engine.serve.gateway.config import Config
from engine.serve.mounts import Mounts
from engine.testing import Simulator

CATALOG = Catalog()
MOUNTS = Mounts(CATALOG)
#: dialect -> a provider that speaks it
HOMES = {
    "openai-chat": "openai",
    "openai-responses": "openai:responses",
    "anthropic-messages": "anthropic",
    "gemini": "gemini",
    "bedrock-converse": "bedrock",
    "cohere-v2": "cohere",
    "ollama": "ollama",
    "mistral": "mistral",
}
TOOL = {
    "name": "get_weather",
    "description": "weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def settings(target: str, base_url: str, **more: Any) -> dict[str, dict[str, Any]]:
    """Settings of the provider in `provider:variant`, with another server."""
    provider = target.partition(":")[0]
    return {provider: {**dummy_settings(CATALOG.plan(provider)), "base_url": base_url, **more}}


def behind(sim: Simulator, **options: Any) -> Config:
    """A configuration in which every home is the simulator."""
    found: dict[str, dict[str, Any]] = {}
    for dialect, target in HOMES.items():
        found.update(settings(target, sim.url(target.partition(":")[0]), **({"api_key": "k"} if dialect == "ollama" else {})))
    return Config(providers=found, **{"attempts": 1, **options})


def gateway(sim: Simulator, **options: Any) -> Gateway:
    """A gateway in front of the simulator."""
    made = Gateway(behind(sim, **options), catalog=CATALOG)
    made.prepare()
    return made


class Mounted(httpx.ASGITransport):
    """A gateway as the transport of a client, which ends with it."""

    app: Gateway

    async def aclose(self) -> None:
        await self.app.close()


def client_of(dialect: str, origin: str, *, transport: Any = None, **more: Any) -> engine.AsyncClient:
    """A client that speaks a dialect to the gateway at an origin."""
    base_url = f"{origin}{MOUNTS.path(dialect)}"
    if dialect == "mistral":
        base_url += "/v1"
    return engine.AsyncClient(
        CATALOG, providers=settings(HOMES[dialect], base_url, **more), transport=transport, attempts=1, timeout=20
    )
