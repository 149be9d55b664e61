"""The `parts` table read backwards: which part a wire item is (SERVE.md 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.expr.backward.bindings import Pattern, join
from engine.expr.backward.choose import Alternative, Choice, chooser
from engine.expr.backward.lists import Place
from engine.expr.backward.names import path_of
from engine.expr.backward.plain import PlainItems
from engine.expr.backward.structure import Structure
from engine.spec.node import Node
from engine.vocabulary import MEDIA_TYPES, PART

_SCOPE = {"part": PART}
#: a media part says where its content lies
_CONTENT = ("data", "uri", "url", "file_id", "id", "text")


class PartTables(Structure):
    """Compiles part tables. Their patterns are made when the first one is needed, as they may need each other."""

    _tables: tuple[Node | None, ...] = ()
    _choose: Callable[[Any], Choice | None] | None = None
    _plain: PlainItems | None = None

    def several_parts(self, items: list[Any]) -> list[dict[str, Any]]:
        """A list of wire items as parts. An item that only marks the part before it joins that part."""
        out: list[dict[str, Any]] = []
        recipe_of = self._plain.recipe if self._plain is not None else None
        for item in items:
            if recipe_of is not None and item.__class__ is dict and len(item) < 3:
                recipe = recipe_of(item)
                if recipe is not None:
                    source, _, target, listed, _, _ = recipe
                    if not listed:
                        out.append({"type": "text", target: item[source]})
                        continue
            part, follows = self._read(item)
            if follows and out and out[-1]["type"] != "native" and "cache" not in out[-1]:
                join(out[-1], {k: v for k, v in part.items() if k != "type"})
            elif follows:
                out.append({"type": "native", "dialect": self.dialect, "data": item})
            else:
                out.append(part)
        return out

    def one_part(self, value: Any) -> dict[str, Any]:
        return self._read(value)[0]

    def compile_parts(self) -> None:
        """Compile the tables now, so that their problems are found."""
        if self._choose is None:
            self._choose = chooser([a for table in self._tables if table is not None for a in self._entries(table)], self.look)
            self._plain = PlainItems(self._bare, "part", self.literals, self.native_part)

    def _bare(self, item: Any) -> Choice | None:
        """What a bare text is; other parts have no recipes."""
        best = self._choose(item) if self._choose is not None else None
        return best if best is not None and best[3].types == ("text",) else None

    def _read(self, item: Any) -> tuple[dict[str, Any], bool]:
        best = self._choose(item) if self._choose is not None else None
        if best is None:
            if item.__class__ is str:
                return {"type": "text", "text": item}, False
            return {"type": "native", "dialect": self.dialect, "data": item}, False
        left, _, bindings, alternative = best
        types = alternative.types
        part: dict[str, Any] = {"type": types[0] if len(types) == 1 else "media"}
        found = bindings.get("part")
        if found:
            part.update(found)
        if part["type"] in _MEDIA and not any(part.get(k) for k in _CONTENT):
            return {"type": "native", "dialect": self.dialect, "data": item}, False
        if left is not None:
            part["extra"] = {self.dialect: left}
        return part, alternative.follows

    def _entries(self, table: Node) -> list[Alternative]:
        out: list[Alternative] = []
        for key, child in table.items():
            if child.value is None:
                continue
            types = tuple(t.strip() for t in key.split("|"))
            bodies = child.value if child.is_list else [child]
            for position, body in enumerate(bodies):
                for alternative in self.alternatives(Place(body, _SCOPE)):
                    alternative.types = types
                    alternative.follows = position > 0 and self._marks(body)
                    if not alternative.follows or not any(a.follows for a in out):
                        out.append(alternative)
        return out

    def _marks(self, body: Node) -> bool:
        """Whether a template is written only because of a mark on the part."""
        test = self.parsed(body.value["$if"]) if body.is_map and "$if" in body.value else None
        return test is not None and path_of(test) == ("part", "cache")


_MEDIA = frozenset((*MEDIA_TYPES, "media"))

__all__ = ["PartTables", "Pattern"]
