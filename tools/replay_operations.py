"""Recorded exchanges of operations beside chat: embeddings, rankings, pictures, transcripts, … Part of tools/replay.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

_OPENAI = {p: p for p in ("openai", "openrouter", "perplexity", "sambanova", "cerebras")}
#: file of the recordings -> (operation of the catalog, provider that reads it, who else of the catalog answered in it)
FILES: dict[str, tuple[str, str, dict[str, str]]] = {
    "openai-embeddings": ("embeddings", "openai-compatible", {**_OPENAI, "azure": "azure-openai"}),
    "mistral.embeddings": ("embeddings", "mistral", {}),
    "gemini-embeddings": ("embeddings", "google-gemini", {"vertexai": "google-vertex"}),
    "vertex-predict.embeddings": ("embeddings", "google-vertex", {}),
    "cohere-v2.embeddings": ("embeddings", "cohere", {}),
    "cohere-v1.embeddings": ("embeddings", "cohere", {}),
    "bedrock-invoke.embeddings": ("embeddings", "amazon-bedrock", {}),
    "ollama.embeddings": ("embeddings", "ollama", {}),
    "anthropic-messages.count_tokens": ("count_tokens", "anthropic", {}),
    "gemini-generatecontent.count_tokens": ("count_tokens", "google-gemini", {"vertexai": "google-vertex"}),
    "openai-responses.count_tokens": ("count_tokens", "openai", {}),
    "bedrock-converse.count_tokens": ("count_tokens", "amazon-bedrock", {}),
    "openai-models": ("list_models", "openai-compatible", _OPENAI),
    "anthropic-models": ("list_models", "anthropic", {}),
    "gemini-models": ("list_models", "google-gemini", {}),
    "cohere-v2.rerank": ("rerank", "cohere", {}),
    "cohere-v1.rerank": ("rerank", "cohere", {}),
    "bedrock-invoke.rerank": ("rerank", "amazon-bedrock-invoke", {}),
    "bedrock-rerank": ("rerank", "amazon-bedrock", {}),
    "openrouter-rerank": ("rerank", "openrouter", {}),
    "together-rerank": ("rerank", "together", {}),
    "voyage.rerank": ("rerank", "voyage", {}),
    "voyage.embeddings": ("embeddings", "voyage", {}),
    "openai-moderations.moderation": ("moderation", "openai", {"mistral": "mistral"}),
    "openai-images": ("image", "openai-compatible", {"openai": "openai", "xai": "xai", "nebius": "nebius", "together": "together"}),
    "openai-audio.transcription": (
        "transcription",
        "openai-compatible",
        {"openai": "openai", "groq": "groq", "mistral": "mistral"},
    ),
    "deepgram.transcription": ("transcription", "deepgram", {}),
    "elevenlabs.transcription": ("transcription", "elevenlabs", {}),
    "xai-audio.transcription": ("transcription", "xai", {}),
    "cartesia.transcription": ("transcription", "cartesia", {}),
    "fal.transcription": ("transcription", "fal", {}),
    "huggingface-inference.transcription": ("transcription", "huggingface", {}),
    "huggingface-inference.embeddings": ("embeddings", "huggingface", {}),
    "fal.images": ("image", "fal", {}),
    "replicate.images": ("image", "replicate", {}),
    "replicate.chat": ("chat", "replicate", {}),
    "anthropic-files": ("get_file", "anthropic", {}),
    "watsonx": ("completion", "ibm-watsonx", {}),
    "openai-completions.other": (
        "completion",
        "openai-compatible",
        {"openai": "openai", "azure": "azure-openai", "together": "together"},
    ),
}


def cases(directory: Path, dialect: str | None = None, case: str | None = None) -> Iterator[dict[str, Any]]:
    """The recorded exchanges that state an expectation, each with the `file` it stands in."""
    for name in FILES:
        path = directory / f"{name}.jsonl"
        if dialect in (None, name) and path.exists():
            for line in path.open(encoding="utf-8"):
                found = json.loads(line)
                if case in (None, found["id"]) and ("expected" in found or "expected_error" in found):
                    yield {**found, "file": name}


def target(case: dict[str, Any]) -> tuple[str, str]:
    """`provider/model` of the catalog and the operation that a case is read with."""
    operation, default, known = FILES[case["file"]]
    request = case["request"] or {}
    body = request.get("body")
    model = body.get("model") if isinstance(body, dict) else None
    found = re.search(r"/models?/([^/:?]+(?::\d+)?)", unquote(request.get("url") or ""))
    model = model or (found.group(1) if found else "model")
    return f"{known.get(case['provider'], default)}/{model}", operation


def differences(expected: dict[str, Any], response: Any, error: Any) -> list[str]:
    """Every expectation of a 2xx answer that is not met, by the conventions of the recordings' README."""
    if error is not None:
        return [f"error {error.kind}: {error}"]
    usage = expected.get("usage") or {}
    wanted = {"input_tokens": usage.get("input_tokens", expected.get("input_tokens")), "output_tokens": usage.get("output_tokens")}
    have: dict[str, Any] = {name: getattr(response.usage, name) for name in wanted}
    if "usage" not in expected and "input_tokens" not in expected:
        wanted, have = {}, {}
    elif "usage" in expected and expected["usage"] is None:  # some are stated by the wire all the same
        wanted.pop("input_tokens"), have.pop("input_tokens")
    if "embeddings" in expected:
        wanted.update(expected["embeddings"])
        vectors = response.embeddings
        have.update(count=len(vectors), dimensions=len(vectors[0]) if vectors else None)
        if not all(isinstance(x, (int, float)) for vector in vectors for x in vector):
            return ["a vector holds something that is no number"]
    if "embedding_types" in expected:
        wanted["types"] = expected["embedding_types"]
        have["types"] = list(dict.fromkeys({None: "float"}.get(e.dtype, e.dtype) for e in response.outputs))
    if "models" in expected:
        wanted.update(expected["models"], first=str(expected["models"]["first"]).removeprefix("models/"))
        have.update(count=len(response.models), first=response.models[0].id if response.models else None)
    if "text" in expected:
        wanted["text"], have["text"] = expected["text"] or "", response.text
    if "finish_reason" in expected:
        wanted["finish_reason"], have["finish_reason"] = expected["finish_reason"], response.finish_reason
    if "ranking" in expected:
        wanted["ranking"] = [(r["index"], r["score"]) for r in expected["ranking"]]
        have["ranking"] = [(e.index, e.score) for e in response.outputs if e.kind == "result"]
    if "search_units" in expected:
        wanted["search_units"], have["search_units"] = expected["search_units"], response.usage.searches
    if "flagged" in expected:
        wanted["flagged"], have["flagged"] = expected["flagged"], [e.flagged for e in response.outputs if e.kind == "verdict"]
    if "images" in expected and isinstance(expected["images"], list):
        wanted["images"] = [i["kind"] for i in expected["images"]]
        have["images"] = ["b64_json" if e.data else "url" for e in response.outputs if e.kind == "image"]
    return [f"{name}: expected {value}, got {have[name]}" for name, value in wanted.items() if have[name] != value]
