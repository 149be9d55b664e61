"""The functions of the language: `uuid`, `now`, `date`, and those for signing. `c` is the context, never changed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.errors import ConfigError
from engine.expr.template.filters import Signature
from engine.expr.template.values import encoded, kind, text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
_ISO = "%Y-%m-%dT%H:%M:%SZ"


def uuid(c: dict[str, Any], name: Any = None) -> str:
    """An id; with a name the same one through a call, its job or session."""
    make = c.get("$uuid")
    if make is None:
        raise ConfigError("`uuid()` has no source of ids here")
    return text(make(name))


def now(c: dict[str, Any]) -> int:
    """Unix seconds."""
    at = c.get("$now")
    if at.__class__ not in (int, float):
        raise ConfigError("`now()` has no clock here")
    return int(at)


def date(c: dict[str, Any], at: Any, form: Any = _ISO) -> str | None:
    """Unix seconds, or an ISO date, written in UTC. `form` knows %Y %m %d %H %M %S %f %j %a %A %b %B %z %Z %%."""
    if at is None:
        return None
    try:
        if at.__class__ is str:
            moment = datetime.fromisoformat(at.replace("Z", "+00:00"))
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        elif at.__class__ in (int, float):
            moment = _EPOCH + timedelta(seconds=at)
        else:
            raise ConfigError(f"`date` needs Unix seconds or an ISO date, not {kind(at)}")
    except (ValueError, OverflowError):
        raise ConfigError("`date`: this is no date") from None
    return _written(moment, form)


def _written(moment: datetime, form: Any) -> str:
    if form.__class__ is not str:
        raise ConfigError(f"a date format is text, not {kind(form)}")
    known = {
        "Y": f"{moment.year:04d}",
        "m": f"{moment.month:02d}",
        "d": f"{moment.day:02d}",
        "H": f"{moment.hour:02d}",
        "M": f"{moment.minute:02d}",
        "S": f"{moment.second:02d}",
        "f": f"{moment.microsecond:06d}",
        "j": f"{moment.timetuple().tm_yday:03d}",
        "A": _DAYS[moment.weekday()],
        "a": _DAYS[moment.weekday()][:3],
        "B": _MONTHS[moment.month - 1],
        "b": _MONTHS[moment.month - 1][:3],
        "z": "+0000",
        "Z": "UTC",
        "%": "%",
    }
    out = []
    pieces = iter(form.split("%"))
    out.append(next(pieces))
    for piece in pieces:
        if not piece:  # "%%": the next piece is plain text
            out.append("%" + next(pieces, ""))
        elif piece[0] in known:
            out.append(known[piece[0]] + piece[1:])
        else:
            raise ConfigError(f"a date format has no %{piece[0]}")
    return "".join(out)


def _bytes(name: str, value: Any) -> bytes:
    if value.__class__ in (bytes, bytearray):
        return bytes(value)
    if value.__class__ is str:
        return encoded(value)
    raise ConfigError(f"`{name}` needs text or bytes, not {kind(value)}")


def hmac256(c: dict[str, Any], key: Any, message: Any) -> bytes | None:
    """HMAC-SHA256 (RFC 2104) as bytes."""
    if key is None or message is None:
        return None
    return hmac.new(_bytes("hmac256", key), _bytes("hmac256", message), hashlib.sha256).digest()


def sha256(c: dict[str, Any], message: Any) -> bytes | None:
    """SHA-256 as bytes."""
    return None if message is None else hashlib.sha256(_bytes("sha256", message)).digest()


def hex_text(c: dict[str, Any], value: Any) -> str | None:
    """Bytes in lower-case hexadecimal."""
    return None if value is None else _bytes("hex", value).hex()


def fingerprint(c: dict[str, Any], key: Any) -> str | None:
    """`SHA256:` and the base64 digest of the public half of a PEM private key (DER SubjectPublicKeyInfo, RFC 5280)."""
    if key is None:
        return None
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise ConfigError("`fingerprint` needs the package cryptography; install llmkit-engine[jwt]") from None
    try:
        private = serialization.load_pem_private_key(_bytes("fingerprint", key), None)
    except (ValueError, TypeError):
        raise ConfigError("`fingerprint` needs an unencrypted private key in PEM form") from None
    public = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode()


FUNCTIONS: dict[str, Signature] = {
    "uuid": Signature(uuid, 0, 1),
    "now": Signature(now),
    "date": Signature(date, 1, 2),
    "hmac256": Signature(hmac256, 2, 2),
    "sha256": Signature(sha256, 1, 1),
    "hex": Signature(hex_text, 1, 1),
    "fingerprint": Signature(fingerprint, 1, 1),
}
#: what every template may call; the rest is for `auth`
EVERYWHERE = ("parts", "uuid", "now", "date")
