"""YAML trees -> statements of generated code (SPEC_LANGUAGE 3.1, 3.2): leaves, mappings, lists and the eight directives.

A tree is written into a sink: an entry of a mapping, the end of a list, a local. What is nothing is never stored.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from engine.expr.function import assign, is_none, load, method
from engine.expr.template import carriers, values
from engine.expr.template.frame import UNKNOWN, Value
from engine.expr.template.names import Scope
from engine.expr.template.statements import Sink, Statements
from engine.spec.node import Mark, Node
from engine.spec.problem import nearest
from engine.vocabulary import ANY, Shape

DIRECTIVES = ("$for", "$if", "$else", "$switch", "$default", "$value", "$merge", "$join")
MAX_LOOPS = 4
MAX_CHAIN = 8  # cases written as if/elif: Python's compiler descends into each; more are written one after the other
_FOR = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)(?:\s*,\s*([A-Za-z][A-Za-z0-9_]*))?\s+in\s+(.+)\Z", re.DOTALL)
_RESERVED = frozenset(
    ["true", "false", "none", "null", "and", "or", "not", "in", "is", "if", "else", "tables", "True", "False", "None"]
)


class Structure(Statements):
    """Compiles templates statement by statement."""

    # --- values ------------------------------------------------------------------------------------------------------

    def emit(self, node: Node, scope: Scope, sink: Sink) -> bool:
        """Write a tree into a sink. True if something is always stored."""
        simple = self.simple(node, scope)
        if simple is not None:
            return self.store(simple, sink, node.mark)
        if node.is_list:
            return self._list_node(node, scope, sink)
        if "$join" in node.value:
            return self._join_node(node, scope, sink)
        directive = next((k for k in node.value if k in ("$for", "$if", "$switch")), None)
        if directive == "$for":
            return self._for_value(node, scope, sink)
        if directive == "$if":
            return self._if(node, scope, sink)
        if directive == "$switch":
            return self._switch(node, scope, sink)
        if "$value" in node.value:
            return self.emit(self._payload(node, ()), scope, sink)
        return self._mapping(node, scope, sink)

    def simple(self, node: Node, scope: Scope) -> Value | None:
        """The value of a tree that needs no statements: a leaf, a constant, a mapping or list whose entries are never nothing."""
        value = node.value
        if value.__class__ is dict:
            if not value:
                return self.known({})
            return self.known(constant(node)) if _plain(node) else None
        if value.__class__ is list:
            return self.known(constant(node)) if all(_plain(v) for v in value) else None
        return self.leaf(node, scope)

    def _list_node(self, node: Node, scope: Scope, sink: Sink) -> bool:
        name = self.unit.fresh("l")
        self.put(assign(name, ast.List([], ast.Load())), node.mark)
        certain = False
        for item in node.value:
            certain |= self.into_list(item, scope, name)
        return self.store(Value(load(name), certain=True), sink, node.mark, empty=not certain)

    def into_list(self, node: Node, scope: Scope, name: str, spliced: bool = False) -> bool:
        """Append a template's value to a list; `$for` gives its items."""
        if node.is_map and "$for" in node.value and "$join" not in node.value:
            self._guarded_loop(node, scope, name)
            return False
        return self.emit(node, scope, Sink(name, listed=True, spliced=spliced))

    def _mapping(self, node: Node, scope: Scope, sink: Sink) -> bool:
        name = self.unit.fresh("m")
        head = ast.Dict([], [])  # the entries before the first that may be nothing
        opened = certain = False
        entries = _entries(node)
        for key, child in entries:
            value = self.simple(child, scope) if not key.startswith("$") else None
            self._check_key(key, child)
            if not opened and value is not None and value.certain and not value.null:
                head.keys.append(ast.Constant(key))
                head.values.append(value.code)
                certain = True
                continue
            if len(entries) == 1 and value is not None and value.constant is UNKNOWN and not value.null:
                return self._lone(key, value, sink, node.mark)
            if not opened:
                self.put(assign(name, head), node.mark)
                opened = True
            if key == "$merge":
                self._merge(child, scope, name)
            elif key.startswith("$"):
                self._unknown_directive(key, child)
            elif value is not None:
                certain |= self.store(value, Sink(name, key), child.mark)
            else:
                certain |= self.emit(child, scope, Sink(name, key))
        if not opened:
            return self.store(Value(head, certain=True), sink, node.mark)
        return self.store(Value(load(name), certain=True), sink, node.mark, empty=not certain)

    def _lone(self, key: str, value: Value, sink: Sink, mark: Mark) -> bool:
        """A mapping of one entry, which is there if its entry is."""
        first, again = self.twice(value.code)
        with self.inside(self.branch(is_none(first, negate=True), mark).body):
            self.store(Value(ast.Dict([ast.Constant(key)], [again]), certain=True), sink, mark)
        return False

    def _check_key(self, key: str, child: Node) -> None:
        if not _text_only(key):
            self.problems.error(
                "bad-expression", "keys are written as they are; only values hold expressions", child.key_mark or child.mark
            )

    def _unknown_directive(self, key: str, child: Node) -> None:
        where = child.key_mark or child.mark
        if key in DIRECTIVES:
            partner = {"$else": "$if", "$default": "$switch"}.get(key, "$for")
            self.problems.error("unknown-directive", f"`{key}` stands only with `{partner}`", where, width=len(key))
        else:
            self.problems.error("unknown-directive", f"`{key}` is not a directive", where, nearest(key, DIRECTIVES), width=len(key))

    def _merge(self, node: Node, scope: Scope, name: str) -> None:
        for item in node.value if node.is_list else [node]:
            local = self.unit.fresh("x")
            self.put(assign(local, ast.Constant(None)), item.mark)
            self.emit(item, scope, Sink(local))
            self.put(ast.Expr(self.helpers.call(values.merge_into, load(name), load(local))), item.mark)

    # --- directives --------------------------------------------------------------------------------------------------

    def _payload(self, node: Node, taken: Sequence[str]) -> Node:
        """What is left of a mapping without the directives `taken`: its `$value` if that is all."""
        rest = {k: v for k, v in node.value.items() if k not in taken}
        if "$value" in rest:
            others = [k for k in rest if k != "$value"]
            if not others:
                return rest["$value"]  # type: ignore[no-any-return]
            if not any(k in ("$for", "$if", "$switch", "$join") for k in others):
                child = rest[others[0]]
                message = f"`$value` is the whole payload; `{others[0]}` cannot stand beside it"
                self.problems.error("bad-directive", message, child.key_mark or child.mark, width=len(others[0]))
                return rest["$value"]  # type: ignore[no-any-return]
        return Node(rest, node.mark, node.key_mark)

    def _if(self, node: Node, scope: Scope, sink: Sink) -> bool:
        condition = node.value["$if"]
        test = self.bare(condition, scope)
        holder = self.branch(test.code, condition.mark)
        with self.inside(holder.body):
            then = self.emit(self._payload(node, ("$if", "$else")), scope, sink)
        if "$else" not in node.value:
            return False
        with self.inside(holder.orelse):
            other = self.emit(node.value["$else"], scope, sink)
        return then and other

    def _switch(self, node: Node, scope: Scope, sink: Sink) -> bool:
        condition = node.value["$switch"]
        value = self.bare(condition, scope)
        name = self.unit.fresh("s")
        self.put(assign(name, value.code), condition.mark)
        words = value.shape.values
        if not (words and all(x.__class__ is str for x in words)):
            words = tuple(values.case_text(x) for x in words) if words else None
            self.put(assign(name, self.helpers.call(values.case_text, load(name))), condition.mark)
        outer = self.frame.block
        often = self.frame.loops > 0  # inside loops the value is nearly always there; elsewhere nearly never
        if not often:
            self.frame.block = self.branch(is_none(load(name), negate=True), node.mark).body
        flat = len(node.value) > MAX_CHAIN
        seen: set[str] = set()
        for key, child in node.value.items():
            if key in ("$switch", "$default"):
                continue
            if key.startswith("$"):
                self._unknown_directive(key, child)
                continue
            cases = self._cases(key, child, words, seen)
            test: ast.expr = ast.Compare(load(name), [ast.Eq()], [ast.Constant(cases[0])])
            if len(cases) > 1:
                test = ast.Compare(load(name), [ast.In()], [ast.Tuple([ast.Constant(x) for x in cases], ast.Load())])
            holder = self.branch(test, child.key_mark or child.mark)
            with self.inside(holder.body):
                if child.value is None:  # known, but without a place here: dropped, never in silence
                    told = (load("c"), load(name), ast.Constant(_subject(condition)), ast.Constant(self.label))
                    self.put(ast.Expr(self.helpers.call(carriers.no_place, *told)), child.key_mark or child.mark)
                self._case(child, scope, sink)
                if flat:
                    self.put(assign(name, ast.Constant(None)), child.mark)
            if not flat:
                self.frame.block = holder.orelse
        if often or flat:
            self.frame.block = self.branch(is_none(load(name), negate=True), node.mark).body
        if "$default" in node.value:
            with self.inside(self.frame.block):
                self._case(node.value["$default"], scope, sink)
        else:
            self.put(ast.Expr(self.helpers.call(values.no_case, load(name), ast.Constant(self.label))), condition.mark)
        self.frame.block = outer
        return False

    def _cases(self, key: str, child: Node, words: tuple[Any, ...] | None, seen: set[str]) -> list[str]:
        cases = [c.strip() for c in key.split("|")]
        for case in cases:
            where = child.key_mark or child.mark
            if words and case not in words:
                self.problems.error("unknown-case", f"this is never `{case}`", where, nearest(case, words), width=len(key))
            if case in seen:
                self.problems.error("duplicate-case", f"case `{case}` stands twice", where, width=len(key))
            seen.add(case)
        return cases

    def _case(self, node: Node, scope: Scope, sink: Sink) -> None:
        if sink.spliced and node.is_list:
            for item in node.value:
                self.into_list(item, scope, sink.target)
        elif sink.spliced:
            self.into_list(node, scope, sink.target, spliced=True)
        else:
            self.emit(node, scope, sink)

    def _join_node(self, node: Node, scope: Scope, sink: Sink) -> bool:
        separator = node.value["$join"]
        if separator.value.__class__ is not str or "{{" in separator.value:
            self.problems.error("bad-directive", "`$join` is the text between the items", separator.mark)
            return False
        if "$for" not in node.value and "$value" not in node.value:
            self.problems.error("bad-directive", "`$join` needs `$for` or `$value`", separator.key_mark or separator.mark)
            return False
        local = self.unit.fresh("j")
        self.put(assign(local, ast.Constant(None)), node.mark)
        self.emit(self._payload(node, ("$join",)), scope, Sink(local))
        joined = self.helpers.call(values.joined, self.frame.n(), load(local), ast.Constant(separator.value))
        return self.store(Value(ast.IfExp(is_none(load(local)), ast.Constant(None), joined)), sink, node.mark)

    def _for_value(self, node: Node, scope: Scope, sink: Sink) -> bool:
        self._loop(node, scope, self.unit.fresh("l"), sink)
        return False

    def _guarded_loop(self, node: Node, scope: Scope, name: str) -> None:
        """A `$for` whose items join a list; an `$if` written before it decides for all of them."""
        if next(k for k in node.value if k in ("$for", "$if")) == "$for":
            self._loop(node, scope, name)
            return
        condition = node.value["$if"]
        holder = self.branch(self.bare(condition, scope).code, condition.mark)
        with self.inside(holder.body):
            self._guarded_loop(Node({k: v for k, v in node.value.items() if k not in ("$if", "$else")}, node.mark), scope, name)
        if "$else" in node.value:
            other = node.value["$else"]
            with self.inside(holder.orelse):
                for item in other.value if other.is_list else [other]:
                    self.into_list(item, scope, name)

    def _loop(self, node: Node, scope: Scope, name: str, sink: Sink | None = None) -> None:
        """Append what each turn writes to the list `name`: to one that is there, or to one made for a sink."""
        head = node.value["$for"]
        found = _FOR.match(head.value) if head.value.__class__ is str else None
        self._node, self._offset = head, 0
        if found is None or found[1] in _RESERVED or found[2] in _RESERVED or found[1] == found[2]:
            self.problem("bad-for", "`$for` reads `<name> in <expression>` or `<name>, <number> in <expression>`")
            return
        if self.frame.loops >= MAX_LOOPS:
            self.problem("bad-for", f"loops are nested more than {MAX_LOOPS} deep")
            return
        self._offset = found.start(3)
        source = self.hole(found[3], scope)
        if source.constant is not UNKNOWN and source.constant.__class__ is not list:
            self.problem("bad-for", "`$for` needs a list")
            return
        shape = source.shape.item or ANY
        item = self.unit.fresh("i")
        first, again = self.twice(source.code)
        items: ast.expr = self.helpers.call(values.turns, self.frame.n(), again)
        target: ast.expr = ast.Name(item, ast.Store())
        scope = {**scope, found[1]: self._loop_value(item, shape)}
        if found[2]:  # numbered from 0
            number = self.unit.fresh("i")
            items = self.helpers.call(enumerate, items)
            target = ast.Tuple([ast.Name(number, ast.Store()), target], ast.Store())
            scope[found[2]] = Value(load(number), certain=True)
        loop = ast.For(target, items, [], [])
        with self.inside(self.branch(first, head.mark).body):
            if sink is not None:
                self.put(assign(name, ast.List([], ast.Load())), node.mark)
            self.put(loop, head.mark)
            self.frame.loops += 1
            with self.inside(loop.body):
                self._turn(node, scope, name, item, found[1], shape)
            self.frame.loops -= 1
            if sink is not None:
                self.store(Value(load(name), certain=True), sink, node.mark, empty=True)

    def _loop_value(self, item: str, shape: Shape) -> Value:
        return Value(load(item), shape, view=item if shape.fields is not None else None)

    def _turn(self, node: Node, scope: Scope, name: str, item: str, called: str, shape: Shape) -> None:
        """One turn of a loop. Items of the request may carry what only this dialect understands (SERVE.md 4)."""
        payload = self._payload(node, ("$for",))
        sink = Sink(name, listed=True, spliced=True)
        if shape.fields is None or shape.whole:
            self.emit(payload, scope, sink)
            return
        mark = node.mark
        not_mapping = ast.Compare(ast.Attribute(load(item), "__class__", ast.Load()), [ast.IsNot()], [self.helpers.name(dict)])
        with self.inside(self.branch(not_mapping, mark).body):
            self.put(assign(item, self.helpers.call(values.view, load(item), ast.Constant(called))), mark)
        with self.inside(self.branch(_has(item, "dialect"), mark).body):
            type_ = ast.Compare(method(load(item), "get", ast.Constant("type")), [ast.Eq()], [ast.Constant("native")])
            with self.inside(self.branch(type_, mark).body):
                self.put(
                    ast.Expr(self.helpers.call(carriers.native, load("c"), load(name), load(item), ast.Constant(self.label))), mark
                )
                self.put(ast.Continue(), mark)
        start = self.unit.fresh("k")
        with self.inside(self.branch(_has(item, "extra"), mark).body):
            self.put(assign(start, self.helpers.call(len, load(name))), mark)
        self.emit(payload, scope, sink)
        with self.inside(self.branch(_has(item, "extra"), mark).body):
            laid = self.helpers.call(carriers.extra, load("c"), load(name), load(start), load(item), ast.Constant(self.label))
            self.put(ast.Expr(laid), mark)


def _entries(node: Node) -> list[tuple[str, Node]]:
    """The entries of a mapping. A written mapping that is merged into nothing yet is so many entries of it."""
    entries = list(node.value.items())
    if entries and entries[0][0] == "$merge":
        merged = entries[0][1]
        if merged.is_map and not any(key.startswith("$") for key in merged.value):
            return [*merged.value.items(), *entries[1:]]
    return entries


def _subject(condition: Node) -> str:
    """What a `$switch` is about, for messages: the first request name its expression reads a field of."""
    found = re.search(r"([a-z_]+)\.[a-z_]+", str(condition.value))
    return found[1] if found else str(condition.value)[:60]


def _has(name: str, key: str) -> ast.expr:
    return ast.Compare(ast.Constant(key), [ast.In()], [load(name)])


def constant(node: Node) -> Any:
    """The value of a tree without holes; entries written as null are nothing."""
    value = node.value
    if value.__class__ is dict:
        entries = {k: made for k, v in value.items() if (made := constant(v)) is not None}
        return entries if entries or not value else None
    if value.__class__ is list:
        items = [made for v in value if (made := constant(v)) is not None]
        return items if items or not value else None
    return value


def _plain(node: Node) -> bool:
    """A tree without holes and directives."""
    value = node.value
    if value.__class__ is dict:
        return all(not k.startswith("$") and _text_only(k) and _plain(v) for k, v in value.items())
    if value.__class__ is list:
        return all(_plain(v) for v in value)
    return value.__class__ is not str or _text_only(value)


def _text_only(text: str) -> bool:
    return "{{" not in text and "{%" not in text and "{#" not in text
