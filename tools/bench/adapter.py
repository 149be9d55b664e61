"""The engine as a peer of the side-by-side benchmark: copied beside the other adapters by run.py."""

import os
import sys

if os.environ.get("LLMKIT_SOURCE"):  # a checkout; without it the installed wheel is measured
    sys.path.insert(0, os.environ["LLMKIT_SOURCE"])

from adapters import Base

import engine as lib

MODELS = {
    "openai": ("openai", "gpt-4o-mini", "/v1"),
    "anthropic": ("anthropic", "claude-sonnet-4-5", ""),
    "gemini": ("google-gemini", "gemini-2.5-flash", ""),
}


class A(Base):
    imports = "import engine"
    dist = ["llmkit-engine[fast]"]
    dialects = ("openai", "anthropic", "gemini")

    def __init__(self, root, dialect):
        provider, model, path = MODELS[dialect]
        self.target = f"{provider}/{model}"
        self.embedder = "openai/text-embedding-3-small"
        self.settings = {provider: {"base_url": root + path, "api_key": "sk-x"}}
        self._sync = self._async = None

    @property
    def sync(self):
        if self._sync is None:
            self._sync = lib.Client(providers=self.settings)
        return self._sync

    @property
    def aio(self):
        if self._async is None:
            self._async = lib.AsyncClient(providers=self.settings)
        return self._async

    def prepare(self, req):
        return {k: v for k, v in req.items() if k != "model"}

    def chat(self, req):
        return self.sync.chat(self.target, **req).text

    def stream(self, req):
        with self.sync.chat.stream(self.target, **req) as stream:
            for event in stream:
                if event.kind == "text":
                    yield event.text

    async def achat(self, req):
        return (await self.aio.chat(self.target, **req)).text

    async def astream(self, req):
        async with self.aio.chat.stream(self.target, **req) as stream:
            async for event in stream:
                if event.kind == "text":
                    yield event.text

    def close(self):
        if self._sync is not None:
            self._sync.close()

    async def aclose(self):
        if self._async is not None:
            await self._async.aclose()
