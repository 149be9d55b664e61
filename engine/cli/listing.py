"""`llmkit providers` and `llmkit models`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from typing import Any

from engine.catalog import Catalog
from engine.cli.terminal import dumps, safe


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
        print(dumps(rows, indent=2))
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
        print(dumps(rows, indent=2))
        return 0
    limits = [[str(r.get("context") or ""), str(r.get("max_output") or "")] for r in rows]
    cells = [[r["model"], *limit, "default" if r["default"] else ""] for r, limit in zip(rows, limits)]
    table(["model", "context", "output", ""], cells)
    print(f"{len(rows)} models", file=sys.stderr)
    return 0


def table(head: list[str], rows: list[list[str]]) -> None:
    """Print columns as wide as their longest cell."""
    print(safe("\n".join(columns(head, rows))))


def columns(head: list[str], rows: list[list[str]], right: Collection[str] = ()) -> list[str]:
    """The lines of a table; columns named in `right` end at the same place, the others begin there."""
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]

    def line(row: list[str]) -> str:
        return "  ".join(c.rjust(w) if name in right else c.ljust(w) for c, w, name in zip(row, widths, head)).rstrip()

    return [line(row) for row in [head, *rows]]
