"""Which session a path opens: below a provider's name, that of the variant whose `connect` it is."""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from engine.errors import Error, NotFoundError
from engine.examples.cases import cases
from engine.examples.given import given_operation
from engine.serve.exchange import Answer, Exchange
from engine.serve.faults import written
from engine.serve.stage import Stage
from engine.serve.tongue import Tongue

if TYPE_CHECKING:
    from engine.catalog import Catalog
    from engine.serve.script import Script

__all__ = ["Sessions"]

_MODEL, _VOICE = "sim-model", "sim-voice"


class Sessions:
    """The wires of sessions, learned when first asked for. Shareable between threads."""

    def __init__(self, catalog: Catalog, script: Script, echo: bool = False) -> None:
        self.catalog = catalog
        self.script = script
        self.echo = echo
        self._known: dict[str, list[tuple[re.Pattern[str], Tongue]]] = {}
        self._lock = threading.Lock()

    def open(self, exchange: Exchange) -> tuple[Answer, Stage | None]:
        """The answer to a handshake; with a stage, that it is accepted. Fills in whose it is and with which key."""
        name, _, path = exchange.path.removeprefix("/").partition("/")
        try:
            with self._lock:
                known = self._known.get(name)
                if known is None:
                    known = self._known[name] = list(self._learn(unquote(name)))
        except NotFoundError as error:
            return _refused(404, f"{error.message}; the first path segment names the provider"), None
        tongue = next((tongue for pattern, tongue in known if pattern.fullmatch(f"/{path}")), None)
        if tongue is None:
            return _refused(404, f"{name} opens no session at /{path}"), None
        exchange.provider, exchange.dialect = name, tongue.operation.plan.dialect
        values = [*exchange.headers.values(), *map(str, exchange.query.values())]
        words = {word for value in values for word in (value, value.rpartition(" ")[2])}
        if words & self.script.bad_keys:
            return _refused(401, "the key is not valid"), None
        model = str(exchange.query.get("model") or _MODEL)
        return Answer(101, {}, ()), Stage(tongue, self.script, model, echo=self.echo)

    def _learn(self, name: str) -> Any:
        provider, _, variant = name.partition(":")
        provider = self.catalog.resolve(provider)
        for one in [variant] if variant else [None, *self.catalog.plan(provider).variants]:
            target = f"{provider}:{one}/{_MODEL}" if one else f"{provider}/{_MODEL}"
            try:
                operation = given_operation(self.catalog, target, "realtime")
                sent = operation.render(voice=_VOICE)
            except Error:
                continue
            path = re.escape(urlsplit(sent.url).path.removeprefix(urlsplit(operation.base_url).path.rstrip("/")))
            for made in (_MODEL, _VOICE):
                path = path.replace(re.escape(quote(made, safe="")), "[^/]+")
            shown = [case.example for case in cases(self.catalog, provider, one) if case.operation == "realtime"]
            yield re.compile(f".*{path}"), Tongue(operation, [e for e in shown if "fails" not in e and e.get("frames")])


def _refused(status: int, message: str) -> Answer:
    return written(status, json.dumps({"error": {"message": message, "type": "simulator"}}).encode())
