"""Nothing vanishes: what a spec cannot express is dropped with a warning or refused, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from engine.errors import UnsupportedError
from engine.plan import OperationPlan
from engine.types import Report
from engine.vocabulary import MEDIA_TYPES, SCHEMA_DATA, SCHEMA_NAMES

#: request fields that are not parameters, and the names under which templates may read them
_READ_AS: dict[str, tuple[str, ...]] = {
    "tools": ("tools",),
    "server_tools": ("server_tools",),
    "tool_choice": ("tool_choice",),
    "response_format": ("response_format",),
    "reasoning": ("reasoning", "reasoning_effort"),
    "documents": ("documents",),
    "messages": ("messages", "turns", "prompt"),
    "system": ("system", "system_parts", "messages", "turns"),
}
#: dropped without losing what was asked: nothing was asked
_EMPTY: tuple[Any, ...] = (None, [], {}, "")


#: parameters outside the table, in order and as a set, and the other fields that no template reads
Untaken = tuple[tuple[str, ...], frozenset[str], tuple[str, ...]]


def drop_unsupported(plan: OperationPlan, context: dict[str, Any], report: Report, policy: str, fields: Untaken) -> None:
    """Remove `fields`, which no parameter and no template takes; `policy` is warn, error or ignore (SPEC_LANGUAGE 5.2)."""
    unlisted, names, unread = fields
    for name in () if names.isdisjoint(context) else unlisted:
        if context.get(name) is None:
            continue
        if name in plan.reads or (name == "reasoning_effort" and "reasoning" in plan.reads):  # one value under two names
            report.parameters[name] = {"fate": "template", "value": context[name]}
        elif "$views" in context and _said_otherwise(name, context["$views"], plan.listed | plan.reads):
            del context[name]
        else:
            _drop(plan, context, report, policy, name)
    for name in unread:
        if context.get(name) in _EMPTY:
            continue
        if name == "tool_choice" and context[name].get("mode") in ("auto", None):
            context.pop(name)
            continue
        if name == "response_format" and context[name].get("type") in ("text", None):
            context.pop(name)
            continue
        _drop(plan, context, report, policy, name)


def _said_otherwise(name: str, views: Mapping[str, tuple[str, ...]], taken: frozenset[str]) -> bool:
    """Whether a field only repeats what was given otherwise, or is taken in its other spelling."""
    return name in views or any(name in sources and view in taken for view, sources in views.items())


@lru_cache(maxsize=256)
def untaken(listed: frozenset[str], reads: frozenset[str], params: tuple[str, ...]) -> Untaken:
    """What a plan takes nowhere: of its `listed` parameters and the fields its templates read."""
    unlisted = tuple(dict.fromkeys(p for p in params if p not in listed))
    return unlisted, frozenset(unlisted), tuple(n for n, readers in _READ_AS.items() if (listed | reads).isdisjoint(readers))


def _drop(plan: OperationPlan, context: dict[str, Any], report: Report, policy: str, name: str) -> None:
    spoken = plan.dialect or plan.name
    if policy == "error":
        raise UnsupportedError(f"{plan.name} cannot express `{name}` (dialect {spoken} has no such parameter)", param=name)
    value = context.pop(name)
    report.parameters[name] = {"fate": "dropped", "value": value, "reason": f"{spoken} does not take it"}
    if policy != "ignore":
        report.warnings.append(f"{name} was dropped: {plan.provider} does not take it")


def check_parts(plan: OperationPlan, context: Mapping[str, Any], report: Report) -> None:
    """Refuse content that no template reads; thinking, names and marks of failure are dropped with a warning (SERVE.md 5, 17)."""
    if plan.name == "image_edit" and len(context.get("images") or ()) > 1 and "images" not in plan.reads:
        raise UnsupportedError(f"{plan.name} takes one picture here", param="image")
    if "response_format" in context:
        _check_schema(plan, context, report)
    if "$plain" in context and not context.get("tools"):  # nothing but bare texts
        return
    messages = context.get("messages")
    if not isinstance(messages, list):
        return
    reads = plan.part_reads
    if "strict" not in reads and any(tool.get("strict") for tool in context.get("tools") or ()):
        _lost(context, report, "the strictness of tools was dropped: it has no place in this request")
    if "$plain" in context:
        return
    for message in messages:
        if message.__class__ is not dict:
            continue
        if "name" in message and "message.name" not in reads:
            _lost(context, report, f"the name of a message ({message['name']!s:.64}) was dropped: it has no place in this request")
        if message.get("is_error") and "is_error" not in reads:
            _lost(context, report, "that a tool failed was dropped: its result has no place for it in this request")
        if message.get("plain"):
            continue
        for part in message.get("parts") or ():
            if part.get("type") == "tool_result":
                for inner in part.get("parts") or ():
                    if inner["type"] in MEDIA_TYPES:
                        _check_part(plan, inner, report, " in a tool result")
            _check_part(plan, part, report)
    for kind, most in plan.most:
        found = sum(p.get("type") == kind for m in messages if m.__class__ is dict for p in m.get("parts") or ())
        if found > most:
            message = f"{plan.provider} takes at most {most} {kind} part{'s' * (most != 1)} in a request, and there are {found}"
            raise UnsupportedError(message, param="messages")


def _check_schema(plan: OperationPlan, context: Mapping[str, Any], report: Report) -> None:
    """Words of the answer's schema that the provider's subset of JSON Schema lacks are dropped with a warning."""
    schema = (context["response_format"] or {}).get("schema")
    lacking = _lacking(plan.part_reads) if schema.__class__ is dict else frozenset()
    found: set[str] = set()
    todo: list[Any] = [schema] if lacking else []
    while todo:
        value = todo.pop()
        if value.__class__ is list:
            todo += value
        elif value.__class__ is dict:
            found |= lacking & value.keys()
            for key, child in value.items():
                if key in SCHEMA_NAMES and child.__class__ is dict:
                    todo += child.values()
                elif key not in SCHEMA_DATA:
                    todo.append(child)
    if found:
        words = ", ".join(sorted(found))
        _lost(
            context,
            report,
            f"{words} of the schema {'were' if len(found) > 1 else 'was'} dropped: {plan.provider} has no such words",
        )


@lru_cache(maxsize=256)
def _lacking(part_reads: frozenset[str]) -> frozenset[str]:
    """The words that the template of a plan leaves out of the schema of an answer."""
    named = frozenset(read.partition(" without ")[2] for read in part_reads if " without " in read)
    return named - {"$schema", "strict"}  # they constrain no answer


def _check_part(plan: OperationPlan, part: Mapping[str, Any], report: Report, where: str = "") -> None:
    kind = part.get("type")
    if kind in plan.part_types:
        if kind in MEDIA_TYPES and "id" not in part:
            _check_place(plan, kind, part.get("via"), where)
    elif kind == "thinking":
        if "thinking" not in plan.part_reads and "thinking_parts" not in plan.part_reads:
            _once(report, "thinking of earlier turns was dropped: it has no place in this request")
    elif kind == "tool_call" and not part.get("server"):
        if not _CALLED.intersection(plan.part_reads):
            _once(report, "calls of tools in the history were dropped: they have no place in this request")
    elif kind in MEDIA_TYPES:
        raise UnsupportedError(f"{plan.provider} cannot express {_article(kind)} {kind} part{where}")


#: one of these is read by every template that writes a call
_CALLED = frozenset(("tool_calls", "arguments", "arguments_json"))
#: where the content of a part lies -> the fields that templates say it with
_SAID_WITH = {"data": ("data", "uri", "bytes"), "url": ("url", "uri"), "file": ("file_id",)}


def _check_place(plan: OperationPlan, kind: str, via: str | None, where: str) -> None:
    """Refuse a medium whose content lies where the entry of its type does not look."""
    if any(kind == uploaded for uploaded, _ in plan.upload):
        return  # it is sent ahead and named by its id
    names = _SAID_WITH.get(via or "", ())
    if names and not any(f"{kind}.{name}" in plan.part_reads for name in names) and not (via == "url" and kind in plan.inline):
        how = {"file": "by the id of an uploaded file", "url": "by its URL", "data": "by its content"}[via or ""]
        raise UnsupportedError(f"{plan.provider} cannot express {_article(kind)} {kind} part {how}{where}")


def _lost(context: Mapping[str, Any], report: Report, text: str) -> None:
    """Something that was said beside the content stays behind."""
    policy = context.get("$unsupported")
    if policy == "error":
        raise UnsupportedError(text)
    if policy != "ignore":
        _once(report, text)


def _once(report: Report, text: str) -> None:
    if text not in report.warnings:
        report.warnings.append(text)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
