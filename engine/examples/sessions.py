"""The course of a session as an example tells it: what is sent for a client event, and what a message of the server gives.

    frames:
      - {send: {audio: AAEC}, sent: {type: input_audio_buffer.append, audio: AAEC}}      # sound in base64
      - {received: {type: response.done, …}, gives: [{turn: {state: done}}]}              # all its events, in order

`{binary: AAEC}` stands for a binary message, a text for itself; several messages are a list.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from engine.call.socket import Wire
from engine.examples.run import equal, shown, subset

if TYPE_CHECKING:
    from engine.operation import Operation
    from engine.types import HttpRequest

__all__ = ["frame_of", "session_failures", "wire_of"]


def wire_of(operation: Operation, example: Mapping[str, Any], sent: HttpRequest | None = None) -> Wire:
    """The wire of an example's session, after its opening."""
    if sent is None:
        request = {k: v for k, v in (example.get("request") or {}).items() if k != "model"}
        sent = operation.render(**request)
    return Wire(operation, sent.context or {})


def session_failures(
    operation: Operation, example: Mapping[str, Any], sent: HttpRequest | None, deviating: Collection[str] = ()
) -> Iterator[str]:
    """What is wrong with the course of a session. The messages of `deviating` client events are not compared."""
    wire = wire_of(operation, example, sent)
    for number, step in enumerate(example.get("frames") or ()):
        where = f"frames[{number}]"
        if "send" in step:
            (event, said), *more = step["send"].items()
            if more:
                yield f"{where}.send: one client event, not {shown(step['send'])}"
                continue
            if event in deviating:
                continue
            written = [_readable(frame) for frame in wire.frames(event, **_said(event, said))]
            expected = step.get("sent")
            yield from equal(written, expected if isinstance(expected, list) else [expected], f"{where}.sent")
        else:
            events = wire.feed(frame_of(step.get("received")))
            found = [{event.kind: {k: v for k, v in event.to_dict().items() if k not in ("kind", "choice")}} for event in events]
            for one in found:
                if "error" in one:
                    one["error"]["kind"] = one["error"].pop("error_kind", None)
            if "gives" in step:
                yield from subset(found, step["gives"], f"{where}.gives")


def _said(event: str, given: Any) -> dict[str, Any]:
    """The names a message reads: sound from its base64, anything else as a mapping, or a text alone."""
    if event == "audio":
        return {"audio": base64.b64decode(given)}
    return {"text": given} if isinstance(given, str) else dict(given or {})


def frame_of(message: Any) -> str | bytes:
    """A message as it is on the wire."""
    if isinstance(message, str):
        return message
    if isinstance(message, Mapping) and set(message) == {"binary"}:
        return base64.b64decode(message["binary"])
    return json.dumps(message)


def _readable(frame: str | bytes) -> Any:
    """A message as examples write it."""
    if isinstance(frame, bytes):
        return {"binary": base64.b64encode(frame).decode()}
    try:
        return json.loads(frame)
    except ValueError:
        return frame
