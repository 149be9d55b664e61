"""Lists and loops read backwards: each wire item against every template (SERVE.md 2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.expr.backward.bindings import MATCHED, Bindings, Match, Matcher, Path, Pattern, bind, join, weight
from engine.expr.backward.choose import Alternative, chooser
from engine.expr.backward.combine import either
from engine.expr.backward.expressions import Expressions
from engine.expr.backward.names import CARRYING, Scope, path_of, shape_of
from engine.expr.backward.plain import PlainItems
from engine.expr.template import ExpressionError, parse_expression
from engine.spec.node import Node
from engine.vocabulary import ANY

_FOR = re.compile(r"\s*([A-Za-z_]\w*)(?:\s*,\s*\w+)?\s+in\s+(.+?)\s*\Z", re.DOTALL)
#: lists whose items are nothing without a name
_NAMED = frozenset(("tools", "tool_calls"))
_NONE: dict[str, Any] = {}
#: position of an item that comes after all that is written
_AFTER = 1_000_000


class Place(NamedTuple):
    """A template and the names it may read."""

    node: Node
    scope: Scope


class Loop(NamedTuple):
    """A `$for`: its item's name, the list it goes through, what is written of each item."""

    var: str
    into: Path
    places: list[Place]


class Lists(Expressions):
    """Compiles lists. Several places are alternatives for one value."""

    def build(self, places: Sequence[Place]) -> Pattern | None:
        """One pattern for all templates that may stand at a place of the wire; None if none of them can be read."""
        raise NotImplementedError

    def alternatives(self, place: Place) -> list[Alternative]:
        """What may stand at a place, one by one."""
        raise NotImplementedError

    def cases(self, places: Sequence[Place]) -> list[Alternative]:
        """The cases of `$switch`; those of one name in several templates are one case with more keys."""
        raise NotImplementedError

    def native_part(self, item: Any) -> dict[str, Any]:
        return {"type": "native", "dialect": self.dialect, "data": item}

    def head(self, place: Place) -> Loop | None:
        """What a `$for` says."""
        node = place.node
        said = _FOR.match(str(node.value["$for"].value))
        if said is None:
            return None
        try:
            source = parse_expression(said[2])
        except ExpressionError:
            return None
        path = path_of(source)
        while path is None and source[0] in ("filter", "if", "or"):
            source = source[2] if source[0] == "if" else source[1]
            path = path_of(source)
        if path is None:
            self.problems.warn("one-way", f"a loop over `{said[2][:80]}` cannot be read backwards", node.value["$for"].mark)
            return None
        shape = shape_of(path, self.names, place.scope).item or ANY
        rest = Node({k: v for k, v in node.value.items() if k not in ("$for", "$join")}, node.mark, node.key_mark)
        scope = {**place.scope, said[1]: shape}
        inner = rest.value["$value"] if set(rest.value) == {"$value"} else rest
        bodies = inner.value if inner.is_list else [inner]
        return Loop(said[1], path, [Place(body, scope) for body in bodies])

    def loop_alternatives(self, loops: Sequence[Loop]) -> list[Alternative]:
        """What one wire item may be."""
        out: list[Alternative] = []
        first = loops[0]
        switches = [p for loop in loops for p in loop.places if p.node.is_map and "$switch" in p.node.value]
        others = [p for loop in loops for p in loop.places if p not in switches]
        if switches:
            out += self.cases(switches)
        if others and all(p.node.is_map for p in others) and all(len(loop.places) == 1 for loop in loops):
            made = self.build(others)
            out += [Alternative(made)] if made is not None else []
        else:
            out += [a for p in others for a in self.alternatives(p)]
        for alternative in out:
            alternative.var, alternative.into = first.var, first.into
            alternative.pattern = _item(alternative.pattern, first)
        return out

    def loops(self, places: Sequence[Place]) -> Pattern | None:
        """`$for`: each wire item is one value of the loop."""
        found_loops = [loop for place in places if (loop := self.head(place)) is not None]
        if not found_loops:
            return None
        renamed = [loop for loop in found_loops if loop.var == found_loops[0].var and loop.into == found_loops[0].into]
        if len(renamed) < len(found_loops):
            return self.items(places)
        if "$if" in places[0].node.value and next(iter(places[0].node.value)) == "$if" and "$else" in places[0].node.value:
            other = self.build([Place(places[0].node.value["$else"], places[0].scope)])
            return either([self._loop(found_loops), other])
        return self._loop(found_loops)

    def _loop(self, loops: Sequence[Loop]) -> Pattern | None:
        before, splits = self.transforms, self.splits
        alternatives = self.loop_alternatives(loops)
        if not alternatives:
            return None
        into = loops[0].into
        message = into in (("messages",), ("turns",))
        items = self.reader(alternatives, into, self.splits > splits or (self.transforms > before and not message))

        def match(value: Any, bindings: Bindings) -> Match | None:
            if value.__class__ is str and message:
                said = [{"role": "user", "parts": [{"type": "text", "text": value}]}]
                return MATCHED if bind(bindings, into, said) else None
            if value.__class__ is not list:
                return None
            return items(value, bindings)

        return Pattern(match, loop=loops)

    def items(self, places: Sequence[Place]) -> Pattern | None:
        """A list of templates: each wire item against every template; several items for one template join their text."""
        alternatives: list[Alternative] = []
        loops: dict[tuple[str, Path], list[Loop]] = {}
        singles: dict[int, list[Place]] = {}
        for place in places:
            for position, node in enumerate(place.node.value if place.node.is_list else [place.node]):
                if node.is_map and "$for" in node.value:
                    loop = self.head(Place(node, place.scope))
                    if loop is not None:
                        loops.setdefault((loop.var, loop.into), []).append(loop)
                else:
                    singles.setdefault(position, []).append(Place(node, place.scope))
        for found_loops in loops.values():
            alternatives += self.loop_alternatives(found_loops)
        for inner in singles.values():
            made = self.build(inner)
            if made is not None:
                alternatives.append(Alternative(made))
        if not alternatives:
            return None
        carrying = next((into for _, into in loops if into[-1] == "tools"), None)
        carrying = carrying or next((into for _, into in loops if into[-1] in CARRYING), None)
        items = self.reader(alternatives, carrying)
        unsure = {a.pattern.weak for a in alternatives} - {None}

        def match(value: Any, bindings: Bindings) -> Match | None:
            return items(value, bindings) if value.__class__ is list else None

        return Pattern(match, deep=True, weak=unsure.pop() if len(unsure) == 1 else None)

    def reader(self, alternatives: Sequence[Alternative], carrying: Path | None, transforms: bool = True) -> Matcher:
        """Reads the items of a list. `carrying` is the list that takes an item no template fits, as a native one."""
        every = tuple(alternatives)
        choose, dialect = chooser(every, self.look), self.dialect
        several = self.several_parts
        vars = {a.var for a in every}
        var = vars.pop() if len(vars) == 1 and every[0].into is not None and not transforms else None
        plain = PlainItems(choose, var, self.literals, self.native_part) if var is not None else None
        only = every[0].into
        native = carrying if carrying is not None and carrying[-1] in CARRYING else None
        single = len(every) == 1
        recipe_of = plain.recipe if plain is not None else None

        def read(value: list[Any], bindings: Bindings) -> Match | None:
            previous: dict[str, Any] | None = None
            made: Any
            taken: list[Any] = []
            lists: dict[Path, list[Any]] | None = None  # made, as what is below, for the first item that has no recipe
            penalty = hits = joined = 0
            for item in value:
                if recipe_of is not None and item.__class__ is dict and len(item) < 4:
                    recipe = recipe_of(item)
                    if recipe is not None:
                        source, base, target, listed, part, joins = recipe
                        one = item[source]
                        hits += 1
                        if part is not None:
                            element = {**part, target: one}
                            if joins and previous is not None and previous.get("role") == base["role"]:
                                previous["parts"].append(element)
                                continue
                            made = {**base, "parts": [element]}
                            previous = made if joins else None
                        else:
                            made = {**base, target: several(one) if listed else one}
                            previous = None
                        taken.append(made)
                        continue
                if lists is None:
                    lists = {only: taken} if only is not None else {}
                    seen: dict[int, Bindings] = {}
                    at: dict[str, Any] = {}
                    unknown: list[Any] = []
                best = choose(item)
                if best is None:
                    previous = None
                    if native is not None:
                        lists.setdefault(native, []).append({"type": "native", "dialect": dialect, "data": item})
                        hits += 1
                    else:
                        unknown.append(item)
                        penalty += weight(item)
                    continue
                left, cost, own, alternative = best
                into = alternative.into
                hits += 1
                if into is not None and native is not None and into[-1] == "server_tools":
                    tool = own.get(alternative.var or "")
                    if tool is not None and "native" in tool:
                        lists.setdefault(native, []).append({"type": "native", "dialect": dialect, "data": tool["native"]})
                        continue
                if into is None:  # a template of its own
                    mine = id(alternative)
                    penalty += cost
                    if mine in seen:
                        if not join(seen[mine], own, texts=True):
                            unknown.append(item)
                        else:
                            joined += 1
                    else:
                        if left is not None:
                            at[str(len(seen))] = left
                        seen[mine] = own
                    continue
                made = own.pop(alternative.var or "", None)
                if made is None:
                    made = {}
                if left is not None and made.__class__ is dict:
                    made["extra"] = {dialect: left}
                if own:
                    join(bindings, own)
                if alternative.spliced:
                    if previous is not None and previous.get("role") == made.get("role"):
                        join(previous, {k: v for k, v in made.items() if k != "role"})
                        continue
                    previous = made
                else:
                    previous = None
                known = lists.get(into)
                if known is None:
                    lists[into] = [made]
                else:
                    known.append(made)
            if lists is None:
                return MATCHED if not taken or only is None or bind(bindings, only, taken) else None
            if not hits:
                return None
            if joined and single and all(map(_flat, value)):  # texts that become one keep their items
                at.update((str(i), v) for i, v in enumerate(value))
            for own in seen.values():
                if not join(bindings, own):
                    return None
            for path, made_items in lists.items():
                if made_items and not bind(bindings, path, made_items):
                    return None
            if not unknown and not at:
                return (None, penalty) if penalty else MATCHED
            if not at:
                return unknown, penalty
            for number, item in enumerate(unknown):
                at[str(_AFTER + number)] = item
            return at, penalty + len(at)

        return read


def _item(pattern: Pattern, loop: Loop) -> Pattern:
    """A pattern for an item of a list: of another type or role, or without its name, it is something else."""
    if loop.into[-1] not in CARRYING or loop.into[-1] == "server_tools":
        return pattern
    named, var, inner = loop.into[-1] in _NAMED, loop.var, pattern.match

    def match(value: Any, bindings: Bindings) -> Match | None:
        fits = inner(value, bindings)
        if fits is None or (fits is MATCHED and not named):
            return fits
        left = fits[0]
        if left is not None and ("type" in left or "role" in left):
            return None
        return None if named and not (bindings.get(var) or _NONE).get("name") else fits

    return Pattern(match, pattern.values, pattern.binds, pattern.closed, pattern.keys, pattern.guards, pattern.deep)


def _flat(item: Any) -> bool:
    return item.__class__ is dict and all(v.__class__ not in (dict, list) for v in item.values())
