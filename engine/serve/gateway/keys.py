"""The keys of the gateway's clients: kept as hashes, compared in constant time (RELIABILITY G4)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256

from engine.errors import ConfigError

SHORTEST = 16  # characters of a key
_HASHED = re.compile(r"sha256:([0-9a-fA-F]{64})")


class Keys:
    """Known keys, each given as itself or as `sha256:` and the hexadecimal hash of it. False where there are none."""

    __slots__ = ("_digests",)

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests = tuple(dict.fromkeys(_digest(key) for key in keys))

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __len__(self) -> int:
        return len(self._digests)

    def known(self, key: str | None) -> bool:
        """Whether a client's key is one of them. Takes the same time wherever it stands and however much of it fits."""
        digest = sha256((key or "").encode("utf-8", "surrogatepass")).digest()
        found = False
        for own in self._digests:
            found |= hmac.compare_digest(own, digest)
        return found


def _digest(key: str) -> bytes:
    hashed = _HASHED.fullmatch(key)
    if hashed is not None:
        return bytes.fromhex(hashed[1])
    if len(key) < SHORTEST:
        raise ConfigError(f"a key of the gateway has at least {SHORTEST} characters")
    return sha256(key.encode()).digest()
