"""The fields that open a session: instructions, tools and a history as in a chat, and how it sounds (SPEC_LANGUAGE 7.4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from engine.call.normalize.chat import chat
from engine.errors import ConfigError
from engine.vocabulary import PARAMS

_OWN = frozenset(PARAMS["realtime"]) - {"modalities"}
_SYSTEM = frozenset(("system", "system_parts"))


def realtime(
    fields: Mapping[str, Any], reads: frozenset[str] | None, part_reads: frozenset[str], dialects: Collection[str]
) -> dict[str, Any]:
    """The canonical request. `fields` has known names only and no None; `instructions` is another word for `system`."""
    given = {name: value for name, value in fields.items() if name not in _OWN}
    own = {name: value for name, value in fields.items() if name in _OWN}
    instructions = given.pop("instructions", None)
    if instructions is not None:
        if "system" in given:
            raise ConfigError("`instructions` and `system` say the same: give one of them", param="instructions")
        given["system"] = instructions
    given.setdefault("messages", [])
    found = chat(given, None if reads is None else reads | _SYSTEM, part_reads, False, dialects)
    history = [m for m in found.pop("messages") if m.get("role") != "system"]
    if history:
        found["messages"] = history
    return {**found, **own}
