"""The `params` table -> one straight function that lays parameters into a body (SPEC_LANGUAGE 5.2)."""

from __future__ import annotations

import ast
from typing import Any

from engine.errors import ConfigError, UnsupportedError
from engine.expr.function import assign, define, is_none, load
from engine.expr.template import carriers
from engine.expr.template.frame import UNKNOWN, Frame, Value
from engine.expr.template.parts import PartTables
from engine.expr.template.statements import Sink
from engine.expr.template.values import case_text, equal, kind, merged, text
from engine.spec.node import Mark, Node
from engine.spec.problem import nearest

KEYS = ("to", "default", "min", "max", "max_items", "table", "value", "only", "if")


class Parameters(PartTables):
    """Compiles a parameter table."""

    budget: int

    def params(self, name: str, table: Node) -> None:
        """Add `name(c, body, report, unsupported) -> body`.

        Each parameter the caller gave, or that has a default, is laid into a copy of nothing but what changes; its fate
        is written to `report.parameters`. The request's own `extra` is laid over the result. Raises UnsupportedError for
        values outside `only`, and for dropped ones when `unsupported` is "error".
        """
        if not table.is_map:
            self.problems.error("wrong-type", "`params` is a mapping from parameters to native names", table.mark)
            return
        outer, mode = self.frame, self.mode
        self.mode = "body"
        self.frame = Frame(self.unit, self.helpers, self.budget)
        tops: dict[str, int] = {}
        rows = [(key, child, self._target(key, child)) for key, child in table.items() if child.value is not None]
        for _, _, path in rows:
            tops[path[0]] = tops.get(path[0], 0) + 1
        none = is_none(load("body"))
        with self.inside(self.branch(none, table.mark).body):
            self.put(assign("body", ast.Dict([], [])), table.mark)
        told = ast.IfExp(is_none(load("report")), ast.Dict([], []), ast.Attribute(load("report"), "parameters", ast.Load()))
        self.put(assign("fates", told), table.mark)
        for key, child, path in rows:
            self._parameter(key, child, path, nested=len(path) > 1 or tops[path[0]] > 1)
        with self.inside(self.branch(ast.Compare(ast.Constant("extra"), [ast.In()], [load("c")]), table.mark).body):
            self.put(assign("body", self.helpers.call(carriers.request_extra, load("c"), load("body"))), table.mark)
        self.put(ast.Return(load("body")), table.mark)
        body = [*self.frame.prologue(), *self.frame.block]
        self.frame, self.mode = outer, mode
        self.unit.functions.append(
            define(
                name, ["c", "body", "report", "unsupported"], body, [ast.Constant(None), ast.Constant(None), ast.Constant("warn")]
            )
        )

    def _target(self, key: str, child: Node) -> list[str]:
        """The native path of a parameter."""
        node = child.get("to") if child.is_map else child
        if node is None or node.value is True:
            return [key]
        path = node.value.split(".") if node.value.__class__ is str else []
        if not path or not all(path) or "{{" in node.value:
            self.problems.error("bad-path", "a parameter goes to a native name; dots nest", node.mark)
            return [key]
        return list(path)

    def _parameter(self, key: str, child: Node, path: list[str], nested: bool) -> None:
        known = self.names
        if key not in known:
            where = child.key_mark or child.mark
            self.problems.error("unknown-parameter", f"`{key}` is not a parameter here", where, nearest(key, known), width=len(key))
            return
        if child.is_map:
            for word, node in child.items():
                if word not in KEYS:
                    where = node.key_mark or node.mark
                    self.problems.error(
                        "unknown-key", f"`{word}` says nothing about a parameter", where, nearest(word, KEYS), width=len(word)
                    )
        options = {k: v for k, v in child.items() if v.value is not None and k != "to"}
        mark = child.mark
        if not options:  # most are absent from most requests: looking whether one is there costs less than asking for its value
            raw, there = self.unit.fresh("g"), ast.Compare(ast.Constant(key), [ast.In()], [load("c")])
            with self.inside(self.branch(there, mark).body):
                self.put(assign(raw, ast.Subscript(load("c"), ast.Constant(key), ast.Load())), mark)
                with self.inside(self.branch(is_none(load(raw), negate=True), mark).body):
                    self._write(key, path, raw, None, nested, mark)
            return
        raw, _ = self.frame.read(key)
        x = self.unit.fresh("x")
        self.put(assign(x, load(raw)), mark)
        if "default" in options:
            with self.inside(self.branch(is_none(load(x)), mark).body):
                self.emit(options["default"], {}, Sink(x))
        outer = self.frame.block
        self.frame.block = self.branch(is_none(load(x), negate=True), mark).body
        self._change(key, raw, x, options)
        self._write(key, path, x, raw, nested, mark)
        self.frame.block = outer

    def _change(self, key: str, raw: str, x: str, options: dict[str, Node]) -> None:
        """`if`, `table`, `only`, bounds and `value`, in this order; ends in the block where `x` is to be written."""
        scope = {key: Value(load(x), self.names[key])}
        name, label = ast.Constant(key), ast.Constant(self.label)

        def step(word: str, function: Any, *args: ast.expr) -> None:
            self.put(assign(x, self.helpers.call(function, *args)), options[word].mark)

        if "if" in options:
            holder = self.branch(self.bare(options["if"], scope).code, options["if"].mark)
            with self.inside(holder.orelse):
                told = (load("fates"), load("report"), load("unsupported"), name, load(raw), label)
                self.put(ast.Expr(self.helpers.call(dropped, *told)), options["if"].mark)
            self.frame.block = holder.body
        if "table" in options:
            step("table", replaced, self.unit.constant(self._plain_option(options["table"], dict, "a mapping")), load(x))
        if "only" in options:
            words = self.unit.constant(self._plain_option(options["only"], list, "a list of accepted values"))
            step("only", accepted, words, load(x), name, label)
        for bound in ("min", "max", "max_items"):
            if bound in options:
                limit = self.leaf(options[bound], scope)
                if limit.constant is not UNKNOWN and limit.constant.__class__ not in (int, float):
                    self.problems.error("wrong-type", f"`{bound}` is a number", options[bound].mark)
                    continue
                step(bound, clamped, ast.Constant(bound), load(x), limit.code, load("report"), name, label)
        if "value" in options:
            made = self.unit.fresh("x")
            self.put(assign(made, ast.Constant(None)), options["value"].mark)
            self.emit(options["value"], scope, Sink(made))
            self.put(assign(x, load(made)), options["value"].mark)

    def _plain_option(self, node: Node, kind_: type, words: str) -> Any:
        value = node.plain()
        if value.__class__ is kind_:
            return value
        self.problems.error("wrong-type", f"this is {words}", node.mark)
        return kind_()

    def _write(self, key: str, path: list[str], x: str, raw: str | None, nested: bool, mark: Mark) -> None:
        """Lay `x` into the body and write down its fate; with `raw`, what the caller gave, `x` may have changed or vanished."""
        fate = ast.Dict([ast.Constant("fate")], [ast.Constant("sent" if path == [key] else "renamed")])
        if path != [key]:
            fate.keys.append(ast.Constant("to"))
            fate.values.append(ast.Constant(".".join(path)))
        made: ast.expr = fate
        if raw is not None:
            same = ast.BoolOp(ast.And(), [ast.Compare(load(x), [ast.Is()], [load(raw)]), is_none(load(raw), negate=True)])
            made = ast.IfExp(same, fate, self.helpers.call(fate_of, fate, load(raw), load(x)))
        self.put(ast.Assign([ast.Subscript(load("fates"), ast.Constant(key), ast.Store())], made), mark)
        with self.inside(self.branch(is_none(load(x), negate=True), mark).body if raw is not None else self.frame.block):
            if nested:
                keys = ast.Tuple([ast.Constant(p) for p in path], ast.Load())
                self.put(assign("body", self.helpers.call(put_at, load("body"), keys, load(x))), mark)
            else:
                self.put(ast.Assign([ast.Subscript(load("body"), ast.Constant(path[0]), ast.Store())], load(x)), mark)


# --- run time --------------------------------------------------------------------------------------------------------


def fate_of(entry: dict[str, Any], given: Any, sent: Any) -> dict[str, Any]:
    """What became of a parameter that may have changed on its way: `given` by the caller, `sent` to the provider."""
    if given is None:
        return {**entry, "fate": "default", "sent": sent} if sent is not None else {"fate": "dropped", "reason": "nothing to send"}
    if sent is None:
        return {"fate": "dropped", "value": given, "reason": "the spec writes nothing for this value"}
    if sent.__class__ is given.__class__ and equal(given, sent):
        return entry
    number = sent.__class__ in (int, float) and given.__class__ in (int, float)
    shorter = sent.__class__ is given.__class__ and sent.__class__ in (list, dict) and len(sent) < len(given)
    if number or shorter:
        entry["fate"] = "clamped"
    return {**entry, "value": given, "sent": sent}


def dropped(into: dict[str, Any], report: Any, unsupported: str, name: str, value: Any, label: str) -> None:
    """A parameter whose `if` is false; a mere default goes without a word."""
    if value is None:
        return
    if unsupported == "error":
        raise UnsupportedError(f"{label} cannot express `{name}` in this request", param=name)
    into[name] = {"fate": "dropped", "value": value, "reason": "not taken beside the rest of this request"}
    if unsupported != "ignore" and report is not None:
        report.warnings.append(f"{name} was dropped: {label} does not take it in this request")


def replaced(table: dict[str, Any], value: Any) -> Any:
    """The value, or each item of a list, replaced if the table has it."""
    if value.__class__ is list:
        return [x for v in value if (x := replaced(table, v)) is not None]
    word = case_text(value)
    return table[word] if word.__class__ is str and word in table else value


def accepted(words: list[Any], value: Any, name: str, label: str) -> Any:
    """The value, if it (or each item of a list) is one of the words."""
    for one in value if value.__class__ is list else [value]:
        if not any(equal(one, word) for word in words):
            shown = one if one.__class__ is str else kind(one) if one.__class__ in (dict, list) else text(one)
            choices = ", ".join(text(w) for w in words)
            raise UnsupportedError(f"{label} cannot express `{name}` = {shown}; it takes {choices}"[:400], param=name)
    return value


def clamped(bound: str, value: Any, limit: Any, report: Any, name: str, label: str) -> Any:
    """The value within its bound, with a warning if it changed. A float stays a float."""
    if limit is None or value is None:
        return value
    if limit.__class__ not in (int, float):
        raise ConfigError(f"`{bound}` of `{name}` is {kind(limit)}, not a number")
    if bound == "max_items":
        if value.__class__ not in (list, dict):
            raise ConfigError(f"`{name}` must be a list, not {kind(value)}")
        if len(value) <= limit:
            return value
        most = max(0, int(limit))
        out: Any = value[:most] if isinstance(value, list) else dict(list(value.items())[:most])
        _warn(report, f"{name} was cut from {len(value)} to {most} items: {label} takes no more")
        return out
    if value.__class__ not in (int, float):
        raise ConfigError(f"`{name}` must be a number, not {kind(value)}")
    if (value < limit) if bound == "min" else (value > limit):
        out = float(limit) if value.__class__ is float else limit
        _warn(report, f"{name} was changed from {value} to {out}: {label} takes {'no less' if bound == 'min' else 'no more'}")
        return out
    return value


def _warn(report: Any, message: str) -> None:
    if report is not None:
        report.warnings.append(message)


def put_at(body: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The value at a path of mappings. Only the top of the body is changed in place; the rest is copied first."""
    at = body
    for key in path[:-1]:
        below = at.get(key)
        if below is not None and below.__class__ is not dict:
            raise ConfigError(f"`{'.'.join(path)}`: `{key}` holds {kind(below)}, not a mapping")
        at[key] = at = {**below} if below else {}
    old = at.get(path[-1])
    at[path[-1]] = merged(old, value, 0) if old.__class__ is dict and value.__class__ is dict else value
    return body
