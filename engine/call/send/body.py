"""Reply bodies within limits: decompression that counts while it runs (RELIABILITY M1, M2)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from engine.call.send import SendFailure

__all__ = ["OFFERED", "Body"]

OFFERED = "gzip, deflate"  # the encodings we bound; nothing else is offered or accepted
FREE = 1 << 20  # decompressed bytes before the ratio counts
STEP = 1 << 16  # decompressed at a time


class Body:
    """Raw chunks in, content out. `feed` returns the decompressed bytes; whole bodies are collected by `add` and `whole`.

    SendFailure `limit` when the content is longer than `limit` bytes (None: a stream, whose decoder has its own limits)
    or grows more than `ratio` to 1; `protocol` for an encoding that was not offered or data that does not decompress.
    """

    __slots__ = ("_chunks", "_first", "_inflate", "_limit", "_ratio", "_raw", "_size")

    def __init__(self, headers: Mapping[str, str], limit: int | None, ratio: int = 100) -> None:
        self._limit = limit
        self._ratio = ratio
        self._raw = 0
        self._size = 0
        self._chunks: list[bytes] = []
        self._first = True
        self._inflate: Any = None
        encoding = headers.get("content-encoding")
        if encoding and (encoding := encoding.strip().lower()) not in ("", "identity"):
            if encoding not in ("gzip", "x-gzip", "deflate"):
                raise SendFailure("protocol", "the reply has a content encoding that was not offered")
            self._inflate = zlib.decompressobj(31 if "gzip" in encoding else 15)
            self._first = encoding == "deflate"
        declared = headers.get("content-length", "")
        if limit is not None and len(declared) > 6 and declared.isdigit() and int(declared[:18]) > limit:
            raise self._too_long()

    def feed(self, data: bytes) -> bytes:
        """The content of these raw bytes."""
        if self._inflate is None:
            self._count(len(data))
            return data
        self._raw += len(data)
        if self._first and data:
            self._first = False
            if data[0] & 0x0F != 8:  # "deflate" is zlib-wrapped by the standard, bare from some servers
                self._inflate = zlib.decompressobj(-15)
        out: list[bytes] = []
        try:
            while data and not self._inflate.eof:
                piece = self._inflate.decompress(data, STEP)
                data = self._inflate.unconsumed_tail
                self._count(len(piece))
                if self._size > FREE and self._size > self._ratio * self._raw:
                    raise SendFailure("limit", f"the reply's body grows more than {self._ratio} to 1 when decompressed")
                out.append(piece)
                if not piece and not data:
                    break
        except zlib.error:
            raise SendFailure("protocol", "the reply's body cannot be decompressed") from None
        return b"".join(out)

    def add(self, data: bytes) -> None:
        """Collect raw bytes for `whole`."""
        if self._inflate is None:
            self._size += len(data)
            if self._limit is not None and self._size > self._limit:
                raise self._too_long()
            self._chunks.append(data)
        else:
            self._chunks.append(self.feed(data))

    def end(self) -> None:
        """The raw bytes are over. SendFailure if compressed data is cut."""
        if self._inflate is not None and self._raw and not self._inflate.eof:
            raise SendFailure("connection", "the reply's compressed body is cut")

    def whole(self) -> bytes:
        """All content collected, at the end of the raw bytes."""
        if self._inflate is not None:
            self.end()
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def _count(self, n: int) -> None:
        self._size += n
        if self._limit is not None and self._size > self._limit:
            raise self._too_long()

    def _too_long(self) -> SendFailure:
        return SendFailure("limit", f"the reply's body is longer than {self._limit} bytes")
