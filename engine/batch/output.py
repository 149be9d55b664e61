"""The output of a batch: one JSON line for each row, in the input's order."""

from __future__ import annotations

import os
from pathlib import Path

from engine.errors import ConfigError

__all__ = ["Output", "refuse_foreign"]


def refuse_foreign(path: str | Path) -> None:
    """ConfigError for a file that something else wrote: only a checkpoint makes an output ours."""
    if Path(path).exists() and Path(path).stat().st_size:
        raise ConfigError(f"{path} is there already, and no checkpoint speaks of it: give the output another name")


class Output:
    """A file that is written at its end only. What stands behind `place` is of a run that could not note it: it is cut off.

    Raises ConfigError for a file that cannot be written, such as on a full disk.
    """

    def __init__(self, path: str | Path, place: int) -> None:
        self.path = Path(path)
        if place and not self.path.exists():
            raise ConfigError(f"the output {path}, of which {place} bytes are written, is gone")
        try:
            self._file = self.path.open("r+b" if self.path.exists() else "x+b", buffering=1 << 20)
        except OSError as error:
            raise self._unwritable(error) from None
        size = self._file.seek(0, os.SEEK_END)
        if size < place:
            self._file.close()
            raise ConfigError(f"the output {path} is shorter than its checkpoint says: {size} bytes of {place}")
        self._file.truncate(place)
        self._file.seek(place)
        self.place = place  # bytes written, not all of them safe

    def add(self, lines: list[bytes]) -> None:
        """Write lines; they are safe after the next `sync`."""
        try:
            for line in lines:
                self._file.write(line)
                self.place += len(line)
        except OSError as error:
            raise self._unwritable(error) from None

    def sync(self) -> None:
        """Come back when everything written is on the disk."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from None

    def close(self) -> None:
        """Close without a promise: what was not synced is written again by the next run."""
        try:
            self._file.close()
        except OSError:
            pass  # the disk is full: who wrote last was told

    def _unwritable(self, error: OSError) -> ConfigError:
        why = error.strerror or str(error)
        return ConfigError(f"the output {self.path} cannot be written ({why}); the batch can be resumed from its checkpoint")
