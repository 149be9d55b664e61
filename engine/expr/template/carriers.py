"""`native` and `extra`: what only one dialect understands travels with the request and returns to that dialect (SERVE.md 4).

`extra` is {dialect: mapping} on a request, message, tool or part. It is laid over what the template wrote: mappings merge, a
mapping over a list reaches its items by position ({"0": {…}}), a list over a list is appended, anything else replaces.
Another dialect's carrier is dropped with a warning, or refused when the caller said `unsupported="error"` (`$unsupported`).
"""

from __future__ import annotations

from typing import Any

from engine.errors import ConfigError, UnsupportedError
from engine.expr.template.values import MAX_MERGE, dump, kind

_FALLBACK_TEXT = ("json", "refusal")


def warn(c: dict[str, Any], message: str) -> None:
    """A sentence on the report, once."""
    report = c.get("$report")
    if report is not None and message not in report.warnings:
        report.warnings.append(message)


def lost(c: dict[str, Any], message: str) -> None:
    """Something of the caller's is not sent."""
    if c.get("$unsupported") == "error":
        raise UnsupportedError(message)
    if c.get("$unsupported") != "ignore":
        warn(c, message)


def no_place(c: dict[str, Any], value: Any, subject: str, label: str) -> None:
    """A `$switch` case written as `~`: the value is known and cannot be said on this wire."""
    lost(c, f"{subject} `{value}` was dropped: {label} has no place for it")


def vanished(c: dict[str, Any], type_: Any, label: str) -> None:
    """A part whose entry wrote nothing (thinking without its signature)."""
    lost(c, f"{type_} of earlier turns was dropped: {label} has no place for it in this form")


def native(c: dict[str, Any], out: list[Any], item: dict[str, Any], label: str) -> None:
    """Write a native item as it is, if this is its dialect."""
    dialect = item.get("dialect")
    if dialect in (c.get("$dialects") or ()):
        data = item.get("data")
        out.append(item.get("native") if data is None else data)
    else:
        said = item.get("said")
        if said is not None:
            lost(c, f"{said} was dropped by {label}: only {dialect!s:.64} has a place for it")
        else:
            data = item.get("data")
            kind_ = data.get("type") if data.__class__ is dict else None
            called = f" ({kind_[:60]})" if kind_.__class__ is str else ""
            lost(c, f"an item{called} only {dialect!s:.64} understands was dropped by {label}")


def extra(c: dict[str, Any], out: list[Any], start: int, item: dict[str, Any], label: str) -> None:
    """Lay an item's `extra` over the first mapping it wrote into `out`, from index `start` on."""
    found = item["extra"]
    if not found:
        return
    own = _own(c, found, label)
    if not own:
        return
    for at in range(start, len(out)):
        if out[at].__class__ is dict:
            out[at] = laid(out[at], own, 0)
            return
    lost(c, f"{label} could not place what came with an item: {', '.join(map(str, own))}"[:300])


def request_extra(c: dict[str, Any], body: Any) -> Any:
    """The body with the request's own `extra` laid over it; the body is copied where it changes."""
    found = c.get("extra")
    if not found:
        return body
    own = _own(c, found, "this request")
    if not own:
        return body
    if body is not None and body.__class__ is not dict:
        raise ConfigError(f"`extra` needs a body that is a mapping, not {kind(body)}")
    return laid(body or {}, own, 0)


def _own(c: dict[str, Any], found: Any, label: str) -> dict[str, Any]:
    """What of an `extra` is for this operation's dialects; the rest is reported."""
    if found.__class__ is not dict:
        raise ConfigError(f"`extra` is a mapping from dialects to mappings, not {kind(found)}")
    dialects = c.get("$dialects") or ()
    own: dict[str, Any] = {}
    for dialect, patch in found.items():
        if dialect not in dialects:
            named = f": {', '.join(map(str, patch))}" if patch.__class__ is dict and patch else ""
            lost(c, f"what only {dialect!s:.64} understands was dropped by {label}{named}"[:400])
        elif patch.__class__ is not dict:
            raise ConfigError(f"`extra` for {dialect!s:.64} is a mapping, not {kind(patch)}")
        else:
            own = laid(own, patch, 0) if own else patch
    return own


def laid(base: Any, patch: Any, depth: int) -> Any:
    """`patch` over `base`; neither is changed."""
    if depth > MAX_MERGE:
        raise ConfigError("`extra` is nested too deeply")
    if base.__class__ is dict and patch.__class__ is dict:
        out = dict(base)
        for key, value in patch.items():
            out[key] = laid(out[key], value, depth + 1) if key in out else value
        return out
    if base.__class__ is list and patch.__class__ is list:
        return base + patch
    if base.__class__ is list and patch.__class__ is dict and all(k.__class__ is str and k.isdecimal() for k in patch):
        items = list(base)
        for position, value in sorted(((int(k[:9]), v) for k, v in patch.items()), key=lambda pair: pair[0]):
            if position < len(items):
                items[position] = laid(items[position], value, depth + 1)
            else:
                items.append(value)
        return items
    return patch


def other_part(c: dict[str, Any], out: list[Any], part: Any, label: str, has_text: bool) -> dict[str, Any] | None:
    """What stands in for a part without an entry: text for json and refusals, nothing for thinking (SERVE.md 5).

    A native part is written at once. Raises UnsupportedError for any other type.
    """
    if part.__class__ is not dict:
        raise ConfigError(f"a part is a mapping, not {kind(part)}")
    type_ = part.get("type")
    if type_ == "native":
        native(c, out, part, label)
        return None
    if type_ == "thinking":
        lost(c, f"thinking of earlier turns was dropped: {label} has no place for it")
        return None
    if has_text and type_.__class__ is str and type_ in _FALLBACK_TEXT:
        words = part.get("text")
        if words is None:
            words = part.get("refusal") if type_ == "refusal" else dump(part.get("json"))
        return {"type": "text", "text": words}
    if type_.__class__ is not str:
        raise ConfigError("a part needs a `type`")
    article = "an" if type_[:1] in "aeiou" else "a"
    raise UnsupportedError(f"{label} cannot express {article} {type_[:40]} part")
