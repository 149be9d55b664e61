"""Calls: one templated HTTP request each (SPEC_LANGUAGE 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from engine import plan
from engine.spec.compile.host import begins_with_hole, guarded
from engine.spec.node import Node
from engine.spec.problem import Problems, nearest
from engine.vocabulary import PAYLOADS, REPLIES, VERBS

if TYPE_CHECKING:
    from engine.expr.query import Queries
    from engine.expr.template import Templates

Functions = Mapping[str, Callable[..., Any]]
#: made once the unit is built: functions by name -> the frozen part of the plan
Deferred = Callable[[Functions], Any]

_MODES = {"body": "body", "form": "form", "multipart": "file", "binary": "file", "xml": "xml", "jsonl": "body"}
_EMPTY = Node({})


class Calls:
    """Compiles the calls of one operation into one unit."""

    def __init__(
        self,
        templates: Templates,
        queries: Queries,
        problems: Problems,
        auth: Callable[[Node], plan.Auth],
        servers: tuple[str, ...] = (),
    ) -> None:
        self.servers = servers  # settings that may stand for a whole origin
        self.templates = templates
        self.queries = queries
        self.problems = problems
        self.auth = auth
        self._count = 0

    def call(self, node: Node, what: str) -> Deferred:
        """Compile a mapping with exactly one verb. Findings go to the problems; the result may then be unusable."""
        verbs = [v for v in VERBS if present(node, v)]
        if len(verbs) != 1:
            message = f"`{what}` needs exactly one of {', '.join(VERBS)}" + (f"; it has {', '.join(verbs)}" if verbs else "")
            self.problems.error("one-verb", message, node.key_mark or node.mark)
        payloads = [p for p in PAYLOADS if present(node, p)]
        if len(payloads) > 1:
            second = node.value[payloads[1]]
            message = f"`{what}` has two payloads, {' and '.join(payloads)}; at most one is sent"
            self.problems.error("one-payload", message, second.key_mark or second.mark)
        self._count += 1
        prefix = f"call{self._count}"
        names: dict[str, str] = {}

        def template(key: str, mode: str, source: str) -> None:
            if present(node, source):
                names[key] = f"{prefix}_{key}"
                self.templates.template(names[key], node.value[source], mode)

        verb = verbs[0] if verbs else "post"
        template("url", "url", verb)
        template("query", "query", "query")
        template("headers", "header", "headers")
        if payloads:
            template("body", _MODES[payloads[0]], payloads[0])
        template("base_url", "url", "base_url")
        for key in ("value", "until", "expires_in", "expires_at"):
            if present(node, key):
                names[key] = f"{prefix}_{key}"
                self.queries.query(names[key], node.value[key])
        if present(node, "when"):
            names["when"] = f"{prefix}_when"
            self.templates.expression(names["when"], node.value["when"])
        before = [(name, self.call(child, f"{what}.before.{name}")) for name, child in (node.get("before") or _EMPTY).items()]
        reply = word(node, "reply", REPLIES, "json", self.problems)
        auth_node = node.get("auth")
        auth = self.auth(auth_node) if auth_node is not None else None
        ttl, timeout = number(node, "ttl"), number(node, "timeout")
        outside = str(node.value["outside"].value) if present(node, "outside") else ""
        path = node.get(verb)
        if outside and path is not None and not str(path.value).startswith("/"):
            self.problems.error("bad-value", f"`outside` is for a path; `{what}` has a whole URL", node.value["outside"].mark)

        def finish(functions: Functions) -> plan.Call:
            found = {key: functions[name] for key, name in names.items() if name in functions}
            if "base_url" in found:
                found["base_url"] = guarded(node.value["base_url"], found["base_url"], self.servers, self.problems)
            payload = payloads[0] if payloads else "none"
            return plan.Call(
                verb=verb.upper(),
                url=found.pop("url", _nothing),
                payload="json" if payload == "body" else payload,
                reply=reply,
                before=tuple((name, make(functions)) for name, make in before),
                ttl=ttl,
                timeout=timeout,
                auth=auth,
                outside=outside,
                given=begins_with_hole(node.get(verb)),
                **found,
            )

        return finish


def present(node: Node, key: str) -> bool:
    """A key with a value that is not null."""
    found = node.get(key)
    return found is not None and found.value is not None


def word(node: Node, key: str, words: list[str], default: str, problems: Problems) -> str:
    """A word of a closed list."""
    found = node.get(key)
    if found is None or found.value is None:
        return default
    if found.value not in words:
        message = f"`{key}` is one of {', '.join(words)}, not `{found.value}`"
        problems.error("bad-value", message, found.mark, nearest(str(found.value), words))
        return default
    return str(found.value)


def number(node: Node, key: str) -> float | None:
    """A number, or None where there is none (the schema has already complained about anything else)."""
    found = node.get(key)
    return float(found.value) if found is not None and found.value.__class__ in (int, float) else None


def _nothing(_: Any) -> None:
    return None
