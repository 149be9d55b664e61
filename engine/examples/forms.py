"""The fields of a form as an example compares them: `sends: {form: {name: Ann, files: {filename: a.wav}}}`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from engine.types import HttpRequest

__all__ = ["fields_of", "named_in"]


def fields_of(request: HttpRequest) -> dict[str, Any]:
    """Name -> text, or {filename, media_type, data} of a file bytes in base64; a list where a name stands several times."""
    kind = next((value for name, value in request.headers.items() if name.lower() == "content-type"), "")
    body = request.body.read() if hasattr(request.body, "read") else bytes(request.body or b"")
    pairs: list[tuple[str, Any]] = []
    if kind.startswith("multipart/"):
        read = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        for part in read.iter_parts():
            content = bytes(part.get_payload(decode=True) or b"")  # type: ignore[arg-type]
            name, file = str(part.get_param("name", header="content-disposition")), part.get_filename()
            text = {"filename": file, "media_type": part.get_content_type(), "data": base64.b64encode(content).decode()}
            pairs.append((name, text if file is not None else content.decode("utf-8", "replace")))
    else:
        pairs = list(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    found: dict[str, Any] = {}
    for name, value in pairs:
        old = found.get(name)
        found[name] = value if old is None else [*old, value] if isinstance(old, list) else [old, value]
    return found


def named_in(actual: Any, expected: Any) -> Any:
    """What was sent, of files only what the example names."""
    if isinstance(actual, list) and isinstance(expected, list):
        return [named_in(a, e) for a, e in zip(actual, expected)] + actual[len(expected) :]
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        return {
            name: named_in(value, expected.get(name))
            for name, value in actual.items()
            if name in expected or "filename" not in actual
        }
    return actual
