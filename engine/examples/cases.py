"""Which examples a provider runs: its own, and those of its operations' dialects where its patches left the wire alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.examples.deviations import Deviations, deviations
from engine.spec.node import NOWHERE, Mark, Node
from engine.spec.problem import Problems
from engine.vocabulary import OPERATIONS

if TYPE_CHECKING:
    from engine.catalog import Catalog

#: inherited examples speak of a model no pattern is meant for: patches of single models bring examples of their own
NEUTRAL_MODEL = "m"


@dataclass(slots=True)
class Case:
    """An example with where it comes from."""

    example: Mapping[str, Any]
    operation: str
    origin: str  # id of the file it stands in
    inherited: bool = False
    deviations: Deviations = field(default_factory=Deviations)
    skip: str | None = None  # the reason in `skip_examples`
    mark: Mark = NOWHERE
    variant: str | None = None


def cases(catalog: Catalog, provider: str, variant: str | None = None) -> list[Case]:
    """Every example of a provider in the order of its operations: own ones first, then the inherited ones."""
    node = catalog.provider(provider)
    if node is None:
        return []
    own: list[tuple[str | None, Node]] = [
        (None, e) for e in [*_listed(node), *_listed(catalog.example_file("providers", provider))]
    ]
    own += [(operation, e) for operation in OPERATIONS for e in _listed(node.get(operation))]
    out = []
    for operation, example in own:
        plain = example.plain()
        if plain.get("variant") == variant:
            name = str(operation or plain.get("operation", "chat"))
            out.append(Case(plain, name, provider, mark=example.mark, variant=variant))
    from engine.spec.extend import matching_patches, operation_names

    base = catalog.tree(provider)
    patches = matching_patches(base, NEUTRAL_MODEL, variant)
    root = catalog.tree(provider, NEUTRAL_MODEL, variant)
    names = operation_names(base, patches)
    for operation in OPERATIONS:
        if operation in names:
            out.extend(_inherited(catalog, base, root, operation, patches, variant))
    return out


def dialect_examples(catalog: Catalog, dialect: str) -> list[Node]:
    """The examples of a dialect, in its file and beside it."""
    node = catalog.dialect(dialect)
    return list(_listed(node)) + list(_listed(catalog.example_file("dialects", dialect)))


def _inherited(
    catalog: Catalog, base: Node, root: Node, operation: str, patches: Sequence[Node], variant: str | None
) -> Iterator[Case]:
    from engine.spec.extend import dialect_tree, operation_tree

    problems = Problems()
    tree, chain = operation_tree(catalog, base, operation, patches, problems)
    if tree is None or not chain:
        return
    skips = {k: str(v.value) for k, v in (tree.get("skip_examples") or Node({})).items()}
    for dialect in chain:
        found = catalog.plain_examples(dialect)
        if not found:
            continue
        spoken = dialect_tree(catalog, dialect, problems)
        if spoken is None:
            continue
        differs = deviations(spoken, tree, shared_headers=root.get("headers"), shared_query=root.get("query"))
        for plain, mark in found:
            yield Case(plain, operation, dialect, True, differs, skips.get(str(plain.get("name"))), mark, variant)


def _listed(node: Node | None) -> Iterator[Node]:
    found = node.get("examples") if node is not None else None
    if found is not None and found.is_list:
        yield from found.value
