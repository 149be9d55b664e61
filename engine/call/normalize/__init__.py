"""A caller's keywords -> the canonical request of an operation, once, so that templates stay shape-only (SPEC_LANGUAGE 12.1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from engine.call.normalize.chat import chat
from engine.call.normalize.other import other
from engine.call.normalize.realtime import realtime
from engine.errors import ConfigError, Error
from engine.vocabulary import CHAT, MESSAGE, PART, REQUESTS, TURN

__all__ = ["names", "normalize"]

#: other words for chat fields
_CHAT_ALIASES = frozenset(("max_completion_tokens", "thinking", "functions", "function_call", "extra"))
_CHATS = frozenset(("chat", "count_tokens"))
#: names of request fields only the engine makes
_MADE = frozenset(("system_plain", "has_tool_history", "prefill", "inputs", "texts", "input_parts", "images", "chat_body"))
#: names that stand for what one message of a session says, and what a session has no use for
_SAID = frozenset(("text", "id", "name", "json", "is_error", "audio", "stream", "stream_usage", "stream_options", "documents"))
#: other words for the fields of the rest, and what they mean
ALIASES: dict[str, dict[str, str]] = {
    "speech": {"input": "text", "response_format": "format"},
    "transcription": {"file": "audio", "response_format": "format"},
    "embeddings": {"encoding_format": "encoding", "texts": "input"},
    "rerank": {"top_k": "top_n"},
    "moderation": {"text": "input"},
    "ocr": {"file": "document"},
    "read": {"urls": "url"},
    "realtime": {"instructions": "system"},
    "get_file": {"file_id": "id"},
    "delete_file": {"file_id": "id"},
    "clone_voice": {"files": "samples", "voice_id": "id"},
    "delete_voice": {"voice_id": "id"},
    "download_file": {"file_id": "id"},
}
assert PART.fields and MESSAGE.fields and TURN.fields
_ALL = frozenset(PART.fields) | frozenset(MESSAGE.fields) | frozenset(TURN.fields)
_NAMES: dict[str, frozenset[str]] = {}


def names(operation: str) -> frozenset[str]:
    """The keywords an operation takes."""
    found = _NAMES.get(operation)
    if found is None:
        shape = REQUESTS.get(operation, CHAT).fields or {}
        found = (frozenset(shape) | {"extra"}) - _MADE
        found -= _SAID if operation == "realtime" else frozenset()
        found |= _CHAT_ALIASES if operation in _CHATS else frozenset(ALIASES.get(operation, ()))
        _NAMES[operation] = found
    return found


def normalize(
    operation: str,
    fields: Mapping[str, Any],
    *,
    reads: frozenset[str] | None = None,
    part_reads: frozenset[str] | None = None,
    proofs: bool = False,
    dialects: Collection[str] = (),
    native: Collection[str] = (),
) -> dict[str, Any]:
    """The canonical request of an operation, with the views that its templates read.

    `reads` are the request names and `part_reads` the fields of parts, messages and turns that are read (None: all of
    them). Fields that are None are absent. The caller's values are never changed; large ones are passed on by reference.
    `$warnings` lists what was left out, if anything; `$plain`
    and `$finite` are there with `proofs`, if proven at little cost: all messages are bare texts, no number is NaN or infinite.
    `dialects` are what its wire is called, `native` the parameters that only it has.
    Raises ConfigError for a keyword nobody knows and for values that make no sense, LimitError past a size limit.
    """
    try:
        known = _NAMES.get(operation) or names(operation)
        given = fields
        for name, value in fields.items():
            if value is None or name not in known:
                given = _known(operation, fields, known.union(native))
                break
        if operation == "realtime":
            return realtime(given, reads, _ALL if part_reads is None else part_reads, dialects)
        if operation in _CHATS:
            return chat(given, reads, _ALL if part_reads is None else part_reads, proofs, dialects)
        return other(operation, given, ALIASES.get(operation, {}), _ALL if part_reads is None else part_reads)
    except Error:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, RecursionError, OverflowError) as problem:
        raise ConfigError(f"the request cannot be read: {type(problem).__name__}: {problem}"[:500]) from None


def _known(operation: str, fields: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The fields that are set; ConfigError for a name that is none, with the nearest one."""
    if "instructions" in fields and operation in _CHATS and "instructions" not in known:  # one of the wires calls it so
        fields = {"system" if name == "instructions" else name: value for name, value in fields.items()}
    for name in fields:
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(str(name), known, 1)
            hint = f"did you mean `{near[0]}`?" if near else "what only one provider takes goes into `extra_body`"
            raise ConfigError(f"{operation} has no field `{name!s:.60}`; {hint}", param=str(name)[:60])
    return {name: value for name, value in fields.items() if value is not None}
