"""Bodies as bytes: one encoder per payload of a call (SPEC_LANGUAGE 4)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from engine.call.content import Content, Joined
from engine.call.json import JsonError, dumps
from engine.errors import ConfigError, UnsupportedError, for_kind

LARGEST = 64 * 1024 * 1024  # bytes of a rendered body; files are not rendered (SPEC_LANGUAGE 16)
Encoded = tuple[bytes | Content | None, str | None]  # (body, content type)


def query_text(values: Mapping[str, Any]) -> str:
    """`a=1&b=2`: a list repeats its name, `true` and `false` are lower-case, nothing is left out."""
    pairs: list[str] = []
    for name, value in values.items():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if item is not None:
                pairs.append(f"{quote(str(name), safe='-._~')}={quote(scalar_text(item), safe='-._~')}")
    return "&".join(pairs)


def scalar_text(value: Any) -> str:
    """A field's value as text; mappings and lists as JSON."""
    if value.__class__ is str:
        return str(value)
    if isinstance(value, (bool, dict, list)):
        return _json(value).decode()
    return str(value)


def encode(payload: str, value: Any, context: Mapping[str, Any], finite: bool = False) -> Encoded:
    """(bytes, content type) of a call's payload; nothing is no body. `context` is asked for the boundary of a multipart body.

    `finite`: no number in it can be NaN or infinite.
    """
    if value is None or payload == "none":
        return None, None
    if payload == "multipart":
        return _multipart(_mapping(payload, value), _boundary(context))
    body: bytes | Content | None
    media_type: str | None
    if payload == "json":
        body, media_type = _json(value, finite), "application/json"
    else:
        body, media_type = _ENCODERS[payload](value)
    if body is not None and payload != "binary" and len(body) > LARGEST:
        raise for_kind("limit")(f"the body is larger than {LARGEST} bytes")
    return body, media_type


def _json(value: Any, finite: bool = False) -> bytes:
    try:
        return dumps(value, finite)
    except JsonError as error:
        raise ConfigError(f"the body cannot be written as JSON: {error}") from None


def _mapping(payload: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"a {payload} payload is a mapping of fields")
    return value


def _form(value: Any) -> Encoded:
    return query_text(_mapping("form", value)).encode(), "application/x-www-form-urlencoded"


def _lines(value: Any) -> Encoded:
    items = value if isinstance(value, list) else [value]
    return b"".join(_json(item) + b"\n" for item in items), "application/jsonl"


def _xml(value: Any) -> Encoded:
    return scalar_text(value).encode("utf-8", "replace"), "application/xml"


def _binary(value: Any) -> Encoded:
    if isinstance(value, Mapping):
        return file_bytes(value), _text(value.get("media_type")) or "application/octet-stream"
    if isinstance(value, str):
        return value.encode("utf-8", "replace"), "application/octet-stream"
    if isinstance(value, Content):
        return value, "application/octet-stream"
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise ConfigError(f"a binary payload is bytes, not {type(value).__name__}")
    return bytes(value), "application/octet-stream"


_ENCODERS: dict[str, Callable[[Any], Encoded]] = {
    "form": _form,
    "binary": _binary,
    "xml": _xml,
    "jsonl": _lines,
}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_file(value: Any) -> bool:
    return isinstance(value, Mapping) and (
        any(value.get(k) is not None for k in ("data", "bytes", "json", "jsonl")) or value.get("via") in ("url", "file")
    )


def file_bytes(value: Mapping[str, Any]) -> bytes | Content:
    """The bytes of a Part or of `{filename, media_type}` with one of `bytes data json jsonl`; `data` is base64.

    A file on disk is passed on as it is: whoever sends it reads it."""
    given = value.get("bytes")
    if isinstance(given, Content):
        return given
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    data = value.get("data")
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    if isinstance(data, str):
        try:
            return base64.b64decode(data, validate=False)
        except (binascii.Error, ValueError):
            raise ConfigError("the data of a file is not base64") from None
    if value.get("json") is not None:
        return _json(value["json"])
    if value.get("jsonl") is not None:
        return _lines(value["jsonl"])[0] or b""
    raise UnsupportedError(f"the {value.get('type') or 'file'} has no data to send, only a reference to it")


def _boundary(context: Mapping[str, Any]) -> str:
    made = context.get("$uuid")
    if made is None:
        raise ConfigError("a multipart body needs `$uuid` in its context")
    return "llmkit-" + "".join(c for c in str(made("boundary")) if c.isalnum())


def _multipart(fields: Mapping[str, Any], boundary: str) -> Encoded:
    """multipart/form-data (RFC 7578): a scalar is a field, a list repeats it, a Part is a file."""
    edge = b"--" + boundary.encode("ascii", "replace")
    out: list[bytes | Content] = []
    for name, value in fields.items():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if item is None:
                continue
            head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
            if _is_file(item):
                content: bytes | Content = file_bytes(item)
                media_type = _text(item.get("media_type")) or _type_of(item)
                filename = _text(item.get("filename")) or _filename(name, item, media_type)
                head += f'; filename="{_quoted(filename)}"\r\nContent-Type: {_quoted(media_type)}'
            elif isinstance(item, (bytes, bytearray)):
                content = bytes(item)
                head += f'; filename="{_quoted(name)}"\r\nContent-Type: application/octet-stream'
            else:
                content = scalar_text(item).encode("utf-8", "replace")
            out += [edge, b"\r\n", head.encode("utf-8", "replace"), b"\r\n\r\n", content, b"\r\n"]
    out += [edge, b"--\r\n"]
    kind = f"multipart/form-data; boundary={boundary}"
    if any(isinstance(piece, Content) for piece in out):
        return Joined(out), kind
    return b"".join(out), kind  # type: ignore[arg-type]


def _quoted(text: str) -> str:
    """A name inside quotes, escaped as browsers do (WHATWG HTML, multipart form data)."""
    return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22").replace("\0", "")


def _type_of(item: Mapping[str, Any]) -> str:
    if item.get("jsonl") is not None:
        return "application/jsonl"
    return "application/json" if item.get("json") is not None else "application/octet-stream"


def _filename(name: str, item: Mapping[str, Any], media_type: str) -> str:
    """A name whose extension tells the type: servers that read files by their name need one."""
    extension = _text(item.get("format")) or media_type.split(";", 1)[0].rpartition("/")[2].rpartition("+")[2]
    name = name.partition("[")[0] or name
    return f"{name}.{extension}" if extension.isalnum() else name
