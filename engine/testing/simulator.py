"""The simulator as tests use it: running while a `with` block does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from engine.serve.exchange import Exchange
from engine.serve.faults import fault as fault_of
from engine.serve.faults import names
from engine.serve.listener import Listener
from engine.serve.simulator import Simulator as Core

if TYPE_CHECKING:
    from engine.catalog import Catalog
    from engine.client import AsyncClient, Client

_shared: list[Catalog] = []


def faults() -> dict[str, str]:
    """Every fault that has a name, with what it does."""
    return names()


class Simulator:
    """A stand-in for every provider on 127.0.0.1, for as long as the `with` block runs (or from `start` to `stop`).

    `script`: a path, text, list of rules, mapping or function of the canonical request. `fault` and `faults`: names of
    RELIABILITY section 8, or mappings; `times` says how many requests the one `fault` spoils. `pace`: tokens per second,
    `latency`: seconds before the first byte. `echo`: sessions give every piece of sound straight back. `catalog`: a Catalog,
    or what one is made of; default: the packaged one.
    """

    def __init__(
        self,
        script: Any = None,
        fault: Any = None,
        faults: Iterable[Any] = (),
        *,
        times: int | None = None,
        pace: float | None = None,
        latency: float = 0.0,
        echo: bool = False,
        port: int = 0,
        catalog: Any = None,
    ) -> None:
        every = list(faults)
        if fault is not None:
            every.insert(0, {"name": fault, "times": times} if isinstance(fault, str) and times is not None else fault)
        self.catalog: Catalog = _catalog(catalog)
        self._core = Core(self.catalog, script, [fault_of(one) for one in every], pace=pace, latency=latency, echo=echo)
        self._port = port
        self._listener: Listener | None = None
        self._clients: list[Client] = []

    # --- where it is ------------------------------------------------------------------------------------------------

    def start(self) -> Simulator:
        """Listen; what `with` does."""
        if self._listener is None:
            self._listener = Listener(self._core, self._port).__enter__()
        return self

    def stop(self) -> None:
        """Stop listening and close the clients that were made."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        if self._listener is not None:
            self._listener.__exit__()
            self._listener = None

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(self, *_: Any) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._running.port

    @property
    def origin(self) -> str:
        """http://127.0.0.1:port"""
        return self._running.origin

    @property
    def _running(self) -> Listener:
        if self._listener is None:
            raise RuntimeError("the simulator does not run: use it in a `with` block, or call start()")
        return self._listener

    def url(self, name: str) -> str:
        """The base URL for a client of a provider (`groq`, `openai:responses`) or dialect (`anthropic-messages`)."""
        return self.origin + self._core.mounts.path(name)

    def client(self, **options: Any) -> Client:
        """An engine client for which every provider is this stand-in; closed with it. `options` go to engine.Client.

        Providers whose credentials are first exchanged at another host are not reached this way.
        """
        from engine.client import Client

        made = Client(catalog=self.catalog, **{**options, "providers": self._settings(options.get("providers"))})
        self._clients.append(made)
        return made

    def async_client(self, **options: Any) -> AsyncClient:
        """The same for asyncio; close it yourself."""
        from engine.client import AsyncClient

        return AsyncClient(catalog=self.catalog, **{**options, "providers": self._settings(options.get("providers"))})

    def _settings(self, given: Any) -> dict[str, dict[str, Any]]:
        from engine.examples.given import dummy_settings

        found = {}
        for id in self.catalog.provider_ids():
            found[id] = {
                **dummy_settings(self.catalog.plan(id)),
                "base_url": f"{self.origin}/{id}",
                **((given or {}).get(id) or {}),
            }
        return found

    # --- what it was sent -------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Exchange]:
        """Every request it got, in order: raw, canonical, and what was answered."""
        return self._core.requests

    @property
    def elsewhere(self) -> list[Exchange]:
        """Requests that followed a redirect to another origin."""
        return self._core.elsewhere

    @property
    def dialects(self) -> list[str]:
        """The dialects it speaks."""
        return self._core.mounts.dialects()

    def reset(self) -> None:
        """Forget the requests; faults that were used up are fresh again."""
        self._core.reset()


def _catalog(given: Any) -> Catalog:
    """One Catalog for all simulators that name none: dialects are compiled once."""
    from engine.catalog import Catalog

    if isinstance(given, Catalog):
        return given
    if given is not None:
        return Catalog(given if isinstance(given, (list, tuple)) else [given])
    if not _shared:
        _shared.append(Catalog())
    return _shared[0]
