"""Rules about meaning, one per module (SPEC_LANGUAGE 14, step 5).

A rule module has a docstring (what `llmkit explain RULE` prints; its first line is the summary), and `check(spec, problems)`.
The module's name is the rule's name with `_` for `-`. Rules that the loader, the schema or the compilers apply while they
work are listed in their modules' `RULES` tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from engine.spec.node import Node
from engine.spec.problem import Problems

NAMES = (
    "host-not-allowed",
    "host-variable",
    "insecure-url",
    "forbidden-header",
    "unused-secret",
    "name-clash",
    "unsafe-pattern",
    "status-reason",
    "unknown-skip",
    "missing-default-model",
)

#: modules whose RULES tables name what they report
_REPORTERS = (
    "engine.spec.load",
    "engine.spec.scan",
    "engine.spec.extend",
    "engine.spec.validate",
    "engine.spec.compile.reported",
    "engine.spec.compile.mapping",
    "engine.expr.query",
    "engine.expr.template",
)


@dataclass(slots=True)
class Spec:
    """What a rule sees of a provider: the file as written, the merged tree, every whole operation."""

    id: str
    file: Node
    tree: Node
    operations: Mapping[str, Node] = field(default_factory=dict)
    examples: frozenset[str] = frozenset()  # names of every example its dialects bring
    trust: str = "builtin"
    compiled: Mapping[str, Any] = field(default_factory=dict)  # operation -> OperationPlan


class _Catalog(Protocol):
    def tree(self, provider: str) -> Node: ...
    def trust(self, id: str) -> str: ...
    def compile(self, provider: str, operation: str) -> Any: ...


def check_provider(catalog: Any, id: str, file: Node, problems: Problems) -> None:
    """Every rule on a provider whose operations compile."""
    from engine.examples.cases import dialect_examples
    from engine.spec.extend import operation_names, operation_tree

    tree = catalog.tree(id)
    operations: dict[str, Node] = {}
    compiled: dict[str, Any] = {}
    examples: set[str] = set()
    for name in operation_names(tree):
        whole, chain = operation_tree(catalog, tree, name, (), Problems())
        if whole is not None:
            operations[name] = whole
            compiled[name] = catalog.compile(id, name)
        for dialect in chain:
            examples |= {str(e.value["name"].value) for e in dialect_examples(catalog, dialect) if e.get("name") is not None}
    spec = Spec(id, file, tree, operations, frozenset(examples), catalog.trust(id), compiled)
    for rule in NAMES:
        import_module(f"engine.spec.rules.{rule.replace('-', '_')}").check(spec, problems)


def check_dialect(catalog: Any, id: str, file: Node, tree: Node, problems: Problems) -> None:
    """Compile a dialect as a provider with nothing but that dialect would, so that a wrong one is found alone."""
    from engine.spec.compile.operation import compile_operation
    from engine.spec.compile.provider import provider_plan
    from engine.spec.node import node_of

    operation = file.get("operation")
    if operation is None:
        problems.error("missing-key", "a dialect says which `operation` it writes", file.mark)
        return
    root = node_of({"name": id, "base_url": "https://localhost"})
    compile_operation(provider_plan(id, root, problems), root, str(operation.value), tree, (id,), problems, catalog.maps)


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
    for key in ("before", "upload"):
        for name, child in (node.get(key) or Node({})).items():
            yield from _calls_in(f"{what}.{key}.{name}", child)
    for key in ("poll", "result", "cancel"):
        child = node.get("job", key)
        for one in child.value if child is not None and child.is_list else [child]:
            if one is not None and one.is_map:
                yield f"{what}.job.{key}", one


def _tokens(auth: Node | None) -> Iterator[tuple[str, Node]]:
    if auth is None or not auth.is_map:
        return
    for name, token in (auth.get("tokens") or Node({})).items():
        if token.is_map and token.get("jwt") is None:
            yield f"auth.tokens.{name}", token
    for _, option in (auth.get("any") or Node({})).items():
        yield from _tokens(option)
