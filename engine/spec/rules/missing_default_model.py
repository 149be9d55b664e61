"""A provider with operations about models names no `models: {default: …}`.

The default is the model that examples, generated pages and the command line show; the engine itself never picks a model.
"""

from __future__ import annotations

from engine.spec.problem import Problems
from engine.spec.rules import Spec
from engine.vocabulary import MODELLESS


def check(spec: Spec, problems: Problems) -> None:
    if not MODELLESS.issuperset(spec.operations) and spec.tree.get("models", "default") is None:
        problems.warn("missing-default-model", "`models: {default: …}` is missing", spec.file.mark)
