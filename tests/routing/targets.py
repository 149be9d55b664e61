"""Stand-ins for several providers of which some misbehave: one simulator per provider."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import engine
from engine.testing import Simulator

A, B, C = "groq/llama-3.3-70b-versatile", "openai/gpt-5-mini", "anthropic/claude-sonnet-4-5"


class Several:
    """`Several(groq="u_503_always", openai={"kind": "quota"})`: one has a fault by name, one refuses with an error of that kind,
    every other provider says who it is. `with` runs them."""

    def __init__(self, **faults: Any) -> None:
        self.faults = {"groq": None, "openai": None, "anthropic": None, **faults}
        self.sims: dict[str, Simulator] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Several:
        for provider, fault in self.faults.items():
            says: list[Any] = [{"say": f"Hello from {provider}."}]
            if isinstance(fault, dict):
                says.insert(0, {"error": fault})
            named = fault if isinstance(fault, str) else None
            self.sims[provider] = self._stack.enter_context(Simulator(says, named))
        return self

    def __exit__(self, *stop: Any) -> None:
        self._stack.__exit__(*stop)

    def settings(self, given: dict[str, Any] | None = None) -> dict[str, Any]:
        own = {p: {"base_url": f"{sim.origin}/{p}", "api_key": f"key-of-{p}-0123456789"} for p, sim in self.sims.items()}
        return {p: {**settings, **((given or {}).get(p) or {})} for p, settings in own.items()}

    def client(self, **options: Any) -> engine.Client:
        catalog = next(iter(self.sims.values())).catalog
        return engine.Client(catalog, **{**options, "providers": self.settings(options.get("providers"))})

    def async_client(self, **options: Any) -> engine.AsyncClient:
        catalog = next(iter(self.sims.values())).catalog
        return engine.AsyncClient(catalog, **{**options, "providers": self.settings(options.get("providers"))})

    def asked(self, provider: str) -> int:
        return len(self.sims[provider].requests)
