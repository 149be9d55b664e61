"""The script language of the simulator: what a stand-in says, as data (SERVE.md 11).

    latency: 0.05                 # seconds before the first byte; `pace`: tokens per second
    bad_keys: [revoked]           # refused with the dialect's authentication error; "" is a missing key
    script:
      - when: "messages[-1].role == 'tool'"            # JMESPath on the canonical request, plus `dialect`
        say: "It is {{ messages[-1].text }} degrees."    # texts are templates over the request
      - when: "model == 'broken'"
        error: {kind: overloaded, retry_after: 2}
      - repeat: 1                 # answers one request, then later rules have their turn
        say:
          - thinking: {text: "Hm.", signature: c2ln}
          - tool_call: {name: get_weather, arguments: {city: Rome}}
          - finish: tool_calls
          - usage: {input_tokens: 50, output_tokens: 5}
        faults: [s_cut_clean]

A list alone is the `script`. A function of the request may stand for it: it gives what `say` holds, an engine error to refuse
the request with, or None. The first rule that fits answers; where none does,
`engine.serve.upstream` improvises. A text is said in words, a list of texts in exactly these pieces; `finish` and `usage`
are added where the script has none.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import errors, vocabulary
from engine.errors import KINDS, ConfigError, SpecError
from engine.expr.function import Unit
from engine.expr.query import PathError, QueryError, compile_query, parse
from engine.expr.template import Templates
from engine.serve.exchange import Pause
from engine.serve.upstream import call, calls_of, improvise, pieces, prose, usage_of
from engine.spec.node import Mark, Node, node_of
from engine.spec.problem import Problems, nearest
from engine.types import Event

TOP = ("script", "latency", "pace", "bad_keys", "faults")
RULE = ("when", "say", "error", "repeat", "latency", "pace", "faults")
#: what an item of `say` may be
SAYS = ("text", "thinking", "refusal", "tool_call", "citation", "media", "usage", "finish", "error", "start", "pause", "event")
_BESIDE = ("repeat", "choice")
_PROSE = ("text", "thinking", "refusal")
MOST = 1_000_000  # repetitions of an item

Steps = Iterator["Event | Pause"]


@dataclass(slots=True)
class Performance:
    """What one request gets: events (or an error before the first), and how fast."""

    steps: Steps
    error: errors.Error | None = None
    latency: float = 0.0  # seconds before the first byte
    pace: float | None = None  # tokens per second
    faults: list[Any] = field(default_factory=list)  # the rule's own


@dataclass(slots=True)
class Rule:
    """One rule of a script, compiled."""

    place: str
    when: Callable[[Any], Any] | None = None
    say: Callable[[dict[str, Any]], Any] | None = None
    error: Callable[[dict[str, Any]], Any] | None = None
    repeat: int | None = None
    latency: float | None = None
    pace: float | None = None
    faults: list[Any] = field(default_factory=list)
    used: int = 0


class Script:
    """A script, ready to answer. Shareable between threads."""

    def __init__(self, given: Any = None) -> None:
        """`given`: a path, the text of a script, a list of rules, a mapping, a function of the request, or None.

        Raises SpecError with every finding and its place; ConfigError for a file that cannot be read.
        """
        self.rules: list[Rule] = []
        self.latency = 0.0
        self.pace: float | None = None
        self.bad_keys: frozenset[str] = frozenset()
        self.faults: list[Any] = []
        self._function = given if callable(given) else None
        self._lock = threading.Lock()
        if given is not None and self._function is None:
            problems = Problems()
            node = _read(given, problems)
            if node is not None:
                _Reading(self, problems).top(node)
            if problems.errors:
                raise SpecError(problems.sorted())

    def perform(self, request: dict[str, Any], dialect: str | None = None) -> Performance:
        """The answer to a canonical request. Raises ConfigError for a rule that makes no sense of it."""
        found = Performance(iter(()), latency=self.latency, pace=self.pace)
        if self._function is not None:
            said = self._function(request)
            if isinstance(said, errors.Error):
                found.error = said
            else:
                steps = _speak(said, "the script", request) if said is not None else improvise(request)
                found.steps = _complete(steps, request)
            return found
        rule = self._rule({**request, "dialect": dialect})
        if rule is None:
            found.steps = _complete(improvise(request), request)
            return found
        found.latency = rule.latency if rule.latency is not None else self.latency
        found.pace = rule.pace if rule.pace is not None else self.pace
        found.faults = rule.faults
        if rule.error is not None:
            found.error = _error(rule.error(request), rule.place)
        elif rule.say is not None:
            found.steps = _complete(_speak(rule.say(request), rule.place, request), request)
        else:
            found.steps = _complete(improvise(request), request)
        return found

    def _rule(self, document: dict[str, Any]) -> Rule | None:
        with self._lock:
            for rule in self.rules:
                if (rule.repeat is None or rule.used < rule.repeat) and _fits(rule.when, document):
                    rule.used += 1
                    return rule
        return None


def _fits(when: Callable[[Any], Any] | None, document: dict[str, Any]) -> bool:
    if when is None:
        return True
    try:
        return when(document) not in (None, False, "", [], {})  # JMESPath's own idea of false
    except QueryError:
        return False  # it asks something of a type this request has not


# --- what is said --------------------------------------------------------------------------------------------------------


def _speak(items: Any, place: str, request: Mapping[str, Any]) -> Steps:
    """The events of a rendered `say`. Raises ConfigError at the first item that makes no sense."""
    index, calls = 0, calls_of(request)
    for item in items if isinstance(items, (list, tuple)) else [items]:
        if item is None:
            continue
        if isinstance(item, Event):
            yield item
            continue
        given: Mapping[str, Any] = {"text": item} if isinstance(item, str) else item
        kinds = [k for k in given if k not in _BESIDE] if isinstance(given, Mapping) else []
        if len(kinds) != 1 or kinds[0] not in SAYS:
            raise ConfigError(f"{place}: an item of `say` is a text or has one of {', '.join(SAYS)}")
        repeat = given.get("repeat", 1)
        if not isinstance(repeat, int) or not 0 <= repeat <= MOST:
            raise ConfigError(f"{place}: `repeat` is a count up to {MOST:,}")
        for _ in range(repeat):
            calls += kinds[0] == "tool_call"
            yield from _item(kinds[0], given[kinds[0]], index, f"call_sim{calls}", given.get("choice", 0), place)
            index += 1


def _item(kind: str, value: Any, index: int, id: str, choice: int, place: str) -> Steps:
    if kind in _PROSE:
        fields = dict(value) if isinstance(value, Mapping) else {"text": value}
        text = fields.pop("text", None)
        yield from prose(kind, [str(t) for t in text] if isinstance(text, (list, tuple)) else pieces(str(text or "")), choice)
        if fields:
            yield Event(kind, fields, choice)
    elif kind == "pause":
        yield Pause(float(value))
    elif kind == "finish":
        yield Event("finish", {"reason": str(value)}, choice)
    elif not isinstance(value, Mapping):
        if kind != "error":
            raise ConfigError(f"{place}: `{kind}` is a mapping")
        yield Event("error", {"message": str(value)})
    elif kind == "tool_call":
        yield from _call(value, index, id, choice, place)
    elif kind == "event":
        yield Event(str(value.get("kind")), {k: v for k, v in value.items() if k not in ("kind", "choice")}, value.get("choice", 0))
    else:
        yield Event(kind, dict(value), choice)


def _call(value: Mapping[str, Any], index: int, id: str, choice: int, place: str) -> Iterator[Event]:
    name, arguments = value.get("name"), value.get("arguments", {})
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{place}: a `tool_call` has a `name`")
    id = str(value.get("id") or id)
    if isinstance(arguments, (list, tuple)):
        yield Event("tool_call", {"index": index, "id": id, "name": name, "arguments": ""}, choice)
        for piece in arguments:
            yield Event("tool_call", {"index": index, "arguments": str(piece)}, choice)
    else:
        yield from call(index, id, name, arguments, choice)
    more = {k: value[k] for k in ("signature", "server") if k in value}
    if more:
        yield Event("tool_call", {"index": index, **more}, choice)


def _complete(steps: Iterable[Event | Pause], request: Mapping[str, Any]) -> Steps:
    """The steps, with a finish for every choice and the usage where they have none."""
    said: list[Event] = []
    calls: dict[int, bool] = {0: False}
    finished: set[int] = set()
    counted = False
    for step in steps:
        if isinstance(step, Event):
            if step.kind == "finish":
                finished.add(step.choice)
            elif step.kind == "usage":
                counted = True
            elif step.kind == "error":
                yield step
                return
            elif step.kind in (*_PROSE, "tool_call", "media"):
                calls[step.choice] = calls.get(step.choice, False) or (step.kind == "tool_call" and not step.fields.get("server"))
                said.append(step)
        yield step
    for choice, called in sorted(calls.items()):
        if choice not in finished:
            yield Event("finish", {"reason": "tool_calls" if called else "stop"}, choice)
    if not counted:
        yield Event("usage", dict(usage_of(request, said)))


def _error(given: Any, place: str) -> errors.Error:
    """The error a rule asks for: a kind, or `{kind, message, code, param, retry_after}`."""
    fields = dict(given) if isinstance(given, Mapping) else {"kind": given}
    kind = fields.pop("kind", "server")
    if kind not in KINDS:
        raise ConfigError(f"{place}: no kind of error `{kind}`")
    message = str(fields.pop("message", f"scripted {kind}"))
    return errors.for_kind(kind)(message, **{k: v for k, v in fields.items() if k in ("code", "param", "retry_after")})


# --- reading a script ----------------------------------------------------------------------------------------------------


def _read(given: Any, problems: Problems) -> Node | None:
    from engine.spec.load import DATA_LIMIT, load

    if isinstance(given, str) and "\n" not in given and not given.lstrip().startswith(("[", "{", "-")):
        given = Path(given)
    if isinstance(given, os.PathLike):
        path = Path(given)
        try:
            return load(path.read_bytes(), str(path), problems, limit=DATA_LIMIT)
        except OSError as error:
            raise ConfigError(f"the script {path} cannot be read: {error.strerror or error}") from None
    if isinstance(given, (str, bytes)):
        return load(given, "<script>", problems, limit=DATA_LIMIT)
    if not isinstance(given, (Mapping, list, tuple)):
        raise ConfigError("a script is a file, a text, a list of rules, a mapping or a function")
    return node_of(given, Mark("<script>", 1, 1))


class _Reading:
    def __init__(self, script: Script, problems: Problems) -> None:
        self.script = script
        self.problems = problems

    def top(self, node: Node) -> None:
        if node.is_list:
            node = Node({"script": node}, node.mark, node.mark)
        self.known(node, TOP, "a script")
        script = self.script
        script.latency = self.number(node, "latency") or 0.0
        script.pace = self.number(node, "pace")
        keys = node.get("bad_keys")
        script.bad_keys = frozenset(str(k) for k in keys.plain()) if keys is not None and keys.is_list else frozenset()
        script.faults = _list(node.get("faults"))
        rules = node.get("script")
        for number, rule in enumerate(rules.value if rules is not None and rules.is_list else (), 1):
            script.rules.append(self.rule(rule, number))

    def rule(self, node: Node, number: int) -> Rule:
        place = f"{node.mark.file}:{node.mark.line}" if node.mark.line > 1 else f"rule {number} of the script"
        made = Rule(place)
        if not node.is_map:
            self.problems.error("bad-value", "a rule is a mapping with `say`, `error` or `faults`", node.mark)
            return made
        self.known(node, RULE, "a rule")
        when, repeat = node.get("when"), node.get("repeat")
        if when is not None:
            made.when = self.path(when)
        if repeat is not None:
            if not isinstance(repeat.value, int) or isinstance(repeat.value, bool) or repeat.value < 1:
                self.problems.error("bad-value", "`repeat` is how many requests the rule answers", repeat.mark)
            else:
                made.repeat = repeat.value
        made.latency, made.pace = self.number(node, "latency"), self.number(node, "pace")
        made.faults = _list(node.get("faults"))
        if node.get("say") is not None:
            self.items(node.value["say"])
            made.say = self.template(node.value["say"])
        if node.get("error") is not None:
            made.error = self.template(node.value["error"])
        return made

    def items(self, say: Node) -> None:
        """Report items that no request can make sense of."""
        for item in say.value if say.is_list else [say]:
            if not item.is_map:
                continue
            keys = [k for k in item.value if k not in _BESIDE]
            if any(k.startswith("$") for k in keys):
                continue
            for key in keys:
                if key not in SAYS:
                    mark = item.value[key].key_mark or item.mark
                    self.problems.error("unknown-key", f"nobody can say `{key}`", mark, nearest(key, SAYS), width=len(key))
            if len(keys) > 1:
                self.problems.error("bad-value", "an item of `say` says one thing", item.mark)

    def template(self, node: Node) -> Callable[[dict[str, Any]], Any]:
        """A function of the request; a tree without expressions is its own value."""
        if not _templated(node):
            value = node.plain()
            return lambda request: value
        unit = Unit("script")
        templates = Templates(unit, self.problems, vocabulary.CHAT, label="script")
        templates.template("made", node)
        if self.problems.errors:
            return lambda request: None
        render: Callable[[dict[str, Any]], Any] = unit.build()["made"]
        return render

    def path(self, node: Node) -> Callable[[Any], Any] | None:
        if not isinstance(node.value, str):
            self.problems.error("bad-path", "`when` is a path", node.mark)
            return None
        try:
            parse(node.value)
        except PathError as error:
            self.problems.error("bad-path", f"`{node.value}`: {error.message}", node.mark, error.suggestion)
            return None
        return compile_query(node.value)

    def known(self, node: Node, keys: tuple[str, ...], what: str) -> None:
        if not node.is_map:
            self.problems.error("bad-value", f"{what} is a mapping or a list", node.mark)
        for key, child in node.items():
            if key not in keys:
                where = child.key_mark or child.mark
                self.problems.error("unknown-key", f"{what} has no `{key}`", where, nearest(key, keys), width=len(key))

    def number(self, node: Node, key: str) -> float | None:
        found = node.get(key)
        if found is None or found.value is None:
            return None
        if isinstance(found.value, bool) or not isinstance(found.value, (int, float)) or found.value < 0:
            self.problems.error("bad-value", f"`{key}` is a number", found.mark)
            return None
        return float(found.value)


def _list(node: Node | None) -> list[Any]:
    if node is None or node.value is None:
        return []
    return list(node.plain()) if node.is_list else [node.plain()]


def _templated(node: Node) -> bool:
    if node.is_map:
        return any(key.startswith("$") or _templated(child) for key, child in node.items())
    if node.is_list:
        return any(_templated(child) for child in node.value)
    return isinstance(node.value, str) and "{{" in node.value
