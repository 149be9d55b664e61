"""Executable examples: what a spec sends and gives, checked without a network (SPEC_LANGUAGE 13)."""

from engine.examples.cases import Case, cases
from engine.examples.run import FROZEN_NOW, Result, run, run_all

__all__ = ["FROZEN_NOW", "Case", "Result", "cases", "run", "run_all"]
