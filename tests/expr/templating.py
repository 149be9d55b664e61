"""Templates from YAML text, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from engine import vocabulary
from engine.expr.function import Unit
from engine.expr.template import Templates
from engine.spec.load import load
from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.types import Report
from engine.vocabulary import ANY, Shape

FREE = Shape(dict.fromkeys(("a", "b", "c", "d", "x", "y", "z", "items", "text", "stream", "name"), ANY))


def tree_of(text: str) -> Node:
    problems = Problems()
    node = load(text, "t.yaml", problems)
    assert node is not None and not problems.errors, [str(p) for p in problems]
    return node


class Spec:
    """A spec's templates, compiled. `render` gives what a template makes of a context."""

    def __init__(self, text: str | Node, shape: Shape = FREE, mode: str = "body", **options: Any) -> None:
        tree = tree_of(text) if isinstance(text, str) else text
        self.problems = Problems()
        self.unit = Unit("test")
        tables = tree.get("tables")
        self.templates = Templates(
            self.unit,
            self.problems,
            shape,
            **{
                "variables": {"model_info": ANY, "region": ANY},
                "tables": tables.plain() if tables else {},
                "label": "acme",
                **options,
            },
        )
        if tree.get("parts") is not None:
            self.templates.parts(tree.value["parts"])
        for name in ("t", "body"):
            if name in tree.value:
                self.templates.template(name, tree.value[name], mode)
        if "post" in tree.value:
            self.templates.template("url", tree.value["post"], "url")
        if "params" in tree.value:
            self.templates.params("params", tree.value["params"])
        if "when" in tree.value:
            self.templates.expression("when", tree.value["when"])
        self.functions = self.unit.build()

    def render(self, function: str = "t", /, **context: Any) -> Any:
        assert not self.problems.errors, [str(p) for p in self.problems]
        context.setdefault("$dialects", ("acme",))
        context.setdefault("$now", 1767225600.0)
        context.setdefault("$uuid", lambda name: f"id-{name}")
        return self.functions[function](context)


def chat(text: str, **options: Any) -> Spec:
    return Spec(text, vocabulary.REQUESTS["chat"], **options)


def rendered(template: str, mode: str = "body", /, **context: Any) -> Any:
    """What the template under `t:` makes of a context of free names."""
    return Spec(f"t: {template}", FREE, mode).render(**context)


def value(expression: str, /, **context: Any) -> Any:
    """What a single expression makes of a context of free names."""
    return Spec(Node({"t": Node("{{ " + expression + " }}")})).render(**context)


def problems_of(template: str, shape: Shape = FREE, mode: str = "body", **options: Any) -> list[str]:
    return [str(p) for p in Spec(f"t: {template}", shape, mode, **options).problems.sorted()]


def rules_of(expression: str) -> list[str]:
    """The rules that an expression of free names breaks."""
    return [p.rule for p in Spec(Node({"t": Node("{{ " + expression + " }}")})).problems]


def report() -> Report:
    return Report()
