"""A hole of a URL reads a setting or parameter that may be nothing, and the whole URL with it.

A text vanishes with any of its holes (SPEC_LANGUAGE 3.1). Give the variable a `default` or `required: true`, or write what
stands in its place: `{{ version or 'v1' }}`.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.spec.rules import URLS, Spec, calls
from engine.vocabulary import PARAMS


def check(spec: Spec, problems: Problems) -> None:
    optional = frozenset(name for name, node in (spec.tree.get("variables") or Node({})).items() if _optional(node))
    urls = [("base_url", spec.tree.get("base_url"), optional)]
    for what, call in calls(spec):
        parameters = PARAMS.get(what.split(".")[0], ())
        urls += [(what, call.get(verb), optional.union(parameters)) for verb in (*URLS, "base_url")]
    told: set[int] = set()
    for what, node, names in urls:
        if node is None or not isinstance(node.value, str) or "{{" not in node.value or id(node) in told:
            continue
        for name, column in _bare_holes(node.value):
            if name in names:
                told.add(id(node))
                mark = node.mark._replace(column=node.mark.column + column)
                problems.error("url-may-vanish", f"{what}: `{name}` may be nothing, and the URL with it", mark, width=len(name))


def _optional(node: Node) -> bool:
    if not node.is_map:
        return node.value is None
    required, default = node.get("required"), node.get("default")
    return (required is None or not required.value) and (default is None or default.value is None)


def _bare_holes(text: str) -> Iterator[tuple[str, int]]:
    """The names that stand alone in a hole, or before filters that leave nothing as nothing, with their offsets."""
    at = text.find("{{")
    while at >= 0:
        end = text.find("}}", at)
        if end < 0:
            return
        name, *filters = [piece.strip() for piece in text[at + 2 : end].split("|")]
        if name.isidentifier() and not any(f.startswith("default") for f in filters):
            yield name, text.index(name, at)
        at = text.find("{{", end)
