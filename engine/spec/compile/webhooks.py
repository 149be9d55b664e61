"""The `webhooks` table of a provider: how a delivery is known to be his, and what it says."""

from __future__ import annotations

from typing import Any

from engine import plan
from engine.expr.function import Unit
from engine.expr.query import Queries
from engine.expr.template import Templates
from engine.spec.compile.auth import AUTH_FUNCTIONS, Auths
from engine.spec.compile.call import Calls, number, present, word
from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.vocabulary import ANY, Shape

SCHEMES = ("hmac", "ed25519", "equals")
_SAID = ("job", "event", "poll", "result")


def compile_webhooks(provider: plan.ProviderPlan, root: Node, problems: Problems) -> plan.Webhooks | None:
    """The compiled table, or None if the provider has none or it holds errors."""
    table = root.get("webhooks")
    if table is None or not table.is_map:
        return None
    before = len(problems.errors)
    schemes = [name for name in SCHEMES if present(table, name)]
    if len(schemes) != 1 or not present(table, "signature"):
        message = f"`webhooks` needs a `signature` and exactly one of {', '.join(SCHEMES)}"
        problems.error("one-verification", message, table.key_mark or table.mark)
        return None
    unit = Unit("webhooks")
    settings = {v.name: ANY for v in provider.variables}
    secrets = {s.name: s for s in provider.secrets}
    trusted = provider.trust != "remote"
    request = Shape(dict.fromkeys(("headers", "body"), ANY))
    names = {**settings, **dict.fromkeys(secrets, ANY)}
    templates = Templates(unit, problems, request, variables=names, label="webhooks", functions=AUTH_FUNCTIONS, trusted=trusted)
    queries = Queries(unit, problems)
    auths = Auths(secrets, settings, request, problems, trusted=trusted)
    calls = Calls(templates, queries, problems, auths.auth)
    how = table.value[schemes[0]]
    templates.template("received", table.value["signature"], "body")
    fetched: Any = None
    if schemes[0] == "equals":
        templates.template("key", how, "text")
    else:
        templates.template("signed", how.value["of"], "text")
        if schemes[0] == "hmac":
            templates.template("key", how.value["key"], "text")
        else:
            fetched = calls.call(how.value["keys"], "webhooks.keys")
    for name in ("time", "id"):
        if present(table, name):
            templates.template(name, table.value[name], "text")
    for name in _SAID:
        if present(table, name):
            queries.query(f"said_{name}", table.value[name])
    if len(problems.errors) > before:
        return None
    functions = unit.build()
    own = how if how.is_map else Node({})
    prefix = own.get("prefix")
    return plan.Webhooks(
        received=functions["received"],
        scheme=schemes[0],
        key=functions.get("key"),
        key_as=word(own, "key_as", ["text", "base64", "hex"], "text", problems),
        signed=functions.get("signed"),
        written=word(own, "as", ["hex", "base64"], "hex", problems),
        prefix=str(prefix.value) if prefix is not None and prefix.value is not None else "",
        keys=fetched(functions) if fetched is not None else None,
        time=functions.get("time"),
        tolerance=number(table, "tolerance") or 300.0,
        id=functions.get("id"),
        reads=tuple(sorted(name for name in templates.reads if name in secrets)),
        **{name: functions[f"said_{name}"] for name in _SAID if f"said_{name}" in functions},
    )
