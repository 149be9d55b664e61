"""`llmkit stats`: what the calls of a journal come to, as a table, as JSON or as a picture."""

from __future__ import annotations

import argparse
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from engine.accounting.statistics import Group, groups, moment, percentile, total
from engine.cli.terminal import dumps, safe
from engine.errors import ConfigError
from engine.ledger.journal import COLUMNS

#: head of a column -> what stands in it
_SHOWN: dict[str, Callable[[Group], str]] = {
    "calls": lambda g: f"{g.calls:,}",
    "errors": lambda g: f"{g.errors.total() / g.calls:.1%}" if g.errors else "0%",
    "cached": lambda g: f"{g.cached / g.calls:.1%}" if g.cached else "0%",
    "p50 s": lambda g: _seconds(percentile(g.seconds, 0.5)),
    "p95 s": lambda g: _seconds(percentile(g.seconds, 0.95)),
    "first s": lambda g: _seconds(percentile(g.first, 0.5)),
    "input": lambda g: f"{g.input_tokens:,}",
    "output": lambda g: f"{g.output_tokens:,}",
    "USD": lambda g: f"{g.cost:.6f}".rstrip("0").rstrip(".") + ("+?" if g.unpriced else ""),
}


def stats(arguments: argparse.Namespace) -> int:
    """Print or plot the calls of a journal. 1 if there are none."""
    path = arguments.journal or os.environ.get("LLMKIT_JOURNAL")
    if not path:
        raise ConfigError("which journal? name its file, or set LLMKIT_JOURNAL; Client(journal=…) and llmkit.yaml write one")
    since = moment(arguments.since, time.time()) if arguments.since else 0.0
    until = moment(arguments.until, time.time()) if arguments.until else float("inf")
    if arguments.png:
        from engine.cli.plot import plot

        rows = list(_rows(path, since, until))
        found = groups(rows, arguments.by)
        if found:
            plot(rows, found, arguments.by, arguments.png)
    else:
        found = groups(_rows(path, since, until), arguments.by)
    if arguments.json:
        print(
            dumps({"by": arguments.by, "groups": [g.to_dict() for g in found], "total": total(found).to_dict() if found else None})
        )
    elif not found:
        print("no calls" + (f" since {arguments.since}" if arguments.since else ""))
    else:
        _table(found, arguments.by)
        if arguments.png:
            print(f"\n{arguments.png} shows them")
    return 0 if found else 1


def _rows(path: str, since: float, until: float) -> Iterator[dict[str, Any]]:
    """The rows of a journal, which is only read. ConfigError for a file that is none."""
    if not Path(path).is_file():
        raise ConfigError(f"there is no journal {path}")
    names = ", ".join(COLUMNS)
    try:
        with sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro", uri=True, timeout=5.0) as db:
            where = "WHERE at >= ? AND at < ? ORDER BY at, rowid"
            for row in db.execute(f"SELECT {names} FROM calls {where}", (since, until)):  # noqa: S608 (constants)
                yield dict(zip(COLUMNS, row))
    except sqlite3.Error as error:
        raise ConfigError(f"{path} cannot be read as a journal: {error}") from None


def _table(found: list[Group], by: str) -> None:
    rows = [[by, *_SHOWN], *([safe(g.name), *(show(g) for show in _SHOWN.values())] for g in [*found, *_sum(found, by)])]
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join([row[0].ljust(wide[0]), *(cell.rjust(width) for cell, width in zip(row[1:], wide[1:]))]).rstrip())
    kinds = total(found).errors.most_common()
    if kinds:
        print("\nerrors: " + ", ".join(f"{kind} {count:,}" for kind, count in kinds))
    if any(g.unpriced for g in found):
        print("+? : the price of some calls is not known")


def _sum(found: list[Group], by: str) -> list[Group]:
    """The line under the table; not of tags, of which a call may have several."""
    return [total(found)] if len(found) > 1 and by != "tag" else []


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"
