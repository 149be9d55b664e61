"""One answer in every dialect, as a whole reply and as the frames of a stream: pairs for the laws of tests/test_laws.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<>"), min_size=1, max_size=12).filter(
    lambda t: t.strip() == t
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(words, values, max_size=3)

#: an answer: pieces of thinking, pieces of text, calls (id, name, arguments); counters
answers = st.tuples(
    st.lists(words, max_size=3),
    st.lists(words, max_size=4),
    st.lists(st.tuples(st.from_regex(r"[a-z]{3}", fullmatch=True), objects), max_size=3, unique_by=lambda c: c[0]),
    st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
).filter(lambda a: a[1] or a[2])


def openai_pair(a: Any) -> tuple[Any, list[Any]]:
    thinking, text, calls, (into, out) = a
    made = [{"id": f"id_{n}", "type": "function", "function": {"name": n, "arguments": json.dumps(x)}} for n, x in calls]
    end = "tool_calls" if calls else "stop"
    message = {"content": "".join(text) or None, "reasoning_content": "".join(thinking) or None, "tool_calls": made or None}
    usage = {"prompt_tokens": into, "completion_tokens": out}
    deltas = [{"reasoning_content": t} for t in thinking] + [{"content": t} for t in text]
    for i, call in enumerate(made):
        arguments = call["function"]["arguments"]
        deltas.append(
            {"tool_calls": [{**call, "index": i, "function": {"name": call["function"]["name"], "arguments": arguments[:2]}}]}
        )
        deltas.append({"tool_calls": [{"index": i, "function": {"arguments": arguments[2:]}}]})
    frames = [{"id": "x", "choices": [{"index": 0, "delta": d}]} for d in deltas]
    frames += [{"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": end}], "usage": usage}]
    return {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": end}], "usage": usage}, frames


def responses_pair(a: Any) -> tuple[Any, list[Any]]:
    thinking, text, calls, (into, out) = a
    items: list[Any] = []
    frames: list[Any] = [{"type": "response.created", "response": {"id": "x", "status": "in_progress", "output": []}}]

    def item(made: Any, empty: Any, deltas: list[Any]) -> None:
        index = len(items)
        items.append(made)
        frames.append({"type": "response.output_item.added", "output_index": index, "item": {**made, **empty}})
        frames.extend({**d, "output_index": index, "item_id": made["id"]} for d in deltas)
        frames.append({"type": "response.output_item.done", "output_index": index, "item": made})

    if thinking:
        made = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "".join(thinking)}]}
        deltas = [{"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": t} for t in thinking]
        item(made, {"summary": []}, deltas)
    if text:
        made = {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "".join(text), "annotations": []}],
        }
        item(made, {"content": []}, [{"type": "response.output_text.delta", "content_index": 0, "delta": t} for t in text])
    for n, x in calls:
        made = {"type": "function_call", "id": f"fc_{n}", "call_id": f"id_{n}", "name": n, "arguments": json.dumps(x)}
        deltas = [
            {"type": "response.function_call_arguments.delta", "delta": p} for p in (made["arguments"][:2], made["arguments"][2:])
        ]
        item(made, {"arguments": ""}, deltas)
    whole = {
        "id": "x",
        "object": "response",
        "status": "completed",
        "output": items,
        "usage": {"input_tokens": into, "output_tokens": out},
    }
    return whole, [*frames, {"type": "response.completed", "response": whole}]


def anthropic_pair(a: Any) -> tuple[Any, list[Any]]:
    thinking, text, calls, (into, out) = a
    end = "tool_use" if calls else "end_turn"
    content: list[Any] = []
    frames: list[Any] = [{"type": "message_start", "message": {"id": "x", "usage": {"input_tokens": into, "output_tokens": 1}}}]

    def block(whole: Any, empty: Any, deltas: list[Any]) -> None:
        index = len(content)
        content.append(whole)
        frames.append({"type": "content_block_start", "index": index, "content_block": {**whole, **empty}})
        frames.extend({"type": "content_block_delta", "index": index, "delta": d} for d in deltas)
        frames.append({"type": "content_block_stop", "index": index})

    if thinking:
        deltas = [{"type": "thinking_delta", "thinking": t} for t in thinking] + [{"type": "signature_delta", "signature": "c2ln"}]
        block({"type": "thinking", "thinking": "".join(thinking), "signature": "c2ln"}, {"thinking": "", "signature": ""}, deltas)
    if text:
        block({"type": "text", "text": "".join(text)}, {"text": ""}, [{"type": "text_delta", "text": t} for t in text])
    for n, x in calls:
        pieces = (json.dumps(x)[:2], json.dumps(x)[2:])
        deltas = [{"type": "input_json_delta", "partial_json": p} for p in pieces]
        block({"type": "tool_use", "id": f"id_{n}", "name": n, "input": x}, {"input": {}}, deltas)
    usage = {"input_tokens": into, "output_tokens": out}
    frames += [{"type": "message_delta", "delta": {"stop_reason": end}, "usage": usage}, {"type": "message_stop"}]
    return {"id": "x", "content": content, "stop_reason": end, "usage": usage}, frames


def gemini_pair(a: Any) -> tuple[Any, list[Any]]:
    thinking, text, calls, (into, out) = a
    parts: list[Any] = [{"text": t, "thought": True} for t in thinking] + [{"text": t} for t in text]
    parts += [{"functionCall": {"id": f"id_{n}", "name": n, "args": x}} for n, x in calls]
    usage = {"promptTokenCount": into, "candidatesTokenCount": out}
    frames: list[Any] = [{"responseId": "x", "candidates": [{"content": {"parts": [p]}}]} for p in parts]
    frames[-1]["candidates"][0]["finishReason"] = "STOP"
    frames[-1]["usageMetadata"] = usage
    return {
        "responseId": "x",
        "candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}],
        "usageMetadata": usage,
    }, frames


def bedrock_pair(a: Any) -> tuple[Any, list[Any]]:
    thinking, text, calls, (into, out) = a
    end = "tool_use" if calls else "end_turn"
    content: list[Any] = []
    frames: list[Any] = [{"event": "messageStart", "data": {"role": "assistant"}}]

    def block(whole: Any, start: Any, deltas: list[Any]) -> None:
        index = len(content)
        content.append(whole)
        if start:
            frames.append({"event": "contentBlockStart", "data": {"contentBlockIndex": index, "start": start}})
        frames.extend({"event": "contentBlockDelta", "data": {"contentBlockIndex": index, "delta": d}} for d in deltas)
        frames.append({"event": "contentBlockStop", "data": {"contentBlockIndex": index}})

    if thinking:
        deltas = [{"reasoningContent": {"text": t}} for t in thinking] + [{"reasoningContent": {"signature": "c2ln"}}]
        block({"reasoningContent": {"reasoningText": {"text": "".join(thinking), "signature": "c2ln"}}}, None, deltas)
    if text:
        block({"text": "".join(text)}, None, [{"text": t} for t in text])
    for n, x in calls:
        pieces = (json.dumps(x)[:2], json.dumps(x)[2:])
        use = {"toolUseId": f"id_{n}", "name": n}
        block({"toolUse": {**use, "input": x}}, {"toolUse": use}, [{"toolUse": {"input": p}} for p in pieces])
    usage = {"inputTokens": into, "outputTokens": out, "totalTokens": into + out}
    frames += [{"event": "messageStop", "data": {"stopReason": end}}, {"event": "metadata", "data": {"usage": usage}}]
    return {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": end, "usage": usage}, frames


def cohere_pair(a: Any) -> tuple[Any, list[Any]]:
    thinking, text, calls, (into, out) = a
    end = "TOOL_CALL" if calls else "COMPLETE"
    made = [{"id": f"id_{n}", "type": "function", "function": {"name": n, "arguments": json.dumps(x)}} for n, x in calls]
    content: list[Any] = []
    frames: list[Any] = [{"type": "message-start", "id": "x", "delta": {"message": {"role": "assistant"}}}]
    for kind, pieces in (("thinking", thinking), ("text", text)):
        if pieces:
            index = len(content)
            content.append({"type": kind, kind: "".join(pieces)})
            frames.append({"type": "content-start", "index": index, "delta": {"message": {"content": {"type": kind, kind: ""}}}})
            frames.extend({"type": "content-delta", "index": index, "delta": {"message": {"content": {kind: p}}}} for p in pieces)
            frames.append({"type": "content-end", "index": index})
    for i, call in enumerate(made):
        arguments = call["function"]["arguments"]
        start = {**call, "function": {"name": call["function"]["name"], "arguments": arguments[:2]}}
        frames.append({"type": "tool-call-start", "index": i, "delta": {"message": {"tool_calls": start}}})
        rest = {"function": {"arguments": arguments[2:]}}
        frames.append({"type": "tool-call-delta", "index": i, "delta": {"message": {"tool_calls": rest}}})
        frames.append({"type": "tool-call-end", "index": i})
    usage = {"tokens": {"input_tokens": into, "output_tokens": out}}
    frames.append({"type": "message-end", "delta": {"finish_reason": end, "usage": usage}})
    message = {"role": "assistant", "content": content, "tool_calls": made}
    return {"id": "x", "message": message, "finish_reason": end, "usage": usage}, frames


def ollama_pair(a: Any) -> tuple[Any, list[Any]]:
    thinking, text, calls, (into, out) = a
    made = [{"function": {"name": n, "arguments": x}} for n, x in calls]
    end = {"done": True, "done_reason": "stop", "prompt_eval_count": into, "eval_count": out}
    deltas: list[Any] = [{"thinking": t, "content": ""} for t in thinking] + [{"content": t} for t in text]
    deltas += [{"content": "", "tool_calls": [c]} for c in made]
    frames = [{"model": "m", "message": {"role": "assistant", **d}, "done": False} for d in deltas]
    message = {"role": "assistant", "content": "".join(text), "thinking": "".join(thinking) or None, "tool_calls": made or None}
    return {"model": "m", "message": message, **end}, [
        *frames,
        {"model": "m", "message": {"role": "assistant", "content": ""}, **end},
    ]


def mistral_pair(a: Any) -> tuple[Any, list[Any]]:
    thinking, text, *rest = a
    whole, frames = openai_pair(([], text, *rest))
    if thinking:
        chunks = [{"type": "thinking", "thinking": [{"type": "text", "text": t}]} for t in thinking]
        together = {"type": "thinking", "thinking": [part for chunk in chunks for part in chunk["thinking"]]}
        whole["choices"][0]["message"]["content"] = [together, *([{"type": "text", "text": "".join(text)}] if text else [])]
        frames = [{"id": "x", "choices": [{"index": 0, "delta": {"content": [chunk]}}]} for chunk in chunks] + frames
    return whole, frames


PAIRS: dict[str, Callable[[Any], tuple[Any, list[Any]]]] = {
    **dict.fromkeys(("openai-chat", "openai-chat-thinking", "openai-chat-open"), openai_pair),
    "openai-responses": responses_pair,
    "anthropic-messages": anthropic_pair,
    "gemini": gemini_pair,
    "bedrock-converse": bedrock_pair,
    "cohere-v2": cohere_pair,
    "mistral": mistral_pair,
    "ollama": ollama_pair,
}
