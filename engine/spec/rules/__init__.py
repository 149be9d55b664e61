"""Rules about meaning, one per module (SPEC_LANGUAGE 14, step 5).

A rule module has a docstring (what `llmkit explain RULE` prints; its first line is the summary), and `check(spec, problems)`.
The module's name is the rule's name with `_` for `-`. Rules that the loader, the schema or the compilers apply while they
work are listed in their modules' `RULES` tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol

from engine.expr.shelf import Shelf
from engine.spec.extend import Source
from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.vocabulary import OPERATIONS, VERBS

NAMES = (
    "host-not-allowed",
    "host-variable",
    "insecure-url",
    "url-may-vanish",
    "forbidden-header",
    "unused-secret",
    "name-clash",
    "alias-clash",
    "unsafe-pattern",
    "keyed-without-header",
    "status-reason",
    "unknown-instead",
    "unknown-skip",
    "missing-default-model",
)

#: what the steps around the compilers report: reading a file, running its examples
RULES = {
    "unreadable-file": "The file is there but cannot be read: a folder of that name, missing permission, a broken link.",
    "bad-id": "A file's name is its id: small letters, digits and single hyphens, then `.yaml`.",
    "example": "An example does not do what it says.\n\nThe message names the place that differs. `llmkit render` and "
    "`llmkit read` run one half of a call each.",
    "engine-failure": "The engine failed while it compiled the file.\n\nThis is a fault of the engine, not of the file; "
    "please report it together with the file.",
}

#: modules whose RULES tables name what they report
_REPORTERS = (
    "engine.ownership",
    "engine.spec.load",
    "engine.spec.extend",
    "engine.spec.validate",
    "engine.spec.compile.reported",
    "engine.spec.compile.mapping",
    "engine.spec.compile.serve",
    "engine.expr.query",
    "engine.expr.template.rules",
    "engine.expr.backward",
    "engine.laws",
    "engine.spec.rules",
)


#: keys that hold a URL: of calls, and of sockets
URLS = (*VERBS, "connect")


@dataclass(slots=True)
class Spec:
    """What a rule sees of a provider: the file as written, the merged tree, every whole operation."""

    id: str
    file: Node
    tree: Node
    operations: Mapping[str, Node] = field(default_factory=dict)
    examples: frozenset[str] = frozenset()  # names of every example its dialects bring
    providers: Collection[str] = ()  # every id of the catalog
    aliases: Mapping[str, str] = field(default_factory=dict)  # of all others, to their ids; empty if it has none itself


class Library(Source, Protocol):
    """What the rules ask a catalog for."""

    @property
    def shelf(self) -> Shelf: ...

    def tree(self, provider: str) -> Node: ...
    def example_names(self, dialect: str) -> Collection[str]: ...
    def aliases(self) -> Mapping[str, str]: ...


def check_provider(catalog: Library, id: str, file: Node, problems: Problems) -> None:
    """Every rule on a provider."""
    from engine.spec.extend import operation_names, operation_tree

    tree = catalog.tree(id)
    operations: dict[str, Node] = {}
    examples: set[str] = set()
    for name in operation_names(tree):
        whole, chain = operation_tree(catalog, tree, name, (), Problems())
        if whole is not None:
            operations[name] = whole
        for dialect in chain:
            examples.update(catalog.example_names(dialect))
    aliases = catalog.aliases() if file.get("aliases") is not None else {}
    spec = Spec(id, file, tree, operations, frozenset(examples), catalog.provider_ids(), aliases)
    for rule in NAMES:
        import_module(f"engine.spec.rules.{rule.replace('-', '_')}").check(spec, problems)
    for name, whole in operations.items():
        if file.get(name, "serve") is not None:  # what it inherits was checked where it was written
            _check_served(catalog, id, tree, name, whole, problems)


def check_dialect(catalog: Library, id: str, file: Node, tree: Node, problems: Problems) -> None:
    """Compile a dialect as a provider with nothing but that dialect would, so that a wrong one is found alone."""
    from engine.spec.compile.operation import compile_operation
    from engine.spec.compile.provider import provider_plan
    from engine.spec.compile.serve import compile_served
    from engine.spec.node import node_of

    operation = file.get("operation")
    if operation is None or operation.value not in OPERATIONS:
        return  # the schema has said so
    root = node_of({"name": id, "base_url": "https://localhost"})
    who = provider_plan(id, root, problems)
    forward = compile_operation(who, root, str(operation.value), tree, (id,), problems, catalog.shelf)
    if forward is not None:
        compile_served(id, forward, tree, problems)


def _check_served(catalog: Library, id: str, root: Node, operation: str, tree: Node, problems: Problems) -> None:
    """Compile what a provider changes in `serve`; its forward side is compiled, and reported, apart."""
    from engine.spec.compile.operation import compile_operation
    from engine.spec.compile.provider import provider_plan
    from engine.spec.compile.serve import compile_served

    apart = Problems()
    forward = compile_operation(provider_plan(id, root, apart), root, operation, tree, (id,), apart, catalog.shelf)
    if forward is not None:
        compile_served(id, forward, tree, problems)


def rules() -> dict[str, str]:
    """Every rule with its explanation, by name."""
    found: dict[str, str] = {}
    for name in _REPORTERS:
        found.update(getattr(import_module(name), "RULES", {}))
    for name in NAMES:
        found[name] = str(import_module(f"engine.spec.rules.{name.replace('-', '_')}").__doc__).strip()
    return found


def leaves(node: Node | None) -> Iterator[Node]:
    """Every scalar of a tree."""
    if node is None:
        return
    if node.is_map:
        for child in node.value.values():
            yield from leaves(child)
    elif node.is_list:
        for child in node.value:
            yield from leaves(child)
    else:
        yield node


def calls(spec: Spec) -> Iterator[tuple[str, Node]]:
    """Every call of a provider with what it is: operations, `before`, `upload`, job calls, tokens."""
    for name, tree in spec.operations.items():
        yield from _calls_in(name, tree)
        if tree.get("auth") is not None:
            yield from _tokens(tree.get("auth"))
    yield from _tokens(spec.tree.get("auth"))


def _calls_in(what: str, node: Node) -> Iterator[tuple[str, Node]]:
    yield what, node
    stream = node.get("stream")
    if stream is not None:
        yield f"{what}.stream", stream
    for key in ("before", "upload"):
        for name, child in (node.get(key) or Node({})).items():
            yield from _calls_in(f"{what}.{key}.{name}", child)
    for key in ("poll", "result", "cancel"):
        written = node.get("job", key)
        listed: list[Node] = [] if written is None else written.value if written.is_list else [written]
        for one in listed:
            if one.is_map:
                yield f"{what}.job.{key}", one


def _tokens(auth: Node | None) -> Iterator[tuple[str, Node]]:
    if auth is None or not auth.is_map:
        return
    for name, token in (auth.get("tokens") or Node({})).items():
        if token.is_map and token.get("jwt") is None and token.get("source") is None:
            yield f"auth.tokens.{name}", token
    for _, option in (auth.get("any") or Node({})).items():
        yield from _tokens(option)
