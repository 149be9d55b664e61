"""`llmkit voices`, `clone-voice`, `delete-voice` and `run --stream` against the stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.catalog import Catalog
from engine.cli import main
from engine.serve.loopback import Loopback

WAV = b"RIFF\0\0\0\0WAVEfmt "


@pytest.fixture(scope="module")
def sim() -> Iterator[Loopback]:
    with Loopback(Catalog()) as found:
        yield found


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OWN_KEY", "k")


def llmkit(capsys: pytest.CaptureFixture[str], sim: Loopback, provider: str, *words: str) -> tuple[int, str, str]:
    code = main([*words, "--base-url", sim.url(provider), "--key", "OWN_KEY"])
    out, err = capsys.readouterr()
    return code, out, err


def test_voices_are_a_table_or_json(sim: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = llmkit(capsys, sim, "elevenlabs", "voices", "elevenlabs")
    assert code == 0 and out.splitlines()[0].split() == ["voice", "name", "languages", "gender", "kind", "description"]
    assert out.splitlines()[1].split() == ["v-2", "George", "male", "premade"] and err == "2 voices\n"
    _, out, _ = llmkit(capsys, sim, "cartesia", "voices", "cartesia", "--gender", "male", "--search", "narrator", "--json")
    assert [v["id"] for v in json.loads(out)] == ["v-1"]


@pytest.mark.parametrize(
    ("words", "left"),
    [((), 1), (("--language", "de"), 1), (("--language", "de-AT"), 0), (("--gender", "male"), 0), (("--search", "ava"), 1), (("--owned",), 0)],
)  # fmt: skip
def test_what_a_service_cannot_filter_is_filtered_here(
    sim: Loopback, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], left: int
) -> None:
    code, out, err = llmkit(capsys, sim, "azure-speech", "voices", "azure-speech", "--setting", "region=x", *words)
    assert code == 0 and len(out.splitlines()) == 1 + left and err == f"{left} voices\n"


def test_a_voice_is_cloned_and_goes(sim: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.wav", "b.wav"):
        Path(name).write_bytes(WAV)
    code, out, err = llmkit(capsys, sim, "elevenlabs", "clone-voice", "elevenlabs", "Ann", "a.wav", "b.wav", "--label", "age=old")
    assert (code, out, err) == (0, "v-9 ready\n", "")
    code, out, _ = llmkit(capsys, sim, "openai", "clone-voice", "openai", "Ann", "a.wav", "--consent", "b.wav", "--json")
    assert code == 0 and json.loads(out)[0]["id"] == "voice_1"
    code, out, err = llmkit(capsys, sim, "minimax", "clone-voice", "minimax", "Ann", "a.wav", "b.wav", "--id", "ann-0001")
    assert out == "ann-0001 ready\n" and "samples was cut from 2 to 1" in err
    assert llmkit(capsys, sim, "elevenlabs", "delete-voice", "elevenlabs", "v-77")[1] == "v-77 deleted\n"
    code, _, err = llmkit(capsys, sim, "elevenlabs", "clone-voice", "elevenlabs", "Ann", "none.wav")
    assert code and "none.wav" in err
    code, _, err = llmkit(capsys, sim, "elevenlabs", "clone-voice", "elevenlabs", "Ann", "a.wav", "--label", "old")
    assert code and "--label" in err


def test_previews_of_a_picture_lie_beside_it(sim: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("run", "image", "openai/gpt-image-2", "A lighthouse.", "--stream", "--param", "partial_images=2")
    code, out, err = llmkit(capsys, sim, "openai", *words, "--output", "light.png")
    assert code == 0 and json.loads(out) == {"path": "light.png", "bytes": 8} and "preview 2: wrote light-preview-2.png" in err
    assert sorted(p.name for p in Path().glob("*.png")) == ["light-preview-1.png", "light-preview-2.png", "light.png"]
    for _ in range(2):  # without a name nothing is replaced
        assert llmkit(capsys, sim, "openai", *words)[0] == 0
    assert {p.name for p in Path().glob("image-*")} >= {"image-1.png", "image-2.png", "image-preview-1.png", "image-preview-3.png"}


def test_sound_goes_on_while_it_comes(sim: Loopback, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    words = ["run", "speech", "elevenlabs/eleven_flash_v2_5", "Good morning.", "--stream", "--base-url", sim.url("elevenlabs")]
    assert main([*words, "--key", "OWN_KEY", "--output", "-"]) == 0
    assert capfdbinary.readouterr().out == b"the sound, as it comes"
    assert main([*words, "--key", "OWN_KEY", "--output", "a.mp3"]) == 0
    assert Path("a.mp3").read_bytes() == b"the sound, as it comes" and b"wrote a.mp3 (22 bytes)" in capfdbinary.readouterr().err


def test_words_are_shown_once_while_they_come(sim: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.wav").write_bytes(WAV)
    words = ("run", "transcription", "openai/gpt-4o-transcribe", "a.wav", "--stream")
    code, out, _ = llmkit(capsys, sim, "openai", *words)
    assert code == 0 and out.splitlines().count("Good morning.") == 1
    code, out, err = llmkit(capsys, sim, "openai", *words, "--output", "a.txt")
    assert code == 0 and "Good morning." not in out.splitlines()
    assert Path("a.txt").read_text() == "Good morning." and "wrote a.txt" in err


def test_a_picture_by_address_is_told(sim: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("run", "image", "volcengine/doubao-seedream-4-5-251128", "Hills.", "--stream", "--output", "h.jpeg")
    code, out, err = llmkit(capsys, sim, "volcengine", *words)
    assert code == 0 and "https://ark.example.com/0.jpeg" in out and err.count("not fetched") == 2 and not Path("h.jpeg").exists()


def test_what_cannot_be_streamed_says_so(sim: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = llmkit(capsys, sim, "together", "run", "image", "together/m", "A lighthouse.", "--stream")
    assert code and "cannot be streamed" in err
