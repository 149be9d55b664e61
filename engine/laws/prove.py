"""Tries the laws on a file, and tells where they do not hold."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from engine.catalog import Catalog
from engine.errors import Error, SpecError
from engine.expr.function import locate
from engine.laws.place import place_of
from engine.laws.shrink import shrunk
from engine.laws.statements import LAWS, Difference, Law, Unsayable
from engine.laws.subject import Subject, subjects
from engine.laws.witness import SELF_CONSISTENT, witnesses
from engine.spec.problem import Problem, Problems

COUNT = 100  # checks of each law on each file, where nobody says how many
MOST_FAILURES = 5  # of one law on one file: the rest would be the same again


@dataclass(slots=True)
class Proof:
    """What came of it. `checks` counts those that were made, `refused` samples the dialect says it cannot express."""

    problems: list[Problem] = field(default_factory=list)
    subjects: int = 0
    checks: int = 0
    refused: int = 0
    alone: list[str] = field(default_factory=list)  # dialects that no recording and no client library vouches for
    seconds: float = 0.0

    def summary(self) -> str:
        """One line of counts."""
        held = "all held" if not self.problems else f"{len(self.problems)} broken"
        tried = f"{len(LAWS)} laws, {self.checks} checks of {self.subjects} served"
        alone = f"; {SELF_CONSISTENT}: {', '.join(sorted(set(self.alone)))}" if self.alone else ""
        return f"{tried}, {self.refused} refused, {held}, {self.seconds:.2f} s{alone}"


def prove(
    catalog: Catalog,
    ids: Iterable[tuple[str, str]],
    *,
    count: int = COUNT,
    seed: int = 0,
    laws: Iterable[str] = (),
    progress: Callable[[str], None] | None = None,
) -> Proof:
    """Try every law (or those named) `count` times on every file that is served; the same seed tries the same."""
    start = time.perf_counter()
    proof = Proof()
    chosen = [law for law in LAWS if not laws or law.name in set(laws)]
    for kind, id in ids:
        try:
            found = subjects(catalog, kind, id)
        except SpecError:
            continue  # the check has told what is wrong with it
        for subject in found:
            proof.subjects += 1
            if not witnesses(catalog, subject.served.dialect):
                proof.alone.append(subject.served.dialect)
            for law in chosen:
                if law.applies(subject):
                    _try(subject, law, count, seed, proof, progress)
    proof.seconds = time.perf_counter() - start
    return proof


def _try(subject: Subject, law: Law, count: int, seed: int, proof: Proof, progress: Callable[[str], None] | None) -> None:
    told: set[Any] = set()
    for number in range(count):
        if progress and number % 50 == 0:
            progress(f"{subject.name} {law.name} {number}/{count}")
        sample = law.draw(Random(f"{seed} {subject.name} {law.name} {number}"), subject)
        outcome = _outcome(subject, law, sample)
        if outcome is None:
            proof.refused += 1
            continue
        proof.checks += 1
        if outcome is True or (where := _where(outcome)) in told:
            continue
        told.add(where)
        small = shrunk(sample, lambda smaller: _sound(law, smaller) and _fails(_outcome(subject, law, smaller), where))
        proof.problems.append(_problem(subject, law, small, _outcome(subject, law, small), f"seed {seed}, check {number}"))
        if len(told) >= MOST_FAILURES:
            return


def _sound(law: Law, sample: dict[str, Any]) -> bool:
    try:
        return law.sound(sample)
    except (KeyError, TypeError, AttributeError, IndexError):
        return False  # too little of it is left


def _outcome(subject: Subject, law: Law, sample: dict[str, Any]) -> Difference | Exception | bool | None:
    """True if the law holds, None if the dialect refuses, else the difference or what was raised."""
    try:
        found = law.check(subject, sample)
    except Unsayable:
        return None
    except Exception as error:
        return error
    return True if found is None else found


def _where(outcome: Any) -> Any:
    """What failures of one cause have in common: the path without positions, or the kind of error."""
    if isinstance(outcome, Difference):
        return tuple(step for step in outcome.path[:6] if isinstance(step, str) and not step.startswith("x"))
    return type(outcome).__name__


def _fails(outcome: Any, where: Any) -> bool:
    return outcome is not None and outcome is not True and _where(outcome) == where


def _problem(subject: Subject, law: Law, sample: Any, outcome: Any, when: str) -> Problem:
    if isinstance(outcome, Difference):
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in outcome.path).removeprefix(".")
        what = f"`{path}` was {_short(outcome.expected)} and became {_short(outcome.found)}"
        mark = place_of(subject.tree, outcome.path, outcome.side)
    else:
        what = f"{type(outcome).__name__}: {outcome}" if not isinstance(outcome, Error) else f"{outcome.kind}: {outcome}"
        mark = locate(outcome) or place_of(subject.tree, (), "answer")
    problems = Problems()
    problems.error(
        "law", f"{subject.name}: {law.name} ({law.says}) does not hold: {what}; with {json.dumps(sample)} ({when})", mark
    )
    return problems[0]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
