"""Parameters that only some wires have (`native_params` of a spec): given by name, or left over of a request in their words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.call.normalize import names
from engine.errors import ConfigError, UnsupportedError
from engine.plan import OperationPlan
from engine.types import Report

_MISSING = object()


def lifted(plan: OperationPlan, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields with what the `extra` of this wire has at the places of its parameters under their names: they are then
    subject to the spec and reported as any other. What was given by name stays; nothing given is changed."""
    extra = fields["extra"]
    if extra.__class__ is not dict:
        return fields
    found: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for dialect, left in extra.items():
        if dialect in plan.dialects and left.__class__ is dict:
            for name, place in plan.native.items():
                value, without = _taken(left, place)
                if value is not _MISSING and name not in found and fields.get(name) is None:
                    found[name], left = value, without
        if left or left.__class__ is not dict:
            rest[dialect] = left
    if not found:
        return fields
    out = {**fields, **found, "extra": rest}
    if not rest:
        del out["extra"]
    return out


def _taken(left: dict[str, Any], place: tuple[str, ...]) -> tuple[Any, dict[str, Any]]:
    """The value at a place, and a copy of the mapping without it, also without mappings that are empty then."""
    value = left.get(place[0])
    if value is None:
        return _MISSING, left
    if len(place) == 1:
        return value, {k: v for k, v in left.items() if k != place[0]}
    if value.__class__ is not dict:
        return _MISSING, left
    inner, without = _taken(value, place[1:])
    if inner is _MISSING:
        return _MISSING, left
    return inner, {**left, place[0]: without} if without else {k: v for k, v in left.items() if k != place[0]}


def foreign(
    operation: str,
    fields: Mapping[str, Any],
    error: ConfigError,
    plan: OperationPlan,
    declared: Callable[[str], bool] | None,
    report: Report,
    policy: str,
) -> dict[str, Any] | None:
    """The fields without parameters that only other wires have, after an error that may be about one of them; None if it is not.

    `declared` says whether some wire has a parameter of a name. `policy` is warn, error or ignore: such a parameter is dropped
    like any that this one does not take.
    """
    if declared is None or error.param not in fields:
        return None
    known = names(operation) | plan.native.keys()
    strange = [name for name in fields if name not in known]
    if error.param not in strange or not all(isinstance(name, str) and declared(name) for name in strange):
        return None
    for name in strange:
        if policy == "error":
            message = f"{operation} cannot express `{name}` (dialect {plan.dialect or operation} has no such parameter)"
            raise UnsupportedError(message, param=name)
        report.parameters[name] = {"fate": "dropped", "value": fields[name], "reason": f"{plan.provider} does not take it"}
        if policy != "ignore":
            report.warnings.append(f"{name} was dropped: {plan.provider} does not take it")
    return {name: value for name, value in fields.items() if name in known}
