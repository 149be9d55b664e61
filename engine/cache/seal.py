"""What others could have written into a store is believed only with our mark (RELIABILITY C2): HMAC-SHA256 over place and value.

An entry that was changed, cut, or moved to another tenant's place, another key or a later expiry is none.
"""

from __future__ import annotations

import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path

from engine.errors import ConfigError
from engine.secret import Secret

__all__ = ["SHORTEST", "Seal", "key_beside"]

SHORTEST = 16  # characters of a secret that an operator chooses
_SIZE = sha256().digest_size


class Seal:
    """Marks values and takes the mark off again."""

    __slots__ = ("_secret",)

    def __init__(self, secret: Secret) -> None:
        text = secret.reveal()
        if not isinstance(text, str) or len(text) < SHORTEST:
            raise ConfigError(f"the `secret` of a cache has at least {SHORTEST} characters")
        self._secret = Secret(text)

    def put(self, value: bytes, *place: str) -> bytes:
        """The value with the mark of its place before it."""
        return self._mark(value, place) + value

    def take(self, sealed: object, *place: str) -> bytes | None:
        """The value, or None if the mark is not ours or that of another place."""
        if not isinstance(sealed, bytes) or len(sealed) <= _SIZE:
            return None
        value = sealed[_SIZE:]
        return value if hmac.compare_digest(sealed[:_SIZE], self._mark(value, place)) else None

    def _mark(self, value: bytes, place: tuple[str, ...]) -> bytes:
        made = hmac.new(self._secret.reveal().encode(), "\0".join(place).encode() + b"\0", sha256)  # places are hexadecimal
        made.update(value)
        return made.digest()


def key_beside(path: Path) -> Secret:
    """The secret of a file, kept beside it for its owner alone; made when there is none. Raises ConfigError."""
    beside = path.with_name(path.name + ".key")
    try:
        if not beside.exists():
            new = beside.with_name(f"{beside.name}.{os.getpid()}-{secrets.token_hex(4)}")
            with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
            try:
                os.link(new, beside)  # whoever is first: the others take his
            except FileExistsError:
                pass
            finally:
                new.unlink()
        return Secret(beside.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the key of the cache, {beside}, cannot be used: {type(error).__name__}") from None
