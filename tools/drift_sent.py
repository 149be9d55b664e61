"""What the templates of a spec can write into a request body, and what a body or a schema has beside it. Part of tools/drift.py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.catalog import Catalog
from engine.spec.node import Node, node_of
from engine.spec.problem import Problems

#: a place whose value a template makes: everything may stand there
OPEN = Node("{{ anything }}")
_TRANSPARENT = ("$else", "$default", "$value")


@dataclass(frozen=True)
class Place:
    """Where in a body we are, as alternatives: mappings with their keys, constants, or anything at all."""

    maps: tuple[Mapping[str, Node], ...] = ()
    words: frozenset[Any] = frozenset()
    open: bool = False


class Sent:
    """The request bodies that one operation of a provider can send."""

    def __init__(
        self, catalog: Catalog, provider: str, operation: str, model: str | None = None, variant: str | None = None
    ) -> None:
        """With a model, what is sent to that one; without, what is sent to any."""
        from engine.spec.extend import matching_patches, operation_tree, relevant

        base, problems = catalog.tree(provider), Problems()
        patches = relevant(matching_patches(base, model, variant), operation)
        ways = [patches]
        if model is None:
            every = [patch for glob, patch in (base.get("models") or Node({})).items() if glob != "default" and patch.is_map]
            ways += [(one, *patches) for one in relevant(every, operation)]
        trees = [tree for way in ways if (tree := operation_tree(catalog, base, operation, way, problems)[0]) is not None]
        self._parts = tuple(node for tree in trees for _, node in (tree.get("parts") or Node({})).items())
        self._memo: dict[int, tuple[Node, Place]] = {}
        self._either = any((node := tree.get("serve", "accept", "spelling")) and node.value == "either" for tree in trees)
        self.top = [node for tree in trees for node in _bodies(tree)]

    def at(self, nodes: Sequence[Node]) -> Place:
        """What may stand where any of these nodes is written."""
        maps: list[Mapping[str, Node]] = []
        words: set[Any] = set()
        free = False
        for node in nodes:
            found = self._memo.get(id(node))
            if found is None:
                found = self._memo[id(node)] = (node, Place())  # a part that holds parts: once is enough
                found = self._memo[id(node)] = (node, self._place(node))
            maps += found[1].maps
            words |= found[1].words
            free = free or found[1].open
        return Place(tuple(maps), frozenset(words), free)

    def _place(self, node: Node) -> Place:
        value = node.value
        if node.is_list:
            return self.at(value)
        if not node.is_map:
            if not isinstance(value, str) or ("{{" not in value and "{%" not in value):
                return Place(words=frozenset(() if value is None else (value,)))
            return self.at(self._parts) if "parts(" in value else Place(open=True)
        if "$join" in value:
            return Place(open=True)
        if "$merge" in value:
            rest = Node({k: v for k, v in value.items() if k != "$merge"}, node.mark)
            return self.at([value["$merge"], rest])
        if "$switch" in value:
            return self.at([child for key, child in value.items() if key != "$switch"])
        own = {k: v for k, v in value.items() if not k.startswith("$")}
        inner = self.at([value[k] for k in _TRANSPARENT if k in value])
        return Place((*((own,) if own else ()), *inner.maps), inner.words, inner.open)

    # --- what a body has beside it ----------------------------------------------------------------------------------

    def unknown(self, body: Any) -> Iterator[str]:
        """Paths of a recorded body that no template writes. Lists count as their items; a `type` tells items apart."""
        yield from self._unknown(body, self.top, "")

    def _unknown(self, value: Any, nodes: Sequence[Node], path: str) -> Iterator[str]:
        if isinstance(value, list):
            for item in value:
                yield from self._unknown(item, nodes, f"{path}[]")
            return
        if not isinstance(value, dict):
            return
        place = self.at(nodes)
        if place.open:
            return
        maps, tagged = self.tagged(place, value.get("type"))
        if not maps:
            if place.maps or path:
                yield f"{path}.type={value['type']}" if place.maps else path
            return
        for key, inner in value.items():
            inside = f"{path}{tagged}.{key}" if path else key
            written = self.below(maps, key)
            if written:
                yield from self._unknown(inner, written, inside)
            else:
                yield inside

    def below(self, maps: Sequence[Mapping[str, Node]], key: str) -> list[Node]:
        """What is written under a key; where a wire takes both spellings, under the other one too."""
        spelled = re.sub(r"_([a-z0-9])", lambda m: m[1].upper(), key) if self._either else key
        return [m[name] for m in maps for name in {key, spelled} if name in m]

    def tagged(self, place: Place, tag: Any) -> tuple[list[Mapping[str, Node]], str]:
        """The mappings that may have this `type`, and how a path says it. All of them where `type` says nothing."""
        if not isinstance(tag, str):
            return list(place.maps), ""
        typed = [m for m in place.maps if "type" in m]
        if not typed:
            return list(place.maps), ""
        fitting = [m for m in typed if (kind := self.at([m["type"]])).open or tag in kind.words]
        untyped = [m for m in place.maps if "type" not in m]
        return ([*fitting, *untyped] if fitting else []), f"[{tag}]"


def _bodies(tree: Node) -> Iterator[Node]:
    """The bodies of an operation, whole and streamed, and its parameters as one more."""
    for holder in (tree, tree.get("stream") or Node({})):
        for key in ("body", "form", "multipart", "jsonl", "wrap"):
            node = holder.get(key)
            if node is not None:
                yield node
    yield _params(tree.get("params"))
    yield _params(tree.get("native_params"))


def _params(table: Node | None) -> Node:
    """The native places of parameters as a body whose values are made."""
    body: dict[str, Any] = {}
    for name, value in table.items() if table is not None else ():
        told = value.value
        if told is None:
            continue  # dropped
        to = value.get("to") if value.is_map else None
        native = str(to.value) if to is not None and to.value else name if value.is_map or told is True else str(told)
        place = body
        *outer, last = native.split(".")
        for key in outer:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                break
        else:
            place.setdefault(last, OPEN.value)
    return node_of(body)
