"""All six steps of validation for spec files (SPEC_LANGUAGE 14): load, schema, extend, compile, meaning, examples."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.catalog import Catalog
from engine.errors import Error, SpecError
from engine.examples import Result, cases, run
from engine.spec.extend import blame, check_globs, dialect_tree, operation_names
from engine.spec.node import Mark, Node
from engine.spec.problem import Problem, Problems
from engine.spec.rules import check_dialect, check_provider
from engine.spec.validate import validate


@dataclass(slots=True)
class Findings:
    """What came of a check."""

    problems: list[Problem] = field(default_factory=list)
    files: int = 0
    examples: int = 0
    skipped: int = 0
    seconds: float = 0.0
    results: list[Result] = field(default_factory=list)

    @property
    def errors(self) -> int:
        return sum(p.severity == "error" for p in self.problems)

    @property
    def warnings(self) -> int:
        return len(self.problems) - self.errors

    def summary(self) -> str:
        """One line of counts."""
        skipped = f" ({self.skipped} not applicable)" if self.skipped else ""
        return (
            f"{self.files} files, {self.examples} examples{skipped}, {self.errors} errors, "
            f"{self.warnings} warnings, {self.seconds:.2f} s"
        )


def check(
    catalog: Catalog,
    ids: Iterable[tuple[str, str]] | None = None,
    *,
    examples: bool = True,
    cache: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Findings:
    """Check specs, `("providers", id)` or `("dialects", id)`; the whole catalog without ids.

    With `cache` (a folder) results are kept by the digest of everything they depend on: the engine, the file, its
    dialects and its examples.
    """
    start = time.perf_counter()
    chosen = list(ids) if ids is not None else _everything(catalog)
    findings = Findings()
    seen: set[tuple[Any, ...]] = set()
    for kind, id in chosen:
        if progress:
            progress(id)
        findings.files += 1
        kept = _Kept(catalog, cache, kind, id, examples) if cache is not None else None
        found = kept.read() if kept else None
        if found is None:
            found = _dialect(catalog, id) if kind == "dialects" else _provider(catalog, id, examples)
            if kept:
                kept.write(found)
        findings.examples += found.examples
        findings.skipped += found.skipped
        findings.results += found.results
        for problem in found.problems:
            key = (problem.rule, problem.mark, problem.message, problem.origin)
            if key not in seen:
                seen.add(key)
                findings.problems.append(problem)
    findings.problems.sort(key=lambda p: (p.mark.file, p.mark.line, p.mark.column, p.rule))
    findings.seconds = time.perf_counter() - start
    return findings


def _everything(catalog: Catalog) -> list[tuple[str, str]]:
    return [("dialects", id) for id in catalog.dialect_ids()] + [("providers", id) for id in catalog.provider_ids()]


def _load(fetch: Callable[[], Node | None], problems: Problems) -> Node | None:
    try:
        return fetch()
    except SpecError as error:
        problems.extend(error.problems)
        return None


def _dialect(catalog: Catalog, id: str) -> Findings:
    problems = Problems()
    node = _load(lambda: catalog.dialect(id), problems)
    if node is not None:
        validate(node, "dialect", problems)
        beside = _load(lambda: catalog.example_file("dialects", id), problems)
        if beside is not None:
            validate(beside, "examples", problems)
        if not problems.errors:
            tree = dialect_tree(catalog, id, problems)
            if tree is not None and not problems.errors:
                check_dialect(catalog, id, node, tree, problems)
    return Findings(problems=list(problems))


def _provider(catalog: Catalog, id: str, examples: bool) -> Findings:
    problems = Problems()
    findings = Findings()
    node = _load(lambda: catalog.provider(id), problems)
    if node is not None:
        validate(node, "provider", problems)
        check_globs(node, problems)
        beside = _load(lambda: catalog.example_file("providers", id), problems)
        if beside is not None:
            validate(beside, "examples", problems)
        if not problems.errors:
            compile_all(catalog, id, node, problems)
        if not problems.errors:
            check_provider(catalog, id, node, problems)
        if examples and not problems.errors:
            _run_examples(catalog, id, node, problems, findings)
    findings.problems = list(problems)
    return findings


def compile_all(catalog: Catalog, id: str, node: Node, problems: Problems) -> None:
    """Every operation, plain, under each variant and under each model pattern that a plain name can match."""
    base = _load(lambda: catalog.tree(id), problems)
    if base is None:
        return
    globs = [glob for glob, patch in (base.get("models") or Node({})).items() if glob != "default" and patch.is_map]
    variants = [name for name, _ in (base.get("variants") or Node({})).items()]
    models = ["", *(matching_name(glob) for glob in globs)]
    for model, variant in [*((m, None) for m in models), *(("", v) for v in variants)]:
        from engine.spec.extend import matching_patches

        for operation in operation_names(base, matching_patches(base, model, variant)):
            start = len(problems)
            catalog.compile(id, operation, model, variant, problems=problems)
            blame(problems, start, _reader(node, operation))


def matching_name(glob: str) -> str:
    """A model name that a pattern matches: wildcards become letters, sets their first member."""
    out, i = "", 0
    while i < len(glob):
        c = glob[i]
        if c == "[" and "]" in glob[i + 2 :]:
            end = glob.index("]", i + 2)
            out += glob[i + 1] if glob[i + 1] not in "!^" else "~"
            i = end
        elif c == "?":
            out += "x"
        elif c != "*":
            out += c
        i += 1
    return out


def _reader(node: Node, operation: str) -> Mark:
    found = node.get(operation)
    return (found.key_mark or found.mark) if found is not None else node.mark


def _run_examples(catalog: Catalog, id: str, node: Node, problems: Problems, findings: Findings) -> None:
    for variant in [None, *(name for name, _ in (node.get("variants") or Node({})).items())]:
        for case in cases(catalog, id, variant):
            try:
                result = run(catalog, id, case, variant=variant)
            except Error as error:
                result = Result(id, case.operation, str(case.example.get("name")), case.origin, failures=[str(error)])
            findings.results.append(result)
            if result.skipped is not None:
                findings.skipped += 1
                continue
            findings.examples += 1
            for failure in result.failures:
                where = f"{id}:{variant}" if variant else id
                message = f"{where}: example `{result.name}`: {failure}"
                problems.error("example", message, _mark(catalog, case.origin, case.inherited, case.line))


def _mark(catalog: Catalog, origin: str, inherited: bool, line: int | None) -> Mark:
    kind = "dialects" if inherited else "providers"
    path = catalog.path(kind, origin)
    beside = path.with_name(f"{origin}.examples.yaml") if path else None
    chosen = beside if beside is not None and beside.is_file() else path
    return Mark(catalog.label(chosen) if chosen else origin, line or 1, 1)


class _Kept:
    """One file's findings on disk, under the digest of what they depend on."""

    def __init__(self, catalog: Catalog, folder: Path, kind: str, id: str, examples: bool) -> None:
        digest = hashlib.sha256(f"{engine_digest()} {kind} {id} {examples}".encode())
        for path in _depends(catalog, kind, id):
            digest.update(path.name.encode() + path.read_bytes())
        self.path = folder / f"{digest.hexdigest()[:32]}.json"

    def read(self) -> Findings | None:
        try:
            kept = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        problems = [Problem(**{**p, "mark": Mark(*p["mark"]), "origin": Mark(*p["origin"]) if p["origin"] else None}) for p in kept["problems"]]
        results = [Result(**{**r, "needs": tuple(r["needs"])}) for r in kept["results"]]
        return Findings(problems, examples=kept["examples"], skipped=kept["skipped"], results=results)

    def write(self, findings: Findings) -> None:
        from dataclasses import asdict

        kept = {
            "problems": [asdict(p) for p in findings.problems],
            "results": [asdict(r) for r in findings.results],
            "examples": findings.examples,
            "skipped": findings.skipped,
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside = self.path.with_suffix(".new")
            beside.write_text(json.dumps(kept), "utf-8")
            beside.replace(self.path)
        except OSError:
            return  # a cache that cannot be written is no cache


def _depends(catalog: Catalog, kind: str, id: str) -> Iterable[Path]:
    """The files a check reads: the spec, its examples, and those of everything it may extend."""
    found: list[Path] = []
    own = catalog.path(kind, id)
    for path in [own, *_extended(catalog, kind, id)]:
        if path is not None:
            beside = path.with_name(f"{path.stem}.examples.yaml")
            found += [p for p in (path, beside) if p.is_file()]
    return found


def _extended(catalog: Catalog, kind: str, id: str) -> Iterable[Path | None]:
    texts = [path.read_text("utf-8", "replace") for path in [catalog.path(kind, id)] if path is not None]
    names = {*catalog.dialect_ids(), *catalog.provider_ids()}
    seen: set[str] = {id}
    out: list[Path | None] = []
    while texts:
        words = {w.strip("\"',{}:") for w in texts.pop().split()}
        for name in sorted((words & names) - seen):
            seen.add(name)
            path = catalog.path("dialects", name) or catalog.path("providers", name)
            out.append(path)
            if path is not None:
                texts.append(path.read_text("utf-8", "replace"))
    return out


_DIGEST: list[str] = []


def engine_digest() -> str:
    """Digest of the engine's own code and schemas: a new engine trusts no kept result."""
    if not _DIGEST:
        digest = hashlib.sha256()
        root = Path(__file__).parent
        for path in sorted([*root.rglob("*.py"), *(root.parent / "schemas").glob("*.json")]):
            stat = path.stat()
            digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
        _DIGEST.append(digest.hexdigest())
    return _DIGEST[0]
