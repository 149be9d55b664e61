"""Functions compiled before: most providers inherit most of their wire, and what was compiled for one serves all.

A function is found again by the nodes it was made from, as long as every name it reads means the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from engine.spec.node import Nodes
from engine.spec.problem import Problem, Problems
from engine.vocabulary import Shape


class Shelved(NamedTuple):
    """A function, what was written down while it was compiled, and the nodes (held, so that their ids stay their own)."""

    nodes: tuple[Any, ...]
    function: Callable[..., Any]
    shapes: Mapping[str, Shape]
    books: tuple[frozenset[str], ...]
    warnings: tuple[Problem, ...]


class Shelf:
    """What one catalog has compiled. `maps` is for those who keep more than one function, `node` makes what is merged."""

    def __init__(self) -> None:
        self.node = Nodes()
        self.maps: dict[tuple[Any, ...], Any] = {}
        self._held: dict[tuple[Any, ...], list[Shelved]] = {}

    def find(self, key: tuple[Any, ...], names: Mapping[str, Shape], problems: Problems) -> Shelved | None:
        """The function of a key for whom these names mean what they meant; its warnings are told again."""
        for shelved in self._held.get(key, ()):
            if all(_alike(shape, names.get(name)) for name, shape in shelved.shapes.items()):
                problems.extend(replace(problem) for problem in shelved.warnings)
                return shelved
        return None

    def put(
        self,
        key: tuple[Any, ...],
        nodes: tuple[Any, ...],
        function: Callable[..., Any],
        warnings: Collection[Problem],
        names: Mapping[str, Shape] | None = None,
        books: tuple[Collection[str], ...] = (),
    ) -> Shelved:
        """Keep a function; the first of its `books` are the names it reads."""
        shapes = {name: names[name] for name in books[0] if name in names} if names is not None else {}
        warned = tuple(replace(problem) for problem in warnings)
        made = Shelved(nodes, function, shapes, tuple(map(frozenset, books)), warned)
        self._held.setdefault(key, []).append(made)
        return made


def _alike(a: Shape, b: Shape | None) -> bool:
    if b is None or a is b:
        return a is b
    return a.fields is None and b.fields is None and a.item is None and b.item is None and a.values == b.values
