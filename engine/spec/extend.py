"""From patches to whole trees: the one merge rule, `extends`, model patches and variants (SPEC_LANGUAGE 2.3, 5, 10).

Nodes keep the mark of whoever wrote the value, so a merged tree still says file and line for every leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Protocol

from engine.errors import ConfigError
from engine.spec.node import Chains, Mark, Node
from engine.spec.pattern import PatternError, compile_glob, glob_matches
from engine.spec.problem import Problems, nearest
from engine.vocabulary import OPERATIONS

CHAIN_LIMIT = 5
#: makes the mappings of a merged tree
Made = Callable[[Any, Mark, Mark | None], Node]

#: what each finding of this module means, for `llmkit explain` and the key reference
RULES = {
    "deletes-nothing": "A patch deletes (`~`) a key that its base does not have; the line does nothing.",
    "replace-alone": "`$replace` stands alone in its mapping: it puts its value in place of the whole base value.",
    "extends-in-patch": "A patch cannot change what an operation extends; put the new operation under `$replace`.",
    "unknown-dialect": "`extends` (or the short form of an operation) names a dialect that no catalog holds.",
    "unknown-provider": "`extends` names a provider that no catalog holds.",
    "wrong-operation": "A dialect writes one operation and can be used for that one only.",
    "extends-cycle": "A chain of `extends` comes back to where it began.",
    "extends-too-deep": "A chain of `extends` has at most 5 links.",
    "bad-glob": "A model pattern is a glob of at most 200 characters: `*`, `?`, `[a-z]`.",
}

#: keys of a dialect file or an operation that say where it comes from and are not part of the merged operation
_HEAD = frozenset(("operation", "extends", "spec", "name", "about", "docs", "checked", "witnesses"))
_OPERATIONS = frozenset(OPERATIONS)
_APART = ("models", "variants")


class Source(Protocol):
    """Where dialects and providers come from: loaded, unmerged trees by id."""

    def dialect(self, id: str) -> Node | None: ...
    def provider(self, id: str) -> Node | None: ...
    def dialect_ids(self) -> Collection[str]: ...
    def provider_ids(self) -> Collection[str]: ...
    @property
    def chains(self) -> Chains: ...


def merge(base: Node | None, patch: Node, problems: Problems | None = None, made: Made = Node) -> Node:
    """`patch` laid over `base` (RFC 7396 with `$replace`); neither is changed.

    Mapping over mapping merges key by key, null deletes, anything else replaces. A mapping where the base has none is
    taken as written, nulls included. The result has the patch's mark, each leaf that of its writer. With `problems`,
    deleting what is not there is the warning `deletes-nothing`.
    """
    value = patch.value
    if value.__class__ is not dict:
        return patch
    if "$replace" in value:
        return _replacement(patch, problems, made)
    if base is None or base.value.__class__ is not dict:
        return _unwrapped(patch, problems, made)
    merged = dict(base.value)
    for key, node in value.items():
        if node.value is not None:
            merged[key] = merge(merged.get(key), node, problems, made)
        elif merged.pop(key, None) is None and problems is not None:
            _deletes_nothing(key, node, base, problems)
    return made(merged, patch.mark, patch.key_mark)


def _deletes_nothing(key: str, node: Node, base: Node, problems: Problems) -> None:
    message = f"`{key}` is not there to be deleted"
    problems.warn("deletes-nothing", message, node.key_mark, nearest(key, base.value), width=len(key))


def _replacement(patch: Node, problems: Problems | None, made: Made) -> Node:
    if len(patch.value) > 1 and problems is not None:
        other = next(node for key, node in patch.value.items() if key != "$replace")
        problems.error("replace-alone", "`$replace` stands alone in its mapping", other.key_mark)
    inner: Node = patch.value["$replace"]
    return made(inner.value, inner.mark, patch.key_mark)


def _unwrapped(patch: Node, problems: Problems | None, made: Made) -> Node:
    """A mapping as written, but for `$replace` inside, which has nothing to replace and stands for its value."""
    found: dict[str, Node] | None = None
    for key, node in patch.value.items():
        if node.value.__class__ is dict:
            new = _replacement(node, problems, made) if "$replace" in node.value else _unwrapped(node, problems, made)
            if new is not node:
                found = found or dict(patch.value)
                found[key] = new
    return patch if found is None else made(found, patch.mark, patch.key_mark)


def _chain(
    first: Node,
    own: str | None,
    fetch: Callable[[str], Node | None],
    known: Callable[[], Collection[str]],
    what: str,
    problems: Problems,
) -> list[tuple[str, Node]]:
    """What a node extends, nearest first. A broken link is reported and ends the chain."""
    links: list[tuple[str, Node]] = []
    seen = [own] if own is not None else []
    node = first
    while (target := node.get("extends")) is not None and target.value is not None:
        name, mark = target.value, target.mark
        if not isinstance(name, str):
            problems.error("wrong-type", f"`extends` is the id of a {what}", mark)
        elif name in seen:
            problems.error("extends-cycle", f"`{name}` extends itself: {' → '.join([*seen, name])}", mark, width=len(name))
        elif len(links) >= CHAIN_LIMIT:
            problems.error("extends-too-deep", f"more than {CHAIN_LIMIT} links: {' → '.join(seen)} → {name}", mark, width=len(name))
        else:
            found = fetch(name)
            if found is None:
                suggestion = nearest(name, known())
                problems.error(f"unknown-{what}", f"there is no {what} `{name}`", mark, suggestion, width=len(name))
                return links
            if not found.is_map:
                return links
            links.append((name, found))
            seen.append(name)
            node = found
            continue
        return links
    return links


def provider_tree(source: Source, id: str, problems: Problems, model: str | None = None, variant: str | None = None) -> Node | None:
    """A provider with what it extends; None if there is no such provider.

    Operations stay patches over their dialects until `operation_tree` makes one whole. With a model or a variant, the
    patches that apply are merged into every other key (`base_url`, `headers`, `capabilities`, …).
    """
    own = source.provider(id)
    if own is None or not own.is_map:
        return None
    tree: Node | None = None
    for _, link in reversed([(id, own), *_chain(own, id, source.provider, source.provider_ids, "provider", problems)]):
        tree = _without_extends(link) if tree is None else _provider_over(tree, link, problems)
    assert tree is not None
    if model is None and variant is None:
        return tree
    return patched(tree, matching_patches(tree, model, variant), problems)


def _without_extends(node: Node) -> Node:
    return (
        Node({k: v for k, v in node.value.items() if k != "extends"}, node.mark, node.key_mark) if "extends" in node.value else node
    )


def _provider_over(base: Node, patch: Node, problems: Problems) -> Node:
    merged = dict(base.value)
    for key, node in patch.value.items():
        if key == "extends":
            continue
        if key in _OPERATIONS and key in merged and node.value is not None:
            merged[key] = _operation_over(_long(merged[key]), node, problems)
        elif node.value is not None:
            merged[key] = merge(merged.get(key), node, problems)
        elif merged.pop(key, None) is None:
            problems.warn(
                "deletes-nothing", f"`{key}` is not there to be deleted", node.key_mark, nearest(key, base.value), width=len(key)
            )
    return Node(merged, patch.mark, patch.key_mark)


def _long(node: Node) -> Node:
    """The long form of an operation: `chat: x` is `chat: {extends: x}`."""
    if isinstance(node.value, str):
        return Node({"extends": Node(node.value, node.mark, node.key_mark)}, node.mark, node.key_mark)
    return node


def _operation_over(base: Node, patch: Node, problems: Problems, made: Made = Node) -> Node:
    """An operation of a patch over the one it changes; a bare dialect id replaces it whole."""
    if isinstance(patch.value, str):
        return _long(patch)
    extends = patch.get("extends")
    if extends is not None:
        message = "a patch cannot change what an operation extends; write `{$replace: {extends: …}}`"
        problems.error("extends-in-patch", message, extends.key_mark, width=len("extends"))
        patch = _without_extends(patch)
    return merge(base, patch, problems, made)


def patched(provider: Node, patches: Sequence[Node], problems: Problems | None = None, made: Made = Node) -> Node:
    """The provider's own keys under model and variant patches. Operations are left to `operation_tree`."""
    tree = provider
    for patch in patches:
        own = {k: v for k, v in patch.items() if k not in _OPERATIONS and k not in _APART}
        if own:
            tree = merge(tree, Node(own, tree.mark, tree.key_mark), problems, made)
    return tree


def matching_patches(provider: Node, model: str | None, variant: str | None = None) -> tuple[Node, ...]:
    """The patches for a model, in file order, then the variant's. Globs that are refused match nothing (`check_globs`).

    Raises ConfigError when the provider has no such variant.
    """
    found: list[Node] = []
    if model is not None:
        for glob, patch in (provider.get("models") or Node({})).items():
            if glob != "default" and patch.is_map:
                try:
                    if glob_matches(glob, model):
                        found.append(patch)
                except PatternError:
                    continue
    if variant is not None:
        variants = provider.get("variants") or Node({})
        chosen = variants.get(variant)
        if chosen is None:
            names = [name for name, _ in variants.items()]
            close = nearest(variant, names)
            tail = f"; did you mean `{close}`?" if close else f"; it has {', '.join(names)}" if names else ""
            raise ConfigError(f"there is no variant `{variant}`{tail}")
        if chosen.is_map:
            found.append(chosen)
    return tuple(found)


def relevant(patches: Sequence[Node], operation: str) -> tuple[Node, ...]:
    """The patches that change an operation: its own table, or keys of the provider that all operations see."""
    return tuple(p for p in patches if any(key == operation or key not in _OPERATIONS for key, _ in p.items()))


def check_globs(provider: Node, problems: Problems) -> None:
    """Report model patterns that are no globs (rule `bad-glob`)."""
    for glob, patch in (provider.get("models") or Node({})).items():
        try:
            compile_glob(glob)
        except PatternError as error:
            problems.error("bad-glob", str(error), patch.key_mark, width=min(len(glob), 200))


def operation_names(provider: Node, patches: Sequence[Node] = ()) -> list[str]:
    """The operations a provider has under these patches, in file order."""
    present: dict[str, bool] = {}
    for tree in (provider, *patches):
        for key, node in tree.items():
            if key in _OPERATIONS:
                present[key] = node.value is not None
    return [name for name, there in present.items() if there]


def operation_tree(
    source: Source, provider: Node, operation: str, patches: Sequence[Node], problems: Problems
) -> tuple[Node | None, tuple[str, ...]]:
    """One operation, whole: dialect chain, then the provider's own keys, then the patches in order.

    Returns the merged mapping (without `operation` and `extends`) and the ids of the dialects, nearest first; None and
    () where the provider has no such operation, or its dialect cannot be used (reported).
    """
    chain: list[tuple[str, Node]] = []
    tree: Node | None = None
    start = provider.get(operation)
    if start is not None and start.value is not None:
        tree, chain = _over_dialects(source, start, operation, problems)
    for patch in patches:
        node = patch.get(operation)
        if node is None:
            continue
        if node.value is None:
            if tree is None:
                _deletes_nothing(operation, node, provider, problems)
            tree, chain = None, []
        elif tree is None or isinstance(node.value, str) or "$replace" in node.value:
            whole = _replacement(node, problems, source.chains.node) if node.is_map and "$replace" in node.value else node
            tree, chain = _over_dialects(source, whole, operation, problems)
        else:
            tree = _operation_over(tree, node, problems, source.chains.node)
    return tree, tuple(name for name, _ in chain)


def _over_dialects(source: Source, node: Node, operation: str, problems: Problems) -> tuple[Node | None, list[tuple[str, Node]]]:
    """An operation table (or a dialect's id) laid over the dialects it extends."""
    node = _long(node)
    if not node.is_map:
        problems.error("wrong-type", f"`{operation}` is the id of a dialect or a mapping", node.mark)
        return None, []
    before = len(problems.errors)
    chain = _chain(node, None, source.dialect, source.dialect_ids, "dialect", problems)
    if len(problems.errors) > before or (not chain and node.get("extends") is not None):
        return None, []
    for name, link in reversed(chain):
        speaks = link.get("operation")
        if speaks is not None and speaks.value != operation:
            mark = node.value["extends"].mark
            problems.error("wrong-operation", f"dialect `{name}` is for {speaks.value}, not {operation}", mark, width=len(name))
            return None, []
    return merge(_merged(source, chain, problems), _headless(node), problems, source.chains.node), chain


def _merged(source: Source, chain: list[tuple[str, Node]], problems: Problems) -> Node | None:
    """The dialects of a chain laid over one another: once for a source, so that all who extend them share the same nodes."""
    links = tuple(link for _, link in chain)
    merged = source.chains.merged
    found = merged.get(tuple(map(id, links)))
    if found is None:
        told = Problems()
        tree: Node | None = None
        for link in reversed(links):
            tree = merge(tree, _headless(link), told)
        found = merged[tuple(map(id, links))] = (links, tree, told)
    problems.extend(replace(problem) for problem in found[2])
    return found[1]


def _headless(node: Node) -> Node:
    if _HEAD.isdisjoint(node.value):
        return node
    return Node({k: v for k, v in node.value.items() if k not in _HEAD}, node.mark, node.key_mark)


def whole_tree(source: Source, id: str, problems: Problems, model: str | None = None, variant: str | None = None) -> Node | None:
    """A provider with every operation whole, as `llmkit show --resolved` prints it."""
    provider = provider_tree(source, id, problems)
    if provider is None:
        return None
    patches = matching_patches(provider, model, variant)
    value = dict(patched(provider, patches, problems).value)
    for name in operation_names(provider, patches):
        tree, _ = operation_tree(source, provider, name, patches, problems)
        if tree is not None:
            value[name] = tree
    for name in _OPERATIONS.intersection(value).difference(operation_names(provider, patches)):
        del value[name]
    return Node(value, provider.mark, provider.key_mark)


def dialect_tree(source: Source, id: str, problems: Problems) -> Node | None:
    """A dialect with what it extends, as an operation that changes nothing would get it."""
    own = source.dialect(id)
    operation = own.get("operation") if own is not None else None
    if own is None or operation is None:
        return None
    return _over_dialects(source, Node(id, own.mark, own.key_mark), str(operation.value), problems)[0]


def blame(problems: Problems, start: int, reader: Mark) -> None:
    """Findings from index `start` on that lie in another file than `reader` point at `reader`; their place becomes the origin."""
    for problem in problems[start:]:
        if problem.mark.file != reader.file and problem.origin is None:
            problem.origin, problem.mark, problem.width = problem.mark, reader, 1
