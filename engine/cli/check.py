"""`llmkit check` and `llmkit explain`."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from engine.catalog import BUILTIN, Catalog
from engine.check import Findings
from engine.check import check as run_check
from engine.errors import ConfigError, NotFoundError
from engine.spec.problem import Problems, nearest
from engine.spec.report import format_problems

if TYPE_CHECKING:
    from engine.laws.prove import Proof

_KINDS = ("dialects", "providers", "models")


def check(arguments: argparse.Namespace) -> int:
    """All six steps; exit code 0 without errors, else 1. Findings go to standard output, progress to standard error."""
    gc.disable()  # trees without cycles, made once and kept to the end: collecting costs a quarter of the time
    names = [name for name in arguments.names if not _is_path(name)]
    files = [file for name in arguments.names if _is_path(name) for file in _files(Path(name))]
    packaged = [file for file in files if BUILTIN in file.resolve().parents]
    own = [file for file in files if file not in packaged]
    _refuse_twins(own)
    overridden = [*arguments.override, *(_id(file) for file in own)]
    catalog = Catalog([*arguments.catalog, *own], overridden, findings=Problems())
    chosen: list[tuple[str, str]] | None = None
    if arguments.names:
        chosen = [found for file in files for found in _kinds_of(catalog, file)]
        chosen += [found for name in names for found in _named(catalog, name)]
        chosen = sorted(dict.fromkeys(chosen), key=lambda found: _KINDS.index(found[0]))
    cache = None if arguments.no_cache else _cache_folder()
    findings = run_check(catalog, chosen, examples=not arguments.no_examples, cache=cache, progress=_progress(), parallel=True)
    laws = _laws(catalog, chosen, findings, arguments) if arguments.laws else None
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    text = format_problems(findings.problems, lambda f: catalog.text(f) or _source(f), form=arguments.format, color=color)
    if text:
        print(text)
    for line in (findings.summary(), *([laws.summary()] if laws else ())):
        print(line, file=sys.stdout if arguments.format == "text" else sys.stderr)
    return 1 if findings.errors else 0


def _laws(catalog: Catalog, chosen: list[tuple[str, str]] | None, findings: Findings, arguments: argparse.Namespace) -> Proof:
    """Try the laws on every chosen file that the check has found sound; what does not hold is a finding like any other."""
    from engine.laws.prove import prove

    if arguments.count < 1:
        raise ConfigError("--count is at least 1")
    wrong = {p.mark.file for p in findings.problems if p.severity == "error"}
    ids = chosen if chosen is not None else [(kind, id) for kind in _KINDS for id in sorted(catalog.files.entries[kind])]
    sound = [(kind, id) for kind, id in ids if (path := catalog.path(kind, id)) is None or catalog.label(path) not in wrong]
    proof = prove(catalog, sound, count=arguments.count, seed=arguments.seed, progress=_progress())
    findings.problems += proof.problems
    return proof


def explain(arguments: argparse.Namespace) -> int:
    """One rule's docstring, or the list of all rules."""
    from engine.spec.rules import rules

    known = rules()
    if not arguments.rule:
        width = max(map(len, known))
        for name in sorted(known):
            print(f"{name.ljust(width)}  {known[name].splitlines()[0]}")
        return 0
    if arguments.rule not in known:
        near = nearest(arguments.rule, known)
        raise NotFoundError(f"no rule `{arguments.rule}`" + (f"; did you mean `{near}`?" if near else ""))
    print(f"{arguments.rule}\n\n{known[arguments.rule]}")
    return 0


def _is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or "/" in name or os.sep in name or name in (".", "..")


def _files(path: Path) -> list[Path]:
    """The spec files at a path: itself, the spec beside an examples file, or every one in a folder."""
    if path.is_dir() and path.suffix not in (".yaml", ".yml"):
        found = [file for file in sorted(path.rglob("*.yaml")) if not file.name.endswith(".examples.yaml")]
        if not found:
            raise ConfigError(f"no spec file in {path}")
        return found
    if not path.exists() and not path.is_symlink():
        raise NotFoundError(f"no file {path}")
    if path.name.endswith(".examples.yaml"):
        spec = path.with_name(f"{path.name.removesuffix('.examples.yaml')}.yaml")
        if not spec.is_file():
            raise NotFoundError(f"{path} are examples of {spec.name}, which is not beside it")
        return [spec]
    return [path]


def _refuse_twins(files: list[Path]) -> None:
    """A file's name is its id: two files cannot have one name, unless one is a dialect and says so by its folder."""
    seen: dict[tuple[str, str], Path] = {}
    for file in files:
        kind = file.parent.name if file.parent.name in _KINDS else ""
        other = seen.setdefault((kind, _id(file)), file)
        if other.resolve() != file.resolve():
            raise ConfigError(f"{other} and {file} have one id; check them one by one")


def _id(file: Path) -> str:
    return file.name.removesuffix(".yaml").removesuffix(".yml")


def _kinds_of(catalog: Catalog, file: Path) -> Iterator[tuple[str, str]]:
    """What a file is to the catalog."""
    for kind in _KINDS:
        path = catalog.path(kind, _id(file))
        if path is not None and path.resolve() == file.resolve():
            yield kind, _id(file)


def _named(catalog: Catalog, name: str) -> list[tuple[str, str]]:
    found = [(kind, name) for kind in _KINDS if name in catalog.files.entries[kind]]
    if not found:
        near = nearest(name, [*catalog.provider_ids(), *catalog.dialect_ids()])
        raise NotFoundError(f"no provider or dialect `{name}`" + (f"; did you mean `{near}`?" if near else ""))
    return found


def _progress() -> Callable[[str], None] | None:
    if not sys.stderr.isatty():
        return None
    return lambda id: print(f"\r\x1b[K{id}", end="", file=sys.stderr, flush=True)


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "llmkit" / "check"


def _source(file: str) -> str | None:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeError):
        return None
