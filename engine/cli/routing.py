"""`llmkit route` and `llmkit health`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from engine.cli.terminal import dumps, safe
from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.client import Client
    from engine.routing.decide import Decision


def route(arguments: argparse.Namespace) -> int:
    """With `--replay` what a log of routed calls says, and what would have been; else what a route would choose now."""
    if arguments.replay is None:
        return _chosen(arguments)
    from engine.routing.log import read, replayed

    wishes = {
        "policy": arguments.policy or None,
        "without": arguments.without,
        "changes": _changes(arguments.set),
        "ask": dict(_assigned(pair) for pair in arguments.ask),
    }
    asked = any(wishes.values())
    differing = 0
    for record in read(arguments.replay):
        pairs = replayed(record, **wishes)
        differing += any(was != now for was, now in pairs)
        if arguments.json:
            shown = [{"was": was.to_dict(), "now": now.to_dict()} for was, now in pairs]
            print(dumps({"at": record["at"], "route": record["route"]["name"], "decisions": shown, "attempts": record["attempts"]}))
            continue
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(record["at"]))
        print(f"{at} {safe(record['route']['name'])}")
        for was, now in pairs:
            for line in _told(was, now, asked):
                print(f"  {safe(line)}")
        for attempt in record["attempts"]:
            cost = f", {attempt['cost']} USD" if attempt.get("cost") else ""
            print(safe(f"    {attempt['target']}: {attempt['kind']} after {attempt['seconds']:.3f} s{cost}"))
    if not asked and differing:
        print(f"{differing} calls were decided otherwise than they would be now: the rules have changed since")
        return 1
    return 0


def _told(was: Decision, now: Decision, asked: bool) -> Iterator[str]:
    """A decision in lines: what was done, why, whom it passed over; and what would be done instead."""
    yield f"{_did(was)}{_because(was)}"
    for target, why in was.skipped.items():
        yield f"  not {target}: {why}"
    if asked:
        yield f"  would be the same{_because(now)}" if _did(was) == _did(now) else f"  would be: {_did(now)}{_because(now)}"


def _did(made: Decision) -> str:
    if made.action == "wait":
        return f"wait {made.seconds:g} s for {made.chosen}"
    return f"{made.action} {made.chosen}" if made.chosen else made.action


def _because(made: Decision) -> str:
    why = made.reasons.get(made.chosen or "")
    return f" ({why})" if why else ""


def _changes(pairs: list[str]) -> dict[str, dict[str, Any]]:
    """`TARGET:KEY=VALUE` of `--set`: other values in the recorded state of a target."""
    found: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        name, value = _assigned(pair)
        target, colon, key = name.rpartition(":")
        if not colon:
            raise ConfigError(f"--set takes TARGET:KEY=VALUE, not `{pair}`")
        found.setdefault(target, {})[key] = value
    return found


def _assigned(pair: str) -> tuple[str, Any]:
    name, equals, value = pair.partition("=")
    if not equals:
        raise ConfigError(f"`{pair}` is no NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _chosen(arguments: argparse.Namespace) -> int:
    if not arguments.name or not arguments.prompt:
        raise ConfigError("give the name of a route and a prompt, or --replay LOG")
    name, fields, notes = _client(arguments).chosen("chat", arguments.name, {"messages": " ".join(arguments.prompt)})
    if arguments.json:
        print(dumps({"chosen": name, "notes": notes}))
    else:
        print(safe(name))
        for note in notes:
            print(safe(f"  {note}"))
    return 0 if fields else 1


def health(arguments: argparse.Namespace) -> int:
    """Ask every target whether it is there. Exit code 1 if one is not."""
    client = _client(arguments)
    if not arguments.names and not client._routes:
        raise ConfigError("name a provider/model, or a file with routes by --config")
    found = client.check(*arguments.names, call=arguments.call)
    if arguments.json:
        for one in found:
            print(dumps(one.to_dict()))
    else:
        width = max(len(one.target) for one in found)
        for one in found:
            message = f"  {one.message}" if one.message else ""
            print(safe(f"{one.target:<{width}}  {one.kind:<14} {one.seconds:8.3f} s  by {one.by}{message}"))
    return 0 if all(one.ok for one in found) else 1


def _client(arguments: argparse.Namespace) -> Client:
    """A client with the routes and settings of a configuration."""
    from engine import Client

    if arguments.config is None:
        return Client(catalog=arguments.catalog, override=arguments.override)
    from engine.serve.gateway.config import read_config

    config = read_config(arguments.config)
    return Client(
        catalog=[*config.catalog, *arguments.catalog],
        override=[*config.override, *arguments.override],
        providers=config.providers,
        routes=config.routes,
    )
