"""Drive the official client libraries; runs in their own environment. One JSON line per case on standard output.

    python tools/sdks/run.py '{"openai-chat": {"url": "http://127.0.0.1:8089/v1", "model": "{}"}}'

`model` says how a case's model is named (`groq/{}` behind a gateway); `cases` limits what is tried.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any

ADAPTERS = {
    "openai-chat": "openai_chat",
    "openai-responses": "openai_responses",
    "anthropic-messages": "anthropic_messages",
    "gemini": "gemini",
    "bedrock-converse": "bedrock_converse",
    "cohere-v2": "cohere_v2",
    "ollama": "ollama_chat",
    "mistral": "mistral_chat",
}


def main(targets: dict[str, dict[str, Any]]) -> None:
    from cases import CASES

    for name, target in targets.items():
        try:
            made = importlib.import_module(ADAPTERS[name]).Adapter
        except ImportError as error:
            _tell(sdk=name, missing=str(error))
            continue
        sdk = _named(made, target.get("model", "{}"))(target["url"], target.get("key", "any-key"))
        _tell(sdk=name, package=_version(made.package))
        for case, (run, whole) in CASES.items():
            for stream in (False, True):
                if (target.get("cases") and case not in target["cases"]) or not (whole or stream):
                    continue
                if case in made.lacks:
                    _tell(sdk=name, case=case, stream=stream, lacks=made.lacks[case])
                    continue
                try:
                    run(sdk, stream)
                except Exception as error:
                    place = "" if type(error).__name__ == "Wrong" else traceback.format_exc(limit=-3)
                    _tell(sdk=name, case=case, stream=stream, ok=False, why=f"{type(error).__name__}: {error}"[:1500], trace=place)
                else:
                    _tell(sdk=name, case=case, stream=stream, ok=True)


def _named(made: Any, pattern: str) -> Any:
    """The adapter, with models named as the target wants them."""

    class Named(made):
        def ask(self, model: str, prompt: str, **more: Any) -> Any:
            return super().ask(pattern.format(model), prompt, **more)

        def again(self, model: str, prompt: str, seen: Any, results: list[str], **more: Any) -> Any:
            return super().again(pattern.format(model), prompt, seen, results, **more)

    return Named


def _version(package: str) -> str:
    from importlib.metadata import version

    return f"{package} {version(package)}"


def _tell(**row: Any) -> None:
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    main(json.loads(sys.argv[1]))
