"""Media in answers: base64 whatever way they come, and vectors as lists of numbers."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from typing import Any
from urllib.parse import unquote_to_bytes

from engine.errors import ConfigError

_CODES = {"float32": "f", "int8": "b", "uint8": "B", "binary": "b", "ubinary": "B"}
_TYPES = ("image", "audio", "video")


def split_data_uri(uri: Any) -> tuple[str | None, str] | None:
    """(media type, base64) of a data URI (RFC 2397), or None if it is not one."""
    if uri.__class__ is not str or uri[:5].lower() != "data:":
        return None
    head, comma, data = uri[5:].partition(",")
    if not comma:
        return None
    media_type, *parameters = head.split(";")
    if "base64" in (p.strip().lower() for p in parameters):
        return media_type or None, data
    return media_type or None, base64.b64encode(unquote_to_bytes(data)).decode()


def as_base64(value: Any) -> str | None:
    """Base64 text of what a spec calls `data`: bytes are encoded, text is taken to be base64 already."""
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if value.__class__ is str:
        found = split_data_uri(value)
        return found[1] if found else value
    return None


def from_hex(text: Any) -> str | None:
    """Base64 of hexadecimal text, or None if it is none."""
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()
    except (TypeError, ValueError):
        return None


def join_base64(pieces: list[str]) -> str:
    """One base64 text of several: each may have been encoded for itself."""
    if all(len(p) % 4 == 0 and not p.endswith("=") for p in pieces[:-1]):
        return "".join(pieces)
    try:
        return base64.b64encode(b"".join(base64.b64decode(p) for p in pieces)).decode()
    except (binascii.Error, ValueError):
        return "".join(pieces)


def kind_of(media_type: Any, stated: Any = None) -> str:
    """The part type of a media type: `image` for image/png; `document` for what is no image, audio or video. A type that is
    `stated` in one word wins, and may be a media type too."""
    if isinstance(stated, str) and stated:
        media_type = stated if stated in _TYPES else media_type or stated
    family = media_type.split("/", 1)[0].lower() if isinstance(media_type, str) else ""
    return family if family in _TYPES else "document"


def vector(value: Any, dtype: Any) -> Any:
    """A vector as a list of numbers; text is base64 of little-endian items of `dtype` (default float32)."""
    if value.__class__ is not str:
        return value
    try:
        items = array(_CODES.get(str(dtype or "float32"), "f"))
        items.frombytes(binascii.a2b_base64(value))
    except (binascii.Error, ValueError):
        return None
    if sys.byteorder == "big":
        items.byteswap()
    if items.typecode == "f" and _halved(items):
        return _doubles(value)
    return items.tolist()


def array_of(vectors: list[Any], dtype: Any) -> Any:
    """Vectors of one length as a numpy array of two dimensions. ConfigError without numpy, and for vectors of several lengths."""
    try:
        import numpy
    except ImportError:
        raise ConfigError("arrays need numpy: pip install numpy") from None
    if len({len(vector) for vector in vectors}) > 1:
        raise ConfigError("the vectors differ in length: no array holds them")
    kind = {"b": "int8", "B": "uint8"}.get(_CODES.get(str(dtype), "f"), "float32")
    if not vectors:
        return numpy.empty((0, 0), kind)
    return numpy.asarray(vectors, kind)


def _halved(items: array[Any]) -> bool:
    """Some servers pack numbers of 64 bits; of ones that were shorter before, every first half is zero."""
    return len(items) >= 16 and len(items) % 2 == 0 and items[0] == 0 and not any(items[::2]) and any(items)


def _doubles(text: str) -> list[float]:
    items = array("d")
    items.frombytes(base64.b64decode(text))
    if sys.byteorder == "big":
        items.byteswap()
    return items.tolist()


def vector_base64(items: Any, dtype: Any = None) -> str:
    """Base64 of a vector's little-endian items: what `vector` reads."""
    packed = array(_CODES.get(str(dtype or "float32"), "f"), items)
    if sys.byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode()
