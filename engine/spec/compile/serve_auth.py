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

Where = Mapping[str, str]
KeyReader = Callable[[Mapping[str, str], Mapping[str, Any]], "str | None"]
_Way = Callable[[Where, Mapping[str, Any]], "str | None"]
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
                ways.append(_signed)
            elif scheme == "basic":
                ways.append(_basic)
            elif scheme == "bearer":
                _add(ways, _header("authorization", target, problems, "Bearer"))
            elif scheme in ("header", "query"):
                for name, text in target.items():
                    read = _header if scheme == "header" else _query
                    _add(ways, read(name, text, problems))
            else:
                problems.error(
                    "bad-value", f"`{scheme}` cannot be read backwards", target.key_mark or target.mark, width=len(scheme)
                )

    def key(headers: Mapping[str, str], query: Mapping[str, Any]) -> str | None:
        found = headers if headers.__class__ is Headers else {name.lower(): value for name, value in headers.items()}
        for way in ways:
            given = way(found, query)
            if given:
                return given
        return None

    return key, signer


def _add(ways: list[_Way], way: _Way | None) -> None:
    if way is not None:
        ways.append(way)


def _pattern(node: Node, problems: Problems, before: str = "") -> re.Pattern[str] | None:
    pieces = _HOLE.split(node.value) if node.value.__class__ is str else []
    if len(pieces) != 2 or "{{" in pieces[0] + pieces[1]:
        problems.error("bad-expression", "a served key is written `{{ key }}`, with constant text around it", node.mark)
        return None
    start = f"{before} {pieces[0]}" if before else pieces[0]
    head = re.escape(start.strip()).replace("\\ ", r"\s+")
    gap = r"\s+" if start.endswith(" ") else ""
    return re.compile(rf"{head}{gap}(\S+){re.escape(pieces[1])}", re.IGNORECASE)


def _header(name: str, node: Node, problems: Problems, before: str = "") -> _Way | None:
    pattern = _pattern(node, problems, before)
    lower = name.lower()

    def read(headers: Where, query: Mapping[str, Any]) -> str | None:
        return _match(pattern, headers.get(lower))

    return read if pattern is not None else None


def _query(name: str, node: Node, problems: Problems) -> _Way | None:
    pattern = _pattern(node, problems)

    def read(headers: Where, query: Mapping[str, Any]) -> str | None:
        found = query.get(name)
        return _match(pattern, found[0] if isinstance(found, list) and found else found)

    return read if pattern is not None else None


def _match(pattern: re.Pattern[str] | None, text: Any) -> str | None:
    if pattern is None or not isinstance(text, str) or len(text) > MOST:
        return None
    found = pattern.fullmatch(text.strip())
    return found[1] if found is not None else None


_CREDENTIAL = re.compile(r"Credential=([A-Za-z0-9]{1,128})/")


def _signed(headers: Where, query: Mapping[str, Any]) -> str | None:
    """The access key id of a SigV4 header: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html"""
    given = headers.get("authorization")
    if not isinstance(given, str) or not given.startswith("AWS4-HMAC-SHA256 "):
        return None
    found = _CREDENTIAL.search(given[:MOST])
    return found[1] if found is not None else None


def _basic(headers: Where, query: Mapping[str, Any]) -> str | None:
    """The password of HTTP basic authentication, else its user name (RFC 7617)."""
    given = _match(_BASIC, headers.get("authorization"))
    try:
        user, _, password = base64.b64decode(given or "", validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return password or user or None
