"""All six steps of validation for spec files (SPEC_LANGUAGE 14): load, schema, extend, compile, meaning, examples."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path

from engine.catalog import Catalog
from engine.errors import Error, SpecError
from engine.examples import Case, Outcomes, Result, cases
from engine.examples.webhooks import check_webhooks
from engine.kept import Kept
from engine.kinship import families
from engine.plan import OperationPlan
from engine.spec.compile.evidence import unproven
from engine.spec.extend import (
    blame,
    check_globs,
    dialect_tree,
    matching_patches,
    operation_names,
    operation_tree,
    patched,
    provider_tree,
    relevant,
)
from engine.spec.node import Mark, Node
from engine.spec.pattern import glob_matches
from engine.spec.problem import Problem, Problems
from engine.spec.report import counts, distinct
from engine.spec.rules import check_dialect, check_provider
from engine.spec.validate import validate
from engine.spread import processes, spread
from engine.vocabulary import OPERATIONS

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_EMPTY = Node({})
_SCHEMAS = {"providers": "provider", "dialects": "dialect", "models": "models"}
#: what follows from a key that is not there: behind a misspelt key it would say the same thing twice
_ABSENCES = frozenset(
    ("missing-key", "one-verb", "one-scheme", "no-evidence", "needs-fields", "unused-secret", "missing-default-model")
)


@dataclass(slots=True)
class Findings:
    """What came of a check. `results` are those of the examples that ran now, not of kept ones."""

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
        return counts(self.problems, self.seconds, files=self.files, examples=self.examples)


def check(
    catalog: Catalog,
    ids: Iterable[tuple[str, str]] | None = None,
    *,
    examples: bool = True,
    cache: Path | None = None,
    progress: Callable[[str], None] | None = None,
    parallel: bool = False,
) -> Findings:
    """Check specs, `("providers", id)`, `("dialects", id)` or `("models", id)`; the whole catalog without ids.

    With `cache` (a folder) results are kept by the digest of everything they depend on. A catalog made with `findings`
    lets a file's smaller faults be told together with what later steps find. With `parallel` many files are checked in
    one process per core, which a program that runs threads must not ask for. Nothing is raised for what is in a file.
    """
    start = time.perf_counter()
    findings = Findings()
    dialects: dict[str, Problems] = {}
    outcomes = Outcomes(catalog) if examples else None
    kept = Kept(catalog, cache, examples) if cache is not None else None
    chosen = list(_everything(catalog) if ids is None else ids)
    known = {spec: found for spec in chosen if (found := kept.read(*spec)) is not None} if kept else {}

    def one(spec: tuple[str, str]) -> Findings:
        return _File(catalog, *spec, outcomes, dialects).check()

    new = [spec for spec in chosen if spec not in known]
    count = processes(len(new)) if parallel else 1
    for spec, found in spread(one, new, count, families(catalog, new, count)) if count > 1 else zip(new, map(one, new)):
        if progress:
            progress(spec[1])
        if kept:
            kept.write(*spec, found)
        known[spec] = found
    for found in map(known.__getitem__, chosen):
        findings.files += 1
        findings.examples += found.examples
        findings.skipped += found.skipped
        findings.results += found.results
        findings.problems += found.problems
    findings.problems = _once(findings.problems)
    findings.seconds = time.perf_counter() - start
    return findings


def _everything(catalog: Catalog) -> list[tuple[str, str]]:
    return [(kind, id) for kind in ("dialects", "providers", "models") for id in sorted(catalog.files.entries[kind])]


def _once(problems: list[Problem]) -> list[Problem]:
    """Each finding once, sorted by place. What a dialect's own check tells is not told again for each who inherits it."""
    told = {(p.rule, p.mark) for p in problems if p.origin is None}
    return distinct(p for p in problems if p.origin is None or p.rule == "example" or (p.rule, p.origin) not in told)


class _File:
    """One file going through the steps. Later steps run in spite of earlier findings where there is a tree to run on."""

    def __init__(self, catalog: Catalog, kind: str, id: str, outcomes: Outcomes | None, dialects: dict[str, Problems]) -> None:
        self.catalog = catalog
        self.dialects = dialects  # what loading and schema found in them, kept for all files of one run
        self.kind = kind
        self.id = id
        self.outcomes = outcomes  # None: examples are not run
        self.problems = Problems()
        self.findings = Findings()

    def check(self) -> Findings:
        path = self.catalog.path(self.kind, self.id)
        if path is not None and not _ID.fullmatch(self.id):
            label = self.catalog.label(path)
            self.problems.error("bad-id", f"`{self.id}` cannot be an id: small letters, digits, hyphens", Mark(label, 1, 1))
        node = self._tree(lambda: self.catalog.files.node(self.kind, self.id))
        if node is not None:
            self._schema(node)
            if self.kind != "models":
                self._examples_schema()
            steps = {"dialects": self._dialect, "providers": self._provider}.get(self.kind)
            if steps is not None and node.is_map:
                self._further(lambda: steps(node), node)
        self.findings.problems = list(self.problems)
        return self.findings

    def _tree(self, fetch: Callable[[], Node | None]) -> Node | None:
        """A file's tree with the loader's findings, whenever it was read."""
        collected = self.catalog.files.findings
        try:
            node = fetch()
        except SpecError as error:
            self.problems.extend(error.problems)
            return None
        if node is not None and collected:
            self.problems.extend(replace(p) for p in collected if p.mark.file == node.mark.file)
        return node

    def _schema(self, node: Node) -> None:
        validate(node, _SCHEMAS[self.kind], self.problems)
        if self.kind == "providers":
            check_globs(node, self.problems)

    def _examples_schema(self) -> None:
        node = self._tree(lambda: self.catalog.example_file(self.kind, self.id))
        if node is not None:
            validate(node, "examples", self.problems)

    def _further(self, steps: Callable[[], None], node: Node) -> None:
        """Run the steps that need a sound tree. After earlier errors, what merely follows from them is not told."""
        before = len(self.problems)
        known = list(self.problems.errors)
        try:
            steps()
        except SpecError as error:
            self.problems.extend(error.problems)
        except Error as error:
            self.problems.error("bad-value", str(error), node.mark)
        except Exception as error:
            if not known:  # else the tree is not what the compiler was promised
                message = f"the engine failed: {type(error).__name__}: {error}"
                self.problems.error("engine-failure", message, node.mark)
        if known:
            later = Problems(p for p in self.problems[before:] if p.rule not in _ABSENCES)
            _add(later, self.problems[:before])
            self.problems = later

    # --- dialects ---------------------------------------------------------------------------------------------------

    def _dialect(self, node: Node) -> None:
        start = len(self.problems)
        tree = dialect_tree(self.catalog, self.id, self.problems)
        if tree is not None:
            check_dialect(self.catalog, self.id, node, tree, self.problems)
        extends = node.get("extends")
        blame(self.problems, start, extends.mark if extends is not None else node.mark)

    # --- providers --------------------------------------------------------------------------------------------------

    def _provider(self, node: Node) -> None:
        extends = node.get("extends")
        top = extends.mark if extends is not None else node.mark
        before = len(self.problems.errors)
        start = len(self.problems)
        provider_tree(self.catalog, self.id, self.problems)
        blame(self.problems, start, top)
        if len(self.problems.errors) > before:
            return
        base = self.catalog.tree(self.id)
        self._compile(node, base, top)
        self.findings.examples += check_webhooks(self.catalog, self.id, self.problems, self.outcomes is not None)
        meaning = Problems()
        check_provider(self.catalog, self.id, node, meaning)
        blame(meaning, 0, top)
        failed = len(self.problems.errors) > 0
        self.problems += [p for p in meaning if not (failed and p.rule in _ABSENCES)]
        if self.outcomes is not None and not self.problems.errors:
            self._run_examples(node, base, top, self.outcomes)

    def _compile(self, node: Node, base: Node, top: Mark) -> None:
        """Every operation under every distinct combination of a model pattern and a variant."""
        idle: dict[Mark, Problem] = {}
        busy: set[Mark] = set()
        done: dict[tuple[object, ...], OperationPlan | None] = {}
        ways = list(combinations(base))
        names = [model for model, _, _ in ways if model]
        for model, variant, patches in ways:
            plans: dict[str, OperationPlan] = {}
            complete = True
            for operation in operation_names(base, patches):
                found = Problems()
                key = (operation, *map(id, relevant(patches, operation)))
                known = key in done
                if not known:
                    done[key] = self.catalog.compile(self.id, operation, model, variant, problems=found)
                plan = done[key]
                if plan is None:
                    complete = False
                else:
                    plans[operation] = plan
                if known:
                    continue
                _, chain = operation_tree(self.catalog, base, operation, patches, Problems())
                _add(found, list(self._inherited(chain)))
                nothing = {p.mark: p for p in found if p.rule == "deletes-nothing"}
                busy |= {mark for patch in patches for mark in _deletions(patch, operation)} - nothing.keys()
                idle |= nothing
                found[:] = [p for p in found if p.rule != "deletes-nothing"]
                blame(found, 0, _reader(node, operation, patches, top))
                self.problems += found
            if complete:
                found = Problems()
                unproven(patched(base, patches), plans, partial(_speaks_of, model=model, names=names), found)
                blame(found, 0, top)
                self.problems += found
        told = Problems(p for mark, p in idle.items() if mark not in busy)
        blame(told, 0, top)
        self.problems += told

    def _inherited(self, dialects: Iterable[str]) -> Iterator[Problem]:
        """What the first two steps find in the files of the dialects an operation extends."""
        for id in dialects:
            if id not in self.dialects:
                found, node = Problems(), self.catalog.dialect(id)
                if node is not None:
                    collected = self.catalog.files.findings or ()
                    found.extend(p for p in collected if p.mark.file == node.mark.file)
                    validate(node, "dialect", found)
                self.dialects[id] = found
            yield from map(replace, self.dialects[id])

    # --- examples ---------------------------------------------------------------------------------------------------

    def _run_examples(self, node: Node, base: Node, top: Mark, outcomes: Outcomes) -> None:
        for variant in [None, *(name for name, _ in (base.get("variants") or _EMPTY).items())]:
            for case in cases(self.catalog, self.id, variant):
                result = self._run(case, variant, outcomes)
                self.findings.results.append(result)
                if result.skipped is not None:
                    self.findings.skipped += 1
                    continue
                self.findings.examples += 1
                for failure in result.failures:
                    where = f"{self.id}:{variant}" if variant else self.id
                    self.problems.error("example", f"{where}: example `{result.name}`: {failure}", case.mark)
                    blame(self.problems, len(self.problems) - 1, self._suffers(node, base, case, variant, top))

    def _run(self, case: Case, variant: str | None, outcomes: Outcomes) -> Result:
        try:
            return outcomes.run(self.id, case, variant)
        except Error as error:
            failure = f"{error.kind}: {error}"
        except Exception as error:
            failure = f"the engine failed: {type(error).__name__}: {error}"
        return Result(self.id, case.operation, str(case.example.get("name")), case.origin, failures=[failure])

    def _suffers(self, node: Node, base: Node, case: Case, variant: str | None, top: Mark) -> Mark:
        """Where a reader of a failing example looks: at it, if it is the provider's own, else at the operation."""
        beside = self.catalog.files.beside("providers", self.id)
        if beside is not None and case.mark.file == self.catalog.label(beside):
            return case.mark
        return _reader(node, case.operation, matching_patches(base, None, variant), top)


def combinations(base: Node) -> Iterator[tuple[str, str | None, tuple[Node, ...]]]:
    """A model name, a variant and their patches, for every distinct combination of patches: plain first."""
    globs = [glob for glob, patch in (base.get("models") or _EMPTY).items() if glob != "default" and patch.is_map]
    variants = [name for name, _ in (base.get("variants") or _EMPTY).items()]
    seen: set[tuple[int, ...]] = set()
    for variant, model in product([None, *variants], ["", *map(matching_name, globs)]):
        patches = matching_patches(base, model, variant)
        key = tuple(map(id, patches))
        if key not in seen:
            seen.add(key)
            yield model, variant, patches


def matching_name(glob: str) -> str:
    """A model name that a pattern matches: stars become nothing, `?` a letter, sets their first member."""
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


def _speaks_of(globs: list[str], model: str, names: list[str]) -> bool:
    """Whether a statement about the models of these globs is one about `model`; without a pattern of their own they are plain."""
    own = {name for glob in globs for name in names if glob_matches(glob, name)}
    return model in own if own else not model


def _add(found: Problems, earlier: list[Problem]) -> None:
    """Put what earlier steps found before what a later one did, which says nothing of the same lines."""
    lines = {(p.mark.file, p.mark.line) for p in earlier if p.severity == "error"}
    found[:] = [*earlier, *(p for p in found if (p.mark.file, p.mark.line) not in lines)]


def _deletions(patch: Node, operation: str) -> Iterator[Mark]:
    """The places where a patch deletes something that an operation sees."""
    pending = [Node({key: node}) for key, node in patch.items() if key == operation or key not in OPERATIONS]
    while pending:
        for _, node in pending.pop().items():
            if node.value is None and node.key_mark is not None:
                yield node.key_mark
            pending.append(node)


def _reader(node: Node, operation: str, patches: Iterable[Node], top: Mark) -> Mark:
    """Where a provider's file brings an operation in: the last patch that names it, else its own table, else `extends`."""
    found = [patch.get(operation) for patch in patches if patch.mark.file == node.mark.file]
    for place in [*reversed(found), node.get(operation)]:
        if place is not None:
            return place.key_mark or place.mark
    return top
