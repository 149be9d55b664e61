"""Files that go out and answers that come in, without either ever being held whole.

    client.upload_file("openai", Path("corpus.jsonl"), purpose="batch")
    client.download_file("openai", "file-1", out="results.jsonl")

A `Source` is read while it is sent. A `Target` is written beside its place under a name of its own and moved there when the
answer is complete: whoever looks finds the old file, the new one, or none.
"""

from __future__ import annotations

import io
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.call.content import Content
from engine.call.send import SendFailure
from engine.errors import ConfigError
from engine.vocabulary import MEDIA_FIELDS

__all__ = ["Source", "Target", "opened", "place"]

PIECE = 1 << 18  # bytes read and sent at a time
HELD = 64 << 20  # bytes of a stream that cannot be read twice, which has to be held


class Source(Content):
    """A file to be sent: a path, or an open binary file from where it stands. ConfigError for anything that cannot be read."""

    __slots__ = ("_file", "_seen", "_start", "name", "path", "size")

    def __init__(self, given: Any) -> None:
        self._file: Any = None
        self._start = 0
        if isinstance(given, os.PathLike):
            self.path: Path | None = Path(given)
            self.name = self.path.name
            try:
                found = self.path.stat()
                if not stat.S_ISREG(found.st_mode):
                    raise ConfigError(f"{self.name} is not a file")
                with self.path.open("rb"):
                    pass
            except OSError as error:
                raise ConfigError(f"the file {self.name} cannot be read: {error.strerror or error}") from None
            self._seen = (found.st_size, found.st_mtime_ns)
            self.size = found.st_size
            return
        if isinstance(given, io.TextIOBase):
            raise ConfigError("a file is open as bytes: mode `rb`, not as text")
        self.path = None
        self._file = given
        name = getattr(given, "name", None)
        self.name = os.path.basename(name) if isinstance(name, str) else None
        try:
            self._start = given.tell()
            self.size = given.seek(0, os.SEEK_END) - self._start
            given.seek(self._start)
        except (OSError, ValueError) as error:
            raise ConfigError(f"the file {self.name or ''} cannot be read: {error}") from None

    def head(self) -> bytes:
        try:
            return next(self._read(64), b"")
        except SendFailure as failure:
            raise ConfigError(str(failure)) from None

    def read(self) -> bytes:
        try:
            return super().read()
        except SendFailure as failure:
            raise ConfigError(str(failure)) from None

    def pieces(self) -> Iterator[bytes]:
        sent = 0
        for piece in self._read(PIECE):
            sent += len(piece)
            if sent > self.size:
                break
            yield piece
        if sent != self.size or (self.path is not None and self._now() != self._seen):
            raise SendFailure("config", f"the file {self.name or ''} changed while it was sent")

    def _now(self) -> tuple[int, int]:
        assert self.path is not None
        try:
            found = self.path.stat()
        except OSError:
            return (-1, -1)
        return (found.st_size, found.st_mtime_ns)

    def _read(self, most: int) -> Iterator[bytes]:
        try:
            if self.path is None:
                self._file.seek(self._start)
                while piece := self._file.read(most):
                    yield piece
                return
            if self._now() != self._seen:
                raise SendFailure("config", f"the file {self.name} is not the one it was", unsent=True)
            with self.path.open("rb") as file:
                while piece := file.read(most):
                    yield piece
        except (OSError, ValueError) as error:
            raise SendFailure("config", f"the file {self.name or ''} cannot be read: {error}") from None


def opened(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request with paths and open files as sources. Nothing of them is read."""
    return {name: _opened(value) if name in MEDIA_FIELDS else value for name, value in fields.items()}


def _opened(value: Any) -> Any:
    if isinstance(value, (str, bytes, bytearray, memoryview, Content)) or value is None:
        return value
    if isinstance(value, os.PathLike):
        return Source(value)
    if hasattr(value, "read"):
        return _of_file(value)
    if isinstance(value, Mapping) and ("path" in value or _is_file(value.get("bytes"))):
        given = value["path"] if "path" in value else value["bytes"]
        if not _is_file(given):  # a text may come from anybody; a path is the caller's own word
            raise ConfigError("the path of a file is a pathlib.Path, not a text")
        return {**{k: v for k, v in value.items() if k not in ("path", "bytes")}, "bytes": _opened(given)}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_opened, value))
    return value


def _is_file(value: Any) -> bool:
    return isinstance(value, os.PathLike) or hasattr(value, "read")


def _of_file(file: Any) -> Any:
    """An open file: read while it is sent if it can be read again, else held now."""
    if getattr(file, "seekable", lambda: False)():
        return Source(file)
    data = file.read(HELD + 1)
    if not isinstance(data, bytes):
        raise ConfigError("a file is open as bytes: mode `rb`")
    if len(data) > HELD:
        raise ConfigError(f"a stream that cannot be read twice is held, at most {HELD} bytes of it; give a path")
    return data


class Target:
    """Where an answer is written. `begin` starts anew (a further attempt), `keep` puts the whole in its place."""

    __slots__ = ("_file", "_part", "path", "size")

    def __init__(self, out: Any) -> None:
        if not isinstance(out, (str, os.PathLike)) or not os.fspath(out):
            raise ConfigError("`out` is the path of a file")
        self.path = Path(os.fsdecode(out))
        if self.path.is_dir():
            raise ConfigError(f"`out` is a folder: say which file in {self.path}")
        if not self.path.parent.is_dir():
            raise ConfigError(f"there is no folder {self.path.parent}")
        self._file: Any = None
        self._part: Path | None = None
        self.size = 0

    def numbered(self, number: int) -> Target:
        """Where the n-th of several answers goes: the path itself, then `name-2`, `name-3`."""
        return self if number < 2 else Target(self.path.with_stem(f"{self.path.stem}-{number}"))

    def begin(self) -> None:
        """Nothing is written yet. ConfigError where nothing can be."""
        self.abandon()
        self.size = 0
        self._part = self.path.with_name(f".{self.path.name[:200]}.{secrets.token_hex(4)}.part")
        try:
            self._file = self._part.open("xb", buffering=0)
        except OSError as error:
            self._part = None
            raise _unwritable(self.path, error) from None

    def write(self, data: bytes) -> None:
        """Add these bytes. ConfigError on a full disk."""
        view = memoryview(data)
        try:
            while view:
                written = self._file.write(view)
                self.size += written
                view = view[written:]
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def read(self, most: int) -> bytes:
        """What was written so far, for an answer that may be an error in place of a file."""
        assert self._part is not None
        with self._part.open("rb") as file:
            return file.read(most)

    def keep(self) -> None:
        """All is written: put it in its place, whole and for good."""
        assert self._part is not None
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._part, self.path)
        except OSError as error:
            raise _unwritable(self.path, error) from None
        self._part = self._file = None

    def abandon(self) -> None:
        """Remove what is not complete."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._part is not None:
            self._part.unlink(missing_ok=True)
            self._part = None


def place(out: Any, stream: bool = False) -> Target:
    """Where the answer of a call is to be written. ConfigError for what is no path."""
    if stream:
        raise ConfigError("a stream is handed over as it comes: write it yourself, or call without stream", param="out")
    return Target(out)


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path} cannot be written: {error.strerror or error}")
