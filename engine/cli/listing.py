"""`llmkit providers` and `llmkit models`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from engine.catalog import Catalog


def providers(arguments: argparse.Namespace) -> int:
    """One line per provider that fits every filter."""
    catalog = Catalog(arguments.catalog, arguments.override)
    rows = []
    for id in catalog.provider_ids():
        node, who = catalog.provider(id), catalog.plan(id)
        assert node is not None
        plain = node.plain()
        fits = (
            (not arguments.category or arguments.category in (plain.get("categories") or []))
            and (not arguments.region or arguments.region in (plain.get("regions") or []))
            and (not arguments.operation or arguments.operation in who.operations)
            and (not arguments.status or arguments.status == who.status)
        )
        if not fits:
            continue
        if arguments.capability:
            flags: dict[str, Any] = {}
            for operation in who.operations:
                flags.update({k: v for k, v in catalog.capabilities(id, operation).items() if v})
            if not all(flags.get(flag) for flag in arguments.capability):
                continue
        env = [s.env[0] for s in who.secrets if s.env]
        rows.append({"id": id, "name": who.name, "status": who.status, "operations": list(who.operations), "env": env})
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    table(["id", "name", "status", "operations", "environment"], [_cells(row) for row in rows])
    print(f"{len(rows)} providers", file=sys.stderr)
    return 0


def _cells(row: dict[str, Any]) -> list[str]:
    return [row["id"], row["name"], row["status"], " ".join(row["operations"]), " ".join(row["env"])]


def models(arguments: argparse.Namespace) -> int:
    """Models the catalog has facts of; a provider without facts shows its default model."""
    catalog = Catalog(arguments.catalog, arguments.override)
    ids = [catalog.resolve(arguments.provider)] if arguments.provider else catalog.provider_ids()
    rows: list[dict[str, Any]] = []
    for id in ids:
        facts = catalog.models(id)
        default = catalog.plan(id).default_model
        names = list(facts) or ([default] if default else [])
        rows += [{"model": f"{id}/{name}", "default": name == default, **facts.get(name, {})} for name in names]
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    cells = [[r["model"], str(r.get("context") or ""), str(r.get("max_output") or ""), "default" if r["default"] else ""] for r in rows]
    table(["model", "context", "output", ""], cells)
    print(f"{len(rows)} models", file=sys.stderr)
    return 0


def table(head: list[str], rows: list[list[str]]) -> None:
    """Columns as wide as their longest cell."""
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
