"""One operation of one provider: a merged tree becomes a frozen OperationPlan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from engine import plan, vocabulary
from engine.errors import SpecError
from engine.expr.function import Unit
from engine.expr.query import Queries
from engine.expr.shelf import Shelf
from engine.expr.template import Templates
from engine.spec.compile.auth import Auths
from engine.spec.compile.call import Calls, Functions, number, present, word
from engine.spec.compile.evidence import capabilities, lacking
from engine.spec.compile.host import guarded
from engine.spec.compile.job import job
from engine.spec.compile.mapping import Maps, outputs_of
from engine.spec.compile.parameters import native_of, parameters
from engine.spec.compile.realtime import handshake, messages_map, realtime
from engine.spec.extend import merge
from engine.spec.node import Node
from engine.spec.problem import Problems, nearest
from engine.vocabulary import ANY, Shape

_EMPTY = Node({})
_ERROR_QUERIES = ("at", "message", "code", "type", "param", "status", "ok", "retry_after")
_ERROR_FIELDS = ("message", "code", "type", "param", "status")
#: operations that only compute an answer may be sent again (RELIABILITY R3)
_CREATES = frozenset(("upload_file", "delete_file", "clone_voice", "delete_voice", "pull_model", "batch"))


def compile_operation(
    provider: plan.ProviderPlan,
    root: Node,
    operation: str,
    tree: Node,
    dialects: tuple[str, ...],
    problems: Problems,
    shelf: Shelf | None = None,
    lazily: bool = False,
) -> plan.OperationPlan | None:
    """The plan of an operation, or None if the problems hold errors.

    `root` is the provider's merged tree (patches applied), `tree` the operation's, `dialects` its `extends` chain, nearest
    first. Everything that can be wrong in a file is found here. What several providers inherit unchanged is compiled
    once if the same `shelf` is handed in each time. `lazily`, for files that were checked: how answers and streams are read is
    compiled by the first of them, which raises SpecError if it is wrong after all.
    """
    return _Operation(provider, root, operation, tree, dialects, problems, shelf or Shelf(), lazily).compile()


class MapSet(NamedTuple):
    """The compiled maps of an operation, and the trees they were made from (held, so that their ids stay their own)."""

    trees: tuple[Node | None, ...]
    functions: Functions
    emitted: Collection[str]  # kinds of outputs


class _Operation:
    def __init__(
        self,
        provider: plan.ProviderPlan,
        root: Node,
        operation: str,
        tree: Node,
        dialects: tuple[str, ...],
        problems: Problems,
        shelf: Shelf,
        lazily: bool,
    ) -> None:
        self.shelf = shelf
        self.lazily = lazily
        self.provider = provider
        self.root = root
        self.name = operation
        self.dialects = dialects
        self.problems = problems
        self.tree = self._with_provider_headers(tree)
        self.unit = Unit(f"{provider.id}.{operation}")
        request = vocabulary.REQUESTS[operation]
        settings: dict[str, Shape] = {v.name: Shape(values=v.values or None) for v in provider.variables}
        if provider.base_url is not None:
            settings["base_url"] = ANY
        settings["model_info"] = ANY
        self.native = native_of(self.tree)
        names = {**settings, **dict.fromkeys([*_before_names(self.tree), *self.native], ANY)}
        if present(self.tree, "job"):
            names["job"] = ANY
        if present(self.tree, "upload"):
            names["part"] = vocabulary.PART
        if present(self.tree, "wrap"):
            names["body"] = ANY
        tables = self.tree.get("tables")
        self.templates = Templates(
            self.unit,
            problems,
            request,
            variables=names,
            tables=tables.plain() if tables is not None else {},
            label=operation,  # and no provider's name: what is compiled for one serves all
            trusted=provider.trust != "remote",
            shelf=shelf,
            tables_from=tables,
        )
        self.templates.hidden = frozenset(s.name for s in provider.secrets)
        self.queries = Queries(self.unit, problems, shelf)
        self.servers = tuple(v.name for v in provider.variables if v.format == "url") + ("base_url",) * bool(provider.base_url)
        trusted = provider.trust != "remote"
        self.auths = Auths({s.name: s for s in provider.secrets}, settings, request, problems, self.servers, trusted, shelf)
        self.calls = Calls(self.templates, self.queries, problems, self.auths.auth, self.servers)

    def compile(self) -> plan.OperationPlan | None:
        before = len(self.problems.errors)
        tree = self.tree
        if present(tree, "parts"):
            self.templates.parts(tree.value["parts"])
        live = realtime(tree, self.templates, self.problems) if self.name == "realtime" else None
        main = self.calls.call(handshake(tree, self.problems) if live is not None else tree, self.name)
        base_url = tree.get("base_url") if present(tree, "base_url") else self.root.get("base_url")
        if base_url is None:
            self.problems.error("missing-key", "a provider with operations needs `base_url`", self.root.mark)
        elif not base_url.is_map:
            self.templates.template("base_url", base_url, "url")
        auth = self.auths.auth(tree.get("auth") if tree.get("auth") is not None else self.root.get("auth"))
        params = parameters(tree, self.name, self.problems, self.shelf)
        if params.value or self.name in ("chat", "embeddings", "count_tokens"):  # it also lays `extra` over the body
            self.templates.params("params", params)
        if present(tree, "wrap"):
            self.templates.template("wrap", tree.value["wrap"], "body")
        uploads = [(kind, self.calls.call(node, f"upload.{kind}")) for kind, node in (tree.get("upload") or _EMPTY).items()]
        errors = self._errors()
        error_names = self._error_queries(errors)
        pages = {name: f"pages_{name}" for name, path in (tree.get("pages") or _EMPTY).items() if path.value is not None}
        for name, query in pages.items():
            self.queries.query(query, tree.value["pages"].value[name])
        stream = tree.get("stream")
        stream = stream if stream is not None and stream.is_map else None
        if stream is not None and any(present(stream, verb) for verb in vocabulary.VERBS):
            self._stream_call = self.calls.call(stream, "stream")
            if present(stream, "auth"):
                where = stream.value["auth"].key_mark or stream.value["auth"].mark
                self.problems.error("unknown-key", "a stream is signed like the rest of its operation: no `auth` here", where)
        follow = job(tree.value["job"], self.calls, self.queries, self.templates) if present(tree, "job") else None
        maps = self._maps(errors, stream)
        if len(self.problems.errors) > before:
            return None
        functions = {**self.unit.build(), **maps.functions}
        lacks = lacking(self.root, tree, self.templates, maps.emitted, self.name)
        made = plan.OperationPlan(
            provider=self.provider.id,
            name=self.name,
            dialect=self.dialects[0] if self.dialects else None,
            dialects=self.dialects,
            call=main(functions),
            auth=auth,
            base_url=self._guarded(base_url, functions),
            params=functions.get("params"),
            listed=frozenset(k for k, v in params.items() if v.value is not None),
            native=self.native,
            reads=frozenset(self.templates.reads),
            part_reads=frozenset(self.templates.part_reads),
            part_types=frozenset(self.templates.part_types),
            most=tuple((kind, number) for kind, number in (tree.get("most") or _EMPTY).plain().items() if number),
            inline=frozenset(str(n.value) for n in (tree.get("inline") or Node([])).value),
            upload=tuple((kind, make(functions)) for kind, make in uploads),
            wrap=functions.get("wrap"),
            batch_size=_whole(tree, "batch_size"),
            row_fields=_texts(tree, "row_fields"),
            download_auth=bool((tree.get("download") or _EMPTY).plain().get("auth")),
            pages={name: functions[query] for name, query in pages.items()},
            chat_dialect=_text(tree, "chat_dialect"),
            response=functions.get("response"),
            job=follow(functions) if follow is not None else None,
            stream=self._finish_stream(stream, functions),
            realtime=live(functions, maps.emitted) if live is not None else None,
            errors=self._finish_errors(errors, error_names, functions),
            usage_totals={total: tuple(parts) for total, parts in self._totals().items() if list(parts) != [total]},
            finish_reasons=self._finish_reasons(),
            thinking_tags=self._thinking_tags(),
            replay=word(tree, "replay", ["safe", "keyed", "unsafe"], self._replay(), self.problems),
            idempotency_key=_text(tree, "idempotency_key"),
            request_id=tuple(map(str.lower, _texts(tree, "request_id"))) or ("x-request-id", "request-id"),
            rate_limits=(tree.get("rate_limits") or _EMPTY).plain(),
            limits={k: float(n.value) for k, n in (self.root.get("limits") or _EMPTY).items() if n.value is not None},
            hosts=tuple(str(n.value) for n in (self.root.get("hosts") or Node([])).value),
            servers=self.servers,
            allowed=self.provider.allowed,
            capabilities=capabilities(self.root, self.name, lacks, self.problems),
            lacks=lacks,
        )
        return made if len(self.problems.errors) == before else None

    # --- parts of the plan ------------------------------------------------------------------------------------------

    def _with_provider_headers(self, tree: Node) -> Node:
        """The provider's `headers` and `query` lie under those of the call (SPEC_LANGUAGE 2.1)."""
        for key in ("headers", "query"):
            shared = self.root.get(key)
            if shared is not None and shared.value:
                own = tree.get(key)
                laid = merge(shared, own, None, self.shelf.node) if own else shared
                tree = Node({**tree.value, key: laid}, tree.mark, tree.key_mark)
        return tree

    def _errors(self) -> Node:
        own, shared = self.tree.get("errors"), self.root.get("errors")
        if own is None or own.value is None:
            return shared if shared is not None and shared.value is not None else _EMPTY
        return merge(own, shared) if shared is not None and shared.value is not None else own

    def _maps(self, errors: Node, stream: Node | None) -> MapSet:
        """The functions `response` and `stream`. They read nothing of the provider, so equal trees share them."""
        live = messages_map(self.tree, self.problems) if self.name == "realtime" else None
        written = (self.tree.get("map"), self.tree.get("match"), self.tree.get("events")) if self.name == "realtime" else ()
        trees = (self.tree.get("response"), stream, self.tree.get("usage"), *(errors.get(k) for k in _ERROR_FIELDS), *written)
        key = (self.name, self.lazily, *map(id, trees))
        found: MapSet | None = self.shelf.maps.get(key)
        if found is None:
            before = len(self.problems.errors)
            maps = self._new_maps(errors, self.problems)
            mapped = {}
            if present(self.tree, "response"):
                mapped["response"] = self.tree.value["response"]
            elif not present(self.tree, "stream") and self.name != "realtime":
                message = f"`{self.name}` needs `response`: how an answer is read"
                self.problems.error("missing-key", message, self.tree.key_mark or self.tree.mark)
            if (streamed := self._stream_map(stream)) is not None:
                mapped["stream"] = streamed
            for name, node in mapped.items() if not self.lazily else ():
                maps.map(name, node)
            if live is not None:
                maps.map("realtime", live)
            if len(self.problems.errors) > before:
                return MapSet(trees, {}, maps.emitted)
            functions, emitted = maps.unit.build(), {*maps.emitted}
            for name, node in mapped.items() if self.lazily else ():
                functions[name] = self._later(name, node, errors)
                emitted |= outputs_of(node)
            found = self.shelf.maps[key] = MapSet(trees, functions, emitted)
        return found

    def _later(self, name: str, mapped: Node, errors: Node) -> plan.Map:
        """The map of an answer or of a stream, compiled when the first document comes."""
        made: plan.Map | None = None

        def read(document: Any, emit: Callable[..., None], event: str | None = None, unknown: Any = None) -> None:
            nonlocal made
            if made is None:
                problems = Problems()
                maps = self._new_maps(errors, problems)
                maps.map(name, mapped)
                if problems.errors:
                    raise SpecError(problems.sorted(), provider=self.provider.id)
                made = maps.unit.build()[name]
            made(document, emit, event, unknown)

        return read

    def _new_maps(self, errors: Node, problems: Problems) -> Maps:
        tree = self.tree
        table = {k: v for k, v in errors.items() if k in _ERROR_FIELDS}
        table.setdefault("message", Node("message || @", errors.mark, errors.key_mark))
        shared = {"error": Node(table, errors.mark, errors.key_mark)}
        if present(tree, "usage"):
            shared["usage"] = tree.value["usage"]
        unit = Unit(f"{self.dialects[0] if self.dialects else self.provider.id}.{self.name}")
        return Maps(unit, problems, vocabulary.OUTPUTS, vocabulary.OPERATION_OUTPUTS[self.name], shared)

    def _stream_map(self, stream: Node | None) -> Node | None:
        """The map of a stream; None where there is none, or it is that of the whole answer."""
        mapped = stream.get("map") if stream is not None else None
        if stream is None:
            return None
        if mapped is not None and mapped.value == "response":
            if not present(self.tree, "response"):
                self.problems.error("missing-key", "`map: response` needs a `response`", mapped.mark)
        elif mapped is not None:
            return mapped
        elif present(stream, "events"):
            keys = {k: v for k, v in stream.items() if k in ("match", "events", "from", "when", "choice")}
            return Node(keys, stream.mark, stream.key_mark)
        elif word(stream, "framing", vocabulary.FRAMINGS, "sse", self.problems) != "raw":
            self.problems.error("missing-key", "`stream` needs `map` or `events`", stream.key_mark or stream.mark)
        return None

    _stream_call: Any = None

    def _guarded(self, base_url: Node | None, functions: Functions) -> plan.Template:
        found = functions.get("base_url", _chosen_server)
        return guarded(base_url, found, self.servers, self.problems) if base_url is not None else found

    def _finish_stream(self, stream: Node | None, functions: Functions) -> plan.Stream | None:
        if stream is None:
            return None
        mapped = stream.get("map")
        same = mapped is not None and mapped.value == "response"
        return plan.Stream(
            framing=word(stream, "framing", vocabulary.FRAMINGS, "sse", self.problems),
            data=word(stream, "data", ["json", "text", "sse", "ndjson"], "json", self.problems),
            map=functions.get("response" if same else "stream"),
            end=frozenset(_texts(stream, "end")),
            call=self._stream_call(functions) if self._stream_call else None,
        )

    def _error_queries(self, errors: Node) -> dict[str, str]:
        names = {}
        for key in _ERROR_QUERIES:
            if present(errors, key):
                names[key] = f"errors_{key}"
                self.queries.query(names[key], errors.value[key])
        return names

    def _finish_errors(self, errors: Node, names: Mapping[str, str], functions: Functions) -> plan.Errors:
        from engine.errors import KINDS

        kinds: dict[str, str] = {}
        for native, kind in (errors.get("kinds") or _EMPTY).items():
            if kind.value not in KINDS:
                self.problems.error(
                    "bad-value", f"`{kind.value}` is not a kind of error", kind.mark, nearest(str(kind.value), KINDS)
                )
            kinds[native] = str(kind.value)
        phrases: dict[str, tuple[str, ...]] = {}
        for kind_name, texts in (errors.get("phrases") or _EMPTY).items():
            if kind_name not in KINDS:
                message = f"`{kind_name}` is not a kind of error"
                self.problems.error("bad-value", message, texts.key_mark or texts.mark, nearest(kind_name, KINDS))
            items = texts.value if texts.is_list else [texts]
            phrases[kind_name] = tuple(str(t.value).lower() for t in items)
        queries = {key: functions[name] for key, name in names.items()}
        return plan.Errors(kinds=kinds, phrases=phrases, **queries)

    def _totals(self) -> dict[str, list[str]]:
        found = self.tree.get("usage_totals")
        defaults = {"input_tokens": ["input_tokens"], "output_tokens": ["output_tokens"]}
        if found is None or not found.is_map:
            return defaults
        for total, counters in found.items():
            for counter in [Node(total, counters.key_mark or counters.mark), *(counters.value if counters.is_list else [counters])]:
                if counter.value not in vocabulary.USAGE_FIELDS:
                    message = f"`{counter.value}` is not a usage counter"
                    self.problems.error(
                        "unknown-field", message, counter.mark, nearest(str(counter.value), vocabulary.USAGE_FIELDS)
                    )
        return {**defaults, **found.plain()}

    def _finish_reasons(self) -> dict[str, str]:
        found = self.tree.get("finish_reasons") or _EMPTY
        for _, value in found.items():
            if value.value is not None and value.value not in vocabulary.FINISH_REASONS:
                message = f"`{value.value}` is not a canonical finish reason"
                self.problems.error("bad-value", message, value.mark, nearest(str(value.value), vocabulary.FINISH_REASONS))
        return {k: str(v.value) for k, v in found.items() if v.value is not None}

    def _thinking_tags(self) -> tuple[str, str] | None:
        found = self.tree.get("thinking_tags")
        if found is None or not found.is_list or len(found.value) != 2:
            return None
        return str(found.value[0].value), str(found.value[1].value)

    def _replay(self) -> str:
        return "unsafe" if self.name in _CREATES or present(self.tree, "job") else "safe"


def _chosen_server(context: dict[str, Any]) -> Any:
    return context.get("base_url")


def _before_names(tree: Node) -> list[str]:
    names: list[str] = []
    stream = tree.get("stream")
    streamed = [stream] if stream is not None and stream.is_map else []
    for holder in (tree, *streamed, *(node for _, node in (tree.get("upload") or _EMPTY).items())):
        names.extend(name for name, _ in (holder.get("before") or _EMPTY).items())
    return names


def _texts(node: Node, key: str) -> tuple[str, ...]:
    found = node.get(key)
    if found is None or found.value is None:
        return ()
    return tuple(str(n.value) for n in found.value) if found.is_list else (str(found.value),)


def _text(node: Node, key: str) -> str | None:
    found = _texts(node, key)
    return found[0] if found else None


def _whole(node: Node, key: str) -> int | None:
    found = number(node, key)
    return int(found) if found is not None else None
