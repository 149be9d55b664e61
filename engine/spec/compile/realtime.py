"""The keys of a live session: `connect`, `send`, its maps and its sound (SPEC_LANGUAGE 7.4).

The handshake is a call whose body is the `open` message, so that parameters, `extra_body`, `before` and credentials reach a
session as they reach every other operation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from engine import plan
from engine.spec.compile.call import number, present, word
from engine.spec.compile.mapping import outputs_of
from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.vocabulary import CLIENT_EVENTS

if TYPE_CHECKING:
    from engine.expr.template import Templates

#: what a binary message of the server holds
BINARY = ["audio", "json"]
_MAP_KEYS = ("match", "events")
_EMPTY = Node({})


def handshake(tree: Node, problems: Problems) -> Node:
    """The operation's tree as the call that opens the socket."""
    if not present(tree, "connect"):
        where = tree.key_mark or tree.mark
        problems.error("missing-key", "`realtime` needs `connect`: the path or wss: URL of its socket", where)
    first = (tree.get("send") or _EMPTY).get("open")
    keys = {k: v for k, v in tree.value.items() if k not in ("connect", "send")}
    if first is not None and first.is_map:
        keys["body"] = first
    elif first is not None and first.value is not None:
        problems.error("wrong-type", "`open` is one message, a mapping; what follows it stands in `history`", first.mark)
    return Node({**keys, "get": tree.get("connect") or Node("/")}, tree.mark, tree.key_mark)


def messages_map(tree: Node, problems: Problems) -> Node | None:
    """The map of the server's messages."""
    found = tree.get("map")
    if found is not None and found.value is not None:
        return found
    if present(tree, "events"):
        return Node({k: v for k, v in tree.items() if k in _MAP_KEYS}, tree.mark, tree.key_mark)
    problems.error("missing-key", "`realtime` needs `map` or `events`: how a message is read", tree.key_mark or tree.mark)
    return None


def realtime(tree: Node, templates: Templates, problems: Problems) -> Callable[[Mapping[str, Any], Collection[str]], plan.Realtime]:
    """Compile `send` into the operation's unit; the result makes the frozen Realtime once the unit is built, told which kinds
    of outputs its maps give."""
    names: dict[str, list[str]] = {}
    for event in CLIENT_EVENTS[1:]:
        for place, message in enumerate(_messages((tree.get("send") or _EMPTY).get(event))):
            name = f"send_{event}_{place}"
            templates.template(name, message)
            names.setdefault(event, []).append(name)
    mapped = messages_map(tree, Problems())
    _has(tree, names, "pong", "`ping` is to be answered", mapped is not None and "ping" in outputs_of(mapped), problems)
    _has(tree, names, "keepalive", "`keepalive_every` has something to send", present(tree, "keepalive_every"), problems)
    sound = tree.get("audio") or _EMPTY

    def finish(functions: Mapping[str, Any], gives: Collection[str]) -> plan.Realtime:
        out_rate = number(sound, "out_rate")
        return plan.Realtime(
            send={event: tuple(functions[name] for name in made) for event, made in names.items()},
            map=functions.get("realtime"),
            gives=frozenset(gives),
            binary=word(tree, "binary_frames", BINARY, "audio", problems),
            keepalive_every=number(tree, "keepalive_every"),
            subprotocols=_texts(tree.get("subprotocols")),
            formats=_texts(sound.get("in")),
            rates=tuple(int(rate) for rate in _texts(sound.get("rate"))),
            out_formats=_texts(sound.get("out")),
            out_rate=int(out_rate) if out_rate is not None else None,
        )

    return finish


def _has(tree: Node, names: Mapping[str, Any], event: str, why: str, needed: bool, problems: Problems) -> None:
    """Report a message that something else in the operation relies on."""
    if needed and event not in names:
        where = tree.get("send") or tree
        problems.error("missing-key", f"`send` needs `{event}`, so that {why}", where.key_mark or where.mark)


def _messages(node: Node | None) -> list[Node]:
    """One message or a list of them, in turn."""
    if node is None or node.value is None:
        return []
    return list(node.value) if node.is_list else [node]


def _texts(node: Node | None) -> tuple[str, ...]:
    if node is None or node.value is None:
        return ()
    return tuple(str(n.value) for n in node.value) if node.is_list else (str(node.value),)
