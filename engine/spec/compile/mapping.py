"""Maps: how a JSON document becomes outputs (SPEC_LANGUAGE 6, 7.1). Each map is one function with every path inside.

What is emitted:

- An output with a primary field (vocabulary) only if that is there; others only if a data field is. Position fields and
  constants are no data, unless an output has nothing else. Null and empty text are not there.
- An `error` whose message is `false`, `{}` or `[]` says that there is none.
- A path whose function refuses the provider's data gives nothing (engine.expr.query); a whole map raises LimitError only.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from engine.expr.function import Unit, assign, call, is_none, load
from engine.expr.query import Queries
from engine.expr.query_code import Code, Value
from engine.spec.compile.mapping_events import Events
from engine.spec.node import Mark, Node
from engine.spec.problem import Problems, nearest
from engine.vocabulary import POSITION_FIELDS

RULES = {
    "unknown-output": "A map names an output kind that does not exist or that the operation does not give.\n\nThe kinds of "
    "each operation are in SPEC_LANGUAGE 5, their fields in SPEC_LANGUAGE 12.",
    "needs-fields": "An output is given as a bare path, but has no primary field; or none of its fields carries data.\n\n"
    "Write `citation: {url: url, title: title}`. `usage: path` works where a `usage` table stands beside `response`.",
    "duplicate-event": "Two keys of `events` name the same event; each name has one map.",
    "deep-map": "Blocks with `from` nest more than eight deep.",
}

LOOPS = 8  # `from` inside `from`; with the projections of a path (query.LOOPS) within the 20 blocks that Python nests
_BLOCK = ("from", "when", "choice", "each", "match", "events")
_OUTPUT = ("from", "when")
#: what stands in for the primary field: everything so far, what is not settled yet, that nothing more comes
_INSTEAD = ("full", "tail", "final")
#: kinds whose primary field must be true, not only there
_MUST_BE_TRUE = frozenset({"error"})

Kinds = Mapping[str, tuple[Collection[str], str | None]]


class Maps:
    """Compiles the maps of one unit.

    `kinds`: output kind -> (fields, primary field or None). `allowed`: the kinds this operation may emit. `shared`: field
    tables by kind, for outputs that only say where the object is (SPEC_LANGUAGE 6.3). Findings go to `problems`, once each.
    """

    def __init__(
        self, unit: Unit, problems: Problems, kinds: Kinds, allowed: Collection[str], shared: Mapping[str, Node] | None = None
    ) -> None:
        self.unit = unit
        self.problems = problems
        self.kinds = kinds
        self.allowed = allowed
        self.shared = shared or {}
        self.queries = Queries(unit, problems)
        self.emitted: dict[str, set[str]] = {}  # kind -> fields that some map may give
        self._reported: set[tuple[Mark, str]] = set()

    def map(self, name: str, node: Node) -> None:
        """Add `name(document, emit, event=None, unknown=None)`: calls `emit(kind, choice, fields)` for every output.

        `fields` is a new dict each time and may hold nulls; `choice` is an int. `event` is the frame's own name, used where
        `events` has no `match`; `unknown(name or None)` is told of events the map does not list. Raises LimitError only.
        """
        code = Code(self.unit, node.mark)
        _Map(self, code).block(node, Value(load("document")), ast.Constant(0), 0)
        self.unit.function(name, ["document", "emit", "event", "unknown"], code.body(), [None, None])

    def report(self, rule: str, message: str, mark: Mark, suggestion: str | None = None, width: int = 1) -> None:
        """Report a finding, unless the same one came from another map that shares a table."""
        if (mark, message) not in self._reported:
            self._reported.add((mark, message))
            self.problems.error(rule, message, mark, suggestion, width=width)


class _Map:
    """One function being written."""

    def __init__(self, maps: Maps, code: Code) -> None:
        self.maps = maps
        self.code = code

    def block(self, node: Node, value: Value, choice: ast.expr, loops: int) -> None:
        """Write a map: a block or a list of them."""
        if node.is_list:
            for item in node.value:
                self.block(item, value, choice, loops)
            return
        if not node.is_map:
            self.maps.report("wrong-type", "a map is a mapping of outputs, or a list of such mappings", node.mark)
            return
        keys = node.value
        with self.scope(node, value, loops) as (value, loops):
            if _given(keys, "choice"):
                choice = self.choice(keys["choice"], value, choice)
            for key, child in keys.items():
                if child.value is None and key != "events":
                    continue
                if key == "each":
                    self.block(child, value, choice, loops)
                elif key == "events":
                    self.dispatch(keys, value, choice, loops)
                elif key == "match":
                    if "events" not in keys:
                        self.maps.report("missing-key", "`match` needs `events`", child.key_mark or child.mark, width=5)
                elif key not in _BLOCK:
                    self.outputs(key, child, value, choice, loops)

    @contextmanager
    def scope(self, node: Node, value: Value, loops: int) -> Iterator[tuple[Value, int]]:
        """`from` and `when` around what is written."""
        code, keys = self.code, node.value
        with ExitStack() as stack:
            if _given(keys, "from"):
                loops += 1
                if loops > LOOPS:
                    self.maps.report(
                        "deep-map", f"`from` nests at most {LOOPS} deep", keys["from"].key_mark or keys["from"].mark, width=4
                    )
                    code = self.code = Code(self.maps.unit)  # written to no function: only further findings are of use
                    loops = 0
                base = self.leaf(keys["from"], value)
                items = code.store(base.expr, "b")
                stack.enter_context(code.when(is_none(load(items), negate=True)))
                several, single = code.branches(code.is_a(Value(load(items)), list))
                with code.inside(several):
                    code.count(items)
                with code.inside(single):
                    code.add(assign(items, ast.Tuple([load(items)], ast.Load())))
                item = stack.enter_context(code.loop(load(items)))
                code.add(ast.If(is_none(load(item)), [ast.Continue()], []))
                value = Value(load(item), False, base.growth)
            if _given(keys, "when"):
                stack.enter_context(code.when(code.true(self.leaf(keys["when"], value))))
            yield value, loops

    def leaf(self, node: Node, value: Value) -> Value:
        found = self.maps.queries.inline(self.code, node, value)
        return found if found is not None else Value(ast.Constant(None), True)

    def choice(self, node: Node, value: Value, inherited: ast.expr) -> ast.expr:
        """The candidate's number; where the provider gives no whole number, that of the block around."""
        given = self.code.named(self.leaf(node, value))
        return load(self.code.store(ast.IfExp(self.code.is_a(given, int), given.expr, inherited), "c"))

    def dispatch(self, keys: Mapping[str, Node], value: Value, choice: ast.expr, loops: int) -> None:
        """`events`, by `match` or the frame's own name."""
        events = keys["events"]
        if not events.is_map:
            self.maps.report("wrong-type", "`events` is a mapping from names to maps", events.mark)
            return
        name = self.leaf(keys["match"], value) if _given(keys, "match") else Value(load("event"))
        table = Events(events, self.maps.report)
        table.write(self.code, name.expr, lambda node: self.block(node, value, choice, loops))

    # ── outputs ───────────────────────────────────────────────────────────────────────────────────────────────────
    def outputs(self, kind: str, node: Node, value: Value, choice: ast.expr, loops: int) -> None:
        """Write one output kind: a path, a mapping of fields, or a list of these."""
        if kind not in self.maps.allowed:
            self.unknown(kind, node)
            return
        for item in node.value if node.is_list else [node]:
            if item.value is not None:
                self.output(kind, self.laid(kind, item), value, choice, loops)

    def unknown(self, kind: str, node: Node) -> None:
        mark = node.key_mark or node.mark
        if kind in self.maps.kinds:
            self.maps.report("unknown-output", f"this operation gives no `{kind}`", mark, width=len(kind))
            return
        suggestion = nearest(kind, [*self.maps.allowed, *_BLOCK])
        self.maps.report("unknown-output", f"`{kind}` is not an output", mark, suggestion, len(kind))

    def laid(self, kind: str, node: Node) -> Node:
        """The output with the shared field table laid under it, if it only says where the object is."""
        table = self.maps.shared.get(kind)
        if table is None or not table.is_map or node.is_list:
            return node
        place = node.value if node.is_map else {"from": node}
        if any(key not in _OUTPUT for key in place):
            return node
        return Node({**place, **{k: v for k, v in table.items() if k not in _OUTPUT}}, node.mark, node.key_mark)

    def output(self, kind: str, node: Node, value: Value, choice: ast.expr, loops: int) -> None:
        fields, primary = self.maps.kinds[kind]
        if node.is_list:
            self.maps.report("wrong-type", f"`{kind}` is a path, a mapping of fields, or one list of these", node.mark)
        elif node.is_map:
            with self.scope(node, value, loops) as (value, _):
                self.emit(kind, {k: n for k, n in node.items() if k not in _OUTPUT and n.value is not None}, node, value, choice)
        elif primary is None:
            message = f"`{kind}` has no primary field: it is a mapping of {', '.join(f'`{f}`' for f in fields)}"
            self.maps.report("needs-fields", message, node.mark)
        else:
            self.emit(kind, {primary: node}, node, value, choice)

    def emit(self, kind: str, given: Mapping[str, Node], node: Node, value: Value, choice: ast.expr) -> None:
        code = self.code
        fields, primary = self.maps.kinds[kind]
        values: dict[str, ast.expr] = {}
        for name, path in given.items():
            if name not in fields:
                self.unknown_field(kind, name, path, fields)
                continue
            found = self.leaf(path, value)
            values[name] = found.expr if isinstance(found.expr, ast.Constant) else code.named(found).expr
        data = [name for name in (primary, *_INSTEAD) if name in values and primary is not None] or [
            name for name in values if name not in POSITION_FIELDS
        ]
        if not data:
            if not any(name not in fields for name in given):
                self.maps.report(
                    "needs-fields", f"`{kind}` is never emitted: none of its fields carries data", node.key_mark or node.mark
                )
            return
        self.maps.emitted.setdefault(kind, set()).update(values)
        tests = [self.there(kind, values[name]) for name in data if not isinstance(values[name], ast.Constant)]
        made = ast.Dict([ast.Constant(name) for name in values], list(values.values()))
        emission = ast.Expr(call(load("emit"), ast.Constant(kind), choice, made))
        if not tests:
            code.add(emission)
        else:
            code.add(ast.If(tests[0] if len(tests) == 1 else ast.BoolOp(ast.Or(), tests), [emission], []))

    def there(self, kind: str, value: ast.expr) -> ast.expr:
        if kind in _MUST_BE_TRUE:
            return self.code.true(Value(value))
        return ast.BoolOp(ast.And(), [is_none(value, negate=True), ast.Compare(value, [ast.NotEq()], [ast.Constant("")])])

    def unknown_field(self, kind: str, name: str, node: Node, fields: Collection[str]) -> None:
        mark = node.key_mark or node.mark
        if name in _BLOCK:
            self.maps.report("unknown-key", f"`{name}` stands in blocks, not in an output such as `{kind}`", mark, width=len(name))
        else:
            self.maps.report("unknown-field", f"`{kind}` has no field `{name}`", mark, nearest(name, fields), len(name))


def outputs_of(node: Node) -> set[str]:
    """The kinds of outputs that a map names, without compiling it."""
    found: set[str] = set()
    pending = [node]
    while pending:
        at = pending.pop()
        pending += at.value if at.is_list else []
        for key, child in at.items():
            if key == "each":
                pending.append(child)
            elif key == "events":
                pending += [block for _, block in child.items()]
            elif key not in _BLOCK and child.value is not None:
                found.add(key)
    return found


def _given(keys: Mapping[str, Node], name: str) -> bool:
    return name in keys and keys[name].value is not None
