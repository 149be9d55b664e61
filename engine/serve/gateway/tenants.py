"""Clients that share a gateway and nothing else (RELIABILITY 7.3): whose key it is, what he may ask for, how much and how often.

tenants:
  acme:
    keys: {env: ACME_KEYS}
    models: [smart, "claude-*"]
    rates: {requests: 60/min, tokens: 200000/min, concurrency: 8}
    budgets: [{usd: 50, per: month}]
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from engine.accounting.estimate import input_tokens
from engine.errors import ConfigError, LocalLimitError
from engine.ledger.budget import Budget, budgets_of
from engine.reliability.limiter import Limiter, Ticket
from engine.reliability.rates import rules_of
from engine.serve.gateway.keys import Keys
from engine.serve.gateway.signers import Signers
from engine.serve.gateway.wording import Refused
from engine.spec.problem import nearest

if TYPE_CHECKING:
    from engine.serve.gateway.asked import Asked

EXTRA = ("forward", "drop")
USUAL_OUTPUT = 500  # tokens of an answer whose length nobody limited
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEYS = ("keys", "signers", "models", "extra", "rates", "budgets")


@dataclass(slots=True)
class Tenant:
    """One of them. `models` are globs of names that clients say; without any he may ask for all that the gateway offers."""

    name: str
    keys: Keys = field(default_factory=Keys)
    signers: Signers = field(default_factory=Signers)
    models: tuple[str, ...] = ()
    extra: str | None = None  # as in the configuration; None: as it says for all
    rates: Mapping[str, Any] | None = None  # requests, tokens, concurrency of all his calls together
    budgets: tuple[Budget, ...] = ()

    def may(self, model: str) -> bool:
        """Whether he may ask for a model, by the name that his client says."""
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


def tenants_of(given: Any, read: Callable[[Any], Iterator[str]]) -> dict[str, Tenant]:
    """The tenants a configuration says; `read` gives the keys of a source. Raises ConfigError."""
    if not isinstance(given, Mapping) or not given:
        raise ConfigError("`tenants` is a mapping of names to {keys, models, rates, budgets, extra}")
    return {str(name): _tenant(str(name), said, read) for name, said in given.items()}


def _tenant(name: str, given: Any, read: Callable[[Any], Iterator[str]]) -> Tenant:
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"the name of a tenant has letters, digits, dots and dashes, not {name!r:.80}")
    if not isinstance(given, Mapping):
        raise ConfigError(f"the tenant {name} is a mapping such as {{keys: {{env: ACME_KEYS}}}}")
    for key in given:
        if key not in _KEYS:
            near = nearest(str(key), _KEYS)
            raise ConfigError(f"the tenant {name} has no `{key}`" + (f"; did you mean `{near}`?" if near else ""))
    made = Tenant(name)
    if given.get("keys") is not None:
        made.keys = Keys(read(given["keys"]), name)
    if given.get("signers") is not None:
        made.signers = Signers(read(given["signers"]), name)
    if not made.keys and not made.signers:
        raise ConfigError(f"the tenant {name} has no key: is the variable or file empty?")
    models = given.get("models")
    if models is not None:
        listed = [models] if isinstance(models, str) else models
        if not isinstance(listed, list) or not listed or not all(isinstance(one, str) and one for one in listed):
            raise ConfigError(f"`models` of the tenant {name} is a list of names, which may have a `*`")
        made.models = tuple(listed)
    made.extra = given.get("extra")
    if made.extra is not None and made.extra not in EXTRA:
        raise ConfigError(f"`extra` of the tenant {name} is one of {', '.join(EXTRA)}, not {made.extra!r}")
    if given.get("rates") is not None:
        rules_of({name: given["rates"]})
        made.rates = given["rates"]
    made.budgets = tuple(_budget(name, budget) for budget in budgets_of(given.get("budgets")))
    return made


def _budget(name: str, budget: Budget) -> Budget:
    if budget.tenant is not None:
        raise ConfigError(f"a budget of the tenant {name} holds for {name}: leave `tenant` out")
    from dataclasses import replace

    return replace(budget, tenant=name)


class Turnstile:
    """The limits of tenants. Who has none left is told to come back later, and when: clients wait better than gateways."""

    def __init__(self, tenants: Iterable[Tenant], processes: Callable[[], int] | None = None) -> None:
        limited = {tenant.name: tenant.rates for tenant in tenants if tenant.rates}
        self._limiter = Limiter(limited, processes) if limited else None
        self._names = frozenset(limited)

    def enter(self, tenant: Tenant | None, asked: Asked) -> Ticket | None:
        """A place for a call, to be left at its end. Raises Refused where there is none now."""
        limiter = self._limiter
        if tenant is None or limiter is None or tenant.name not in self._names:
            return None
        output = asked.fields.get("max_tokens")
        tokens = input_tokens(asked.fields)
        if asked.served.operation == "chat":
            tokens += output if isinstance(output, int) and not isinstance(output, bool) and output > 0 else USUAL_OUTPUT
        ticket, now = Ticket(limiter, (tenant.name, "", 0), float(tokens), ""), time.monotonic()
        wait = 1.0
        try:
            wait = limiter.ask(ticket, now)
        except LocalLimitError:
            pass
        if ticket.granted:
            return ticket
        limiter.settle(ticket, now)
        if wait == float("inf"):
            raise Refused("rate_limit", "too many calls with the keys of this client run at once", retry_after=1)
        raise Refused("rate_limit", "the limit of this client is used up for the moment", retry_after=wait)

    def leave(self, ticket: Ticket | None, tokens: int | None) -> None:
        """The call is over; `tokens` is what it took, None if that is not known."""
        if ticket is not None:
            ticket.limiter.settle(ticket, time.monotonic(), tokens)
