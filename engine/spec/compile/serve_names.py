"""The names that templates of a `serve` block may read, by operation (SERVE.md 5 to 7, 9)."""

from __future__ import annotations

from engine import vocabulary
from engine.errors import KINDS
from engine.vocabulary import ANY, PARTS, Shape


def _names(words: str) -> dict[str, Shape]:
    return dict.fromkeys(words.split(), ANY)


CHOICE = Shape(
    {
        **_names("index text thinking refusal finish logprobs"),
        "parts": PARTS,
        "tool_calls": PARTS,
        "citations": Shape(item=Shape(dict.fromkeys(vocabulary.OUTPUTS["citation"][0], ANY))),
    },
    whole=True,
)
ERROR = Shape({**_names("message code status param id model created"), "kind": Shape(values=tuple(KINDS))})
DELTA = Shape(_names("text signature redacted arguments_json url title start end source index"))
#: names of a reply of a conversation
REPLY = Shape(
    {
        **(CHOICE.fields or {}),
        **_names("id model created usage"),
        "choices": Shape(item=CHOICE),
        "request": vocabulary.CHAT,
    },
    whole=True,
)
STREAM = Shape({**(REPLY.fields or {}), "first": vocabulary.BOOL, "block": vocabulary.PART, "delta": DELTA, "reply": ANY})
#: the lists of what other operations give: name -> (kind of output, fields of an item)
LISTS: dict[str, tuple[str, Shape]] = {
    "embeddings": ("embedding", Shape(_names("index vector dtype base64"))),
    "models": ("model", Shape(dict.fromkeys(vocabulary.OUTPUTS["model"][0], ANY))),
}
_LISTED = {"embeddings": "embeddings", "list_models": "models", "count_tokens": None}


def reply_names(operation: str) -> Shape | None:
    """What a reply of an operation may read; None for one that cannot be served yet."""
    if operation == "chat":
        return REPLY
    if operation not in _LISTED:
        return None
    names = {**_names("id model created usage"), "request": vocabulary.REQUESTS[operation]}
    listed = _LISTED[operation]
    if listed is not None:
        names[listed] = Shape(item=LISTS[listed][1])
    return Shape(names, whole=True)
