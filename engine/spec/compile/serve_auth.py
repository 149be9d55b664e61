"""`serve.auth`: a forward auth table read backwards, so that it finds the client's key in a request (SERVE.md 8)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.types import Headers

KeyReader = Callable[[Mapping[str, str], Mapping[str, Any]], "str | None"]
_Undo = Callable[[str], "str | None"]  # a header or query value as far as it is a key
_Way = tuple[bool, str, _Undo]  # whether it is a header, its name, what reads it
_HOLE = re.compile(r"\{\{\s*key\s*\}\}")
_BASIC = re.compile(r"basic\s+(\S+)", re.IGNORECASE)
MOST = 8192  # characters of a header or query value that are looked at (SERVE.md 12)


def key_reader(node: Node | None, problems: Problems) -> tuple[KeyReader, str | None]:
    """(the function that finds the key, the signer if a client may sign instead). Header names match in any case.

    A signed request gives the access key id; whoever serves verifies the signature.
    """
    ways: list[_Way] = []
    signer = None
    options = [node] if node is not None and node.value else []
    if node is not None and node.get("any") is not None:
        options = [option for _, option in node.value["any"].items()]
    for option in options:
        for scheme, target in option.items():
            if scheme == "sign":
                signer = str(target.value)
                ways.append((True, "authorization", _signed))
            elif scheme == "basic":
                ways.append((True, "authorization", _basic))
            elif scheme == "bearer":
                ways += _written(True, "authorization", target, problems, "Bearer")
            elif scheme in ("header", "query"):
                for name, text in target.items():
                    ways += _written(scheme == "header", name, text, problems)
            else:
                problems.error(
                    "bad-value", f"`{scheme}` cannot be read backwards", target.key_mark or target.mark, width=len(scheme)
                )

    def key(headers: Mapping[str, str], query: Mapping[str, Any]) -> str | None:
        lower = headers if headers.__class__ is Headers else {name.lower(): value for name, value in headers.items()}
        for in_header, name, undo in ways:
            given: Any = lower.get(name) if in_header else query.get(name)
            if given.__class__ is list and given and not in_header:
                given = given[0]
            found = undo(given) if isinstance(given, str) else None
            if found:
                return found
        return None

    return key, signer


def _pattern(node: Node, problems: Problems, before: str = "") -> re.Pattern[str] | None:
    pieces = _HOLE.split(node.value) if node.value.__class__ is str else []
    if len(pieces) != 2 or "{{" in pieces[0] + pieces[1]:
        problems.error("bad-expression", "a served key is written `{{ key }}`, with constant text around it", node.mark)
        return None
    start = f"{before} {pieces[0]}" if before else pieces[0]
    head = re.escape(start.strip()).replace("\\ ", r"\s+")
    gap = r"\s+" if start.endswith(" ") else ""
    return re.compile(rf"{head}{gap}(\S+){re.escape(pieces[1])}", re.IGNORECASE)


def _written(in_header: bool, name: str, node: Node, problems: Problems, before: str = "") -> list[_Way]:
    """The way to a key that is written into a header or query value; none where that cannot be read backwards."""
    pattern = _pattern(node, problems, before)
    if pattern is None:
        return []

    def undo(given: str) -> str | None:
        found = pattern.fullmatch(given.strip()) if len(given) <= MOST else None
        return found[1] if found is not None else None

    return [(in_header, name.lower() if in_header else name, undo)]


_CREDENTIAL = re.compile(r"Credential=([A-Za-z0-9]{1,128})/")


def _signed(given: str) -> str | None:
    """The access key id of a SigV4 header: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html"""
    found = _CREDENTIAL.search(given[:MOST]) if given.startswith("AWS4-HMAC-SHA256 ") else None
    return found[1] if found is not None else None


def _basic(given: str) -> str | None:
    """The password of HTTP basic authentication, else its user name (RFC 7617)."""
    said = _BASIC.fullmatch(given.strip()) if len(given) <= MOST else None
    try:
        user, _, password = base64.b64decode(said[1] if said is not None else "", validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return password or user or None
