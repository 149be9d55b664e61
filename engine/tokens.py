"""Tokens counted on this machine: by a tokenizer that is here (extra [tokens]), else estimated, and the answer says which.

    client.count_tokens("groq/llama-3.3-70b-versatile", "Hello.")                              # no such service: locally
    client.count_tokens("openai/gpt-5", messages, tokenizer="o200k_base")                       # tiktoken
    client.count_tokens("groq/llama-3.3-70b-versatile", messages, tokenizer="tokenizer.json")   # tokenizers
    client.count_tokens("groq/llama-3.3-70b-versatile", messages, tokenizer="estimate")

Nothing is sent and nothing is downloaded: a tokenizer that is not on this machine is an error where it was asked for by name.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.accounting.estimate import input_tokens
from engine.errors import ConfigError
from engine.types import Response, Usage

__all__ = ["counted"]

ESTIMATE = "estimate"
_MESSAGE = 4  # tokens that wires put around a message
_ANSWER = 3  # tokens that begin the answer
_MEDIA = frozenset(("image", "audio", "video", "document"))
_lock = threading.Lock()

Count = Callable[[str], int]


def counted(client: Any, model: str, fields: Mapping[str, Any], tokenizer: str | os.PathLike[str] | None) -> Response:
    """The Response that a service of the provider would give: `usage.input_tokens`, and warnings that say how it was counted."""
    from engine.call.normalize import normalize

    provider, _, name = client.catalog.split(model)
    asked = {k: v for k, v in fields.items() if k not in ("timeout", "attempts", "unsupported", "dialect")}
    request = normalize("count_tokens", asked, reads=None)
    count, how = _counter(name, tokenizer)
    response = Response(provider=provider, model=name)
    if count is None:
        response.usage = Usage(input_tokens=input_tokens(request))
        response.warnings.append(f"estimated from the length of the texts{how}: no tokenizer counted them")
        return response
    found, media = _ANSWER, 0
    for message in request.get("messages") or ():
        found += _MESSAGE
        for part in message.get("parts") or ():
            if part.get("type") in _MEDIA:
                media += input_tokens({"messages": [{"parts": [part]}]})
            else:
                found += _of(part, count)
    for tool in request.get("tools") or ():
        found += count(json.dumps({k: v for k, v in tool.items() if v is not None}, default=str, ensure_ascii=False))
    response.usage = Usage(input_tokens=found + media)
    response.warnings.append(f"counted here with {how}; what the provider puts around messages is estimated")
    if media:
        response.warnings.append(f"{media} of them are an estimate: pictures, sounds and documents are not counted here")
    return response


def _of(part: Mapping[str, Any], count: Count) -> int:
    """Tokens of a part that is not a medium: its texts, a call's name and arguments, what is in a result."""
    found = sum(count(text) for key in ("text", "name", "arguments_json") if isinstance(text := part.get(key), str))
    if part.get("type") == "tool_call" and not isinstance(part.get("arguments_json"), str):
        found += count(json.dumps(part.get("arguments"), default=str, ensure_ascii=False))
    return found


def _counter(model: str, tokenizer: str | os.PathLike[str] | None) -> tuple[Count | None, str]:
    """What counts the tokens of a text, and what it is called; None for an estimate. ConfigError for one that is not here."""
    if tokenizer is None:
        try:
            return _tiktoken(_encoding_of(model))
        except ConfigError:
            return None, ""
    if tokenizer == ESTIMATE:
        return None, ""
    path = Path(tokenizer)
    if isinstance(tokenizer, os.PathLike) or path.suffix == ".json":
        return _tokenizers(path)
    return _tiktoken(str(tokenizer))


def _encoding_of(model: str) -> str:
    """The encoding that tiktoken names for a model, with or without what a host puts before its name."""
    tiktoken = _library("tiktoken")
    for name in (model, model.rpartition("/")[2]):
        try:
            return str(tiktoken.encoding_name_for_model(name))
        except KeyError:
            continue
    raise ConfigError(f"no tokenizer is known for {model}")


def _tiktoken(name: str) -> tuple[Count, str]:
    tiktoken = _library("tiktoken")
    loading = _library("tiktoken.load")
    with _lock:  # the library fetches what is not here: not for us
        fetch, loading.read_file = loading.read_file, _refuse
        try:
            encoding = tiktoken.get_encoding(name)
        except _NotHere:
            message = f"the tokenizer {name} is not on this machine: load it once with tiktoken, or put it into TIKTOKEN_CACHE_DIR"
            raise ConfigError(message) from None
        except ValueError:
            raise ConfigError(f"there is no tokenizer {name}") from None
        finally:
            loading.read_file = fetch
    return lambda text: len(encoding.encode_ordinary(text)), name


class _NotHere(Exception):
    """The library wants to download something."""


def _refuse(where: str) -> bytes:
    raise _NotHere


def _tokenizers(path: Path) -> tuple[Count, str]:
    tokenizers = _library("tokenizers")
    if not path.is_file():
        raise ConfigError(f"there is no tokenizer at {path}")
    try:
        made = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ConfigError(f"{path} is not a tokenizer: {error}") from None
    return lambda text: len(made.encode(text, add_special_tokens=False).ids), path.name


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise ConfigError(f"counting tokens here needs `{name}`: install llmkit-engine[tokens]") from None
