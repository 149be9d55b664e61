"""Bytes as they come: audio."""

from __future__ import annotations

from engine.call.decode.frame import DecodeLimits, Frame


class Raw:
    """Every piece is a frame; the end of the bytes is the end of the answer."""

    def __init__(self, limits: DecodeLimits) -> None:
        self.before: list[Frame] = []

    def feed(self, data: bytes) -> list[Frame]:
        """The piece itself."""
        return [Frame(None, data)] if data else []

    def close(self) -> list[Frame]:
        """Nothing is ever kept back."""
        return []
