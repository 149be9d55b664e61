"""LLMKit: AI providers as data, and one engine that reads it.

    import engine

    client = engine.Client()
    answer = client.chat("groq/llama-3.3-70b-versatile", "Say hello in Welsh")
    answer.text

Importing this package imports nothing else; every name below is loaded when first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from engine import errors as errors
    from engine.catalog import Catalog as Catalog
    from engine.catalog import remote as remote
    from engine.client import AsyncClient as AsyncClient
    from engine.client import Client as Client
    from engine.errors import Error as Error
    from engine.operation import Operation as Operation
    from engine.routing.route import Route as Route
    from engine.secret import Secret as Secret
    from engine.streams import AsyncStream as AsyncStream
    from engine.streams import Stream as Stream
    from engine.types import Event as Event
    from engine.types import HttpRequest as HttpRequest
    from engine.types import Part as Part
    from engine.types import Response as Response
    from engine.types import Usage as Usage

__all__ = [
    "AsyncClient", "AsyncStream", "Catalog", "Client", "Error", "Event", "HttpRequest", "Operation", "Part", "Response", "Route",
    "Secret", "Stream", "Usage", "errors", "remote",
]  # fmt: skip
__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "client",
    "AsyncStream": "streams",
    "Catalog": "catalog",
    "Client": "client",
    "Error": "errors",
    "Event": "types",
    "HttpRequest": "types",
    "Operation": "operation",
    "Part": "types",
    "Response": "types",
    "Route": "routing.route",
    "Secret": "secret",
    "Stream": "streams",
    "Usage": "types",
    "errors": "",
    "remote": "catalog",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"engine.{home}"), name) if home else import_module(f"engine.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
