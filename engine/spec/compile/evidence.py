"""Capabilities are proved by structure: a flag that is `true` without the wire for it is an error (SPEC_LANGUAGE 11)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from engine.spec.compile.call import present
from engine.spec.node import Node
from engine.spec.problem import Problems, nearest
from engine.vocabulary import CAPABILITIES, OPERATIONS

if TYPE_CHECKING:
    from engine.expr.template import Templates

_PARTS = {"vision": "image", "audio_in": "audio", "video_in": "video", "documents": "document"}
_OUTPUTS = {"citations": "citation", "logprobs": "logprobs"}
#: flags that no part of a spec can prove; they are what the provider's page says
_CLAIMS = frozenset("parallel_tools audio_out image_out json_mode web_search prompt_cache prefill system".split())


def capabilities(
    root: Node, tree: Node, templates: Templates, emitted: Mapping[str, Collection[str]], problems: Problems
) -> dict[str, Any]:
    """flag -> true, false or "partial". A flag not given is derived where the structure proves it, else absent (unknown)."""
    proof = evidence(root, tree, templates, emitted)
    out: dict[str, Any] = {flag: True for flag, lack in proof.items() if lack is None}
    for flag, node in (root.get("capabilities") or Node({})).items():
        if flag not in CAPABILITIES:
            message = f"`{flag}` is not a capability"
            problems.error("unknown-key", message, node.key_mark or node.mark, nearest(flag, CAPABILITIES), width=len(flag))
            continue
        value = node.value["value"].value if node.is_map and "value" in node.value else node.value
        if node.is_map and "value" not in node.value:
            value = True
        out[flag] = value
        lack = proof.get(flag)
        if value is not False and value is not None and lack is not None:
            problems.error("no-evidence", f"capability `{flag}`: {lack}", node.key_mark or node.mark, width=len(flag))
    return out


def evidence(root: Node, tree: Node, templates: Templates, emitted: Mapping[str, Collection[str]]) -> dict[str, str | None]:
    """flag -> None if the spec's structure proves it, else what is lacking; flags without a structure are left out."""
    reads = templates.reads
    out: dict[str, str | None] = {}
    out["stream"] = None if present(tree, "stream") else "there is no `stream` block"
    if "tools" not in reads:
        out["tools"] = "no template reads `tools`"
    elif "tool_result" not in templates.part_types and "tool_name" not in templates.part_reads and not _has_tool_case(tree):
        out["tools"] = "neither `parts.tool_result` nor a `tool` role case"
    else:
        out["tools"] = None if "tool_call" in emitted else "no map emits `tool_call`"
    for flag, kind in _PARTS.items():
        known = kind in templates.part_types or kind in getattr(templates, "selected_types", ())
        out[flag] = None if known else f"parts has no `{kind}`"
    structured = "schema" in templates.part_reads or "response_format.schema" in getattr(templates, "paths", ())
    out["json_schema"] = (
        None if structured or _mentions(tree, "response_format.schema") else "no template reads `response_format.schema`"
    )
    thinking = "thinking" in emitted or present(tree, "thinking_tags")
    out["thinking"] = None if thinking else "no map emits `thinking` and there are no `thinking_tags`"
    for flag, kind in _OUTPUTS.items():
        out[flag] = None if kind in emitted else f"no map emits `{kind}`"
    for flag in ("realtime", "batch"):
        out[flag] = None if flag in OPERATIONS and present(root, flag) else f"there is no `{flag}` operation"
    return {flag: lack for flag, lack in out.items() if flag not in _CLAIMS}


def _has_tool_case(tree: Node) -> bool:
    def walk(node: Node) -> bool:
        if node.is_map:
            if "$switch" in node.value and any("tool" in key.split(" | ") for key in node.value):
                return True
            return any(walk(child) for child in node.value.values())
        return any(walk(child) for child in node.value) if node.is_list else False

    body = tree.get("body")
    return body is not None and walk(body)


def _mentions(tree: Node, text: str) -> bool:
    def walk(node: Node) -> bool:
        if node.is_map:
            return any(walk(child) for child in node.value.values())
        if node.is_list:
            return any(walk(child) for child in node.value)
        return isinstance(node.value, str) and text in node.value

    body = tree.get("body")
    return body is not None and walk(body)
