"""Capabilities are proved by structure: a flag that is `true` without the wire for it is an error (SPEC_LANGUAGE 11)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from engine.spec.compile.call import present
from engine.spec.node import Node
from engine.spec.problem import Problems, nearest
from engine.vocabulary import CAPABILITIES

if TYPE_CHECKING:
    from engine.expr.template import Templates
    from engine.plan import OperationPlan

_PARTS = {"vision": "image", "audio_in": "audio", "video_in": "video", "documents": "document"}
_OUTPUTS = {"citations": "citation", "logprobs": "logprobs"}
#: the operation capabilities speak of first; the flags of other operations are only what their structure shows
_LEADING = "chat"


def lacking(root: Node, tree: Node, templates: Templates, emitted: Collection[str], operation: str) -> dict[str, str]:
    """flag -> what the structure of an operation lacks to prove it. Flags that no structure could prove are not in it."""
    out: dict[str, str] = {}
    if not present(tree, "stream"):
        out["stream"] = f"{operation} has no `stream`"
    if "tools" not in templates.reads:
        out["tools"] = f"no template of {operation} reads `tools`"
    elif not _takes_results(tree, templates):
        out["tools"] = f"{operation}.parts has no `tool_result`, and no case is for the role `tool`"
    elif "tool_call" not in emitted:
        out["tools"] = f"no map of {operation} gives `tool_call`"
    for flag, kind in _PARTS.items():
        if kind not in templates.part_types and kind not in templates.selected_types:
            out[flag] = f"{operation}.parts has no `{kind}`"
    if "response_format.schema" not in templates.paths and "schema" not in templates.part_reads:
        out["json_schema"] = f"no template of {operation} reads `response_format.schema`"
    if "thinking" not in emitted and not present(tree, "thinking_tags"):
        out["thinking"] = f"no map of {operation} gives `thinking`, and there are no `thinking_tags`"
    for flag, kind in _OUTPUTS.items():
        if kind not in emitted:
            out[flag] = f"no map of {operation} gives `{kind}`"
    for flag in ("realtime", "batch"):
        if not present(root, flag):
            out[flag] = f"there is no operation `{flag}`"
    return out


#: flags that a structure can prove; the others are what the provider's page says
PROVABLE = frozenset(("stream", "tools", *_PARTS, "json_schema", "thinking", *_OUTPUTS, "realtime", "batch"))


def capabilities(root: Node, operation: str, lacks: Mapping[str, str], problems: Problems) -> dict[str, Any]:
    """flag -> true, false or "partial" of one operation. A flag not given is derived from structure, else absent: unknown.

    Reports `no-evidence` for a chat; what is said of some models only, or by a provider without chat, is for `unproven`.
    """
    out: dict[str, Any] = {flag: True for flag in CAPABILITIES if flag in PROVABLE and flag not in lacks}
    for flag, node in (root.get("capabilities") or Node({})).items():
        where = node.key_mark or node.mark
        if flag not in CAPABILITIES:
            near = nearest(flag, CAPABILITIES)
            problems.error("unknown-key", f"`{flag}` is not a capability", where, near, width=len(flag))
            continue
        value = _stated(node)
        if operation == _LEADING:
            out[flag] = "partial" if value is True and _globs(node) else value
            if value and flag in lacks and not _globs(node):
                problems.error("no-evidence", f"capability `{flag}`: {lacks[flag]}", where, width=len(flag))
        elif flag in out:
            out[flag] = value
    return out


def unproven(root: Node, plans: Mapping[str, OperationPlan], fits: Any, problems: Problems) -> None:
    """Report the flags a whole provider states and no operation of it proves, as far as `capabilities` has not.

    `plans` are the operations under one combination of patches, `fits(globs)` says whether it is one for these models.
    """
    for flag, node in (root.get("capabilities") or Node({})).items():
        globs = _globs(node)
        if not _stated(node) or (globs and not fits(globs)) or (not globs and _LEADING in plans):
            continue
        lacks = [plan.lacks.get(flag) for plan in sorted(plans.values(), key=lambda plan: plan.name != _LEADING)]
        if lacks and all(lacks):
            problems.error("no-evidence", f"capability `{flag}`: {lacks[0]}", node.key_mark or node.mark, width=len(flag))


def _stated(node: Node) -> Any:
    """`true`, `false`, `partial`, or the `value` of the long form, which is true when not given."""
    if not node.is_map:
        return node.value
    value = node.get("value")
    return True if value is None else value.value


def _globs(node: Node) -> list[str]:
    found = node.get("models")
    return [str(n.value) for n in found.value] if found is not None and found.is_list else []


def _takes_results(tree: Node, templates: Templates) -> bool:
    """Whether results of tools have a place: a part of their own, or messages of the role `tool`."""
    return "tool_result" in templates.part_types | templates.selected_types or (
        "tool_name" in templates.part_reads or any(_tool_cases(tree.get("body")))
    )


def _tool_cases(node: Node | None) -> Iterator[bool]:
    if node is None:
        return
    if node.is_map:
        if "$switch" in node.value:
            yield any("tool" in (case.strip() for case in key.split("|")) for key in node.value)
        for child in node.value.values():
            yield from _tool_cases(child)
    elif node.is_list:
        for child in node.value:
            yield from _tool_cases(child)
