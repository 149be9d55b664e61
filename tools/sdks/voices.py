"""The vendors' own libraries ask the stand-in for pictures on their way and for voices: python voices.py http://127.0.0.1:PORT

Prints one JSON line: who did what, and what the library understood. Run by tests/sim/test_client_libraries_voices.py.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

WAV = b"RIFF\0\0\0\0WAVEfmt "
PNG = b"\x89PNG\r\n\x1a\n"


def sound() -> io.BytesIO:
    found = io.BytesIO(WAV)
    found.name = "ann.wav"
    return found


def openai(base: str) -> dict[str, Any]:
    from openai import OpenAI

    client = OpenAI(api_key="k", base_url=f"{base}/openai")
    made = client.images.generate(model="gpt-image-2", prompt="A lighthouse.", stream=True, partial_images=2)
    edited = client.images.edit(model="gpt-image-2", prompt="Blue.", image=("a.png", PNG), stream=True, partial_images=1)
    several = client.images.edit(model="gpt-image-2", prompt="Blue.", image=[("a.png", PNG), ("b.png", PNG)])
    consent = client.audio.voice_consents.create(name="Ann", language="en-US", recording=sound())
    voice = client.audio.voices.create(name="Ann", consent=consent.id, audio_sample=sound())
    return {
        "made": [event.type for event in made],
        "edited": [event.type for event in edited],
        "several": len(several.data or ()),
        "voice": voice.type,
        "deleted": client.audio.voices.delete(voice.id).deleted,
    }


def elevenlabs(base: str) -> dict[str, Any]:
    from elevenlabs.client import ElevenLabs

    client = ElevenLabs(api_key="k", base_url=f"{base}/elevenlabs")
    return {
        "voices": [voice.category for voice in client.voices.search(voice_type="personal", language="de").voices],
        "cloned": client.voices.ivc.create(name="Ann", files=[sound()]).voice_id,
        "deleted": client.voices.delete("v-9").status,
        "sound": b"".join(client.text_to_speech.stream("v-1", text="Hello.", model_id="eleven_flash_v2_5")).decode(),
    }


def cartesia(base: str) -> dict[str, Any]:
    from cartesia import Cartesia

    client = Cartesia(api_key="k", base_url=f"{base}/cartesia")
    return {
        "voices": [voice.gender for voice in client.voices.list(q="narrator", gender="masculine").data],
        "cloned": client.voices.clone(clip=("a.wav", WAV), name="Ann", language="de").id,
        "deleted": client.voices.delete("v-9"),
    }


def polly(base: str) -> dict[str, Any]:
    import boto3

    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "k", "region_name": "us-east-1"}
    client = boto3.client("polly", endpoint_url=f"{base}/aws-polly", **keys)
    return {"voices": [voice["Gender"] for voice in client.describe_voices(LanguageCode="hi-IN")["Voices"]]}


def main(base: str) -> None:
    told: dict[str, Any] = {}
    for ask in (openai, elevenlabs, cartesia, polly):
        try:
            told[ask.__name__] = ask(base)
        except ImportError:
            continue  # not in this environment
        except Exception as error:
            told[ask.__name__] = f"{type(error).__name__}: {error}"[:300]
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
