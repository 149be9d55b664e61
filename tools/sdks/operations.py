"""Embeddings, token counts and model lists by official client libraries, against one server. Run by tests with the SDKs' Python.

    operations.py ORIGIN

ORIGIN offers the models `e` (vectors) and `c`, `g` (token counts). Prints one JSON object: what each library understood, or
the error it raised.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

TEXTS = ["a", "b"]


def calls(origin: str) -> dict[str, Callable[[], Any]]:
    """One call of each library, by name."""
    import anthropic
    import cohere
    import ollama
    import openai
    from google import genai
    from google.genai import types
    from mistralai.client import Mistral

    gpt = openai.OpenAI(api_key="k", base_url=f"{origin}/v1", max_retries=0)
    claude = anthropic.Anthropic(api_key="k", base_url=origin, max_retries=0)
    gemini = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=origin))
    command, local = cohere.ClientV2(api_key="k", base_url=origin), ollama.Client(host=origin)
    purpose = types.EmbedContentConfig(task_type="RETRIEVAL_QUERY")
    tool: Any = {"name": "f", "input_schema": {"type": "object"}}
    return {
        "openai embeddings": lambda: [d.embedding for d in gpt.embeddings.create(model="e", input=TEXTS).data],
        "openai models": lambda: [m.id for m in gpt.models.list()],
        "openai tokens": lambda: gpt.responses.input_tokens.count(model="c", input="hi").input_tokens,
        "anthropic tokens": lambda: (
            claude.messages.count_tokens(
                model="g", messages=[{"role": "user", "content": "hi"}], system="s", tools=[tool]
            ).input_tokens
        ),
        "anthropic models": lambda: [m.id for m in claude.models.list()],
        "gemini embeddings": lambda: [
            e.values for e in gemini.models.embed_content(model="e", contents=list(TEXTS), config=purpose).embeddings or ()
        ],
        "gemini tokens": lambda: gemini.models.count_tokens(model="c", contents="hi").total_tokens,
        "gemini models": lambda: [str(m.name).removeprefix("models/") for m in gemini.models.list()],
        "cohere embeddings": lambda: (
            command.embed(model="e", texts=TEXTS, input_type="search_query", embedding_types=["float"]).embeddings.float_
        ),
        "cohere models": lambda: [
            m.name for m in cohere.ClientV2(api_key="k", base_url=f"{origin}/cohere-models").models.list().models
        ],
        "ollama embeddings": lambda: [list(v) for v in local.embed(model="e", input=TEXTS).embeddings],
        "ollama models": lambda: [m.model for m in local.list().models],
        "mistral embeddings": lambda: [
            d.embedding for d in Mistral(api_key="k", server_url=origin).embeddings.create(model="e", inputs=TEXTS).data
        ],
    }


def main(origin: str) -> None:
    found: dict[str, Any] = {}
    for name, call in calls(origin).items():
        try:
            found[name] = call()
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"[:300]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
