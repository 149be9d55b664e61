"""The other direction: the `serve` block of an operation becomes a Served plan (SERVE.md 1, 5 to 8)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any

from engine import plan, vocabulary
from engine.errors import KINDS
from engine.expr.function import Unit
from engine.expr.template import Templates
from engine.serve.accept import compile_accept
from engine.spec.compile.call import Functions, present
from engine.spec.compile.serve_auth import key_reader
from engine.spec.compile.serve_names import CHOICE, ERROR, LISTS, STREAM, reply_names
from engine.spec.compile.serve_usage import write_usage
from engine.spec.node import Node
from engine.spec.problem import Problems, nearest
from engine.vocabulary import Shape

RULES = {
    "not-served": "Only chat, embeddings, count_tokens and list_models can be spoken as a server; remove the `serve` block.",
    "unread-output": "A reply of `serve` writes something that no map of the operation reads back.",
    "counter-without-path": "A usage counter is read with an expression that begins with no plain path, so none can be written.",
}

_EMPTY = Node({})
#: HTTP status of each kind of error, if the dialect does not say otherwise (SERVE.md 7)
STATUS = {
    **dict.fromkeys(("invalid_request", "unsupported", "context_length", "content_filter"), 400),
    **{"authentication": 401, "quota": 402, "permission": 403, "not_found": 404, "too_large": 413},
    **dict.fromkeys(("rate_limit", "local_limit"), 429),
    **dict.fromkeys(("server", "config"), 500),
    **dict.fromkeys(("connection", "tls", "protocol", "limit", "stream_interrupted", "ambiguous"), 502),
    **dict.fromkeys(("overloaded", "unavailable"), 503),
    **dict.fromkeys(("timeout", "deadline"), 504),
}
#: kinds a dialect has no code of its own for speak as their neighbour
_KIN = {
    **dict.fromkeys(("context_length", "content_filter", "too_large", "unsupported", "not_found"), "invalid_request"),
    **{"quota": "rate_limit", "local_limit": "rate_limit", "unavailable": "overloaded", "deadline": "timeout"},
}
_PROSE = ("text", "thinking", "refusal")
_OUTPUTS = {"citations": "citation", "logprobs": "logprobs", "finish": "finish"}
_INNER = frozenset(("tool_result", "json", "native"))  # of requests only, or written as they came
_CONTENT = {**{name: name for name in _PROSE}, "tool_calls": "tool_call"}


_PATH = re.compile(r"\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*(?:$|\|\||&&)")
_TOTALS = frozenset(("input_tokens", "output_tokens", "total_tokens"))  # finer counters may be ones only the provider knows
_LISTED = re.compile(r"\s*[A-Za-z_][\w.]*\[")  # picked out of a list: read only, and no fault of the author's
_MESSAGES = re.compile(r"\s*\w+\s+in\s+(?:messages|turns)\s*\Z")
_CHOICES = re.compile(r"\s*(\w+)\s+in\s+choices\s*\Z")


def compile_served(dialect: str, forward: plan.OperationPlan, tree: Node, problems: Problems) -> plan.Served | None:
    """The served side of an operation, or None where it has no `serve` or the problems hold errors.

    `tree` is the merged operation, `forward` its plan.
    """
    serve = tree.get("serve")
    if serve is None or serve.value is None:
        return None
    before = len(problems.errors)
    made = _Serving(dialect, forward, tree, serve, problems).compile()
    return made if len(problems.errors) == before else None


def served(catalog: Any, dialect: str, provider: str | None) -> plan.Served:
    """What a catalog answers to `served`: the dialect as a provider with nothing else, or as a provider patches it."""
    from engine.errors import NotFoundError, SpecError, UnsupportedError
    from engine.spec.compile.operation import compile_operation
    from engine.spec.compile.provider import provider_plan
    from engine.spec.extend import operation_tree
    from engine.spec.node import node_of

    own = catalog.dialect(dialect)
    if own is None or own.get("operation") is None:
        near = nearest(dialect, catalog.dialect_ids())
        raise NotFoundError(f"no dialect `{dialect}` in the catalog" + (f"; did you mean `{near}`?" if near else ""))
    operation = str(own.value["operation"].value)
    problems = Problems()
    if provider is None:
        name, root = dialect, node_of({"name": dialect, "base_url": "https://localhost", operation: {"extends": dialect}})
    else:
        name = catalog.resolve(provider)
        root = catalog.tree(name)
    tree, chain = operation_tree(catalog, root, operation, (), problems)
    if tree is None or dialect not in chain:
        raise UnsupportedError(f"{name} does not speak {dialect} for {operation}", provider=provider, operation=operation)
    if not present(tree, "serve"):  # nothing need be compiled to say so
        raise UnsupportedError(f"{dialect} has no `serve`", provider=provider, operation=operation)
    who = provider_plan(name, root, problems)
    forward = compile_operation(who, root, operation, tree, chain, problems, catalog.shelf)
    made = compile_served(dialect, forward, tree, problems) if forward is not None else None
    if problems.errors:
        raise SpecError(problems.sorted(), provider=name)
    if made is None:
        raise UnsupportedError(f"{dialect} has no `serve`", provider=provider, operation=operation)
    if made.accept is not None and forward is not None and forward.chat_dialect is not None:
        return replace(made, accept=_conversation(made.accept, catalog.served(forward.chat_dialect)))
    return made


def _conversation(accept: Callable[..., dict[str, Any]], chat: plan.Served) -> Callable[..., dict[str, Any]]:
    """The reader of a body that holds what a chat would send: both say what is asked."""

    def read(body: Any, report: Any = None) -> dict[str, Any]:
        fields = accept(body, report)
        inner = fields.pop("chat_body", None)
        said = chat.accept(inner, report) if chat.accept is not None and inner.__class__ is dict else {}
        extra = {**(fields.pop("extra", None) or {}), **(said.pop("extra", None) or {})}
        model = fields.get("model") or said.get("model")
        return {**fields, **said, **({"model": model} if model else {}), **({"extra": extra} if extra else {})}

    return read


class _Serving:
    def __init__(self, dialect: str, forward: plan.OperationPlan, tree: Node, serve: Node, problems: Problems) -> None:
        self.dialect = dialect
        self.forward = forward
        self.tree = tree
        self.serve = serve
        self.problems = problems
        self.unit = Unit(f"{dialect}.serve")
        parts = serve.get("parts") if present(serve, "parts") else tree.get("parts")
        # a null entry is a type that is written elsewhere: nothing here
        entries = {k: v if v.value is not None else Node([], v.mark, v.key_mark) for k, v in (parts or _EMPTY).items()}
        self.parts = Node(entries, (parts or _EMPTY).mark)
        self.elsewhere = {t.strip() for k, v in entries.items() if v.value == [] for t in k.split("|")}

    def templates(self, names: Shape, parts: bool = True) -> Templates:
        """Templates that know some names; what each group reads is told apart, so each has its own parts function."""
        tables = self.tree.get("tables")
        made = Templates(
            self.unit,
            self.problems,
            names,
            tables=tables.plain() if tables is not None else {},
            label=f"{self.dialect}: {self.forward.name}",
        )
        if parts and self.parts.value:
            made.parts(self.parts)
        return made

    def compile(self) -> plan.Served | None:
        serve = self.serve
        for key in ("reply", "error"):
            if not present(serve, key):
                self.problems.error("missing-key", f"`serve` needs `{key}`", serve.key_mark or serve.mark)
                return None
        names = reply_names(self.forward.name)
        if names is None:
            self.problems.error("not-served", f"`{self.forward.name}` cannot be served yet", serve.key_mark or serve.mark)
            return None
        replies = self.templates(names)
        replies.template("reply", serve.value["reply"])
        self.unread(serve.value["reply"])
        failures = self.templates(ERROR, parts=False)
        failures.template("error", serve.value["error"])
        if present(serve, "error_headers"):
            failures.template("error_headers", serve.value["error_headers"], "header")
        stream = self.stream(replies, failures) if present(serve, "stream") else None
        find_key, signature = key_reader(serve.get("auth"), self.problems)
        if self.problems.errors:
            return None
        accepting = compile_accept(self.tree, self.forward.dialects, self.problems, self.forward.name)
        usage = self.usage()
        write_usage(self.unit, "usage", usage, self.forward.usage_totals)
        functions = self.unit.build()
        return plan.Served(
            dialect=self.dialect,
            operation=self.forward.name,
            plan=self.forward,
            key=find_key,
            reply=functions["reply"],
            error=functions["error"],
            error_headers=functions.get("error_headers"),
            status={**STATUS, **{k: int(v.value) for k, v in (serve.get("status") or _EMPTY).items() if v.value is not None}},
            stream=stream(functions) if stream is not None else None,
            signature=signature,
            finish=self.finish(),
            usage=usage,
            counted=functions["usage"],
            codes=self.codes(),
            reads=self.reads(replies, serve.value["reply"]),
            writes=self.writes(serve.value["reply"]),
            route=accepting.route,
            accept=accepting.accept,
            content=self.content(),
        )

    def content(self) -> str | None:
        """The key of the body whose template goes through the messages."""
        body = self.tree.get("body")
        found = (key for key, node in (body or _EMPTY).items() if any(_MESSAGES.match(text) for text in texts(node)))
        return next(found, None)

    # --- tables, turned around --------------------------------------------------------------------------------------

    def finish(self) -> dict[str, str]:
        """canonical -> native; a reason without a word of its own uses the one for `stop`."""
        found: dict[str, str] = {}
        for native, canonical in self.forward.finish_reasons.items():
            found.setdefault(canonical, native)
        stop = found.get("stop", "stop")
        return {reason: found.get(reason, stop) for reason in vocabulary.FINISH_REASONS}

    def usage(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Where each counter stands: the plain path its expression begins with."""
        found = []
        for counter, node in (self.tree.get("usage") or _EMPTY).items():
            match = _PATH.match(str(node.value)) if node.value is not None else None
            if match is not None:
                found.append((counter, tuple(match[1].split("."))))
            elif node.value is not None and counter in _TOTALS:
                message = f"`{counter}` begins with no plain path, so a served answer cannot say it"
                self.problems.warn("counter-without-path", message, node.mark)
        return tuple(found)

    def codes(self) -> dict[str, str]:
        """kind -> the first native code that `errors.kinds` gives for it, or for its neighbour."""
        found: dict[str, str] = {}
        for native, kind in self.forward.errors.kinds.items():
            if not native.isdigit():
                found.setdefault(kind, native)
        own = dict(found)
        for kind in KINDS:
            fallback = _KIN.get(kind) or ("server" if STATUS.get(kind, 500) >= 500 else "")
            if kind not in own and fallback in own:
                found[kind] = own[fallback]
        return found

    # --- what a reply has a place for -------------------------------------------------------------------------------

    def reads(self, templates: Templates, *nodes: Node, further: Iterable[tuple[str, Node]] = ()) -> frozenset[str]:
        """Names that these trees read, fields of parts, and what a prose part carries besides words (`thinking.signature`).

        `further` are templates for one part type each, outside the parts table.
        """
        found = mentioned(*nodes) | templates.part_reads | templates.reads
        table = list(self.parts.items()) if any("parts(" in text for text in texts(*nodes)) else []
        for types, node in (*table, *further):
            for name in ("signature", "redacted"):
                if any(f".{name}" in text for text in texts(node)):
                    found.update(f"{type.strip()}.{name}" for type in types.split("|"))
        return frozenset(found)

    def writes(self, *nodes: Node) -> frozenset[str]:
        """Part types these trees write: those of the parts table where it is used, those they pick out by name."""
        found = {_CONTENT[name] for name in mentioned(*nodes) if name in _CONTENT}
        if any("parts(" in text for text in texts(*nodes)):
            table = {t.strip() for key in self.parts.value for t in key.split("|")}
            found |= table - self.elsewhere
            if "native" in _keys(self.tree.get("response")):
                found.add("native")
        for text in texts(*nodes):
            found.update(re.findall(r"where\('type', *'(\w+)'\)", text))
        return frozenset(found)

    def unread(self, reply: Node) -> None:
        """Report what a reply writes and no map reads back."""
        if self.forward.name != "chat":
            lists = {kind for name, (kind, _) in LISTS.items() if any(re.search(rf"\b{name}\b", text) for text in texts(reply))}
            self.missing(lists, reply)
            return
        told = {name: _CONTENT.get(name, _OUTPUTS.get(name)) for name in mentioned(reply)}
        kinds = {kind for kind in told.values() if kind} | {
            "media" if type in vocabulary.MEDIA_TYPES else type for type in self.writes(reply) if type not in _INNER
        }
        self.missing(kinds, reply)

    def missing(self, kinds: set[str], reply: Node) -> None:
        """Report the kinds of output that `response` does not give."""
        for kind in sorted(kinds - set(_keys(self.tree.get("response")))):
            message = f"the reply writes `{kind}`, which `response` does not read"
            self.problems.warn("unread-output", message, reply.key_mark or reply.mark)

    # --- streams ----------------------------------------------------------------------------------------------------

    def stream(self, replies: Templates, failures: Templates) -> Callable[[Functions], plan.ServedStream] | None:
        node = self.serve.value["stream"]
        forward = self.forward.stream
        if forward is None:
            self.problems.error("missing-key", "`serve.stream` needs a `stream` to be read back with", node.key_mark or node.mark)
            return None
        templates = self.templates(STREAM)
        chunk = node.get("chunk") if present(node, "chunk") else None
        same = chunk is not None and chunk.value == "reply"
        if chunk is not None and not same:
            templates.template("chunk", chunk)
        for key in ("start", "end"):
            if present(node, key):
                templates.template(f"stream_{key}", node.value[key])
        if present(node, "error"):
            failures.template("stream_error", node.value["error"])
        tables = {key: self.moments(templates, node, key) for key in ("open", "delta", "close")}
        if chunk is None and not present(node, "end"):
            self.problems.error("missing-key", "`serve.stream` needs `chunk` or `end`", node.key_mark or node.mark)
        body = self.serve.value["reply"] if same else chunk
        read = (
            [body] if body is not None else [node.value[k] for k in ("start", "open", "delta", "close", "end") if present(node, k)]
        )
        writes = self.writes(body) if body is not None else frozenset(t for table in tables.values() for t in table)
        moments = [pair for key in ("open", "delta") for pair in (node.get(key) or _EMPTY).items()]
        reads = self.reads(replies if same else templates, *read, further=moments)
        match = self.tree.get("stream", "match")
        whole = node.get("whole")

        def finish(functions: Functions) -> plan.ServedStream:
            return plan.ServedStream(
                framing=forward.framing,
                match=str(match.value) if match is not None and match.value is not None else None,
                number=_text(node, "number"),
                chunk=functions["reply"] if same else functions.get("chunk"),
                whole=frozenset(str(n.value) for n in whole.value) if whole is not None and whole.is_list else frozenset(),
                start=functions.get("stream_start"),
                end=functions.get("stream_end"),
                error=functions.get("stream_error"),
                done=done.encode() if (done := _text(node, "done")) is not None else None,
                bare=_text(node, "bare"),
                reads=reads,
                writes=writes,
                **{key: {type: functions[name] for type, name in names.items()} for key, names in tables.items()},
            )

        return finish

    def moments(self, templates: Templates, node: Node, key: str) -> dict[str, str]:
        """part type -> name of the function that writes its frames."""
        known = [*vocabulary.PART_TYPES, *(["citation"] if key == "delta" else [])]
        names: dict[str, str] = {}
        for cases, child in (node.get(key) or _EMPTY).items():
            if child.value is None:
                continue
            name = f"{key}_{len(names)}"
            templates.template(name, child)
            for type in (case.strip() for case in cases.split("|")):
                if type not in known:
                    where = child.key_mark or child.mark
                    self.problems.error(
                        "unknown-part", f"`{type}` is not a part type", where, nearest(type, known), width=len(cases)
                    )
                names[type] = name
        return names


def texts(*nodes: Node) -> Iterator[str]:
    """Every text of some trees, `$for` and other directives included."""
    for node in nodes:
        if node.is_map:
            yield from texts(*node.value.values())
        elif node.is_list:
            yield from texts(*node.value)
        elif isinstance(node.value, str):
            yield node.value


def mentioned(*nodes: Node) -> set[str]:
    """Which names of a choice the expressions of some trees mention, bare or as fields of a loop over `choices`."""
    found: set[str] = set()
    holes = list(texts(*nodes))
    loops = {match[1] for text in holes if (match := _CHOICES.match(text))}
    names: Collection[str] = CHOICE.fields or ()
    prefix = "|".join(re.escape(loop) + r"\." for loop in sorted(loops))
    pattern = re.compile(rf"(?<![\w.'])(?:{prefix})?({'|'.join(names)})(?![\w(':])")
    for text in holes:
        if "{{" in text or " in " in text or "==" in text:
            found.update(pattern.findall(text))
    return found


def _keys(node: Node | None) -> Iterator[str]:
    """Every key of a tree of maps."""
    if node is not None and node.is_list:
        for child in node.value:
            yield from _keys(child)
    elif node is not None:
        for key, child in node.items():
            yield key
            yield from _keys(child)


def _text(node: Node, key: str) -> str | None:
    found = node.get(key)
    return str(found.value) if found is not None and found.value is not None else None


__all__ = ["RULES", "STATUS", "compile_served"]
