"""Who and where: a provider's identity, credentials and settings (SPEC_LANGUAGE 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine import plan
from engine.expr.function import Unit
from engine.expr.shelf import Shelf
from engine.spec.compile.call import Deferred, Functions, present
from engine.spec.node import Node
from engine.spec.pattern import PatternError, compile_pattern
from engine.spec.problem import Problems
from engine.vocabulary import ANY, OPERATIONS, Shape

_EMPTY = Node({})


def provider_plan(
    provider: str, node: Node, problems: Problems, trust: str = "builtin", allowed: tuple[str, ...] | None = None
) -> plan.ProviderPlan:
    """The part of a provider that is known before any of its operations is compiled."""
    status = node.get("status")
    note: dict[str, Any] = {}
    value = "active"
    if status is not None and status.is_map:
        note = status.plain()
        value = str(note.pop("value", "active"))
    elif status is not None and status.value:
        value = str(status.value)
    secrets = secret_plans(node)
    default = node.get("models", "default")
    return plan.ProviderPlan(
        id=provider,
        name=_text(node, "name") or provider,
        status=value,
        status_note=note,
        about=_text(node, "about"),
        docs=_text(node, "docs"),
        telemetry=_text(node, "telemetry"),
        secrets=secrets,
        variables=variable_plans(node, secrets, problems),
        base_url=_server(node, problems),
        operations=tuple(o for o in OPERATIONS if present(node, o)),
        variants=tuple(k for k, _ in (node.get("variants") or _EMPTY).items()),
        default_model=str(default.value) if default is not None and default.value else None,
        trust=trust,
        allowed=allowed,
    )


def shelved_plan(
    shelf: Shelf, provider: str, node: Node, problems: Problems, trust: str, allowed: tuple[str, ...] | None
) -> plan.ProviderPlan:
    """`provider_plan`, made once for all operations of a provider; what is wrong is told each time."""
    key = ("provider", provider, id(node), trust, allowed)
    found = shelf.maps.get(key)
    if found is None:
        told = Problems()
        found = shelf.maps[key] = (node, provider_plan(provider, node, told, trust, allowed), told)
    problems.extend(replace(problem) for problem in found[2])
    made: plan.ProviderPlan = found[1]
    return made


def secret_plans(node: Node) -> tuple[plan.Secret, ...]:
    """The declared secrets; the short form is the name of an environment variable."""
    out = []
    for name, value in (node.get("secrets") or _EMPTY).items():
        if not value.is_map:
            out.append(plan.Secret(name, env=_words(value)))
            continue
        table = value.plain()
        out.append(
            plan.Secret(
                name,
                env=_words(value.get("env")),
                format=table.get("format"),
                optional=bool(table.get("optional")),
                about=table.get("about"),
            )
        )
    return tuple(out)


def variable_plans(node: Node, secrets: tuple[plan.Secret, ...], problems: Problems) -> tuple[plan.Variable, ...]:
    """The declared variables. A default may read earlier variables and fields of a JSON secret."""
    known: dict[str, Shape] = {s.name: ANY for s in secrets if s.format == "json"}
    pending: list[tuple[dict[str, Any], Deferred | None]] = []
    unit: Unit | None = None
    before = len(problems.errors)
    for name, value in (node.get("variables") or _EMPTY).items():
        table = value.plain() if value.is_map else {"default": value.value}
        default = value.get("default") if value.is_map else value
        make: Deferred | None = None
        if default is not None and default.value is not None:
            if isinstance(default.value, str) and "{{" in default.value:
                unit = unit or Unit("variables")
                make = _default(name, default, unit, known, problems)
            else:
                make = _constant(default.value)
        known[name] = ANY
        _check_pattern(value, problems)
        pending.append(({**table, "name": name, "env": _words(value.get("env"))}, make))
    functions: Functions = unit.build() if unit is not None and len(problems.errors) == before else {}
    return tuple(_variable(table, make(functions) if make else None) for table, make in pending)


def _check_pattern(variable: Node, problems: Problems) -> None:
    pattern = variable.get("pattern")
    if pattern is not None and pattern.value is not None:
        try:
            compile_pattern(str(pattern.value))
        except PatternError as error:
            problems.error("unsafe-pattern", str(error), pattern.mark)


def _variable(table: Mapping[str, Any], default: Any) -> plan.Variable:
    return plan.Variable(
        name=table["name"],
        env=table["env"],
        default=default,
        required=bool(table.get("required")),
        pattern=table.get("pattern"),
        format=table.get("format"),
        values=tuple(table.get("values") or ()),
        about=table.get("about"),
    )


def _constant(value: Any) -> Deferred:
    return lambda _: lambda context: value


def _default(name: str, node: Node, unit: Unit, known: Mapping[str, Shape], problems: Problems) -> Deferred:
    from engine.expr.template import Templates

    Templates(unit, problems, Shape({}), variables=dict(known), label="variables").template(f"default_{name}", node, "body")
    return lambda functions: functions.get(f"default_{name}", lambda context: None)


def _server(node: Node, problems: Problems) -> plan.Variable | None:
    """`base_url: {env: …, default: …}`: a server that the operator chooses."""
    found = node.get("base_url")
    if found is None or not found.is_map:
        return None
    table = found.plain()
    default = table.get("default")
    if default is not None and "{{" in str(default):
        problems.error("bad-value", "the default of a chosen `base_url` is plain text", found.value["default"].mark)
    return plan.Variable(
        name="base_url",
        env=_words(found.get("env")),
        default=_constant(default)({}) if default else None,
        required=default is None,
        format="url",
        about=table.get("about") or "address of the server",
    )


def _words(node: Node | None) -> tuple[str, ...]:
    if node is None or node.value is None:
        return ()
    return tuple(str(v.value) for v in node.value) if node.is_list else (str(node.value),)


def _text(node: Node, key: str) -> str | None:
    found = node.get(key)
    return str(found.value) if found is not None and found.value is not None and not found.is_map else None
