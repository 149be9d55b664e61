"""`llmkit sim`: providers without a key."""

from __future__ import annotations

import argparse

from engine.catalog import Catalog
from engine.errors import ConfigError


def sim(arguments: argparse.Namespace) -> int:
    """Serve on 127.0.0.1 until interrupted."""
    from engine.serve.loopback import Loopback

    if not 0 <= arguments.port <= 65535:
        raise ConfigError(f"a port is a number from 0 (any free one) to 65535, not {arguments.port}")
    server = Loopback(Catalog(arguments.catalog, arguments.override), arguments.port)
    print(f"answering as any provider on http://127.0.0.1:{server.port}/PROVIDER")
    print(f"""try:  llmkit chat groq/any-model "Say hello." --base-url {server.url("groq")} --key HOME""", flush=True)
    try:
        server.run()
    except KeyboardInterrupt:
        print()
    return 0
