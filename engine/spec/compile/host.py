"""What may stand in the host of a base URL (RELIABILITY A7, SPEC_LANGUAGE 16)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from engine.errors import ConfigError
from engine.spec.node import Node
from engine.spec.problem import Problems

_HOLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_AUTHORITY = re.compile(r"(?:https?|wss?)://((?:\{\{.*?\}\}|[^/?#\\{])*)", re.DOTALL | re.IGNORECASE)
_LITERAL = re.compile(r"'[^']*'|\"[^\"]*\"")
_NAME = re.compile(r"(?<![.\w])[A-Za-z_]\w*")
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")


def begins_with_hole(node: Node | None) -> bool:
    """Whether a URL's host is no text of the spec: a reply, a setting or a request says it."""
    return node is not None and isinstance(node.value, str) and node.value.lstrip().startswith("{{")


def guarded(
    node: Node, function: Callable[[dict[str, Any]], Any], servers: Collection[str], problems: Problems
) -> Callable[[dict[str, Any]], Any]:
    """The compiled base URL with its host kept in hand: what a variable puts into it is one label, so that no value can make
    another host of it. A base URL may only begin with a setting of `format: url` (`servers`), which is a whole origin."""
    text = node.value
    if not isinstance(text, str):
        return function
    if begins_with_hole(node):
        first = _HOLE.match(text.lstrip())
        for name in _names(first.group(1)) if first else ():
            if name not in servers:
                message = f"`{name}` cannot be a whole server: only a variable of `format: url` can"
                problems.error("host-variable", message, node.mark, width=len(name))
        return function
    authority = _AUTHORITY.match(text)
    names = tuple(dict.fromkeys(n for hole in _HOLE.findall(authority.group(1)) for n in _names(hole))) if authority else ()
    if not names:
        return function

    def checked(context: dict[str, Any]) -> Any:
        for name in names:
            value = context.get(name)
            if value is not None and value != "" and not (isinstance(value, str) and _LABEL.fullmatch(value)):
                raise ConfigError(f"`{name}` stands in a host name: it is one label of letters, digits and hyphens")
        return function(context)

    return checked


def _names(expression: str) -> list[str]:
    return _NAME.findall(_LITERAL.sub("''", expression))
