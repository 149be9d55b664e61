"""A session with a stand-in: what the client sends is understood, a script (or an improvised answer) is said on its wire.

    stage = Stage(tongue, script, model="m")
    for message in stage.start(): …                  # str and bytes to be sent, Pauses between them
    for message in stage.hear(frame): …
    stage.over                                        # the socket is to be closed

Who speaks decides the client: a message that asks for an answer where the wire has one, else a text, a commit, a result of a
tool, or a third of a second of silence behind a sound. Wires that only transcribe give the script's words as what they
heard; wires that speak give each word a fifteenth of a second of a tone. With `echo` every piece of sound comes straight back.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator
from typing import Any

from engine.call.normalize import normalize
from engine.errors import Error
from engine.serve.exchange import Pause
from engine.serve.script import Script
from engine.serve.tongue import Tongue
from engine.types import Event

__all__ = ["Stage"]

SILENCE = 0.3  # seconds behind a sound after which the user has finished
WORD = 1 / 15  # seconds of tone for a word
_RATE = 24000
_PITCH = 440
Message = str | bytes | Pause


class Stage:
    """One session. `canonical` are the messages as a chat has them, growing with every turn."""

    def __init__(self, tongue: Tongue, script: Script, model: str, *, echo: bool = False) -> None:
        self.tongue = tongue
        self.script = script
        self.model = model
        self.echo = echo
        self.canonical: list[dict[str, Any]] = []
        self.over = False
        self._uuid: str | None = None  # the client's own id of what it asks for
        self._sound = 0  # bytes of the user's sound so far
        self._quiet = 0  # bytes of silence at its end
        live = tongue.live
        self._rate = live.rates[0] if live.rates else _RATE
        self._speaks = any(tongue.can(kind) for kind in ("audio", "text"))
        self._asks = bool(live.send.get("respond"))

    def start(self) -> Iterator[Message]:
        """What the server says before it has heard anything."""
        for state in ("opening", "open", "false"):
            yield from _lines(self.tongue.say("session", state))

    def hear(self, frame: str | bytes) -> Iterator[Message]:
        """What the server says to one message."""
        heard = self.tongue.hear(frame)
        said = heard.said
        self._uuid = said.get("uuid") or self._uuid
        if heard.event == "audio":
            yield from self._listen(said.get("audio") or b"")
        elif heard.event == "text" and (said.get("text") or "").strip():
            self.canonical.append({"role": "user", "content": said.get("text") or ""})
            if not self._asks:
                yield from self._answer()
        elif heard.event == "tool_result":
            result = said.get("text") if said.get("text") is not None else json.dumps(said.get("json"))
            self.canonical.append({"role": "tool", "tool_call_id": said.get("id") or "call_1", "content": result})
            if not self._asks:
                yield from self._answer()
        elif heard.event == "respond":
            self._hold()
            yield from self._answer()
        elif heard.event == "commit" and not self._asks and self._sound:
            yield from self._ended()
        elif heard.event == "interrupt":
            yield from _lines(self.tongue.say("turn", "interrupted"))
        elif heard.event == "close":
            if self._sound and not self._asks:
                yield from self._ended()
            yield from _lines(self.tongue.say("usage"))
            self.over = True

    # --- the user ---------------------------------------------------------------------------------------------------

    def _listen(self, data: bytes) -> Iterator[Message]:
        if self.echo:
            found = self.tongue.sound(data)
            text = f"{len(data)} bytes"
            yield from [found] if found is not None else self.tongue.transcript("user", text, text, True)
            return
        if data.strip(b"\x00"):
            if not self._sound:
                yield from _lines(self.tongue.say("speech", "started"))
            self._sound, self._quiet = self._sound + len(data), 0
        elif self._sound:
            self._quiet += len(data)
            if self._quiet >= SILENCE * self._rate * 2:
                yield from self._ended()

    def _ended(self) -> Iterator[Message]:
        """The user has finished speaking."""
        yield from _lines(self.tongue.say("speech", "stopped"))
        self._hold()
        yield from self._answer()

    def _hold(self) -> None:
        """What was heard becomes a message of the conversation."""
        if self._sound:
            seconds = self._sound / 2 / self._rate
            self.canonical.append({"role": "user", "content": f"(a sound of {seconds:.1f} s)"})
        self._sound = self._quiet = 0

    # --- the model --------------------------------------------------------------------------------------------------

    def _answer(self) -> Iterator[Message]:
        """One turn of the model."""
        tongue = self.tongue
        steps, failure = self._steps()
        if failure is not None:
            yield from _lines(tongue.say("error", message=failure))
            return
        if self._speaks:
            yield from _lines(tongue.say("turn", "started"))
        said = ""
        calls: dict[int, dict[str, Any]] = {}
        for step in steps:
            if isinstance(step, Pause):
                yield step
            elif step.kind == "text":
                said += step.text or ""
                yield from self._speak(step.text or "", said)
            elif step.kind == "tool_call":
                call = calls.setdefault(step.index or 0, {"id": None, "name": None, "arguments": ""})
                call.update({k: v for k in ("id", "name") if (v := step.fields.get(k)) is not None})
                given = step.arguments
                call["arguments"] = call["arguments"] + given if isinstance(given, str) else given
        if said:
            role = "assistant" if self._speaks else "user"
            yield from tongue.transcript(role, said, said, True)
            self.canonical.append({"role": role, "content": said})
        for call in calls.values():
            yield from self._call(call)
        if self._speaks:
            yield from tongue.end(self._uuid)

    def _steps(self) -> tuple[list[Event | Pause], str | None]:
        """What the script says to the conversation so far, and why it says nothing."""
        messages = self.canonical or [{"role": "user", "content": "(silence)"}]
        try:
            request = normalize("chat", {"model": self.model, "messages": messages})
            performance = self.script.perform(request, self.tongue.operation.plan.dialect)
            if performance.error is not None:
                return [], performance.error.message
            return list(performance.steps), None
        except Error as error:
            return [], error.message

    def _speak(self, text: str, said: str) -> Iterator[Message]:
        tongue = self.tongue
        if not self._speaks:
            yield from tongue.transcript("user", text, said, False)
            return
        if tongue.can("audio"):
            yield from tongue.transcript("assistant", text, said, False)
            rate = tongue.live.out_rate or self._rate
            yield from _lines(tongue.sound(tone(max(1, len(text.split())) * WORD, rate), self._uuid))
        else:
            yield from _lines(tongue.say("text", text=text))

    def _call(self, call: dict[str, Any]) -> Iterator[Message]:
        given = call["arguments"]
        arguments = json.loads(given or "{}") if isinstance(given, str) else given
        id = call["id"] or "call_1"
        turn = {"id": id, "type": "function", "function": {"name": call["name"], "arguments": json.dumps(arguments)}}
        self.canonical.append({"role": "assistant", "tool_calls": [turn]})
        yield from _lines(self.tongue.say("tool_call", id=id, name=call["name"], arguments=arguments))


def _lines(message: str | bytes | None) -> Iterator[str | bytes]:
    """A message, where the wire has it."""
    if message is not None:
        yield message


def tone(seconds: float, rate: int) -> bytes:
    """pcm16 of a quiet tone."""
    step = 2 * math.pi * _PITCH / rate
    return array("h", (int(3000 * math.sin(n * step)) for n in range(int(seconds * rate)))).tobytes()
