"""Bodies that are read while they are sent: files of any size, alone or between the edges of a form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["Content", "Joined", "sha256_of"]


class Content:
    """Bytes whose number is known before they are read. `pieces` begins at the first byte each time it is called, so that a
    request can be sent again; it raises SendFailure `config` when the bytes are no longer there or no longer the same."""

    __slots__ = ()
    size: int
    name: str | None

    def pieces(self) -> Iterator[bytes]:
        raise NotImplementedError

    def head(self) -> bytes:
        """The first bytes, for whoever wants to know what they are."""
        raise NotImplementedError

    def read(self) -> bytes:
        """All of it, where it has to be held. ConfigError when it cannot be read."""
        return b"".join(self.pieces())

    def __len__(self) -> int:
        return self.size

    def shown(self) -> Any:
        """What stands for the bytes where a request is shown."""
        return f"({self.name or 'a file'}, {self.size} bytes)"


class Joined(Content):
    """Several pieces of content after one another; plain bytes among them are short."""

    __slots__ = ("name", "parts", "size")

    def __init__(self, parts: Sequence[bytes | Content]) -> None:
        self.parts = parts
        self.size = sum(map(len, parts))
        self.name = None

    def pieces(self) -> Iterator[bytes]:
        for part in self.parts:
            if isinstance(part, Content):
                yield from part.pieces()
            else:
                yield part

    def head(self) -> bytes:
        first = self.parts[0] if self.parts else b""
        return first.head() if isinstance(first, Content) else first[:64]

    def shown(self) -> Any:
        return "".join(p.shown() if isinstance(p, Content) else p.decode("utf-8", "replace") for p in self.parts)


def sha256_of(body: bytes | Content | None) -> Any:
    """The running SHA-256 of a whole body: signatures cover it, so content is read once before it is sent."""
    import hashlib  # loaded where something is signed

    if not isinstance(body, Content):
        return hashlib.sha256(body or b"")
    found = hashlib.sha256()
    for piece in body.pieces():
        found.update(piece)
    return found
