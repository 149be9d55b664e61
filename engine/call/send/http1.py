"""HTTP/1.1 as bytes in and bytes out (RFC 9112): one exchange, no socket. Both direct transports share it.

A request is one block of bytes. An answer is read by `Incoming`, however its bytes are cut: chunks of a chunked body that
arrive together leave together, so a burst of small events costs one step and not one for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from engine.call.send import Headers, SendFailure

__all__ = ["Incoming", "request_head"]

_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FOLD = re.compile(r"[ \t]*\n[ \t]+")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?\r?\n")
_DIGITS = re.compile(r"[0-9]{1,18}")
_LINE = 4096  # bytes of a chunk's size line


def request_head(method: str, target: str, host: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Request line and header fields. SendFailure `config` where a text could end its line."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
        raise SendFailure("config", "the request is not valid HTTP", unsent=True)
    try:
        return f"{text}\r\n\r\n".encode()
    except UnicodeError:
        raise SendFailure("config", "the request is not valid HTTP", unsent=True) from None


class Incoming:
    """One answer. `feed` takes raw bytes and gives those of the body; `eof` says that the server has closed.

    `status` is 0 until the header fields are complete. `done`: the answer is complete. `reusable`: the connection may
    carry another exchange, once `done`. SendFailure `protocol` for what is not HTTP, `limit` for header fields past theirs,
    `connection` where the server closed too early.
    """

    __slots__ = ("_head", "_left", "_limit", "_method", "_mode", "_rest", "done", "headers", "reusable", "status")

    def __init__(self, method: str, header_bytes: int) -> None:
        self._method = method
        self._limit = header_bytes
        self._head = b""  # of an incomplete header
        self._rest = b""  # of an incomplete line between chunks
        self._left = 0  # bytes of the body, or of the chunk, to come
        self._mode = "head"
        self.status = 0
        self.headers = Headers()
        self.done = False
        self.reusable = False

    def feed(self, data: bytes) -> bytes:
        """The body's bytes in these raw ones."""
        mode = self._mode
        if mode == "head":
            data = self._header(data)
            mode = self._mode
        if mode == "chunked":
            return self._chunks(data) if data else b""
        if mode == "counted":
            if len(data) < self._left:
                self._left -= len(data)
                return data
            body, rest = data[: self._left], data[self._left :]
            self._end(rest)
            return body
        if mode == "trailer":
            self._trailer(data)
            return b""
        if mode == "open":
            return data
        if data:  # more than the answer: nobody can say what it belongs to
            self.reusable = False
        return b""

    def eof(self) -> None:
        """The connection was closed: the end of an answer without a length, a failure of any other."""
        if self._mode == "open":
            self._end(b"")
        elif not self.done:
            raise SendFailure("connection", "the server closed the connection before the answer was complete")

    # --- head -------------------------------------------------------------------------------------------------------

    def _header(self, data: bytes) -> bytes:
        """Read the header fields if they are complete; what follows them."""
        data = self._head + data if self._head else data
        while True:
            end = _END.search(data)
            if end is None:
                if len(data) > self._limit:
                    raise self._too_long()
                self._head = data
                return b""
            if end.start() > self._limit:
                raise self._too_long()
            status, headers, newer = _fields(data[: end.start()])
            data = data[end.end() :]
            if status >= 200:
                break
            if status == 101:
                raise SendFailure("protocol", "the server changed the protocol, which nobody asked for")
        self._head = b""
        self.headers = headers
        self.status = status
        self._frame(newer)
        return data

    def _frame(self, newer: bool) -> None:
        """How the body ends (RFC 9112, 6.3)."""
        headers = self.headers
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        self.reusable = newer and "close" not in headers.get("connection", "").lower()
        if self._method == "HEAD" or self.status in (204, 304):
            self._end(b"")
        elif coding is not None:
            if coding.strip().lower() != "chunked":
                raise SendFailure("protocol", "the reply has a transfer coding that was not offered")
            self.reusable = self.reusable and length is None
            self._mode = "chunked"
        elif length is not None:
            sizes = {size.strip() for size in length.split(",")}
            size = sizes.pop()
            if sizes or not _DIGITS.fullmatch(size):
                raise _broken()
            self._left = int(size)
            self._mode = "counted"
            if not self._left:
                self._end(b"")
        else:
            self.reusable = False
            self._mode = "open"

    def _too_long(self) -> SendFailure:
        return SendFailure("limit", "the reply's headers are too long")

    # --- body -------------------------------------------------------------------------------------------------------

    def _chunks(self, data: bytes) -> bytes:
        """The content of all chunks in these bytes. `_left` counts a chunk's bytes with its line end."""
        out: list[bytes] = []
        left, at, size = self._left, 0, len(data)
        if left:
            if left > size:
                self._left = left - size
                return data if self._left >= 2 else self._cut_end(data, 2 - self._left)
            self._line_end(data, max(0, left - 2), left)
            out.append(data[: max(0, left - 2)])
            at = left
        elif self._rest:
            data = self._rest + data
            self._rest = b""
            size = len(data)
        match = _SIZE.match
        while at < size:
            found = match(data, at)
            if found is None:
                self._rest = data[at:]
                if b"\n" in self._rest or len(self._rest) > _LINE or self._rest[:1] not in b"0123456789abcdefABCDEF":
                    raise _broken()
                at = size
                left = 0
                break
            start = found.end()
            length = int(found[1], 16)
            if not length:
                self._left = 0
                self._mode = "trailer"
                self._rest = b""
                self._trailer(data[start:])
                return b"".join(out)
            stop = start + length
            at = stop + 2
            if at <= size:
                if data[stop] != 13 or data[stop + 1] != 10:
                    raise _broken()
                out.append(data[start:stop])
                left = 0
            else:
                left = at - size
                out.append(data[start:stop])
                if left == 1 and data[stop] != 13:
                    raise _broken()
        else:
            left = 0 if at == size else at - size
        self._left = left
        return out[0] if len(out) == 1 else b"".join(out)

    def _cut_end(self, data: bytes, seen: int) -> bytes:
        """The content of bytes whose last `seen` belong to the line end of a chunk."""
        if data[-seen:] != b"\r":
            raise _broken()
        return data[:-seen]

    def _line_end(self, data: bytes, start: int, stop: int) -> None:
        if data[start:stop] != b"\r\n"[start - stop :]:
            raise _broken()

    def _trailer(self, data: bytes) -> None:
        """Fields after the last chunk are read over."""
        data = self._rest + data
        if data[:2] == b"\r\n" or data[:1] == b"\n":
            self._end(data[2 if data[:1] == b"\r" else 1 :])
            return
        end = _END.search(data)
        if end is not None:
            self._end(data[end.end() :])
            return
        if len(data) > self._limit:
            raise self._too_long()
        self._rest = data

    def _end(self, rest: bytes) -> None:
        self._mode = "done"
        self._rest = b""
        self._left = 0
        self.done = True
        if rest:
            self.reusable = False


def _fields(head: bytes) -> tuple[int, Headers, bool]:
    """(status, header fields, whether it is HTTP/1.1). Repeated fields are joined by a comma."""
    text = head.decode("latin-1").replace("\r\n", "\n")
    if "\r" in text or "\0" in text:
        raise _broken()
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub(" ", text)  # a folded line goes on with the field before (RFC 9112, 5.2)
    start, *lines = text.split("\n")
    first = _STATUS.fullmatch(start)
    if first is None:
        raise _broken()
    fields = Headers()
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise _broken()
        name, value = name.lower(), value.strip(" \t")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return int(first[2]), fields, first[1] == "1"


def _broken() -> SendFailure:
    return SendFailure("protocol", "the reply is not valid HTTP")
