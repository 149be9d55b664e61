"""`llmkit realtime`: one spoken exchange: a WAV file or the microphone in, a WAV file and the transcript out."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from engine.cli.chat import settings_of
from engine.cli.terminal import dumps, safe
from engine.errors import ConfigError, Error

if TYPE_CHECKING:
    from engine.realtime import Session
    from engine.types import Event

OPENING = 60.0  # seconds a session may take to open
SILENCE = 1.0  # seconds behind a file, for those who listen for it
AFTER = 0.2  # seconds the speaker may take to notice that he has finished
PIECE = 40  # milliseconds of sound in one message
_FIELDS = ("instructions", "voice", "language")


def realtime(arguments: argparse.Namespace) -> int:
    """Say what was given, hear the answer. Ends with the model's turn, or where the provider closes the session."""
    if not (arguments.text or arguments.input or arguments.microphone):
        raise ConfigError("nothing to say: give --text, --in FILE.wav (- for raw samples on standard input) or --microphone")
    fields: dict[str, Any] = {name: value for name in _FIELDS if (value := getattr(arguments, name)) is not None}
    for given in arguments.param:
        name, equals, value = given.partition("=")
        if not equals:
            raise ConfigError(f"--param is NAME=JSON, not `{given}`")
        try:
            fields[name] = json.loads(value)
        except ValueError:
            fields[name] = value
    from engine import Client

    providers = settings_of(arguments, arguments.model)
    with Client(catalog=arguments.catalog, override=arguments.override, providers=providers) as client:
        if arguments.explain:
            print(dumps(client.realtime.explain(arguments.model, **fields).to_dict(), indent=2))
            return 0
        with client.realtime(arguments.model, timeout=min(arguments.timeout, OPENING), **fields) as session:
            return _hold(session, arguments)


def _hold(session: Session, arguments: argparse.Namespace) -> int:
    from engine.realtime.audio import write_wav

    for warning in session.warnings:
        print(f"note: {safe(warning)}", file=sys.stderr)
    failed: list[Exception] = []
    speaker = threading.Thread(target=_guarded, args=(session, arguments, failed), daemon=True)
    speaker.start()
    heard = bytearray()
    closes = session.can("close")
    for event in session:
        if event.kind == "audio":
            heard += event.data
        if arguments.json:
            print(dumps({k: v for k, v in event.to_dict().items() if k != "choice"}), flush=True)
        else:
            _tell(event)
        if not closes and _last(event, session):
            speaker.join(AFTER)  # its last message was answered before it came back
            if not speaker.is_alive():
                break
    if failed:
        raise failed[0]
    if arguments.out:
        format = session.output_format
        if format.format == "pcm16":
            write_wav(arguments.out, bytes(heard), format.rate)
        else:
            with open(arguments.out, "wb") as file:
                file.write(heard)
        print(f"wrote {arguments.out} ({len(heard)} bytes of {format.format} at {format.rate} Hz)", file=sys.stderr)
    used = session.usage.to_dict()
    if used and not arguments.json:
        print(" ".join(f"{name}={value}" for name, value in used.items()), file=sys.stderr)
    return 0


def _last(event: Event, session: Session) -> bool:
    """Whether an exchange may end with this event: the model's turn, or what was heard where there is no model."""
    if session.gives("turn"):
        return event.kind == "turn" and event.state == "done"
    return event.kind == "transcript" and bool(event.fields.get("final"))


def _guarded(session: Session, arguments: argparse.Namespace, failed: list[Exception]) -> None:
    try:
        _say(session, arguments)
    except Error as error:
        failed.append(error)
        session.close()


def _say(session: Session, arguments: argparse.Namespace) -> None:
    """Send what was given, and what tells that it is all."""
    if arguments.text:
        session.send_text(arguments.text)
    if arguments.input or arguments.microphone:
        rate = session.input_format.rate
        if arguments.input and arguments.input != "-":
            session.send_file(arguments.input, pace=arguments.pace, milliseconds=PIECE)
        else:
            _stream(session.send_audio, _live(arguments, rate))
        if session.can("commit"):
            session.commit()
        elif not session.can("close"):
            session.send_audio(bytes(int(SILENCE * rate) * 2))
    elif session.can("commit") and not session.can("respond"):
        session.commit()
    if session.can("close"):
        session.finish()


def _live(arguments: argparse.Namespace, rate: int) -> Iterable[bytes]:
    if arguments.microphone:
        from engine.realtime.audio import microphone

        print("listening; interrupt to stop", file=sys.stderr)
        return microphone(rate, milliseconds=PIECE)
    return iter(lambda: sys.stdin.buffer.read(rate * PIECE // 1000 * 2), b"")


def _stream(send: Callable[[bytes], None], sound: Iterable[bytes]) -> None:
    try:
        for piece in sound:
            send(piece)
    except KeyboardInterrupt:
        pass  # the speaker has finished; the answer is still to be heard


def _tell(event: Event) -> None:
    """What people want to see of an event."""
    if event.kind == "transcript" and event.fields.get("final"):
        print(f"{'you' if event.fields.get('role') == 'user' else 'model'}: {safe(event.full or '')}", flush=True)
    elif event.kind == "text":
        print(safe(event.text or ""), end="", flush=True)
    elif event.kind == "tool_call":
        print(f"call: {safe(str(event.name))} {safe(dumps(event.arguments))}", flush=True)
    elif event.kind == "error":
        print(f"error: {safe(str(event.message))}", file=sys.stderr)
