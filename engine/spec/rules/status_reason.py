"""A provider that cannot be used says since when, why, and what to use instead.

`status: {value: discontinued, since: "2026-05-12", reason: …, instead: [ids]}`; see SPEC_LANGUAGE 2.1.
"""

from __future__ import annotations

from engine.spec.problem import Problems
from engine.spec.rules import Spec

_ENDED = ("deprecated", "discontinued", "private")


def check(spec: Spec, problems: Problems) -> None:
    status = spec.file.get("status")
    if status is None:
        return
    value = status.value["value"].value if status.is_map and "value" in status.value else status.value
    if value in _ENDED and status.get("reason") is None:
        problems.warn("status-reason", f"`{value}` wants a `reason`", status.key_mark or status.mark)
