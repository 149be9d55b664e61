"""What only one wire says of an answer is in `answer.details`, streamed or whole, and troubles no other wire."""

from __future__ import annotations

import json

from engine.call.reader import Reader
from engine.catalog import Catalog
from engine.serve.encoder import Encoder
from engine.types import Event, Response

CATALOG = Catalog()
CONTAINER = {"id": "container_1", "expires_at": "2026-11-21T20:00:00Z"}
WHOLE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "Done."}],
    "stop_reason": "end_turn", "container": CONTAINER, "usage": {"input_tokens": 9, "output_tokens": 2},
}  # fmt: skip
FRAMES = [
    {"type": "message_start", "message": {**WHOLE, "content": [], "stop_reason": None, "container": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Done."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "container": CONTAINER}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]


def test_they_are_told_streamed_and_whole_and_nothing_is_no_detail() -> None:
    operation = CATALOG.operation("anthropic/claude-sonnet-4-6", "chat", environ={})
    whole = operation.read(200, {"content-type": "application/json"}, json.dumps(WHOLE).encode())
    reader = Reader(operation.plan, {"content-type": "text/event-stream"})
    events = reader.feed(b"".join(f"data: {json.dumps(frame)}\n\n".encode() for frame in FRAMES))
    assert whole.details == {"container": CONTAINER} == reader.close().details
    assert [event.facts for event in events if event.kind == "details"] == [{"container": CONTAINER}]
    assert whole.to_dict()["outputs"] == [{"kind": "details", "choice": 0, "facts": {"container": CONTAINER}}]
    bare = operation.read(200, {"content-type": "application/json"}, json.dumps({**WHOLE, "container": None}).encode())
    assert bare.details == {} and bare.outputs == []
    assert Response().details == {}


def test_another_wire_is_served_without_them() -> None:
    encoder = Encoder(CATALOG.served("openai-chat"), {})
    told = [Event("start", {"id": "r1", "model": "m", "created": 7}), Event("text", {"text": "Done."})]
    told += [Event("details", {"facts": {"container": CONTAINER}}), Event("finish", {"reason": "stop"})]
    told.append(Event("end", {"response": Response(id="r1", model="m")}))
    sent = encoder.feed(told).decode()
    assert "Done." in sent and "container" not in sent and sent.rstrip().endswith("[DONE]")
