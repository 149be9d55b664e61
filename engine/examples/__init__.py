"""Executable examples: what a spec sends and gives, checked without a network (SPEC_LANGUAGE 13)."""

from engine.examples.cases import Case, cases
from engine.examples.given import given_operation
from engine.examples.run import Result, run, run_all
from engine.examples.shared import Outcomes

__all__ = ["Case", "Outcomes", "Result", "cases", "given_operation", "run", "run_all"]
