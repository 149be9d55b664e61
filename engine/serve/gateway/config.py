"""`llmkit.yaml`: where the gateway listens, who may call it, what it offers and with which settings.

    listen: 127.0.0.1:4000
    keys: [{env: GATEWAY_KEYS}, {file: keys.txt}]
    aliases: {fast: groq/llama-3.3-70b-versatile, "claude-*": anthropic/claude-*}
    providers: {groq: {api_key: {env: TEAM_GROQ_KEY}}}

Credentials are never texts of this file: `{env: NAME}` or `{file: PATH}`, relative to the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from engine.cache.options import Options
from engine.errors import ConfigError, SpecError
from engine.ledger.budget import budgets_of
from engine.reliability.link import is_redis
from engine.reliability.rates import rules_of
from engine.routing.route import Route, routes_of
from engine.secret import Secret
from engine.serve.gateway.keys import Keys
from engine.serve.gateway.signers import Signers
from engine.serve.gateway.tenants import EXTRA, Tenant, tenants_of
from engine.spec.load import load
from engine.spec.problem import Problems, nearest

MEBIBYTE = 1024 * 1024
ERRORS = ("own", "provider")
PORT = 4000


@dataclass(slots=True)
class Config:
    """What an operator decides. `aliases` map a client's model name, which may end in `*`, to `provider/model`."""

    host: str = "127.0.0.1"
    port: int = PORT
    keys: Keys = field(default_factory=Keys)
    signers: Signers = field(default_factory=Signers)  # of clients that sign instead of sending a key
    tenants: dict[str, Tenant] = field(default_factory=dict)  # clients with keys, models, limits and budgets of their own
    aliases: dict[str, str] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)  # names that several targets stand behind
    rates: dict[str, Any] | None = None  # what may be asked of providers (engine.reliability.rates)
    budgets: list[Any] = field(default_factory=list)  # what may be spent (engine.ledger.budget)
    ledger: Any = None  # where budgets are kept (engine.ledger.opening); None: in memory
    journal: str | None = None  # a file that gets a row for every call (engine.ledger.journal)
    route_log: str | None = None  # a file that gets a line for every routed call
    telemetry: dict[str, bool] | None = None  # OpenTelemetry: content, propagate (engine.telemetry); None: off
    cache: Options | None = None  # answers that are kept (engine.cache.options)
    open: bool | None = None  # clients may name provider/model themselves; None: if there are no aliases and routes
    providers: dict[str, dict[str, Any]] = field(default_factory=dict)
    extra: str | None = None  # fields the client's dialect does not know: to the same dialect, or dropped; None: see extra_for
    errors: str = "own"  # whose words an error of a provider has
    fetch: bool = False  # the gateway fetches addresses in parts for providers that take none
    catalog: list[str] = field(default_factory=list)
    override: list[str] = field(default_factory=list)
    timeout: float = 600.0  # seconds of a call
    attempts: int | None = None
    body: int = 20 * MEBIBYTE  # bytes of a request
    messages: int = 10_000
    concurrency: int = 1000  # calls at a time; further ones are refused
    slow: float = 30.0  # seconds between two pieces of a request's body
    drain: float = 120.0  # seconds that running answers get when the gateway stops
    known: Keys = field(init=False, repr=False)  # the keys of everybody
    signing: Signers = field(init=False, repr=False)  # the signers of everybody

    def __post_init__(self) -> None:
        own = self.tenants.values()
        self.known = Keys.joined([self.keys, *(tenant.keys for tenant in own)])
        self.signing = Signers.joined([self.signers, *(tenant.signers for tenant in own)])
        if not self.guarded and not loopback(self.host):
            message = f"without keys the gateway listens on loopback only, not on {self.host}: give `keys`, or listen on 127.0.0.1"
            raise ConfigError(message)

    @property
    def guarded(self) -> bool:
        """Whether clients are asked who they are."""
        return bool(self.known or self.signing)

    def extra_for(self, tenant: Tenant | None) -> str:
        """What becomes of fields the client's dialect does not know: where tenants share the gateway, nothing passes that was not
        opened."""
        own = tenant.extra if tenant is not None else None
        return own or self.extra or ("drop" if self.tenants else "forward")

    def spending(self) -> list[Any]:
        """All budgets: those of everybody, and those of tenants."""
        return [*self.budgets, *(budget for tenant in self.tenants.values() for budget in tenant.budgets)]

    @property
    def any_model(self) -> bool:
        """Whether clients may name any `provider/model`."""
        return self.open if self.open is not None else not (self.aliases or self.routes)

    def target(self, name: str) -> str | None:
        """The route or `provider/model` of a client's model name, or None if it is not offered. The longest alias wins."""
        if name in self.routes:
            return name
        found = self.aliases.get(name)
        if found is not None:
            return found
        fitting = [a for a in self.aliases if a.endswith("*") and name.startswith(a[:-1])]
        if fitting:
            alias = max(fitting, key=len)
            return self.aliases[alias].replace("*", name[len(alias) - 1 :])
        return name if self.any_model and "/" in name else None


def loopback(host: str) -> bool:
    """Whether a host is this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_config(path: str | Path, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration in a file. Raises SpecError or ConfigError with everything that is wrong about it."""
    path = Path(path)
    problems = Problems()
    node = load(path.read_bytes(), str(path), problems)
    if problems.errors:
        raise SpecError(problems.sorted())
    given = node.plain() if node is not None else {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"{path}: a configuration is a mapping")
    return config_of(given, path.parent, os.environ if environ is None else environ)


def config_of(given: Mapping[str, Any], folder: Path, environ: Mapping[str, str]) -> Config:
    """The configuration a mapping says. `folder` is where relative paths start."""
    known = [*(name for name in Config.__slots__ if name not in ("host", "port", "known", "signing")), "listen"]
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            near = nearest(str(name), known)
            raise ConfigError(f"llmkit.yaml has no `{name}`" + (f"; did you mean `{near}`?" if near else ""))
        if value is None:
            continue
        if name == "listen":
            fields["host"], fields["port"] = listen(value)
        elif name == "keys":
            fields["keys"] = Keys(_keys(value, folder, environ))
            if not fields["keys"]:
                raise ConfigError("`keys` names no key: is the variable or file empty?")
        elif name == "signers":
            fields["signers"] = Signers(_keys(value, folder, environ))
            if not fields["signers"]:
                raise ConfigError("`signers` names no key: is the variable or file empty?")
        elif name == "tenants":
            fields["tenants"] = tenants_of(value, lambda source: _keys(source, folder, environ))
        elif name == "aliases":
            fields["aliases"] = _aliases(value)
        elif name == "routes":
            fields["routes"] = routes_of(value)
        elif name == "rates":
            rules_of(value)
            fields["rates"] = value
        elif name == "budgets":
            fields["budgets"] = list(budgets_of(value))
        elif name == "ledger":
            fields["ledger"] = _ledger(value, folder, environ)
        elif name in ("journal", "route_log"):
            fields[name] = str(folder / str(value))
        elif name == "telemetry":
            fields["telemetry"] = _telemetry(value)
        elif name == "cache":
            fields["cache"] = _cache(value, folder, environ)
        elif name == "providers":
            fields["providers"] = _providers(value, folder, environ)
        elif name == "catalog":
            fields["catalog"] = [str(folder / p) for p in (value if isinstance(value, list) else [value])]
        else:
            fields[name] = _checked(name, value)
    return Config(**fields)


_WORDS = {"extra": EXTRA, "errors": ERRORS}
_SWITCHES = ("open", "fetch")
_TOLD = ("content", "propagate")


def _checked(name: str, value: Any) -> Any:
    if name in _WORDS:
        if value not in _WORDS[name]:
            raise ConfigError(f"`{name}` is one of {', '.join(_WORDS[name])}, not {value!r}")
    elif name in _SWITCHES:
        if not isinstance(value, bool):
            raise ConfigError(f"`{name}` is true or false, not {value!r}")
    elif name == "override":
        return [str(v) for v in (value if isinstance(value, list) else [value])]
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise ConfigError(f"`{name}` is a number above 0, not {value!r}")
    elif name in ("attempts", "body", "messages", "concurrency") and value != int(value):
        raise ConfigError(f"`{name}` is a whole number, not {value!r}")
    return value


def _telemetry(value: Any) -> dict[str, bool] | None:
    """What engine.telemetry is told: nothing for true; None: off."""
    if isinstance(value, bool):
        return {} if value else None
    if not isinstance(value, Mapping) or any(name not in _TOLD or not isinstance(on, bool) for name, on in value.items()):
        raise ConfigError(f"`telemetry` is true, false or a mapping of {' and '.join(_TOLD)} to true or false")
    return dict(value)


def listen(value: Any) -> tuple[str, int]:
    """(host, port) of `host:port`, a host or a port alone."""
    text = str(value)
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = ("127.0.0.1", text) if text.isdecimal() else (text, str(PORT))
    if not port.isdecimal() or int(port) > 65535 or not host:
        raise ConfigError(f"`listen` is host:port, not {text!r}")
    return host.strip("[]"), int(port)


def _aliases(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ConfigError("`aliases` is a mapping of model names to provider/model")
    for name, target in value.items():
        if not isinstance(target, str) or "/" not in target:
            raise ConfigError(f"the alias `{name}` stands for provider/model, not {target!r}")
        if "*" in target and not str(name).endswith("*"):
            raise ConfigError(f"`{target}` has a `*`, its alias `{name}` has none at its end")
    return {str(name): target for name, target in value.items()}


def _cache(value: Any, folder: Path, environ: Mapping[str, str]) -> Options | None:
    """Where answers are kept. The URL of a store may hold a password, and its `secret` is one."""
    told = dict(value) if isinstance(value, Mapping) else {"store": value} if isinstance(value, str) else value
    if isinstance(told, dict):
        store, secret = told.get("store"), told.get("secret")
        if isinstance(store, str) and is_redis(store) and "@" in store:
            raise ConfigError("a URL with a password is not written into llmkit.yaml: name {env: VARIABLE} or {file: PATH}")
        text = _held(store, folder, environ) if isinstance(store, Mapping) else store
        if isinstance(text, str):
            told["store"] = text if text == "memory" else Secret(text) if is_redis(text) else folder / text
        if secret is not None:
            if not isinstance(secret, Mapping):
                raise ConfigError("the `secret` of a cache is {env: VARIABLE} or {file: PATH}")
            told["secret"] = Secret(_held(secret, folder, environ))
    return Options.of(told)


def _providers(value: Any, folder: Path, environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    if not isinstance(value, Mapping) or not all(isinstance(v, Mapping) for v in value.values()):
        raise ConfigError("`providers` is a mapping of providers to their settings")
    return {str(id): {str(k): _setting(v, folder, environ) for k, v in given.items()} for id, given in value.items()}


def _setting(value: Any, folder: Path, environ: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_setting(item, folder, environ) for item in value]
    return Secret(_held(value, folder, environ)) if isinstance(value, Mapping) else value


def _ledger(value: Any, folder: Path, environ: Mapping[str, str]) -> Any:
    """A path, or {redis, file, away, instances, prefix} with the URL of a Redis, which may hold a password."""
    if not isinstance(value, Mapping) and not is_redis(value):
        return str(folder / str(value))
    given = dict(value) if isinstance(value, Mapping) else {"redis": value}
    url = given.get("redis")
    if isinstance(url, Mapping):
        given["redis"] = Secret(_held(url, folder, environ))
    elif isinstance(url, str) and "@" in url:
        raise ConfigError("a URL with a password is not written into llmkit.yaml: name {env: VARIABLE} or {file: PATH}")
    if given.get("file") is not None:
        given["file"] = str(folder / str(given["file"]))
    return given


def _keys(value: Any, folder: Path, environ: Mapping[str, str]) -> Iterator[str]:
    for source in value if isinstance(value, list) else [value]:
        if not isinstance(source, Mapping):
            raise ConfigError("keys are not written into llmkit.yaml: name {env: VARIABLE} or {file: PATH}")
        for line in _held(source, folder, environ).splitlines():
            yield from line.partition("#")[0].replace(",", " ").split()


def _held(source: Mapping[str, Any], folder: Path, environ: Mapping[str, str]) -> str:
    """The text that `{env: NAME}` or `{file: PATH}` stands for."""
    if source.keys() == {"env"}:
        text = environ.get(str(source["env"]), "").strip()
        if not text:
            raise ConfigError(f"the environment variable {source['env']} is not set")
        return text
    if source.keys() == {"file"}:
        try:
            return (folder / str(source["file"])).read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{source['file']} cannot be read: {type(error).__name__}") from None
    raise ConfigError("a credential is {env: VARIABLE} or {file: PATH}")
