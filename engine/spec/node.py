"""The tree a YAML file becomes: every value remembers where it was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from engine.spec.problem import Problems


class Mark(NamedTuple):
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


NOWHERE = Mark("<text>", 1, 1)


class Node:
    """A value with its place. `value` is a dict of Nodes, a list of Nodes or a scalar; nodes are never changed."""

    __slots__ = ("key_mark", "mark", "value")

    def __init__(self, value: Any, mark: Mark = NOWHERE, key_mark: Mark | None = None) -> None:
        self.value = value
        self.mark = mark
        self.key_mark = key_mark

    @property
    def is_map(self) -> bool:
        return self.value.__class__ is dict

    @property
    def is_list(self) -> bool:
        return self.value.__class__ is list

    def get(self, key: str, *further: str) -> Node | None:
        """The node at a path of keys, or None: `node.get("chat", "body")`."""
        node: Node | None = self.value.get(key) if self.value.__class__ is dict else None
        for step in further:
            if node is None or node.value.__class__ is not dict:
                return None
            node = node.value.get(step)
        return node

    def items(self) -> Iterator[tuple[str, Node]]:
        """Keys and nodes of a mapping; nothing for anything else."""
        return iter(self.value.items()) if self.value.__class__ is dict else iter(())

    def plain(self) -> Any:
        """The value without marks."""
        value = self.value
        if value.__class__ is dict:
            return {k: v.plain() for k, v in value.items()}
        if value.__class__ is list:
            return [v.plain() for v in value]
        return value

    def __repr__(self) -> str:
        return f"Node({self.plain()!r}, {self.mark})"


class Nodes:
    """Makes nodes of what is there already; the same entries at the same place are one node, however often it is made."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Node] = {}

    def __call__(self, value: Any, mark: Mark, key_mark: Mark | None = None) -> Node:
        # what is made holds what it is made of, so that their ids stay their own
        inside = (*value, *map(id, value.values())) if value.__class__ is dict else (id(value),)
        key = (mark, key_mark, *inside)
        found = self._made.get(key)
        if found is None:
            found = self._made.setdefault(key, Node(value, mark, key_mark))
        return found


class Chains:
    """What one source has laid over one another: the same patch over the same base is the same node for all."""

    def __init__(self) -> None:
        self.node = Nodes()
        #: ids of dialects' nodes, nearest first -> those nodes (held, so that their ids stay their own), merged, what was found
        self.merged: dict[tuple[int, ...], tuple[tuple[Node, ...], Node | None, Problems]] = {}


def node_of(value: Any, mark: Mark = NOWHERE) -> Node:
    """A tree of nodes around plain data (specs handed in as mappings, tests)."""
    if isinstance(value, dict):
        return Node({str(k): node_of(v, mark) for k, v in value.items()}, mark, mark)
    if isinstance(value, (list, tuple)):
        return Node([node_of(v, mark) for v in value], mark, mark)
    return Node(value, mark, mark)
