"""Trees read backwards (SERVE.md 2): mappings, lists, loops, cases and conditions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from engine.expr.backward.bindings import MATCHED, UNSURE, Bindings, Match, Matcher, Path, Pattern, bind, found, join, weight
from engine.expr.backward.choose import Alternative, choice_of, chooser
from engine.expr.backward.expressions import Expressions, all_keys, apart, constant
from engine.expr.backward.names import CARRYING, Scope, Tree, free, path_of, shape_of
from engine.expr.template import ExpressionError, parse_expression
from engine.expr.backward.plain import PlainItems
from engine.spec.node import Node
from engine.vocabulary import ANY

_FOR = re.compile(r"\s*([A-Za-z_]\w*)\s+in\s+(.+?)\s*\Z", re.DOTALL)
_DIRECTIVES = ("$for", "$if", "$else", "$switch", "$value", "$join")
#: keys whose word decides what a mapping is
_TELLING = ("type", "role")


class Place(NamedTuple):
    """A template and the names it may read."""

    node: Node
    scope: Scope


class _Loop(NamedTuple):
    """A `$for`: its item's name, the list it goes through, what is written of each item."""

    var: str
    into: Path
    places: list[Place]


class Structure(Expressions):
    """Compiles trees into patterns. Several places are alternatives for one value."""

    def build(self, places: Sequence[Place]) -> Pattern | None:
        """One pattern for all templates that may stand at a place of the wire; None if none of them can be read."""
        places = [p for p in places if p.node.value is not None]
        if not places:
            return None
        if all(p.node.is_map and "$for" in p.node.value for p in places):
            return self.loops(places)
        if len(places) == 1:
            return self.one(places[0])
        if all(p.node.is_map and not any(k in _DIRECTIVES for k in p.node.value) for p in places):
            return self.mapping(places)
        if all(p.node.is_list for p in places):
            return self.items(places)
        if all(_guarded(p.node) for p in places):
            return self.guarded(places)
        alternatives = [a for p in places for a in self.alternatives(p)]
        return self.best(alternatives)

    def guarded(self, places: Sequence[Place]) -> Pattern | None:
        """Mappings of which some are written on a condition: one mapping, and what the conditions say."""
        payloads = [Place(Node({k: v for k, v in p.node.value.items() if k != "$if"}, p.node.mark), p.scope) for p in places]
        made = self.mapping(payloads)
        for place in places:
            test = self.parsed(place.node.value["$if"]) if "$if" in place.node.value else None
            if made is not None and test is not None:
                made = self.marked(made, test, place.scope)
        return made

    def one(self, place: Place) -> Pattern | None:
        node, scope = place
        if node.is_map:
            if "$for" in node.value:
                return self.loops([place])
            if "$if" in node.value:
                return self.condition(place)
            if "$switch" in node.value:
                return self.best(self.cases([place]))
            if set(node.value) == {"$value"}:
                return self.build([Place(node.value["$value"], scope)])
            if not node.value or (constant_tree(node) and not any(k in _TELLING for k in node.value)):
                return constant(node.plain())
            return self.mapping([place])
        if node.is_list:
            return constant(node.plain()) if constant_tree(node) else self.items([place])
        return self.leaf(node, scope)

    def alternatives(self, place: Place) -> list[Alternative]:
        """What may stand at a place, one by one."""
        node = place.node
        if node.is_map and "$switch" in node.value and "$for" not in node.value:
            return self.cases([place])
        made = self.one(place)
        return [Alternative(made)] if made is not None else []

    def best(self, alternatives: Sequence[Alternative]) -> Pattern | None:
        if not alternatives:
            return None
        if len(alternatives) == 1 and alternatives[0].subject is None:
            return apart(alternatives[0].pattern)
        patterns = [a.pattern for a in alternatives]
        return Pattern(choice_of(alternatives), closed=all(p.closed for p in patterns), keys=all_keys(patterns))

    # --- conditions --------------------------------------------------------------------------------------------------

    def condition(self, place: Place) -> Pattern | None:
        """`$if`: the payload, and what the condition says; else the `$else`."""
        node, scope = place
        rest = {k: v for k, v in node.value.items() if k not in ("$if", "$else")}
        payload = rest["$value"] if set(rest) == {"$value"} else Node(rest, node.mark, node.key_mark)
        test = self.parsed(node.value["$if"])
        other = self.build([Place(node.value["$else"], scope)]) if "$else" in node.value else None
        if not rest or test is None:
            return other
        if not any(True for _ in free(test)):
            rows = self.forward.rows(test, scope)
            return self.build([Place(payload, scope)]) if rows and rows[0].value else other
        then = self.build([Place(payload, scope)])
        path = path_of(test)
        if then is not None and path is not None and path in self.holes(payload):
            then = _needing(then, path)
        if then is not None:
            then = self.marked(then, test, scope)
            if not then.binds and then.values != ([],):
                then = None  # written because of something that cannot be known from it
        from engine.expr.backward.expressions import either

        return either([then, other])

    def marked(self, pattern: Pattern, test: Tree, scope: Scope) -> Pattern:
        """A constant that is written because a name is there says that it is, where saying so is all the name says."""
        path = path_of(test)
        if path is None or path[-1] != "cache":
            return self.hinted(pattern, test, scope)
        inner = pattern.match

        def match(value: Any, bindings: Bindings) -> Match | None:
            fits = inner(value, bindings)
            if fits is not None and found(bindings, path) is None:
                bind(bindings, path, True)
            return fits

        return Pattern(match, pattern.values, True, pattern.closed, pattern.keys, pattern.guards, pattern.deep)

    def holes(self, node: Node) -> Iterator[Path]:
        """The names that stand alone in a hole of a tree."""
        for child in node.value.values() if node.is_map else node.value if node.is_list else ():
            yield from self.holes(child)
        if isinstance(node.value, str) and node.value.startswith("{{") and node.value.count("{{") == 1:
            test = self.parsed(Node(node.value[2:].rstrip().removesuffix("}}"), node.mark))
            path = path_of(test) if test is not None else None
            if path is not None:
                yield path

    def parsed(self, node: Node) -> Tree | None:
        try:
            return parse_expression(str(node.value).lower() if node.value.__class__ is bool else str(node.value))
        except ExpressionError:
            return None

    # --- cases -------------------------------------------------------------------------------------------------------

    def cases(self, places: Sequence[Place]) -> list[Alternative]:
        """The cases of `$switch`; those of one name in several templates are one case with more keys."""
        test = self.parsed(places[0].node.value["$switch"])
        if test is None:
            return []
        scope = {name: shape for place in places for name, shape in place.scope.items()}
        subject, path = self.invert(test, scope), path_of(test)
        if subject is None:
            return []
        named: dict[str, list[Place]] = {}
        for place in places:
            for key, child in place.node.value.items():
                if (not key.startswith("$") or key == "$default") and child.value is not None:
                    named.setdefault(key, []).append(Place(child, place.scope))
        out: list[Alternative] = []
        for key, bodies in named.items():
            words = None if key == "$default" else tuple(w.strip() for w in key.split("|"))

            def add(pattern: Pattern | None, spliced: bool = False, words: tuple[str, ...] | None = words) -> None:
                if pattern is not None:
                    out.append(Alternative(pattern, subject, path, words, spliced=spliced))

            flat = [Place(item, b.scope) for b in bodies for item in (b.node.value if b.node.is_list else [b.node])]
            loops = [b for b in flat if b.node.is_map and "$for" in b.node.value]
            rest = [b for b in flat if b not in loops]
            if loops:
                add(self.element(loops), spliced=True)
            if any(b.node.is_list for b in bodies):
                for body in rest:
                    made = self.one(body)
                    if made is None or made.binds or len(rest) == 1:  # what binds nothing is filled in by the engine
                        add(made)
            elif rest:
                add(self.build(rest))
        return out

    def element(self, loops: Sequence[Place]) -> Pattern | None:
        """A `$for` inside a case: a wire item is one element of the inner list."""
        found_loops = [loop for place in loops if (loop := self.head(place)) is not None]
        if not found_loops:
            return None
        choose = chooser(self.loop_alternatives(found_loops))
        dialect = self.dialect
        keys = None

        def match(value: Any, bindings: Bindings) -> Match | None:
            best = choose(value)
            if best is None:
                return None
            left, penalty, own, alternative = best
            item = own.get(alternative.var or "") or {}
            if item.get("type") in _WORDED and "text" not in item:
                return None
            if left is not None:
                item["extra"] = {dialect: left}
            if alternative.into is None or not bind(bindings, alternative.into, [item]):
                return None
            return None, penalty

        return Pattern(match, keys=keys, deep=True)

    # --- mappings ----------------------------------------------------------------------------------------------------

    def mapping(self, places: Sequence[Place]) -> Pattern | None:
        """Every known key is read, unknown ones are left over; it fits only if one key did."""
        keys: dict[str, list[Place]] = {}
        for place in places:
            self._gather(place, keys)
        constants: dict[str, tuple[Any, ...]] = {}
        readers: dict[str, Matcher | None] = {}
        closed: set[str] = set()
        guards: list[tuple[str, tuple[Any, ...]]] = []
        binds = False
        for key, inner in keys.items():
            pattern = self.build(inner)
            if pattern is None:
                readers[key] = None
                continue
            if pattern.values is not None and not pattern.binds and pattern.values:
                constants[key] = pattern.values
                if key in _TELLING:
                    guards.append((key, pattern.values))
                continue
            binds = binds or pattern.binds
            if pattern.weak is not None:
                readers[key] = _unsure(key, pattern)
                continue
            if key in _TELLING and pattern.closed:
                closed.add(key)
                if pattern.values:
                    guards.append((key, pattern.values))
            readers[key] = apart(pattern).match
            if len(inner) > 1 and not (inner[0].node.is_map or inner[0].node.is_list):
                readers[key] = _wholly(apart(pattern).match)
        return Pattern(
            _mapping(constants, readers, frozenset(closed)),
            binds=binds,
            keys=frozenset(constants) | {k for k, r in readers.items() if r is not None},
            guards=tuple(guards),
            deep=True,
        )

    def _gather(self, place: Place, keys: dict[str, list[Place]]) -> None:
        for key, child in place.node.value.items():
            if key == "$merge":
                for item in child.value if child.is_list else [child]:
                    if item.is_map and not any(k in _DIRECTIVES for k in item.value):
                        self._gather(Place(item, place.scope), keys)
            elif not key.startswith("$") and child.value is not None:
                keys.setdefault(key, []).append(Place(child, place.scope))

    # --- lists and loops ---------------------------------------------------------------------------------------------

    def head(self, place: Place) -> _Loop | None:
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
        return _Loop(said[1], path, [Place(body, scope) for body in bodies])

    def loop_alternatives(self, loops: Sequence[_Loop]) -> list[Alternative]:
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
            from engine.expr.backward.expressions import either

            other = self.build([Place(places[0].node.value["$else"], places[0].scope)])
            return either([self._loop(found_loops), other])
        return self._loop(found_loops)

    def _loop(self, loops: Sequence[_Loop]) -> Pattern | None:
        before = self.transforms
        alternatives = self.loop_alternatives(loops)
        if not alternatives:
            return None
        plain = loops[0].into in (("messages",), ("turns",))
        items = self.reader(alternatives, loops[0].into, self.transforms > before and not plain)
        into = loops[0].into
        message = into in (("messages",), ("turns",))

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
        loops: dict[tuple[str, Path], list[_Loop]] = {}
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
        unsure = {a.pattern.weak for a in alternatives}

        def match(value: Any, bindings: Bindings) -> Match | None:
            return items(value, bindings) if value.__class__ is list else None

        return Pattern(match, deep=True, weak=unsure.pop() if len(unsure) == 1 else None)

    def native_part(self, item: Any) -> dict[str, Any]:
        return {"type": "native", "dialect": self.dialect, "data": item}

    def reader(self, alternatives: Sequence[Alternative], carrying: Path | None, transforms: bool = True) -> Matcher:
        """Reads the items of a list. `carrying` is the list that takes an item no template fits, as a native one."""
        every = tuple(alternatives)
        choose, dialect = chooser(every), self.dialect
        several = self.several_parts
        vars = {a.var for a in every}
        var = vars.pop() if len(vars) == 1 and every[0].into is not None and not transforms else None
        plain = PlainItems(choose, var, self.literals, self.native_part) if var is not None else None
        only = every[0].into
        native = carrying if carrying is not None and carrying[-1] in CARRYING else None

        def read(value: list[Any], bindings: Bindings) -> Match | None:
            lists: dict[Path, list[Any]] = {}
            previous: dict[str, Any] | None = None
            seen: dict[int, Bindings] = {}
            at: dict[str, Any] = {}
            unknown: list[Any] = []
            penalty = hits = 0
            flat = len(every) == 1 and len(value) > 1 and all(map(_flat, value))
            for item in value:
                if plain is not None and item.__class__ is dict and len(item) < 3:
                    recipe = plain.recipe(item)
                    if recipe is not None:
                        one = item[recipe.source]
                        hits += 1
                        if recipe.part is not None:
                            element = {**recipe.part, recipe.target: one}
                            if recipe.joins and previous is not None and previous.get("role") == recipe.base["role"]:
                                previous["parts"].append(element)
                                continue
                            made = {**recipe.base, "parts": [element]}
                            previous = made if recipe.joins else None
                        else:
                            made = {**recipe.base, recipe.target: several(one) if recipe.listed else one}
                            previous = None
                        lists.setdefault(only, []).append(made)
                        continue
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
                    made = own.get(alternative.var or "")
                    if made is not None and "native" in made:
                        lists.setdefault(native, []).append({"type": "native", "dialect": dialect, "data": made["native"]})
                        continue
                if into is None:  # a template of its own
                    mine = id(alternative)
                    penalty += cost
                    if mine in seen:
                        if not join(seen[mine], own, texts=True):
                            unknown.append(item)
                        elif flat:  # texts that become one keep their items
                            at.update((str(i), v) for i, v in enumerate(value))
                    else:
                        if left is not None:
                            at[str(len(seen))] = left
                        seen[mine] = own
                    continue
                made = own.pop(alternative.var, None)
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
            if value and not hits:
                return None
            for own in seen.values():
                if not join(bindings, own):
                    return None
            for path, made_items in lists.items():
                if not bind(bindings, path, made_items):
                    return None
            if not unknown and not at:
                return None, penalty
            if not at:
                return unknown, penalty
            for number, item in enumerate(unknown):
                at[str(_AFTER + number)] = item
            return at, penalty + len(at)

        return read


def _wholly(inner: Matcher) -> Matcher:
    """Where one value is written, another spelling with something left over is kept whole: it takes the value's place."""

    def match(value: Any, bindings: Bindings) -> Match | None:
        fits = inner(value, bindings)
        return fits if fits is None or fits[0] is None else (value, fits[1])

    return match


def _guarded(node: Node) -> bool:
    """A mapping, written on a condition or always, but never as something else."""
    return node.is_map and not any(k in _DIRECTIVES and k != "$if" for k in node.value)


def _needing(pattern: Pattern, path: Path) -> Pattern:
    """A pattern of what is written only if a name has a value, which therefore is in what was written."""
    inner = pattern.match

    def match(value: Any, bindings: Bindings) -> Match | None:
        fits = inner(value, bindings)
        return fits if fits is None or found(bindings, path) else None

    return Pattern(match, pattern.values, pattern.binds, pattern.closed, pattern.keys, pattern.guards, True)


def _unsure(key: str, pattern: Pattern) -> Matcher:
    """What fits but says too little stays left over, with a note of what would explain it (`UNSURE`)."""
    inner, parent = pattern.match, pattern.weak

    def match(value: Any, bindings: Bindings) -> Match | None:
        fits = inner(value, {})
        if fits is None:
            return None
        bindings.setdefault(UNSURE, {})[key] = (parent, fits[0])
        return value, 0

    return match


def _flat(item: Any) -> bool:
    return item.__class__ is dict and all(v.__class__ not in (dict, list) for v in item.values())


#: parts that are nothing without their text
_WORDED = ("text", "refusal")
#: lists whose items are nothing without a name
_NAMED = frozenset(("tools", "tool_calls"))


def _item(pattern: Pattern, loop: _Loop) -> Pattern:
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


_NONE: dict[str, Any] = {}
#: position of an item that comes after all that is written
_AFTER = 1_000_000


def _mapping(constants: dict[str, tuple[Any, ...]], readers: dict[str, Matcher | None], closed: frozenset[str]) -> Matcher:
    """The matcher of a mapping."""
    expected = len(constants)
    get_reader = readers.get
    no_constants = not constants

    def match(value: Any, bindings: Bindings) -> Match | None:
        if value.__class__ is not dict:
            return None
        hits = penalty = known = 0
        left: dict[str, Any] | None = None
        for key, one in value.items():
            if one is None:
                continue
            reader = get_reader(key)
            if reader is not None:
                fits = reader(one, bindings)
                if fits is not None:
                    hits += 1
                    if fits is MATCHED:
                        continue
                    penalty += fits[1]
                    if fits[0] is not None:
                        if left is None:
                            left = {}
                        left[key] = fits[0]
                    continue
                if key in closed:
                    return None
                penalty += 1 + weight(one)
            elif not no_constants and key in constants:
                if one not in constants[key]:
                    return None
                known += 1
                hits += 1
                continue
            else:
                penalty += 1
            if left is None:
                left = {}
            left[key] = one
        if not hits:
            return None
        penalty += expected - known
        if left is None and penalty == 0:
            return MATCHED
        return left, penalty

    return match


def constant_tree(node: Node) -> bool:
    """A tree without holes and directives."""
    if node.is_map:
        return all(not k.startswith("$") and constant_tree(v) for k, v in node.value.items())
    if node.is_list:
        return all(map(constant_tree, node.value))
    return not (isinstance(node.value, str) and "{{" in node.value)
