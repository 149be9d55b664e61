"""What a stand-in says of pictures on their way and of voices is understood by the vendors' own libraries."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from engine.catalog import Catalog
from engine.serve.loopback import Loopback

PYTHON = os.environ.get("LLMKIT_SDK_PYTHON")
SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "sdks" / "voices.py"
UNDERSTOOD = {
    "openai": {
        "made": ["image_generation.partial_image", "image_generation.partial_image", "image_generation.completed"],
        "edited": ["image_edit.partial_image", "image_edit.completed"],
        "several": 1,
        "voice": "audio_sample",
        "deleted": True,
    },
    "elevenlabs": {"voices": ["cloned"], "cloned": "v-9", "deleted": "ok", "sound": "the sound, as it comes"},
    "cartesia": {"voices": ["masculine"], "cloned": "v-9", "deleted": None},
    "polly": {"voices": ["Female"]},
}


@pytest.mark.skipif(not PYTHON, reason="LLMKIT_SDK_PYTHON names no Python with the client libraries")
def test_every_library_understands_the_stand_in() -> None:
    with Loopback(Catalog()) as sim:
        origin = sim.url("openai").removesuffix("/openai")
        done = subprocess.run([str(PYTHON), str(SCRIPT), origin], capture_output=True, text=True, timeout=120)
    found = json.loads(done.stdout.splitlines()[-1]) if done.stdout else done.stderr[-500:]
    assert {"openai", "elevenlabs"} <= set(found) and found == {who: UNDERSTOOD[who] for who in found}
