"""Stand-ins for tests: any provider of the catalog on loopback, with a script in place of a model.

    from engine.testing import Simulator

    with Simulator(script=[{"say": "Hello, {{ messages[-1].text }}!"}], fault="s_cut_clean") as sim:
        client = sim.client()                                   # engine.Client; every provider's base URL is the stand-in
        client.chat("groq/llama-3.3-70b-versatile", "Ada").text
        OpenAI(base_url=sim.url("openai-chat"), api_key="any")     # or any client library, on its own dialect
        assert sim.requests[-1].text == "Ada"

The pytest plugin `llmkit_sim` gives the same as a fixture. Scripts: `engine.serve.script`; faults by name: `faults()`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from engine.serve.exchange import Exchange as Exchange
    from engine.testing.simulator import Simulator as Simulator
    from engine.testing.simulator import faults as faults

__all__ = ["Exchange", "Simulator", "faults"]
_HOMES = {"Exchange": "engine.serve.exchange", "Simulator": "engine.testing.simulator", "faults": "engine.testing.simulator"}


def __getattr__(name: str) -> object:
    """Names are loaded when first used: pytest imports this package in every run, for the plugin."""
    if name not in _HOMES:
        raise AttributeError(f"module 'engine.testing' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found
