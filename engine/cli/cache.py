"""`llmkit cache`: what is kept, and forgetting it."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from engine.cli.terminal import dumps, safe
from engine.errors import ConfigError


def cache(arguments: argparse.Namespace) -> int:
    """Show how much is kept, or forget all of it or one tenant's."""
    from engine.cache.key import scope_of
    from engine.cache.options import opened, place
    from engine.reliability.link import Away

    options = _options(arguments)
    if arguments.tenant is not None and arguments.action != "clear":
        raise ConfigError("--tenant is for clear")
    if options.store == "memory":
        raise ConfigError("a cache in memory is that of a running process: nobody else sees it")
    file = place(options)
    if file is not None and not file.exists():
        raise ConfigError(f"there is no cache at {file}")
    store = opened(options, time.time)
    try:
        if arguments.action == "clear":
            tenant = arguments.tenant
            count = store.clear(None if tenant is None else scope_of(tenant, False))
            print(f"forgot {count} answer{'s' if count != 1 else ''}{f' of {safe(tenant)}' if tenant is not None else ''}")
        else:
            _show({"store": store.name, **({"path": str(file)} if file is not None else {}), **store.stats()}, arguments.json)
    except Away:
        raise ConfigError("the Redis does not answer") from None
    finally:
        store.close()
    return 0


def _options(arguments: argparse.Namespace) -> Any:
    from engine.cache.options import Options

    if arguments.store is not None and arguments.config is not None:
        raise ConfigError("give --store or --config, not both")
    if arguments.config is None:
        return Options.of(Path(arguments.store) if arguments.store and "://" not in arguments.store else arguments.store or True)
    from engine.serve.gateway.config import read_config

    options = read_config(arguments.config).cache
    if options is None:
        raise ConfigError(f"{arguments.config} has no `cache`")
    return options


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(dumps(found))
        return
    if found.get("oldest") is not None:
        found["oldest"] = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(found["oldest"]))
    for name, value in found.items():
        if value is not None:
            print(f"{name:8} {safe(f'{value:,}' if isinstance(value, int) else str(value))}")
