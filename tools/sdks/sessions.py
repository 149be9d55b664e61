"""Live sessions of official client libraries, unmodified, against a stand-in: what each of them understood, as JSON.

    python tools/sdks/sessions.py http://127.0.0.1:8089      # a simulator that says "Good morning."

Libraries that are not installed are left out. Each gets its own types back from what the stand-in says, so that a message
which they cannot read is missing here.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

SOUND = (b"\x10\x27" * 100 + b"\xf0\xd8" * 100) * 40  # a third of a second of pcm16 at 24 kHz
KEY = "any"


def openai(origin: str) -> Any:
    from openai import AsyncOpenAI

    async def main() -> Any:
        at = f"{origin}/openai/v1"
        client = AsyncOpenAI(api_key=KEY, base_url=at, websocket_base_url=at.replace("http", "ws", 1))
        words, kinds, sound = "", [], 0
        async with client.realtime.connect(model="gpt-realtime") as connection:
            await connection.session.update(session={"type": "realtime", "instructions": "Be brief."})
            await connection.input_audio_buffer.append(audio=base64.b64encode(SOUND).decode())
            await connection.input_audio_buffer.commit()
            await connection.response.create()
            async for event in connection:
                kinds.append(type(event).__name__)
                if event.type == "response.output_audio_transcript.delta":
                    words += event.delta
                elif event.type == "response.output_audio.delta":
                    sound += len(base64.b64decode(event.delta))
                elif event.type == "response.done":
                    return {"words": words, "sound": sound > 0, "usage": event.response.usage.output_tokens, "first": kinds[0]}

    return asyncio.run(main())


def google(origin: str) -> Any:
    """It speaks TLS only: SECURE_ORIGIN is the same stand-in behind a certificate that SSL_CERT_FILE trusts."""
    from google import genai

    async def main() -> Any:
        client = genai.Client(
            api_key=KEY, http_options={"base_url": f"{os.environ['SECURE_ORIGIN']}/google-gemini", "api_version": "v1beta"}
        )
        words, sound, usage = "", 0, None
        async with client.aio.live.connect(model="gemini-live", config={"response_modalities": ["AUDIO"]}) as session:
            await session.send_realtime_input(text="Hello")
            async for message in session.receive():
                content = message.server_content
                if content and content.model_turn:
                    sound += sum(len(part.inline_data.data) for part in content.model_turn.parts if part.inline_data)
                if content and content.output_transcription and content.output_transcription.text:
                    words += content.output_transcription.text
                if message.usage_metadata:
                    usage = message.usage_metadata.response_token_count
            return {"words": words, "sound": sound > 0, "usage": usage, "first": bool(session.setup_complete)}

    return asyncio.run(main())


def _deepgram(origin: str) -> Any:
    from deepgram import DeepgramClient
    from deepgram.environment import DeepgramClientEnvironment

    at = f"{origin}/deepgram"
    socket = at.replace("http", "ws", 1)
    return DeepgramClient(
        api_key=KEY, environment=DeepgramClientEnvironment(base=at, production=socket, agent=socket, agent_rest=at)
    )


def deepgram_listen(origin: str) -> Any:
    with _deepgram(origin).listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16000) as connection:
        connection.send_media(SOUND)
        connection.send_finalize()
        found, kinds = "", []
        while not found:
            message = connection.recv()
            kinds.append(type(message).__name__)
            if message.type == "Results" and message.is_final:
                found = message.channel.alternatives[0].transcript
        connection.send_close_stream()
        return {"words": found, "last": type(connection.recv()).__name__}


def deepgram_flux(origin: str) -> Any:
    with _deepgram(origin).listen.v2.connect(model="flux-general-en", encoding="linear16", sample_rate=16000) as connection:
        first = connection.recv()
        connection.send_media(SOUND)
        connection.send_media(bytes(16000))
        while True:
            message = connection.recv()
            if message.type == "TurnInfo" and message.event == "EndOfTurn":
                return {"words": message.transcript, "first": type(first).__name__}


def deepgram_speak(origin: str) -> Any:
    from deepgram.speak.v1.types import SpeakV1Text

    with _deepgram(origin).speak.v1.connect(model="aura-2-thalia-en", encoding="linear16", sample_rate=24000) as connection:
        connection.send_text(SpeakV1Text(text="Hello"))
        connection.send_flush()
        sound = 0
        while True:
            message = connection.recv()
            if isinstance(message, bytes):
                sound += len(message)
            elif message.type == "Flushed":
                return {"sound": sound > 0, "last": type(message).__name__}


def deepgram_agent(origin: str) -> Any:
    from deepgram.agent.v1.types import AgentV1InjectUserMessage, AgentV1Settings

    with _deepgram(origin).agent.v1.connect() as connection:
        coding = {"encoding": "linear16", "sample_rate": 24000}
        settings = {
            "audio": {"input": coding, "output": coding},
            "agent": {"think": {"provider": {"type": "open_ai", "model": "m"}}},
        }
        connection.send_settings(AgentV1Settings.model_validate(settings))
        connection.send_inject_user_message(AgentV1InjectUserMessage(content="Hello"))
        kinds, words, sound = [], "", 0
        while True:
            message = connection.recv()
            if isinstance(message, bytes):
                sound += len(message)
                continue
            kinds.append(message.type)
            if message.type == "ConversationText" and message.role == "assistant":
                words = message.content
            elif message.type == "AgentAudioDone":
                return {"words": words, "sound": sound > 0, "first": kinds[:2]}


def elevenlabs(origin: str) -> Any:
    from elevenlabs.client import ElevenLabs
    from elevenlabs.conversational_ai.conversation import AudioInterface, Conversation

    told = threading.Event()
    found: dict[str, Any] = {"sound": False}

    class Ears(AudioInterface):
        def start(self, input_callback: Callable[[bytes], None]) -> None:
            input_callback(SOUND)
            input_callback(bytes(16000))

        def stop(self) -> None:
            pass

        def output(self, audio: bytes) -> None:
            found["sound"] = found["sound"] or bool(audio)

        def interrupt(self) -> None:
            pass

    def heard(text: str) -> None:
        found["words"] = text
        told.set()

    client = ElevenLabs(api_key=KEY, base_url=f"{origin}/elevenlabs")
    talk = Conversation(client, "agent_1", requires_auth=False, audio_interface=Ears(), callback_agent_response=heard)
    talk.start_session()
    told.wait(20)
    talk.end_session()
    found["id"] = talk.wait_for_session_end()
    return found


def assemblyai(origin: str) -> Any:
    from assemblyai.streaming.v3 import StreamingClient, StreamingClientOptions, StreamingEvents, StreamingParameters

    at = origin.replace("http", "ws", 1)
    client = StreamingClient(StreamingClientOptions(api_key=KEY, api_host=f"{at}/assemblyai"))
    done = threading.Event()
    found: dict[str, Any] = {}
    client.on(StreamingEvents.Begin, lambda _, event: found.update(id=event.id))

    def turn(_: Any, event: Any) -> None:
        if event.end_of_turn and event.turn_is_formatted:
            found["words"] = event.transcript
            done.set()

    client.on(StreamingEvents.Turn, turn)
    client.on(StreamingEvents.Termination, lambda _, event: found.update(seconds=event.audio_duration_seconds))
    client.connect(StreamingParameters(sample_rate=16000, speech_model="universal-streaming-english", format_turns=True))
    client.stream(SOUND)
    client.force_endpoint()
    done.wait(20)
    client.disconnect(terminate=True)
    return found


def cartesia_listen(origin: str) -> Any:
    from cartesia import Cartesia

    client = Cartesia(api_key=KEY, base_url=f"{origin}/cartesia")
    with client.stt.manual_finalize.websocket(model="ink-2", encoding="pcm_s16le", sample_rate=16000) as connection:
        connection.send_raw(SOUND)
        connection.send("finalize")
        words = ""
        for event in connection:
            if event.type == "transcript" and event.is_final:
                words += event.text
            elif event.type == "flush_done":
                return {"words": words, "last": type(event).__name__}


def soniox(origin: str) -> Any:
    from soniox import SonioxClient
    from soniox.types import RealtimeSTTConfig

    client = SonioxClient(api_key=KEY, websocket_base_url=f"{origin.replace('http', 'ws', 1)}/soniox/transcribe-websocket")
    config = RealtimeSTTConfig(model="stt-rt-v4", audio_format="pcm_s16le", sample_rate=16000, num_channels=1)
    with client.realtime.stt.connect(config=config) as session:
        session.send_byte_chunk(SOUND)
        session.finalize()
        words = ""
        for event in session.receive_events():
            words += "".join(token.text for token in event.tokens if token.is_final and token.text not in ("<end>", "<fin>"))
            if any(token.text in ("<end>", "<fin>") for token in event.tokens):
                return {"words": words, "processed": event.total_audio_proc_ms}


SESSIONS: dict[str, Callable[[str], Any]] = {
    "openai": openai,
    "google": google,
    "deepgram listen": deepgram_listen,
    "deepgram flux": deepgram_flux,
    "deepgram speak": deepgram_speak,
    "deepgram agent": deepgram_agent,
    "elevenlabs": elevenlabs,
    "assemblyai": assemblyai,
    "cartesia listen": cartesia_listen,
    "soniox": soniox,
}


def main(origin: str, names: list[str]) -> None:
    """Run them one after the other; the last line of the output is the JSON."""
    found: dict[str, Any] = {}
    for name in names or SESSIONS:
        try:
            found[name] = SESSIONS[name](origin)
        except ImportError:
            continue
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"[:300]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
