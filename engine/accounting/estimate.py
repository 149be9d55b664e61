"""How many tokens a request probably has, before it is sent: counted characters, no tokenizer. Always said to be an estimate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.types import Usage

__all__ = ["ceiling", "input_tokens", "message_tokens", "text_tokens"]

#: characters of one token: English text, other alphabets, scripts without blanks between words
_ASCII, _LETTERS, _SIGNS = 4.0, 2.2, 1.2
_FIRST_SIGN = "⺀"  # from here on: Chinese, Japanese, Korean and what stands beside them
_MESSAGE = 4  # tokens around a message
_NAMED_TEXT = 2.0  # of the name `text` and what stands around it
_IMAGE = 1000  # a picture of ordinary size
_FILE = 3000  # a document of some pages, a minute of sound
_WORDS = ("system", "query", "prompt", "input", "text", "documents", "instructions", "response_format", "tools")


def text_tokens(text: str) -> float:
    """Tokens of a text."""
    if text.isascii():
        return len(text) / _ASCII
    ascii, signs = sum(c < "\x80" for c in text), sum(c >= _FIRST_SIGN for c in text)
    return ascii / _ASCII + signs / _SIGNS + (len(text) - ascii - signs) / _LETTERS


def input_tokens(context: Mapping[str, Any]) -> int:
    """Tokens of a canonical request, before or after engine.call.normalize: its texts, tools and media."""
    total = 0.0
    messages = context.get("messages") or ()
    for message in messages:
        said = message.get("parts") or message.get("content") or ()
        total += _MESSAGE + (text_tokens(said) if isinstance(said, str) else sum(map(_part, said)))
    system = any(message.get("role") == "system" for message in messages)
    for name in _WORDS:
        if name in context and not (name == "system" and system):
            total += _anything(context[name])
    return max(1, round(total))


def message_tokens(text: str) -> float:
    """Tokens of a message that says this and nothing else, as `input_tokens` counts them."""
    return _MESSAGE + _NAMED_TEXT + text_tokens(text)


def _part(part: Mapping[str, Any]) -> float:
    kind = part.get("type")
    if kind == "text" and len(part) == 2:  # nearly all of them; the same as below, its name included
        return _NAMED_TEXT + _anything(part.get("text"))
    if kind == "image":
        return _IMAGE
    if kind in ("audio", "video", "document"):
        return _FILE
    return _anything({k: v for k, v in part.items() if k not in ("type", "signature", "arguments_json")})


def _anything(value: Any, depth: int = 32) -> float:
    """Tokens of any value as JSON text."""
    if isinstance(value, str):
        return text_tokens(value)
    if not depth or value is None:
        return 0.0
    if isinstance(value, Mapping):
        return sum(1 + text_tokens(str(k)) + _anything(v, depth - 1) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return sum(_anything(v, depth - 1) for v in value)
    return 1.0


def ceiling(context: Mapping[str, Any], facts: Mapping[str, Any] | None, likely: bool = False) -> Usage:
    """The most a canonical request can use: what a budget sets aside before it is sent.

    A token is at least one byte of text, so a text's bytes are the most it can be; media are taken at many times the estimate.
    Providers put more before a model than they were sent: their own instructions, those for tools, what their tools find. With
    tools of their own, or a file whose pages nobody has counted, that is as much as the model's window holds; no request is longer
    than that. `likely`: LIKELY times the estimate, and what providers usually add. The output is as long as was allowed, else as
    the model's facts allow, else ALL_OUTPUT. tests/accounting/test_ceiling.py compares it with recorded answers.
    """
    from engine.types import Usage

    facts = facts or {}
    estimated = input_tokens(context)
    parts = [part for message in context.get("messages") or () for part in message.get("parts") or ()]
    text = _bytes([parts, *(context[name] for name in _WORDS if name in context)])
    media = sum(_IMAGE_AT_MOST if part["type"] == "image" else _FILE for part in parts if part.get("type") in _MEDIA)
    added = _ADDED[likely] + (_FOR_TOOLS[likely] if context.get("tools") or context.get("response_format") else 0)
    tools = context.get("tools") or ()
    outside = bool(context.get("server_tools")) or any(isinstance(t, Mapping) and t.get("type") == "native" for t in tools)
    window = facts.get("context") or facts.get("max_input") or 0
    most = context.get("max_tokens") or context.get("max_completion_tokens")
    if not isinstance(most, int) or isinstance(most, bool) or most <= 0:
        most = facts.get("max_output") or ALL_OUTPUT
    choices = context.get("n")
    count = choices if isinstance(choices, int) and not isinstance(choices, bool) and choices > 0 else 1
    bound = max(estimated, text + media) + added
    if likely:
        bound = min(bound, round(LIKELY * estimated) + added) + (_FOUND if outside else 0)
    elif outside or any(part.get("type") in _FILES for part in parts):
        bound = max(bound, window or ALL_INPUT)
    return Usage(
        input_tokens=min(bound, window) if window else bound,
        output_tokens=most * count,
        images=count,
        characters=text,
        searches=_SEARCHES if outside else 1,
    )


_FILES = ("audio", "video", "document")
_MEDIA = ("image", *_FILES)
_IMAGE_AT_MOST = 15_000  # tokens of a picture: some models count 14,000
LIKELY = 1.5  # times the estimate
_ADDED = (768, 128)  # tokens before any request, at most and likely: hidden instructions, the template of a conversation
_FOR_TOOLS = (2048, 768)  # tokens before a request with tools or a schema, besides theirs
_FOUND = 30_000  # tokens that a provider's tools usually find
_SEARCHES = 10
ALL_INPUT = 200_000  # tokens of the window of a model that nobody knows
ALL_OUTPUT = 32_768  # tokens of an answer that nothing limits
_DATA = frozenset(("data", "url"))  # media count as such


def _bytes(value: Any, depth: int = 32) -> int:
    """Bytes of all texts in a value, with some for what stands around them."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if not depth or value is None:
        return 0
    if isinstance(value, Mapping):
        apart = _DATA if value.get("type") in _MEDIA else ()
        return sum(4 + len(str(k)) + _bytes(v, depth - 1) for k, v in value.items() if k not in apart)
    if isinstance(value, (list, tuple)):
        return sum(8 + _bytes(v, depth - 1) for v in value)
    return 8
