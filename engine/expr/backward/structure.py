"""Trees read backwards (SERVE.md 2): mappings, conditions and cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from engine.expr.backward.bindings import Bindings, Match, Matcher, Path, Pattern, bind, found
from engine.expr.backward.choose import Alternative, choice_of, chooser
from engine.expr.backward.combine import all_keys, apart, constant, either
from engine.expr.backward.lists import Lists, Place
from engine.expr.backward.mapping import mapping_matcher, needing, unsure, wholly
from engine.expr.backward.names import Scope, Tree, free, path_of
from engine.expr.template import ExpressionError, parse_expression
from engine.spec.node import Node

_DIRECTIVES = ("$for", "$if", "$else", "$switch", "$value", "$join")
#: keys whose word decides what a mapping is
_TELLING = ("type", "role")
#: names whose being there says something by itself -> what is bound then
_SAYING: dict[Any, Any] = {"cache": True, "reasoning": {"mode": "auto"}}
#: parts that are nothing without their text
_WORDED = ("text", "refusal")


class Structure(Lists):
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
        return Pattern(choice_of(alternatives, self.look), closed=all(p.closed for p in patterns), keys=all_keys(patterns))

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
            then = needing(then, path)
        if then is not None:
            then = self.marked(then, test, scope)
            if not then.binds and then.values != ([],):
                then = None  # written because of something that cannot be known from it
        return either([then, other])

    def marked(self, pattern: Pattern, test: Tree, scope: Scope) -> Pattern:
        """A constant that is written because a name is there says that it is, where saying so is all the name says."""
        path = path_of(test)
        if path is None or path[-1] not in _SAYING:
            return self.hinted(pattern, test, scope)
        inner, said = pattern.match, _SAYING[path[-1]]

        def match(value: Any, bindings: Bindings) -> Match | None:
            fits = inner(value, bindings)
            if fits is not None and found(bindings, path) is None:
                bind(bindings, path, dict(said) if said.__class__ is dict else said)
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
        choose = chooser(self.loop_alternatives(found_loops), self.look)
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
                readers[key] = unsure(key, pattern)
                continue
            if key in _TELLING and pattern.closed:
                closed.add(key)
                if pattern.values:
                    guards.append((key, pattern.values))
            readers[key] = apart(pattern).match
            if len(inner) > 1 and not (inner[0].node.is_map or inner[0].node.is_list):
                readers[key] = wholly(apart(pattern).match)
        return Pattern(
            mapping_matcher(constants, readers, frozenset(closed), self.look),
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


def _guarded(node: Node) -> bool:
    """A mapping, written on a condition or always, but never as something else."""
    return node.is_map and not any(k in _DIRECTIVES and k != "$if" for k in node.value)


def constant_tree(node: Node) -> bool:
    """A tree without holes and directives."""
    if node.is_map:
        return all(not k.startswith("$") and constant_tree(v) for k, v in node.value.items())
    if node.is_list:
        return all(map(constant_tree, node.value))
    return not (isinstance(node.value, str) and "{{" in node.value)
