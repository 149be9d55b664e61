"""`llmkit sim`: providers without a key."""

from __future__ import annotations

import argparse

from engine.catalog import Catalog


def sim(arguments: argparse.Namespace) -> int:
    """Serve on 127.0.0.1 until interrupted."""
    from engine.serve.loopback import Loopback

    server = Loopback(Catalog(arguments.catalog, arguments.override), arguments.port)
    print(f"answering as any provider on http://127.0.0.1:{server.port}/PROVIDER")
    print(f"""try:  llmkit chat groq/any-model "Say hello." --base-url {server.url("groq")} --key HOME""", flush=True)
    server.run()
    return 0
