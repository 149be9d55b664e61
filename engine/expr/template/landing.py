"""Where a string lands decides its encoding (SPEC_LANGUAGE 3.3, 4): URLs, headers, queries and forms, XML."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote as percent

from engine.errors import ConfigError
from engine.expr.template.values import concat, encoded, kind, text

_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*\Z")
_ORIGIN = re.compile(r"(?:https?|wss?)://", re.IGNORECASE)
_DOTS = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?=/|\Z)", re.IGNORECASE)
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f\\]")
_XML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
_XML_SPECIAL = re.compile(r"[&<>\"']")
_XML_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_HEADER_REFUSED = re.compile(r"[\r\n\x00]")


def url_hole(value: Any) -> str | None:
    """A hole of a URL, percent-encoded except `/` (RFC 3986)."""
    if value is None:
        return None
    if value.__class__ in (dict, list):
        raise ConfigError(f"a URL cannot hold {kind(value)}")
    words = text(value)
    return words if _PLAIN.match(words) else percent(encoded(words), safe="/")


def url_data(value: Any) -> str | None:
    """A hole that names something (an id, a model): empty, it would ask for something else."""
    words = url_hole(value)
    if words == "":
        raise ConfigError("a value in a URL is empty")
    return words


def url_origin(value: Any) -> str | None:
    """The hole a URL begins with: an origin stays as it is, a path is encoded."""
    if value.__class__ is str and _ORIGIN.match(value):
        return value
    return url_data(value)


def url(n: list[int], *pieces: Any) -> str | None:
    """The pieces as one URL. Raises ConfigError for `.` and `..` segments and for characters no URL holds."""
    made = concat(n, *pieces)
    if made is not None:
        if "/." in made or "%2" in made or made[:1] == ".":
            start = _ORIGIN.match(made)
            path = made[start.end() if start else 0 :].split("?", 1)[0].split("#", 1)[0]
            if _DOTS.search(path):
                raise ConfigError("a URL with `.` or `..` segments is refused")
        if _UNSENDABLE.search(made):
            raise ConfigError("a URL holds a space or a control character")
    return made


def whole_text(n: list[int], value: Any) -> str | None:
    """A value as text; nothing stays nothing."""
    return None if value is None else text(value)


def header(name: str, value: Any) -> str:
    """A header's value. Raises ConfigError for what cannot stand in one line."""
    if value.__class__ in (dict, list):
        raise ConfigError(f"header `{name}` must be text, not {kind(value)}")
    words = text(value)
    if _HEADER_REFUSED.search(words):
        raise ConfigError(f"header `{name}` holds a line break")
    return words


def headers(n: list[int], value: Any) -> Any:
    """Header texts by name, or one header's text; a header that is nothing is left out."""
    if value is None:
        return None
    if value.__class__ is not dict:
        return header("value", value)
    found: dict[str, str] = {}
    for name, one in value.items():
        if one is not None:
            found[name] = one if one.__class__ is str and one.isprintable() else header(name, one)
    return found


def query(n: list[int], value: Any) -> dict[str, Any] | None:
    """Texts, or lists of text, by name (SPEC_LANGUAGE 4): booleans in lower case, mappings as JSON, nothing left out."""
    if value is None:
        return None
    if value.__class__ is not dict:
        raise ConfigError(f"a query or form is a mapping, not {kind(value)}")
    out: dict[str, Any] = {}
    for name, one in value.items():
        if one.__class__ is str:
            out[name] = one
        elif one.__class__ is list:
            texts = [text(x) for x in one if x is not None]
            if texts:
                out[name] = texts
        elif one is not None:
            out[name] = text(one)
    return out


def xml_hole(value: Any) -> str | None:
    """A hole of an XML text, escaped (XML 1.0, 2.4); characters XML cannot say become U+FFFD."""
    if value is None:
        return None
    words = text(value)
    if _XML_ILLEGAL.search(words):
        words = _XML_ILLEGAL.sub("\ufffd", words)
    return _XML_SPECIAL.sub(lambda found: _XML[found[0]], words) if _XML_SPECIAL.search(words) else words
