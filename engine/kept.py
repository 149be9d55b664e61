"""Results of a check on disk, under the digest of everything they depend on: unchanged files are not checked again."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engine.spec.node import Mark
from engine.spec.problem import Problem

if TYPE_CHECKING:
    from engine.catalog import Catalog
    from engine.check import Findings

_WORD = re.compile(r"[a-z0-9-]+")


class _Read(NamedTuple):
    """What the files of one spec hold: their digest, and the specs that are named in it."""

    digest: bytes
    names: frozenset[tuple[str, str]]


class Kept:
    """A folder with one small file per checked spec. What holds errors is never kept, so that it is told every time."""

    def __init__(self, catalog: Catalog, folder: Path, examples: bool) -> None:
        self.catalog = catalog
        self.folder = folder
        self.examples = examples
        self._contents: dict[tuple[str, str], _Read] = {}
        self._ids = {kind: set(entries) for kind, entries in catalog.files.entries.items()}

    def read(self, kind: str, id: str) -> Findings | None:
        """What was found the last time, if nothing it depends on has changed."""
        from engine.check import Findings

        path = self._path(kind, id)
        try:
            kept = json.loads(path.read_bytes()) if path else None
            if kept is None:
                return None
            problems = [Problem(**{**p, "mark": Mark(*p["mark"]), "origin": _mark(p["origin"])}) for p in kept["problems"]]
            return Findings(problems, examples=kept["examples"], skipped=kept["skipped"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, kind: str, id: str, findings: Findings) -> None:
        """Keep findings without errors. A folder that cannot be written is no failure."""
        path = self._path(kind, id)
        if path is None or findings.errors:
            return
        kept = {
            "problems": [asdict(p) for p in findings.problems],
            "examples": findings.examples,
            "skipped": findings.skipped,
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(f".{id}.new")
            beside.write_text(json.dumps(kept), "utf-8")
            beside.replace(path)
        except OSError:
            return

    def _path(self, kind: str, id: str) -> Path | None:
        """Where the results of a spec are; None for one that stands in no file, or cannot be read."""
        if self.catalog.path(kind, id) is None:
            return None
        trust = self.catalog.trust(id)
        around = "" if trust == "builtin" else self._around()
        digest = hashlib.sha256(f"{engine_digest()} {kind} {id} {trust} {self.examples} {around}".encode())
        try:
            for read in self._depends(kind, id):
                digest.update(read.digest)
        except OSError:
            return None
        return self.folder / f"{digest.hexdigest()[:40]}.json"

    def _around(self) -> str:
        """Names and times of all specs: what one's own may not be called, and whose keys it may not name."""
        paths = [entry.path for entries in self.catalog.files.entries.values() for entry in entries.values()]
        found = sorted(f"{path} {path.stat().st_mtime_ns}" for path in paths if path is not None and path.exists())
        return hashlib.sha256("\n".join(found).encode()).hexdigest()

    def _depends(self, kind: str, id: str) -> Iterator[_Read]:
        """The spec, everything it may extend (any id that stands in its text), the facts of its models, and their examples."""
        pending = [(kind, id)]
        seen = {(kind, id)}
        if id in self._ids["models"] and kind != "models":
            pending.append(("models", id))
        while pending:
            read = self._read(pending.pop())
            yield read
            pending += sorted(read.names - seen)
            seen |= read.names

    def _read(self, spec: tuple[str, str]) -> _Read:
        found = self._contents.get(spec)
        if found is None:
            path, beside = self.catalog.path(*spec), self.catalog.files.beside(*spec)
            digest, names = hashlib.sha256(), frozenset[tuple[str, str]]()
            for file in (path, beside):
                data = file.read_bytes() if file is not None else b""
                digest.update(f"\0{file}\0{len(data)}\0".encode() + data)
                if file is path:
                    words = set(_WORD.findall(data.decode("utf-8", "replace")))
                    names = frozenset((kind, name) for kind in ("dialects", "providers") for name in words & self._ids[kind])
            found = self._contents[spec] = _Read(digest.digest(), names)
        return found


def _mark(value: list[object] | None) -> Mark | None:
    return Mark(*value) if value else None  # type: ignore[arg-type]


_DIGEST: list[str] = []


def engine_digest() -> str:
    """Digest of the engine's own code, its schemas and the interpreter: a new engine trusts no kept result."""
    if not _DIGEST:
        from engine.spec.validate import SCHEMAS

        digest = hashlib.sha256(sys.version.encode())
        for path in sorted([*Path(__file__).parent.rglob("*.py"), *SCHEMAS.glob("*.json")]):
            stat = path.stat()
            digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
        _DIGEST.append(digest.hexdigest())
    return _DIGEST[0]
