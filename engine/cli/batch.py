"""`llmkit batch`: a file of requests in, a file of answers out; killed or interrupted, it goes on with --resume."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from engine.cli.chat import parameters, settings_of
from engine.cli.terminal import dumps
from engine.errors import ConfigError, Error


def batch(arguments: argparse.Namespace) -> int:
    """Answer every row. Exit code 0 if all were answered, 1 if some failed or the run could not go on, 130 if interrupted."""
    checkpoint = Path(arguments.checkpoint or f"{arguments.out}.checkpoint")
    if arguments.resume and not checkpoint.exists():
        raise ConfigError(f"there is nothing to resume: no checkpoint at {checkpoint}")
    if checkpoint.exists() and not arguments.resume:
        raise ConfigError(f"there is a checkpoint at {checkpoint}: go on with --resume, or delete it and {arguments.out}")
    below = "\n" if sys.stderr.isatty() and not arguments.quiet else ""  # where the progress stands in the last line
    try:
        done = asyncio.run(_answered(arguments, checkpoint))
    except KeyboardInterrupt:
        print(f"{below}llmkit: interrupted; the same command goes on with --resume", file=sys.stderr)
        return 130
    except Error:
        print(below, end="", file=sys.stderr)
        raise
    if not done.ended:
        print(below, end="", file=sys.stderr)
    if arguments.json:
        print(dumps(done.to_dict(), indent=2))
    elif arguments.quiet:
        print(f"{done.answered:,} answered, {done.failed:,} failed, {done.state}: {done.out}", file=sys.stderr)
    return 1 if done.failed else 0


async def _answered(arguments: argparse.Namespace, checkpoint: Path) -> Any:
    from engine import AsyncClient

    settings = settings_of(arguments, arguments.model or "")
    fields = parameters(arguments.param)
    if arguments.timeout is not None:
        fields["timeout"] = arguments.timeout
    async with AsyncClient(catalog=arguments.catalog, override=arguments.override, providers=settings) as client:
        return await client.batch(
            arguments.rows,
            model=arguments.model,
            out=arguments.out,
            checkpoint=checkpoint,
            operation=arguments.operation.replace("-", "_"),
            mode=arguments.mode,
            concurrency=arguments.concurrency,
            wait=not arguments.no_wait,
            ambiguous=arguments.ambiguous,
            progress=not arguments.quiet,
            **fields,
        )
