"""`Response.to_openai()` has the shape of a chat completion."""

from __future__ import annotations

import json

from engine.call.accumulate import Accumulator
from tests.call.wires import CHAT


def test_everything_an_openai_caller_reads() -> None:
    into = Accumulator(CHAT)
    into.emit("start", 0, {"id": "r", "model": "m", "created": 5})
    into.emit("thinking", 0, {"text": "why"})
    into.emit("text", 0, {"text": "Hi"})
    into.emit("citation", 0, {"url": "https://a", "start": 0, "end": 2})
    into.emit("tool_call", 0, {"id": "c", "name": "f", "arguments": '{"x": 1}'})
    into.emit("tool_call", 0, {"id": "s", "name": "search", "server": True})
    into.emit("finish", 0, {"reason": "stop"})
    into.emit("usage", 0, {"input_tokens": 3, "output_tokens": 4, "cache_read_tokens": 1, "reasoning_tokens": 2})
    into.close()
    shaped = into.response().to_openai()
    assert json.loads(json.dumps(shaped)) == {
        "id": "r",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hi",
                    "refusal": None,
                    "reasoning_content": "why",
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url_citation": {"url": "https://a", "title": "", "start_index": 0, "end_index": 2},
                        }
                    ],
                },
                "finish_reason": "tool_calls",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }


def test_an_empty_answer_has_no_usage() -> None:
    assert "usage" not in Accumulator(CHAT).response().to_openai()
