"""Live sessions: sound and text go both ways over one socket while a `with` block runs (SPEC_LANGUAGE 7.4, RELIABILITY W1).

    with client.realtime("openai/gpt-realtime", instructions="Be brief.", voice="marin") as session:
        session.send_text("Say hello.")
        for event in session:
            if event.kind == "audio":
                play(event.data)                      # bytes in `session.output_format`
            elif event.kind == "turn" and event.state == "done":
                break

`opening` makes the handshake, `connect` opens the socket and reads how it ended, `session` is the session of asyncio,
`blocking` its twin for threads, `audio` reads and writes WAV files and the microphone. Needs the extra [realtime] (the
library websockets), which is imported with the first session.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from engine.realtime.audio import microphone as microphone
    from engine.realtime.audio import read_wav as read_wav
    from engine.realtime.audio import resample as resample
    from engine.realtime.audio import write_wav as write_wav
    from engine.realtime.blocking import Session as Session
    from engine.realtime.session import AsyncSession as AsyncSession

__all__ = ["AsyncSession", "Session", "microphone", "read_wav", "resample", "write_wav"]
_HOMES = {"AsyncSession": "session", "Session": "blocking"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'engine.realtime' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"engine.realtime.{_HOMES.get(name, 'audio')}"), name)
    return found
