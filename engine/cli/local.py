"""`llmkit providers --local`: which servers of your own answer right now."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine.catalog import Catalog
from engine.cli.terminal import dumps

#: seconds that a server on this machine gets to answer
PATIENCE = 2.0


def found(arguments: argparse.Namespace) -> int:
    """Ask every provider whose address the user chooses for its models; one line each. 1 if none answers.

    Several servers share a default port: whoever answers there is listed under each of their names.
    """
    from engine import Client

    catalog = Catalog(arguments.catalog, arguments.override)
    ids = [id for id in catalog.provider_ids() if _asked(catalog, id, arguments.category)]
    client = Client(catalog=arguments.catalog, override=arguments.override, timeout=PATIENCE, attempts=1)
    with client, ThreadPoolExecutor(max_workers=8) as pool:
        rows = [row for row in pool.map(lambda id: _row(client, catalog, id), ids) if arguments.json or row["answers"]]
    if arguments.json:
        print(dumps(rows, indent=2))
    else:
        from engine.cli.listing import table

        table(["id", "name", "address", "models"], [[r["id"], r["name"], r["address"], " ".join(r["models"][:4])] for r in rows])
    answering = sum(row["answers"] for row in rows)
    print(f"{answering} of {len(ids)} local servers answer", file=sys.stderr)
    return 0 if answering else 1


def answers(catalog: Catalog, id: str) -> bool:
    """Whether a server of the user's own is there, and speaks HTTP: an open port may be another's."""
    from engine import Client

    if not _asked(catalog, id, None):
        return False
    with Client(catalog=catalog, timeout=PATIENCE, attempts=1) as client:
        return bool(_row(client, catalog, id)["answers"])


def _asked(catalog: Catalog, id: str, category: str | None) -> bool:
    who, node = catalog.plan(id), catalog.provider(id)
    assert node is not None
    categories = node.plain().get("categories") or []
    return "list_models" in who.operations and "local" in categories and category in (None, *categories)


def _row(client: Any, catalog: Catalog, id: str) -> dict[str, Any]:
    """What came of asking one server for its models. An answer that is no list still is an answer."""
    from engine.errors import Error

    who = catalog.plan(id)
    row: dict[str, Any] = {"id": id, "name": who.name, "address": client.operation(id, "list_models").base_url}
    row |= {"answers": True, "models": []}
    try:
        row["models"] = [model.id for model in client.list_models(id).models]
    except Error as error:
        row["answers"] = error.status is not None
    return row
