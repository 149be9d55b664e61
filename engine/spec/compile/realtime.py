"""The keys of a live session: `connect`, `send`, its maps and its sound (SPEC_LANGUAGE 7.4).

The handshake is a call whose body is the `open` message, so that parameters, `extra_body`, `before` and credentials reach a
session as they reach every other operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from engine import plan
from engine.spec.compile.call import number, present, word
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
    first = _opening(tree)[:1]
    keys = {k: v for k, v in tree.value.items() if k not in ("connect", "send")}
    if first and first[0].is_map:
        keys["body"] = first[0]
    elif first:
        problems.error("wrong-type", "`open` is a message that is a mapping, or a list of messages that begins so", first[0].mark)
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


def realtime(tree: Node, templates: Templates, problems: Problems) -> Callable[[Mapping[str, Any], bool], plan.Realtime]:
    """Compile `send` into the operation's unit; the result makes the frozen Realtime once the unit is built, told whether
    the server tells of the session."""
    names: dict[str, list[str]] = {}
    for event in CLIENT_EVENTS:
        written = _opening(tree)[1:] if event == "open" else _messages((tree.get("send") or _EMPTY).get(event))
        for place, message in enumerate(written):
            name = f"send_{event}_{place}"
            templates.template(name, message)
            names.setdefault(event, []).append(name)
    sound = tree.get("audio") or _EMPTY

    def finish(functions: Mapping[str, Any], ready: bool) -> plan.Realtime:
        out_rate = number(sound, "out_rate")
        return plan.Realtime(
            send={event: tuple(functions[name] for name in made) for event, made in names.items()},
            map=functions.get("realtime"),
            ready=ready,
            binary=word(tree, "binary_frames", BINARY, "audio", problems),
            keepalive_every=number(tree, "keepalive_every"),
            subprotocols=_texts(tree.get("subprotocols")),
            formats=_texts(sound.get("in")),
            rates=tuple(int(rate) for rate in _texts(sound.get("rate"))),
            out_formats=_texts(sound.get("out")),
            out_rate=int(out_rate) if out_rate is not None else None,
        )

    return finish


def _opening(tree: Node) -> list[Node]:
    return _messages((tree.get("send") or _EMPTY).get("open"))


def _messages(node: Node | None) -> list[Node]:
    """One message or a list of them, in turn."""
    if node is None or node.value is None:
        return []
    return list(node.value) if node.is_list else [node]


def _texts(node: Node | None) -> tuple[str, ...]:
    if node is None or node.value is None:
        return ()
    return tuple(str(n.value) for n in node.value) if node.is_list else (str(node.value),)
