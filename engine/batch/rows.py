"""Where the rows of a batch come from: a file of JSON lines, a Parquet file, or any iterable."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.call.json import JsonError, dumps, loads
from engine.errors import ConfigError, Error
from engine.faces import POSITIONAL
from engine.vocabulary import OPERATIONS

__all__ = ["START", "Row", "Rows", "link"]

#: what the chain of digests begins with
START = b"\0" * 16
_AT_ONCE = 1024  # rows of a Parquet file that are read together


class Row:
    """One request: its place in the input (from 0), the caller's id of it, and what it asks. `error`: it cannot be read."""

    __slots__ = ("error", "fields", "id", "model", "number", "operation")

    def __init__(self, number: int, id: Any, operation: str, model: str | None, fields: dict[str, Any], error: Error | None = None):
        self.number = number
        self.id = id
        self.operation = operation
        self.model = model
        self.fields = fields
        self.error = error


class Rows:
    """The rows of a source, in order, as they were written; `row` reads one of them.

    A row is a mapping with the fields of a request, and `id`, `operation` and `model` where it has its own; or a text, which
    stands for the operation's first field (a user message, a text to embed). `fields` hold for every row of that operation that
    does not say otherwise.
    """

    def __init__(self, source: Any, operation: str, model: str | None, fields: Mapping[str, Any]) -> None:
        self._source = source
        self.operation = operation
        self.model = model
        self._fields = dict(fields)
        self._path = Path(source) if isinstance(source, (str, os.PathLike)) else None
        self._read = 0  # bytes or rows so far
        self._size = 0  # of the same, in all; 0 if nobody knows
        if self._path is not None and not self._path.is_file():
            raise ConfigError(f"there is no file of rows at {self._path}")
        if hasattr(source, "columns"):
            raise ConfigError("a table is not its rows: give them as mappings, such as table.to_dict('records')")
        if isinstance(source, Mapping) or not (self._path or isinstance(source, Iterable)):
            raise ConfigError("the rows of a batch are a path or an iterable of requests")

    @property
    def share(self) -> float | None:
        """How much of the input has been read: 0 to 1, or None where its length is not known."""
        return min(self._read / self._size, 1.0) if self._size else None

    def __iter__(self) -> Iterator[Any]:
        if self._path is None:
            self._size = len(self._source) if hasattr(self._source, "__len__") else 0
            for item in self._source:
                self._read += 1
                yield item
        elif self._path.suffix.lower() in (".parquet", ".pq"):
            yield from self._parquet(self._path)
        else:
            self._size = self._path.stat().st_size
            try:
                file = self._path.open("rb")
            except OSError as error:
                raise _unreadable(self._path, error) from None
            with file:
                for line in file:
                    self._read += len(line)
                    if line := line.strip():
                        yield line

    def _parquet(self, path: Path) -> Iterator[Any]:
        try:
            from pyarrow import parquet
        except ImportError:
            raise ConfigError("a Parquet file needs pyarrow: pip install 'llmkit-engine[parquet]'") from None
        try:
            opened = parquet.ParquetFile(path)
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from None
        with opened as file:
            self._size = file.metadata.num_rows
            for group in file.iter_batches(batch_size=_AT_ONCE):
                for item in group.to_pylist():
                    self._read += 1
                    yield _without_nulls(item)

    def row(self, number: int, written: Any) -> Row:
        """A row as it is asked. What cannot be read is a row with an error."""
        try:
            said = loads(written) if isinstance(written, bytes) else written
        except JsonError as error:
            return self._unreadable(number, f"is not JSON: {error}")
        if isinstance(said, str):
            first = POSITIONAL.get(self.operation, ())
            if not first:
                return self._unreadable(number, f"is a text, and {self.operation} takes none")
            said = {first[0]: said}
        if not isinstance(said, Mapping):
            return self._unreadable(number, "is neither a mapping nor a text")
        fields = dict(said)
        id, operation = _word(fields.pop("id", None)), fields.pop("operation", self.operation)
        model = fields.pop("model", None) or self.model
        if operation == self.operation:
            fields = {**self._fields, **fields}
        fields.pop("stream", None)  # an answer that is kept is a whole one
        if not isinstance(model, str):
            return self._unreadable(number, "names no model, and none was given for all", id)
        if not isinstance(operation, str) or operation not in OPERATIONS or operation == "batch":
            return self._unreadable(number, f"asks for the operation {operation!r}", id)
        return Row(number, number if id is None else id, operation, model, fields)

    def _unreadable(self, number: int, why: str, id: Any = None) -> Row:
        return Row(number, number if id is None else id, self.operation, None, {}, ConfigError(f"row {number + 1} {why}"))


def link(chain: bytes, written: Any) -> bytes:
    """The digest of a row and of all before it: it tells whether a later run is given the same input."""
    data = written if isinstance(written, bytes) else _bytes(written)
    return hashlib.blake2b(data, digest_size=16, key=chain).digest()


def _unreadable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"the rows in {path} cannot be read: {getattr(error, 'strerror', None) or error}")


def _word(id: Any) -> Any:
    """An id that can be written down: a text, a whole number, or what is shown of anything else."""
    return id if id is None or isinstance(id, (str, int)) else str(id)


def _bytes(written: Any) -> bytes:
    try:
        return dumps(written)
    except (JsonError, TypeError):
        return repr(written).encode("utf-8", "replace")


def _without_nulls(value: Any) -> Any:
    """A Parquet value without the fields that its row does not have."""
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value
