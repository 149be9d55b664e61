"""`llmkit show`: a spec as written, or with everything it inherits and where each value comes from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from engine.catalog import Catalog
from engine.errors import NotFoundError
from engine.spec.node import Node
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
    if not arguments.resolved and not arguments.origin:
        path = catalog.path(kind, name)
        print(path.read_text("utf-8") if path else "\n".join(_lines(node, "", False)), end="" if path else "\n")
        return 0
    for line in _lines(_resolved(catalog, kind, name, model or None, variant or None), "", arguments.origin):
        print(line)
    return 0


def _resolved(catalog: Catalog, kind: str, name: str, model: str | None, variant: str | None) -> Node | None:
    from engine.spec.extend import dialect_tree, whole_tree

    if kind == "dialects":
        return dialect_tree(catalog, name, Problems())
    return whole_tree(catalog, name, Problems(), model, variant)


def _lines(node: Node | None, indent: str, origin: bool) -> Iterator[str]:
    for key, value in node.items() if node is not None else ():
        where = f"    # {value.mark.file}:{value.mark.line}" if origin else ""
        if value.is_map and value.value:
            yield f"{indent}{_scalar(key)}:{where if origin else ''}"
            yield from _lines(value, indent + "  ", origin)
        elif value.is_list and any(not _simple(item) for item in value.value):
            yield f"{indent}{_scalar(key)}:"
            for item in value.value:
                yield f"{indent}  - {json.dumps(item.plain(), ensure_ascii=False)}{where}"
        else:
            yield f"{indent}{_scalar(key)}: {_flow(value)}{where}"


def _simple(node: Node) -> bool:
    return not node.is_map and not node.is_list


def _flow(node: Node) -> str:
    if node.is_list:
        return "[" + ", ".join(_scalar(n.value) for n in node.value) + "]"
    if node.is_map:
        return "{}"
    return _scalar(node.value)


def _scalar(value: Any) -> str:
    if value is None:
        return "~"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    text = str(value)
    plain = text and text[0].isalnum() and text[-1] not in " :" and all(c.isalnum() or c in "-_./ |" for c in text)
    ambiguous = text in ("true", "false", "null") or text[:1].isdigit()
    return text if plain and not ambiguous else json.dumps(text, ensure_ascii=False)
