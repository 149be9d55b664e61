"""Drive the official client libraries; runs in their own environment. One JSON line per case on standard output.

    python tools/sdks/run.py '[{"sdk": "openai-chat", "url": "http://127.0.0.1:8089/v1"}]'

A target has further: `upstream`, the dialect behind a gateway, or any name; `model`, how a case's model is named there
(`groq/{}`); `cases`, the only ones to try; `key`, with which it is a gateway. A case that fails because the upstream's own
library has no such thing (its `lacks`) is `lost`; what a request asked for must then be named in the gateway's warnings.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any

ADAPTERS = {
    "openai-chat": "openai_chat:Adapter",
    "openai-responses": "openai_responses:Adapter",
    "anthropic-messages": "anthropic_messages:Adapter",
    "gemini": "gemini:Adapter",
    "bedrock-converse": "bedrock_converse:Adapter",
    "cohere-v2": "cohere_v2:Adapter",
    "ollama": "ollama_chat:Adapter",
    "mistral": "mistral_chat:Adapter",
    "langchain-openai": "langchain_openai_chat:Adapter",
    "langchain-responses": "langchain_openai_chat:Responses",
    "langchain-anthropic": "langchain_anthropic_chat:Adapter",
}
#: what only an answer has: nobody asked for it, so nobody needs a warning
GIVEN = ("signature", "cached")
#: the field of a request that a group of cases asks with: the warning has to name it
ASKED = {"choice": "tool_choice", "image": "image", "schema": "response_format", "thinking": "reasoning"}


def main(targets: list[dict[str, Any]]) -> None:
    import observe

    heard = observe.warnings()
    for target in targets:
        about = {"sdk": target["sdk"], "upstream": target.get("upstream", "")}
        try:
            made = _adapter(target["sdk"])
        except ImportError as error:
            _tell(**about, missing=str(error))
            continue
        _tell(**about, dialect=made.dialect, package=_version(made.package))
        behind = _adapter(about["upstream"]).lacks if about["upstream"] in ADAPTERS else {}
        sdk = _named(made, target, behind)(target["url"], target.get("key", ""))
        for case, stream, run in _cases(target):
            heard.clear()
            row = {**about, "case": case, "stream": stream}
            if case in made.lacks:
                _tell(**row, lacks=made.lacks[case])
                continue
            reason = behind.get(case)
            try:
                run(sdk, stream)
            except Exception as error:
                wrong = type(error).__name__ == "Wrong"
                field = ASKED.get(case.partition("-")[0])
                said = {piece for told in heard for piece in told.split("; ") if field and field in piece}
                if wrong and reason and (said or case in GIVEN):
                    _tell(**row, lost=reason, warned=sorted(said), found=str(error)[:300])
                    continue
                place = "" if wrong else traceback.format_exc(limit=-3)
                why = f"{type(error).__name__}: {error}" + (" (and no warning)" if reason else "")
                _tell(**row, ok=False, why=why[:1500], trace=place)
            else:
                _tell(**row, ok=True)


def _cases(target: dict[str, Any]) -> Any:
    """(case, whether it is streamed, what runs it) of a target."""
    from cases import BEHIND, CASES

    for case, (run, whole) in {**CASES, **(BEHIND if target.get("key") else {})}.items():
        for stream in (False, True):
            if (whole or stream) and (not target.get("cases") or case in target["cases"]):
                yield case, stream, run


def _adapter(name: str) -> Any:
    module, _, adapter = ADAPTERS[name].partition(":")
    return getattr(importlib.import_module(module), adapter)


def _named(made: Any, target: dict[str, Any], behind: dict[str, str]) -> Any:
    """The adapter, with models named as the target wants them, and without what is lacking behind it."""
    pattern = target.get("model", "{}")

    lacking = behind

    class Named(made):
        behind = lacking
        lacks = {**lacking, **made.lacks}

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
