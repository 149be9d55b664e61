"""What the engine knows of canonical names: which are texts, mappings or closed word lists, and which are mere views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.expr.backward.bindings import Path
from engine.vocabulary import ANY, Shape

Tree = list[Any]
Scope = Mapping[str, Shape]

_TEXTS = frozenset(
    [
        "text",
        "id",
        "name",
        "tool_name",
        "data",
        "uri",
        "url",
        "media_type",
        "format",
        "filename",
        "detail",
        "file_id",
        "signature",
        "redacted",
        "arguments_json",
        "given_id",
        "system",
        "model",
        "prompt",
        "voice",
        "transcript",
        "thinking",
        "description",
        "summary",
        "user",
        "verbosity",
        "title",
    ]
)
_MAPPINGS = frozenset(["arguments", "parameters", "schema", "metadata", "logit_bias", "native", "audio"])
_LISTS = frozenset(["stop", "allowed", "modalities"])
_NUMBERS = frozenset(
    [
        "budget",
        "max_tokens",
        "n",
        "seed",
        "top_k",
        "top_logprobs",
        "temperature",
        "top_p",
        "min_p",
        "frequency_penalty",
        "presence_penalty",
    ]
)
#: closed words that the shapes do not list, because forward they may be absent
_CLOSED: dict[str, tuple[Any, ...]] = {
    "is_error": (True, False),
    "server": (True,),
    "parallel_tool_calls": (True, False),
}
#: names the normaliser makes: reading one back says nothing new
VIEWS = frozenset(
    ["plain", "text_only", "first", "last", "open", "made", "system_plain", "has_tool_history", "index", "prefill", "run_media"]
)
#: lists of items that may hold what only one dialect understands
CARRYING = frozenset(["messages", "turns", "tools", "server_tools", "tool_calls"])
#: other words for one value
TIED = {("reasoning_effort",): ("reasoning", "effort")}
PART_LISTS = frozenset(["parts", "content", "result_parts", "run_media", "thinking_parts"])


def kind_of(path: Path) -> type | None:
    """The class a name's values have, if it is known."""
    last = path[-1]
    if path[0] == "chat_body":  # another wire's words, whatever they are called
        return None
    if last in _TEXTS:
        return str
    if last in _MAPPINGS:
        return dict
    return list if last in _LISTS else None


def sample(path: Path) -> Any:
    """Some value a name may have, to evaluate conditions with."""
    last = path[-1]
    if last in _NUMBERS:
        return 4096
    if last in _MAPPINGS:
        return {"\0": "\0"}
    if last in CARRYING or last in PART_LISTS or last in _LISTS or last == "system_parts":
        return [{"\0": "\0"}]
    return "\0"


def shape_of(path: Path, names: Mapping[str, Shape], scope: Scope) -> Shape:
    """What is known of the value at a path."""
    shape = scope.get(path[0]) or names.get(path[0]) or ANY
    for step in path[1:]:
        shape = (shape.item if step.__class__ is int else (shape.fields or {}).get(step)) or ANY
    return shape


def words_of(path: Path, names: Mapping[str, Shape], scope: Scope) -> tuple[Any, ...] | None:
    """The closed list of values a name may have, or None."""
    return _CLOSED.get(path[-1]) or shape_of(path, names, scope).values


def path_of(tree: Tree) -> Path | None:
    """The path a tree names, if it is one."""
    kind = tree[0]
    if kind == "name":
        return (tree[1],)
    if kind == "get":
        head = path_of(tree[1])
        return (*head, tree[2]) if head is not None else None
    return None


def free(tree: Tree | None) -> Iterator[Path]:
    """Every path a tree reads, but for `tables`."""
    if tree is None:
        return
    path = path_of(tree)
    if path is not None:
        if path[0] != "tables":
            yield path
        return
    for child in children(tree):
        yield from free(child)


def children(tree: Tree) -> list[Tree]:
    """The trees a tree is made of."""
    kind, *rest = tree
    if kind in ("const", "name"):
        return []
    if kind in ("get", "test"):
        return [rest[0]]
    if kind == "filter":
        return [rest[0], *rest[2], *rest[3].values()]
    if kind == "call":
        return [*rest[1], *rest[2].values()]
    if kind == "compare":
        return [rest[0], *(right for _, right in rest[1])]
    if kind in ("join", "list"):
        return list(rest[0])
    if kind == "map":
        return [value for _, value in rest[0]]
    return [child for child in rest if child.__class__ is list]


def within(tree: Tree) -> list[Tree]:
    """A tree and all it is made of."""
    out, todo = [], [tree]
    while todo:
        at = todo.pop()
        out.append(at)
        todo.extend(children(at))
    return out
