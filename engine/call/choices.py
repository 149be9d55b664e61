"""A folded candidate becomes a Choice: everything in order, and the views of it."""

from __future__ import annotations

from engine.call.block import Candidate
from engine.plan import OperationPlan
from engine.types import Choice, Part


def choice_of(plan: OperationPlan, number: int, candidate: Candidate, partial: bool) -> Choice:
    """The Choice of a candidate. With `partial` a call whose arguments are not complete is left out (RELIABILITY T6)."""
    first = candidate.blocks[0] if len(candidate.blocks) == 1 else None
    if first is not None and first.type == "text" and first.signature is None and first.redacted is None:  # the most of all
        text = "".join(first.pieces)
        whole = Part("text", text, first.id)
        whole.citations = first.citations
        reason = finish_reason(plan, candidate)
        return Choice(
            number, [whole], text or None, None, None, [], candidate.citations, candidate.logprobs, reason, candidate.finish
        )
    origin = f"{plan.dialect or plan.name} {plan.provider}"
    blocks = [b for b in candidate.blocks if not (partial and b.type == "tool_call" and not b.complete())]
    parts = [b.part(plan.dialect, origin) for b in blocks]
    if any(part.type == "tool_result" for part in parts):
        names = {part.id: part.name for part in parts if part.type == "tool_call"}
        for part in parts:
            if part.type == "tool_result":
                part.name = names.get(part.id) or part.name
    texts: dict[str, list[str]] = {"text": [], "thinking": [], "refusal": []}
    for part in parts:
        if part.text and part.type in texts:
            texts[part.type].append(part.text)
    joined = {kind: "".join(pieces) or None for kind, pieces in texts.items()}
    return Choice(
        index=number,
        parts=parts,
        text=joined["text"],
        thinking=joined["thinking"],
        refusal=joined["refusal"],
        tool_calls=[p for p in parts if p.type == "tool_call" and not p.server],
        citations=candidate.citations,
        logprobs=candidate.logprobs,
        finish_reason=finish_reason(plan, candidate),
        finish_reason_raw=candidate.finish,
    )


def finish_reason(plan: OperationPlan, candidate: Candidate) -> str | None:
    """The canonical reason: a plain stop with calls to the caller's tools is `tool_calls` (SPEC_LANGUAGE 6.4)."""
    if candidate.finish is None:
        return None
    reason = plan.finish_reasons.get(candidate.finish, "other")
    if candidate.calls and reason == "stop" and any(b.type == "tool_call" and not b.server and b.name for b in candidate.blocks):
        return "tool_calls"
    return reason
