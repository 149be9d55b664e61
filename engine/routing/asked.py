"""What a request asks of whoever answers it: size, abilities, language and task. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.accounting.estimate import input_tokens, message_tokens
from engine.routing.language import language_of, spoken

__all__ = ["TASKS", "ask_of", "needs_of", "plainly_asked", "task_of"]

TASKS = ("vision", "long_context", "code", "math", "creative", "chat")
LONG = 30_000  # tokens from which a request is about its length
_MEDIA = {"image": "vision", "audio": "audio_in", "video": "video_in", "document": "documents"}
_CODE = re.compile(
    r"```|\b(def|const|elif|async|await|printf|stdout|SELECT|INSERT)\b|[{};]\s*$|=>|::|</\w+>|\w+\(\w*\)"
    r"|(?i:\b(functions?|classes|regex|refactor|compiles?|compiler|traceback|exceptions?|unit tests?|pull request|bugs?"
    r"|javascript|typescript|python|java|rust|golang|sql|html|css|bash|code|script|api|json|yaml)\b)",
    re.MULTILINE,
)
_MATH = re.compile(
    r"\\(frac|sum|int|sqrt|begin|alpha|beta|cdot)|[∑∫√≤≥≠π∂∞]|\$[^$\n]{2,}\$|\b\d+\s*[-+*/^=]\s*\d+|\b(prove|theorem|lemma|integral|derivative"
    r"|equation|polynomial|matrix|probability|solve for|algebra|geometry|calculus|modulo|prime numbers?)\b",
    re.IGNORECASE,
)
_CREATIVE = re.compile(
    r"\b(poem|story|haiku|lyrics|song|novel|sonnet|limerick|tale|screenplay|dialogue|slogan|tagline|imagine|rhyme|fiction|verse"
    r"|gedicht|geschichte|poème|histoire|poema|cuento|cerdd|stori)\b",
    re.IGNORECASE,
)
_WEIGH = 2  # marks of code or mathematics before a text is taken for it


#: fields that say nothing of who can answer, but how
_NEUTRAL = frozenset((
    "messages", "max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "presence_penalty", "frequency_penalty", "user",
))  # fmt: skip
_SPEAKERS = frozenset(("user", "assistant", "system"))


def plainly_asked(fields: Mapping[str, Any], stream: bool, policy: tuple[str, ...]) -> dict[str, Any] | None:
    """What `ask_of` makes of a chat of bare texts, read from the caller's own fields; None where it has to be asked.

    Most requests are such; to make them canonical first, only for this, would be half of what a route costs.
    """
    if not _NEUTRAL.issuperset(fields) or "language" in policy or "task" in policy:
        return None
    messages = fields.get("messages")
    if messages.__class__ is str:
        messages = ({"role": "user", "content": messages},)
    elif messages.__class__ is not list or not messages:
        return None
    total = 0.0
    role: Any = ""
    for message in messages:  # type: ignore[union-attr]
        if message.__class__ is not dict or len(message) != 2:
            return None
        role, text = message.get("role"), message.get("content")
        if role not in _SPEAKERS or text.__class__ is not str or not text:
            return None
        total += message_tokens(text)
    output = fields.get("max_tokens")
    if role == "assistant" or not (output is None or output.__class__ is int):
        return None
    ask = _said(stream, max(1, round(total)), ["stream"] if stream else [])
    if output is not None and output > 0:
        ask["output"] = output
    return ask


def _said(stream: bool, tokens: int, needs: list[str]) -> dict[str, Any]:
    return {"stream": stream, "tokens": tokens, "needs": needs, "residency": [], "tried": [], "max_wait": 0.0}


def ask_of(
    request: Mapping[str, Any],
    *,
    stream: bool,
    hints: Mapping[str, Any],
    policy: tuple[str, ...],
    classify: Callable[[Mapping[str, Any]], str | None] | None = None,
) -> dict[str, Any]:
    """What decisions read of a canonical request. Language and task are found out only where the policy reads them."""
    output = request.get("max_tokens")
    ask = _said(stream, input_tokens(request), sorted(needs_of(request, stream)))
    if isinstance(output, int) and not isinstance(output, bool) and output > 0:
        ask["output"] = output
    if "language" in policy:
        ask["language"] = hints.get("language") or language_of(spoken(request))
    if "task" in policy:
        ask["task"] = hints.get("task") or (classify or task_of)(request)
    return ask


def needs_of(request: Mapping[str, Any], stream: bool) -> set[str]:
    """Flags of the language's capabilities that a target must not lack."""
    needs = {"stream"} if stream else set()
    if request.get("tools"):
        needs.add("tools")
    wanted = (request.get("response_format") or {}).get("type") if isinstance(request.get("response_format"), Mapping) else None
    if wanted == "json_schema":
        needs.add("json_schema")
    elif wanted == "json_object":
        needs.add("json_mode")
    if request.get("logprobs"):
        needs.add("logprobs")
    for part in _parts(request):
        flag = _MEDIA.get(str(part.get("type")))
        if flag:
            needs.add(flag)
    messages = request.get("messages") or ()
    if messages and isinstance(messages[-1], Mapping) and messages[-1].get("role") == "assistant":
        needs.add("prefill")
    reasoning = request.get("reasoning")
    if isinstance(reasoning, Mapping) and reasoning.get("effort") not in (None, "none") and reasoning.get("mode") != "none":
        needs.add("thinking")
    return needs


def task_of(request: Mapping[str, Any]) -> str:
    """One of TASKS, by rules: what is attached, how long it is, and the marks of code, mathematics and fiction in the text."""
    if any(part.get("type") in ("image", "video") for part in _parts(request)):
        return "vision"
    if input_tokens(request) >= LONG:
        return "long_context"
    text = spoken(request)
    code, math = len(_CODE.findall(text)), len(_MATH.findall(text))
    if code >= _WEIGH and code >= math:
        return "code"
    if math >= _WEIGH or (math and not code):
        return "math"
    if _CREATIVE.search(text):
        return "creative"
    return "code" if code and "```" in text else "chat"


def _parts(request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for message in request.get("messages") or ():
        for part in message.get("parts") or ():
            yield part
            for inner in part.get("parts") or () if isinstance(part.get("parts"), list) else ():
                if isinstance(inner, Mapping):
                    yield inner
