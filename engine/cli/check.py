"""`llmkit check` and `llmkit explain`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from engine.catalog import Catalog
from engine.check import check as run_check
from engine.errors import NotFoundError, SpecError
from engine.spec.problem import nearest


def check(arguments: argparse.Namespace) -> int:
    """All six steps; exit code 0 without errors, else 1."""
    from engine.spec.report import format_problems

    paths = [Path(name) for name in arguments.names if name.endswith((".yaml", ".yml")) or os.sep in name]
    for path in paths:
        if not path.exists():
            raise NotFoundError(f"no file {path}")
    try:
        catalog = Catalog([*arguments.catalog, *paths], [*arguments.override, *(p.stem for p in paths)])
    except SpecError as error:
        print(format_problems(error.problems, _source, form=arguments.format, color=_color()))
        return 1
    ids = _ids(catalog, arguments.names, paths) if arguments.names else None
    cache = None if arguments.no_cache or arguments.catalog or paths else _cache_folder()
    findings = run_check(catalog, ids, examples=not arguments.no_examples, cache=cache, progress=_progress())
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    text = format_problems(findings.problems, lambda file: catalog.text(file) or _source(file), form=arguments.format, color=_color())
    if text:
        print(text)
    if arguments.format == "text":
        print(findings.summary())
    return 1 if findings.errors else 0


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


def _ids(catalog: Catalog, names: list[str], paths: list[Path]) -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    for path in paths:
        for file in sorted(path.rglob("*.yaml")) if path.is_dir() else [path]:
            if not file.name.endswith(".examples.yaml"):
                kind = "dialects" if catalog.path("dialects", file.stem) == file else "providers"
                out.append((kind, file.stem))
    for name in names:
        if Path(name) in paths:
            continue
        if name in catalog.dialect_ids():
            out.append(("dialects", name))
        if name in catalog.provider_ids():
            out.append(("providers", name))
        elif name not in catalog.dialect_ids():
            near = nearest(name, [*catalog.provider_ids(), *catalog.dialect_ids()])
            raise NotFoundError(f"no provider or dialect `{name}`" + (f"; did you mean `{near}`?" if near else ""))
    return out


def _progress() -> object:
    if not sys.stderr.isatty():
        return None
    return lambda id: print(f"\r\x1b[K{id}", end="", file=sys.stderr, flush=True)


def _color() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "llmkit" / "check"


def _source(file: str) -> str | None:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeError):
        return None
