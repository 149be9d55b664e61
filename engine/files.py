"""Spec files: where they lie, whom they come from, their trees and texts.

Three doors, three levels of trust (RELIABILITY A1): packaged files are `builtin`; paths and mappings the caller hands in
are `local`; `remote(text, hosts=[…])` is for a stranger's text. A file that shadows a packaged name is refused unless
its id is listed in `override`.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import ConfigError, SpecError
from engine.spec.node import Mark, Node, node_of
from engine.spec.problem import Problem, Problems

_PACKAGED = Path(__file__).parent / "_data" / "catalog"
BUILTIN = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[1] / "catalog"
NODE_LIMIT = 20_000  # keys and values of a spec handed in as a mapping
DEPTH_LIMIT = 32  # levels of one
DATA_LIMIT = 1024 * 1024  # bytes of examples and model facts; other spec files: 256 KiB
KINDS = ("providers", "dialects", "models")
STRANGER_LIMIT = 64 * 1024  # bytes of a remote spec: what it may cost to load and compile (RELIABILITY A9)
STRANGER_NODES = 3_000  # keys and values of a remote spec
_TRUST = ("builtin", "local", "remote")
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Remote:
    """A spec from a stranger: text or a mapping, its id, and the hosts the caller allows it to reach."""

    id: str
    source: str | Mapping[str, Any]
    hosts: tuple[str, ...] = ()


def remote(source: str | Mapping[str, Any], *, id: str, hosts: Sequence[str] = ()) -> Remote:
    """Hand in an untrusted provider spec; nothing is read from the environment for it and only `hosts` can be reached."""
    return Remote(id, source, tuple(hosts))


class Entry(NamedTuple):
    """One spec: its id, its trust (builtin, local, remote), and the file or the data it stands in."""

    id: str
    trust: str
    file: str | Path | None = None  # a text where hundreds are listed and few are opened
    data: Any = None
    hosts: tuple[str, ...] = ()

    @property
    def path(self) -> Path | None:
        return Path(self.file) if self.file is not None else None


class Files:
    """Every spec that can be reached, by kind (`providers`, `dialects`, `models`) and id. Files are read when asked for.

    With `findings` the small ones (a duplicate key, an unquoted date) are put there and the tree is used all the same;
    without, and for text that has no tree at all, reading raises SpecError with everything found in the file.
    """

    def __init__(self, override: Iterable[str] = (), findings: Problems | None = None) -> None:
        self.lock = threading.RLock()
        self.entries: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
        self.findings = findings
        self.override = frozenset(override)
        self._nodes: dict[tuple[str, str], Node | None] = {}
        self._examples: dict[Path, Node | None] = {}
        self._texts: dict[str, str] = {}

    def node(self, kind: str, id: str) -> Node | None:
        """The tree of a spec as written; None if there is none of that id."""
        key = (kind, id)
        with self.lock:
            if key not in self._nodes:
                entry = self.entries[kind].get(id)
                self._nodes[key] = self._load(entry, kind) if entry else None
            return self._nodes[key]

    def may_say(self, kind: str, id: str, key: str) -> bool:
        """Whether a spec may have a key: not if its text has neither the word nor an escape that could stand for it."""
        entry = self.entries[kind].get(id)
        if entry is None or entry.path is None or (kind, id) in self._nodes:
            return True
        text = self._read(entry.path)
        return key.encode() in text or b"\\" in text

    def facts(self, provider: str) -> dict[str, Any]:
        """`models/<provider>.yaml` as plain data; empty if there is none. Kept here only for who checks the file too."""
        entry = self.entries["models"].get(provider)
        if entry is None:
            return {}
        if self.findings is not None:
            node = self.node("models", provider)
            checked = node.plain() if node is not None else {}
            return checked if isinstance(checked, dict) else {}
        packed = _PACKAGED.with_name("packed") / "models" / f"{provider}.json"
        if entry.trust == "builtin" and entry.path is not None and packed.is_file():
            from engine.spec.packed import unpack_facts

            found = unpack_facts(packed.read_bytes(), self._read(entry.path))
            if found is not None:
                return found
        plain = self._load(entry, "models").plain()
        return plain if isinstance(plain, dict) else {}

    def path(self, kind: str, id: str) -> Path | None:
        """The file of a spec; None for one handed in as text or mapping."""
        entry = self.entries[kind].get(id)
        return entry.path if entry else None

    def beside(self, kind: str, id: str) -> Path | None:
        """`<id>.examples.yaml` beside a spec, if there is one."""
        path = self.path(kind, id)
        found = path.with_name(f"{path.name.removesuffix('.yaml')}.examples.yaml") if path is not None else None
        return found if found is not None and found.is_file() else None

    def examples(self, kind: str, id: str) -> Node | None:
        """The tree of `<id>.examples.yaml`."""
        path = self.beside(kind, id)
        if path is None:
            return None
        with self.lock:
            if path not in self._examples:
                self._examples[path] = self._parse(self._read(path), self.label(path), DATA_LIMIT)
            return self._examples[path]

    def text(self, file: str) -> str | None:
        """The source text behind a mark, for messages that show it."""
        found = self._texts.get(file)
        if found is None:
            path = BUILTIN.parent / file
            try:
                found = path.read_text("utf-8") if path.is_file() else None
            except (OSError, UnicodeError):
                found = None
        return found

    def label(self, path: Path) -> str:
        """How messages name a file: relative to the packaged catalog's parent where it lies there."""
        try:
            return str(path.relative_to(BUILTIN.parent))
        except ValueError:
            return str(path)

    # --- adding -----------------------------------------------------------------------------------------------------

    def add(self, source: Any) -> None:
        """A path of a file or folder, a mapping of specs by id, or a `remote` spec."""
        if isinstance(source, Remote):
            if not _ID.fullmatch(source.id):
                raise ConfigError("the id of a remote spec is letters, digits and hyphens")
            self._register("providers", Entry(source.id, "remote", data=source.source, hosts=source.hosts))
        elif isinstance(source, Mapping):
            for id, data in source.items():
                kind = "dialects" if isinstance(data, Mapping) and "operation" in data else "providers"
                self._register(kind, Entry(str(id), "local", data=data))
        else:
            path = Path(source)
            if path.is_dir() and path.suffix != ".yaml":
                self.scan(path, "local")
            elif path.exists() or path.is_symlink():
                self._file(path)
            else:
                raise ConfigError(f"no spec file or folder at {path}")

    def scan(self, root: Path, trust: str) -> None:
        """A folder with `providers`, `dialects` or `models` in it, or one that holds spec files itself."""
        folders = [(root / kind, kind) for kind in KINDS if (root / kind).is_dir()]
        if not folders:
            for path in sorted(root.glob("*.yaml")):
                self._file(path)
        for folder, kind in folders:
            within = str(folder) + os.sep
            for name in sorted(os.listdir(folder)):
                if name.endswith(".yaml") and not name.endswith(".examples.yaml"):
                    self._register(kind, Entry(name[:-5], trust, within + name))

    def _file(self, path: Path) -> None:
        if path.name.endswith(".examples.yaml"):
            return
        try:
            node = None if path.parent.name == "models" else self._parse(self._read(path), str(path))
        except SpecError:
            if self.findings is None:
                raise
            node = None  # told again, and collected, when the file is asked for
        kind = path.parent.name if path.parent.name in ("models", "dialects") else kind_of(node)
        self._register(kind, Entry(path.stem, "local", path))

    def _register(self, kind: str, entry: Entry) -> None:
        known = self.entries[kind].get(entry.id)
        if known is not None and _TRUST.index(entry.trust) > _TRUST.index(known.trust) and entry.id not in self.override:
            owner = "packaged" if known.trust == "builtin" else known.trust
            message = f"`{entry.id}` is the name of a {owner} {kind[:-1]}; pass override=[{entry.id!r}] to replace it"
            raise ConfigError(message, provider=entry.id)
        self.entries[kind][entry.id] = entry
        self._nodes.pop((kind, entry.id), None)

    # --- reading ----------------------------------------------------------------------------------------------------

    def _load(self, entry: Entry, kind: str) -> Node:
        if entry.path is not None:
            source = self._read(entry.path)
            packed = _PACKAGED.with_name("packed") / kind / f"{entry.id}.json"
            if entry.trust == "builtin" and kind != "models" and packed.is_file():
                from engine.spec.packed import unpack

                found = unpack(packed.read_bytes(), source, self.label(entry.path))
                if found is not None:
                    return found
            node = self._parse(source, self.label(entry.path), DATA_LIMIT if kind == "models" else 0)
            return node if entry.trust == "builtin" else self._valid(node, kind)
        stranger = entry.trust == "remote"
        if isinstance(entry.data, Mapping):
            _refuse_large(entry.data, entry.id, STRANGER_NODES if stranger else NODE_LIMIT)
            node = node_of(entry.data)
        else:
            node = self._parse(entry.data, entry.id, STRANGER_LIMIT if stranger else 0)
            if stranger:
                _refuse_large(node.plain(), entry.id, STRANGER_NODES)
        return self._valid(node, kind)

    def _valid(self, node: Node, kind: str) -> Node:
        """A tree that is not packaged, if the schema knows every key of it: a misspelt one would be ignored (RELIABILITY A3).

        With `findings` the tree is returned all the same: who collects them validates by himself.
        """
        if self.findings is not None:
            return node
        from engine.spec.validate import validate

        problems = Problems()
        validate(node, kind if kind == "models" else kind[:-1], problems)
        if problems.errors:
            raise SpecError(problems.sorted())
        return node

    def _read(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(DATA_LIMIT + 1)  # one more than is ever read: the loader tells that it is too much
        except OSError as error:
            message = f"the file cannot be read: {error.strerror or error}"
            raise SpecError([Problem("unreadable-file", message, Mark(self.label(path), 1, 1))]) from None

    def _parse(self, text: str | bytes, label: str, limit: int = 0) -> Node:
        from engine.spec.load import load

        problems = Problems()
        node = load(text, label, problems, **({"limit": limit} if limit else {}))
        self._texts[label] = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        if node is None or (problems.errors and self.findings is None):
            raise SpecError(problems.sorted())
        if self.findings is not None:
            self.findings.extend(problems)
        return node


def _refuse_large(data: Any, id: str, most: int) -> None:
    """SpecError for plain data that is deeper or larger than a file may be, or holds what no file can (RELIABILITY A3)."""
    count, todo = 0, [(data, 1)]
    while todo:
        value, depth = todo.pop()
        count += 1
        rule = ""
        if isinstance(value, (Mapping, list, tuple)):
            inner = list(value.values()) if isinstance(value, Mapping) else value
            todo.extend((item, depth + 1) for item in inner)
            count += len(inner) if isinstance(value, Mapping) else 0
            if isinstance(value, Mapping) and not all(isinstance(key, (str, int)) for key in value):
                rule, message = "bad-key", "a key is text, not a list or a mapping"
            elif depth > DEPTH_LIMIT:
                rule, message = "too-deep", f"nested deeper than {DEPTH_LIMIT} levels"
        elif value is not None and not isinstance(value, (str, int, float, bool)):
            rule, message = "wrong-type", f"a spec holds plain data, not {type(value).__name__}"
        if count > most:
            rule, message = "too-many-nodes", f"more than {most:,} keys and values"
        if rule:
            raise SpecError([Problem(rule, message, Mark(id, 1, 1))])


def kind_of(node: Node | None) -> str:
    """What a file without a folder to say so is: a dialect says which operation it writes."""
    return "dialects" if node is not None and node.get("operation") is not None else "providers"
