"""`llmkit jobs`: the jobs that were submitted from here, and what became of them."""

from __future__ import annotations

import argparse
import os
import sys
import time
from types import TracebackType
from typing import Any

from engine.cli.chat import settings_of
from engine.cli.listing import table
from engine.cli.terminal import dumps, safe
from engine.errors import ConfigError

__all__ = ["Progress", "jobs", "store_of"]

_WIDTH = 24  # characters of a progress bar


def store_of(arguments: argparse.Namespace) -> Any:
    """Where records of jobs are kept: --jobs, LLMKIT_JOBS, or the user's own store."""
    return arguments.jobs or os.environ.get("LLMKIT_JOBS") or True


def jobs(arguments: argparse.Namespace) -> int:
    """List the jobs, or show, follow, stop or forget one."""
    from engine.jobstore import opened

    action, store = arguments.action, opened(store_of(arguments))
    if action == "list":
        return _listed(store.list(*arguments.status), arguments.json)
    if not arguments.job:
        raise ConfigError(f"which job? `llmkit jobs {action} KEY`; `llmkit jobs list` shows the keys")
    row = store.get(arguments.job)
    if action == "show":
        print(dumps(row, indent=2))
        return 0
    if action == "forget":
        store.forget(row["key"])
        print(f"forgot {row['key']}", file=sys.stderr)
        return 0
    from engine import Client
    from engine.cli.run import not_lost, show

    settings = settings_of(arguments, row["model"])
    with Client(catalog=arguments.catalog, override=arguments.override, providers=settings, jobs=store) as client:
        job = client.job(row["key"], timeout=arguments.timeout)
        if action == "cancel":
            job.cancel()
            print(f"asked {row['provider']} to stop {safe(str(job.id))}", file=sys.stderr)
            return 0
        with not_lost(row["operation"]), Progress() as progress:
            answer = job.wait(progress=progress, out=arguments.output)
    show(answer, row["operation"], arguments.output, arguments.json)
    return 0


def _listed(rows: list[dict[str, Any]], plain: bool) -> int:
    if plain:
        print(dumps(rows, indent=2))
        return 0
    lines = [
        [
            row["key"],
            row["status"],
            row["record"].get("state") or "",
            row["operation"],
            row["model"],
            row["id"] or "",
            _ago(row["created"]),
        ]
        for row in rows
    ]
    table(["key", "status", "state", "operation", "model", "id", "submitted"], lines)
    print(f"{len(rows)} jobs", file=sys.stderr)
    return 0


def _ago(moment: float) -> str:
    seconds = max(0, time.time() - moment)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


class Progress:
    """What is heard of a job: on a terminal one line that moves, elsewhere a line for each change."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._last = ""
        self._moving = sys.stderr.isatty()

    def __call__(self, record: dict[str, Any]) -> None:
        part, state = record.get("progress"), safe(str(record.get("state") or "running"))
        percent = f" {part:.0%}" if isinstance(part, float) else ""
        if not self._moving:
            if f"{state}{percent}" != self._last:
                print(f"{state}{percent}", file=sys.stderr, flush=True)
            self._last = f"{state}{percent}"
            return
        full = int(_WIDTH * part) if isinstance(part, float) else int(time.monotonic() - self._began) % _WIDTH
        bar = "#" * full + "-" * (_WIDTH - full) if isinstance(part, float) else "-" * full + "#" + "-" * (_WIDTH - full - 1)
        line = f"[{bar}]{percent} {state} {time.monotonic() - self._began:.0f} s"
        print(f"\r{line:<{len(self._last)}}", end="", file=sys.stderr, flush=True)
        self._last = line

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._moving and self._last:
            print(file=sys.stderr)
