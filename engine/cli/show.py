"""`llmkit show`: a spec as written, or with everything it inherits and where each value comes from."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from typing import Any

from engine.catalog import Catalog
from engine.cli.terminal import safe
from engine.errors import NotFoundError
from engine.spec.node import Mark, Node
from engine.spec.problem import Problems, nearest


def show(arguments: argparse.Namespace) -> int:
    """Print a provider or dialect."""
    catalog = Catalog(arguments.catalog, arguments.override)
    head, _, model = arguments.name.partition("/")
    name, _, variant = head.partition(":")
    if name in catalog.dialect_ids() and name not in catalog.provider_ids():
        kind, node = "dialects", catalog.dialect(name)
    elif name in catalog.provider_ids():
        kind, node = "providers", catalog.provider(name)
    else:
        near = nearest(name, [*catalog.provider_ids(), *catalog.dialect_ids()])
        raise NotFoundError(f"no provider or dialect `{name}`" + (f"; did you mean `{near}`?" if near else ""))
    if not arguments.resolved and not arguments.origin and not model and not variant:
        path = catalog.path(kind, name)
        print(safe(path.read_text("utf-8")) if path else "\n".join(yaml_lines(node)), end="" if path else "\n")
        return 0
    tree = _resolved(catalog, kind, name, model or None, variant or None)
    for line in yaml_lines(tree, origin=arguments.origin):
        print(line)
    return 0


def _resolved(catalog: Catalog, kind: str, name: str, model: str | None, variant: str | None) -> Node | None:
    from engine.spec.extend import dialect_tree, whole_tree

    if kind == "dialects":
        return dialect_tree(catalog, name, Problems())
    return whole_tree(catalog, name, Problems(), model, variant)


def yaml_lines(node: Node | None, *, origin: bool = False) -> Iterator[str]:
    """A tree as YAML. With `origin` each line tells the file and line its value comes from, where that changes."""
    told: Mark | None = None
    for text, mark in _lines(node, ""):
        here = mark._replace(column=1)
        if origin and here != told:
            told = here
            text = f"{text.ljust(_COLUMN)}  # {here.file.removeprefix(_HOME)}:{here.line}"
        yield text


_COLUMN = 84  # where origins begin, behind lines that are not longer
_HOME = "catalog/"


def _lines(node: Node | None, indent: str) -> Iterator[tuple[str, Mark]]:
    for key, value in node.items() if node is not None else ():
        yield from _entry(f"{indent}{_scalar(key)}:", value, indent + "  ")


def _entry(head: str, value: Node, indent: str) -> Iterator[tuple[str, Mark]]:
    """What stands behind `key:` or `-`: on the same line if it is short, else below."""
    if value.is_map and value.value:
        yield head, value.key_mark or value.mark
        yield from _lines(value, indent)
    elif value.is_list and any(item.is_map or item.is_list for item in value.value):
        yield head, value.key_mark or value.mark
        for item in value.value:
            yield from _item(item, indent)
    else:
        yield f"{head} {_flow(value)}", value.mark


def _item(item: Node, indent: str) -> Iterator[tuple[str, Mark]]:
    if not item.is_map or not item.value:
        yield from _entry(f"{indent}-", item, indent + "  ")
        return
    dash = f"{indent}- "
    for text, mark in _lines(item, indent + "  "):
        yield dash + text[len(dash) :], mark
        dash = indent + "  "


def _flow(node: Node) -> str:
    if node.is_list:
        return "[" + ", ".join(_scalar(n.value, inside=True) for n in node.value) + "]"
    if node.is_map:
        return "{}"
    return _scalar(node.value)


def _scalar(value: Any, inside: bool = False) -> str:
    """A scalar as the loader reads it back; `inside` brackets more must be quoted."""
    if value is None:
        return "~"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    text = str(value)
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS and not (inside and any(c in ",[]{}" for c in text))
    if plain:
        return text
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in json.dumps(text, ensure_ascii=False))


#: no digits, signs or indicators in front, no `: `, ` #` or hole, nothing a reader could trip over
_PLAIN = re.compile(r"[A-Za-z$/](?:(?!: |:$| #|\{\{)[\x20-\x7e])*(?<! )")
_WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))
