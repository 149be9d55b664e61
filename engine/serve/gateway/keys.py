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
    """Known keys, each given as itself or as `sha256:` and the hexadecimal hash of it, of one owner. False where there are none."""

    __slots__ = ("_digests", "_owners")

    def __init__(self, keys: Iterable[str] = (), owner: str = "") -> None:
        self._digests = tuple(dict.fromkeys(_digest(key) for key in keys))
        self._owners = (owner,) * len(self._digests)

    @classmethod
    def joined(cls, several: Iterable[Keys]) -> Keys:
        """The keys of several owners. ConfigError for one that has two."""
        made = cls()
        owners: dict[bytes, str] = {}
        for keys in several:
            for digest, owner in zip(keys._digests, keys._owners):
                if owners.setdefault(digest, owner) != owner:
                    raise ConfigError(f"a key belongs to both {owners[digest] or '`keys`'} and {owner or '`keys`'}")
        made._digests, made._owners = tuple(owners), tuple(owners.values())
        return made

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __len__(self) -> int:
        return len(self._digests)

    def known(self, key: str | None) -> bool:
        """Whether a client's key is one of them."""
        return self.owner(key) is not None

    def owner(self, key: str | None) -> str | None:
        """Whose a client's key is, "" for nobody in particular; None if it is not known. Takes the same time wherever it stands and
        however much of it fits."""
        digest = sha256((key or "").encode("utf-8", "surrogatepass")).digest()
        found = -1
        for place, own in enumerate(self._digests):
            found = place if hmac.compare_digest(own, digest) else found
        return self._owners[found] if found >= 0 else None


def _digest(key: str) -> bytes:
    hashed = _HASHED.fullmatch(key)
    if hashed is not None:
        return bytes.fromhex(hashed[1])
    if len(key) < SHORTEST:
        raise ConfigError(f"a key of the gateway has at least {SHORTEST} characters")
    return sha256(key.encode()).digest()
