"""`llmkit sim`: providers without a key."""

from __future__ import annotations

import argparse

from engine.catalog import Catalog
from engine.errors import ConfigError


def sim(arguments: argparse.Namespace) -> int:
    """Serve on 127.0.0.1 until interrupted."""
    from engine.serve.faults import names
    from engine.serve.listener import Listener
    from engine.serve.simulator import Simulator

    if arguments.list_faults:
        from engine.cli.listing import columns

        print("\n".join(columns(["fault", "what happens"], [[name, about] for name, about in names().items()])))
        return 0
    if not 0 <= arguments.port <= 65535:
        raise ConfigError(f"a port is a number from 0 (any free one) to 65535, not {arguments.port}")
    for name, value in (("pace", arguments.pace), ("latency", arguments.latency)):
        if value is not None and not value >= 0:
            raise ConfigError(f"--{name} is a number from 0, not {value}")
    catalog = Catalog(arguments.catalog, arguments.override)
    pace, latency = arguments.pace or None, arguments.latency or 0.0
    simulator = Simulator(catalog, arguments.script, arguments.fault, pace=pace, latency=latency, echo=arguments.echo)
    server = Listener(simulator, arguments.port)
    print(f"answering as any provider on {server.origin}/PROVIDER")
    if arguments.script:
        print(f"following the script {arguments.script}")
    if arguments.fault:
        print(f"spoiling answers: {', '.join(arguments.fault)}")
    print(f"""try:  llmkit chat groq/any-model "Say hello." --base-url {server.origin}/groq --key HOME""", flush=True)
    try:
        server.run()
    except KeyboardInterrupt:
        print()
    return 0
