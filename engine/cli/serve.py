"""`llmkit serve`: the gateway."""

from __future__ import annotations

import argparse
import gc
import sys
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.serve.gateway.app import Gateway
    from engine.serve.gateway.config import Config

SETTLED = 2_000  # objects more than before, until the collector looks at the young ones


def serve(arguments: argparse.Namespace) -> int:
    """Serve until stopped; answers that run then are finished first. A second signal does not wait for them."""
    from engine.serve.gateway.app import Gateway

    config = _config(arguments)
    gateway = Gateway(config)
    gateway.bind()
    gateway.when_ready = _settle
    server = _server(gateway)
    where = f"[{config.host}]" if ":" in config.host else config.host
    print(f"llmkit serve: http://{where}:{config.port}, {_who(config)}, {_what(config)}", file=sys.stderr, flush=True)
    server.run()
    return 0


def _settle() -> None:
    """What was compiled stays: the collector need not walk it while clients wait. Nor what is under way, again and again: calls
    leave next to nothing to collect, but of many at once there are always more objects than its usual 700."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(SETTLED, 10, 10)


def _config(arguments: argparse.Namespace) -> Config:
    from engine.serve.gateway.config import Config, listen, read_config

    config = read_config(arguments.config) if arguments.config is not None else Config()
    changes: dict[str, object] = {}
    if arguments.listen is not None:
        changes["host"], changes["port"] = listen(arguments.listen)
    if arguments.port is not None:
        if not 0 <= arguments.port <= 65535:
            raise ConfigError(f"a port is a number from 0 to 65535, not {arguments.port}")
        changes["port"] = arguments.port
    if arguments.catalog or arguments.override:
        changes["catalog"] = [*config.catalog, *arguments.catalog]
        changes["override"] = [*config.override, *arguments.override]
    return replace(config, **changes)  # type: ignore[arg-type]


def _who(config: Config) -> str:
    if config.guarded:
        count = len(config.known) + len(config.signing)
        return f"{count} client key{'s' if count != 1 else ''}"
    return "no client keys: programs of this machine only"


def _what(config: Config) -> str:
    count = len(config.aliases)
    if not count:
        return "any provider/model" if config.any_model else "no models"
    offered = f"{count} model alias{'es' if count != 1 else ''}"
    return f"{offered} and any provider/model" if config.any_model else offered


class _Server(Protocol):
    def run(self) -> None: ...


def _server(gateway: Gateway) -> _Server:
    """uvicorn without its access log, whose lines would hold paths and queries (RELIABILITY S5, G10)."""
    try:
        import uvicorn
    except ImportError:
        raise ConfigError('the gateway needs uvicorn: pip install "llmkit-engine[gateway]"') from None

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            gateway.draining = True
            super().handle_exit(sig, frame)

    config = gateway.config
    settings = uvicorn.Config(
        gateway,
        host=config.host,
        port=config.port,
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=int(config.drain),
    )
    return Server(settings)
