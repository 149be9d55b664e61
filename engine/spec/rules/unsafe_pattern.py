"""A `pattern` is too long or could run for ever.

Patterns are at most 200 characters, without back-references and without nested quantifiers such as `(a+)+`
(RELIABILITY A6).
"""

from __future__ import annotations

from engine.spec.node import Node
from engine.spec.pattern import PatternError, compile_pattern
from engine.spec.problem import Problems
from engine.spec.rules import Spec


def check(spec: Spec, problems: Problems) -> None:
    for _, node in (spec.tree.get("variables") or Node({})).items():
        pattern = node.get("pattern")
        if pattern is None or pattern.value is None:
            continue
        try:
            compile_pattern(str(pattern.value))
        except PatternError as error:
            problems.error("unsafe-pattern", str(error), pattern.mark)
