"""`llmkit providers` and `llmkit models`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection
from typing import Any

from engine.catalog import Catalog
from engine.cli.terminal import dumps, safe
from engine.errors import ConfigError
from engine.spec.problem import nearest
from engine.vocabulary import CAPABILITIES, OPERATIONS, STATUSES


def providers(arguments: argparse.Namespace) -> int:
    """One line per provider that fits every filter."""
    if arguments.local:
        from engine.cli.local import found

        return found(arguments)
    catalog = Catalog(arguments.catalog, arguments.override)
    everyone = [(id, catalog.plan(id), catalog.provider(id).plain()) for id in catalog.provider_ids()]  # type: ignore[union-attr]
    _known("operation", arguments.operation, OPERATIONS)
    for flag in arguments.capability:
        _known("capability", flag, CAPABILITIES)
    _known("status", arguments.status, STATUSES)
    for word, key in (("category", "categories"), ("region", "regions")):
        _known(word, vars(arguments)[word], {value for _, _, plain in everyone for value in plain.get(key) or ()})
    rows = []
    for id, who, plain in everyone:
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
        rows.append({"id": id, "name": who.name, "status": who.status, "env": env, "operations": list(who.operations)})
    if arguments.json:
        print(dumps(rows, indent=2))
        return 0
    table(["id", "name", "status", "environment", "operations"], [_cells(row) for row in rows])
    print(f"{len(rows)} providers", file=sys.stderr)
    return 0


def _cells(row: dict[str, Any]) -> list[str]:
    env = [*row["env"][:2], "…"] if len(row["env"]) > 2 else row["env"]
    return [row["id"], row["name"], row["status"], " ".join(env), " ".join(row["operations"])]


def _known(what: str, word: str | None, known: Collection[str]) -> None:
    """A filter by a word that nobody has would show an empty list for a slip of the pen."""
    if word and word not in known:
        near = nearest(word, known)
        hint = f"did you mean `{near}`?" if near else f"there are {', '.join(sorted(known))}"
        raise ConfigError(f"no provider has the {what} `{word}`; {hint}")


def models(arguments: argparse.Namespace) -> int:
    """Models the catalog has facts of; a provider without facts shows its default model. With --live, what it lists now."""
    from engine.accounting.selection import rates, select

    catalog = Catalog(arguments.catalog, arguments.override)
    live: list[Any] | None = None
    if arguments.live:
        from engine.cli.operations import live_models

        live = live_models(arguments)
        if live is None:
            return 0
    elif arguments.provider and "/" in arguments.provider:
        return _model(catalog, arguments)
    provider = arguments.provider and catalog.split(arguments.provider.partition("/")[0] + "/any")[0]
    given = vars(arguments)
    filters = {key: given[key] for key in ("search", "operation", "input", "output", "capability", "context") if given[key]}
    if arguments.max_price is not None:
        filters["price"] = arguments.max_price
    if arguments.deprecated:
        filters["deprecated"] = arguments.deprecated == "only"
    rows = [{"model": name, **facts} for name, facts in select(catalog, provider, live=live, **filters)]
    known = {row["model"] for row in rows}
    ids = [provider] if provider else catalog.provider_ids()
    defaults = {f"{id}/{name}" for id in ids if (name := catalog.plan(id).default_model)}
    if not filters and live is None:
        rows += [{"model": name} for name in sorted(defaults - known)]
    rows = [{**row, "default": row["model"] in defaults} for row in rows]
    if arguments.json:
        print(dumps(rows, indent=2))
        return 0
    today = time.strftime("%Y-%m-%d", time.gmtime())
    cells = []
    for row in rows:
        price = rates(row, today)
        window, longest = row.get("context") or row.get("max_input"), row.get("max_output")
        ends = "deprecated" if row.get("deprecated") else f"until {row['retires']}" if row.get("retires") else ""
        new = (
            "not in the catalog" if live is not None and catalog.facts.of(provider, row["model"].partition("/")[2]) is None else ""
        )
        marks = " ".join(word for word in ("default" if row["default"] else "", ends, new) if word)
        numbers = (window, longest, price.get("input"), price.get("output"))
        cells.append([row["model"], *("" if n is None else str(n) for n in numbers), marks])
    table(["model", "context", "output", "USD in", "USD out", ""], cells)
    print(f"{len(rows)} models", file=sys.stderr)
    return 0


def _model(catalog: Catalog, arguments: argparse.Namespace) -> int:
    """Everything known of one model. Of an unknown one nothing is: it can be called all the same."""
    provider, variant, model = catalog.split(arguments.provider)
    facts = catalog.facts.of(provider, model, variant)
    if facts is not None:
        print(dumps(facts, indent=2))
        return 0
    near = catalog.facts.near(provider, model)
    hint = f"did you mean {provider}/{near}? " if near else ""
    print(f"nothing is known of a model {provider}/{model}; {hint}it can be called all the same", file=sys.stderr)
    return 1


def table(head: list[str], rows: list[list[str]]) -> None:
    """Print columns as wide as their longest cell."""
    print(safe("\n".join(columns(head, rows))))


def columns(head: list[str], rows: list[list[str]], right: Collection[str] = ()) -> list[str]:
    """The lines of a table; columns named in `right` end at the same place, the others begin there."""
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]

    def line(row: list[str]) -> str:
        return "  ".join(c.rjust(w) if name in right else c.ljust(w) for c, w, name in zip(row, widths, head)).rstrip()

    return [line(row) for row in [head, *rows]]
