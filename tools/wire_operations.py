#!/usr/bin/env python3
"""Render the recorded inputs of operations beside chat and judge the bodies by the providers' own types.

    tools/wire_operations.py DIR

DIR is the wire reference of tools/wire.py, which judges chat. What a provider cannot express has to be named by a warning
or refused. Exit code 0: no invalid body and no silent loss; 1 otherwise; 3 without the SDKs (LLMKIT_SDK_PYTHON).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "tools"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

#: what is rendered -> (operation, kind of the inputs, the validator's dialect)
TARGETS: dict[str, tuple[str, str, str]] = {
    "openai/text-embedding-3-small": ("embeddings", "embedding", "openai.embeddings"),
    "azure-openai/text-embedding-3-small": ("embeddings", "embedding", "openai.embeddings"),
    "openai-compatible/e5": ("embeddings", "embedding", "openai.embeddings"),
    "vllm/e5": ("embeddings", "embedding", "openai.embeddings"),
    "mistral/mistral-embed": ("embeddings", "embedding", "mistral.embeddings"),
    "cohere/embed-v4.0": ("embeddings", "embedding", "cohere.embed"),
    "ollama/nomic-embed-text": ("embeddings", "embedding", "ollama.embed"),
    "together/m2-bert": ("embeddings", "embedding", "together.embeddings"),
    "sambanova/E5-Mistral-7B-Instruct": ("embeddings", "embedding", "sambanova.embeddings"),
    "perplexity/pplx-embed-v1-0.6b": ("embeddings", "embedding", "perplexity.embeddings"),
    "google-gemini/gemini-embedding-001": ("embeddings", "embedding", "gemini"),
}


def requests(directory: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Every input for every target as it would be sent, and what got lost on the way without a word."""
    from engine.catalog import Catalog
    from engine.examples import given_operation

    catalog, sent, lost = Catalog(), [], []  # type: Any, list[dict[str, Any]], list[str]
    inputs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((directory / "cases").glob("*.json"))]
    for target, (operation, kind, dialect) in TARGETS.items():
        bound = given_operation(catalog, target, operation)
        for case in inputs:
            if case["kind"] != kind:
                continue
            request = bound.render(**case["input"])
            body = json.loads(request.body or b"null")
            hay, said = json.dumps(body), " ".join(request.report.warnings) if request.report else ""
            given = case["input"]
            texts = given["input"] if isinstance(given["input"], list) else [given["input"]]
            lost += [f"{target} {case['name']}: {text}" for text in texts if json.dumps(text) not in hay]
            for name, value in given.items():
                word = str(value).removeprefix("search_")
                if name != "input" and name not in said and word.lower() not in hay.lower():
                    lost.append(f"{target} {case['name']}: {name}")
            path = urlsplit(request.url).path
            sent.append({"target": target, "case": case["name"], "dialect": dialect, "body": body, "path": path})
    return sent, lost


def main(argv: list[str]) -> int:
    import wire

    if len(argv) != 1 or not (Path(argv[0]) / "cases").is_dir():
        print(__doc__)
        return 2
    sent, lost = requests(Path(argv[0]))
    verdicts = wire.verdicts(Path(argv[0]), sent)
    invalid = [f"{s['target']} {s['case']}: {'; '.join(v)}" for s, v in zip(sent, verdicts, strict=True) if v]
    unjudged = verdicts.count(None)
    print(f"{len(sent)} bodies, {len(invalid)} invalid, {len(lost)} losses, {unjudged} not judged")
    print("\n".join([*(f"invalid: {one}" for one in invalid), *(f"lost: {one}" for one in lost)]))
    return 1 if invalid or lost else 3 if unjudged else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
