"""Which line of a spec is to blame for a law that does not hold, as far as that can be known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.laws.sameness import PLACES
from engine.spec.node import Mark, Node

_PARTS = "parts("


def place_of(tree: Node, path: tuple[Any, ...], side: str) -> Mark:
    """The key of the merged tree that a difference leads to: in what writes a request, or what writes and reads an answer."""
    found = _of_answer(tree, path) if side == "answer" else _of_request(tree, path)
    node = found or tree.get("serve") or tree
    return node.key_mark or node.mark


def _of_answer(tree: Node, path: tuple[Any, ...]) -> Node | None:
    """A counter's own line, the table of finish words, or what writes a part type."""
    words = [str(step) for step in path if not isinstance(step, int)]
    if words[:1] == ["usage"]:
        return tree.get("usage", words[1]) if len(words) > 1 else tree.get("usage")
    name = words[1] if len(words) > 1 else ""
    if name == "finish":
        return tree.get("finish_reasons")
    kind = {"signature": "thinking", "order": "text", "citations": "citation"}.get(name, name)
    for holder in (tree.get("serve", "stream", "delta"), tree.get("serve", "parts"), tree.get("parts")):
        for key, node in holder.items() if holder is not None else ():
            if kind in (k.strip() for k in key.split("|")) and node.value is not None:
                return node
    return tree.get("serve", "reply")


def _of_request(tree: Node, path: tuple[Any, ...]) -> Node | None:
    """The line of the body or the parameter a path of the wire, or of a canonical request, leads to."""
    words = [step for step in path if isinstance(step, str)]
    if words and words[0] in PLACES:  # said in canonical words
        words = [PLACES[words[0]]]
    if words and tree.get("params", words[0]) is not None:
        return tree.get("params", words[0])
    at, best = tree.get("body"), tree.get("body")
    for word in words:
        found = (
            next((n for n in _within(tree, at, set()) if word in (n.value if n.is_map else {})), None) if at is not None else None
        )
        if found is None:
            break
        at = best = found.value[word]
    return best


def _within(tree: Node, node: Node, seen: set[int]) -> Iterator[Node]:
    """A node and all that may stand in its place: items of lists, cases and branches, and the parts table it calls."""
    if id(node) in seen:
        return
    seen.add(id(node))
    yield node
    if node.is_list:
        for child in node.value:
            yield from _within(tree, child, seen)
    elif node.is_map:
        switched = "$switch" in node.value
        for key, child in node.items():
            if key in ("$value", "$else", "$merge", "$default") or (switched and not key.startswith("$")):
                yield from _within(tree, child, seen)
    elif isinstance(node.value, str) and _PARTS in node.value:
        for _, child in (tree.get("parts") or Node({})).items():
            yield from _within(tree, child, seen)
