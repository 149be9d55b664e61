"""A provider with operations names no `models: {default: …}`.

The default is the model that examples, generated pages and the command line show; the engine itself never picks a model.
"""

from __future__ import annotations

from engine.spec.problem import Problems
from engine.spec.rules import Spec


def check(spec: Spec, problems: Problems) -> None:
    if spec.operations and spec.tree.get("models", "default") is None:
        problems.warn("missing-default-model", "`models: {default: …}` is missing", spec.file.mark)
