"""What a sound or picture is, by its first bytes: each as its format's specification begins."""

from __future__ import annotations

import base64

import pytest

from engine.call.normalize.media import media, sniff

REST = bytes(range(1, 60))


@pytest.mark.parametrize(
    ("start", "kind", "found"),
    [
        (b"ID3\x04", "audio", "audio/mpeg"),
        (b"\xff\xfb\x90\x00", "audio", "audio/mpeg"),
        (b"\xff\xf3\x40\xc0", "audio", "audio/mpeg"),
        (b"\xff\xf2\x40\xc0", "audio", "audio/mpeg"),
        (b"\xff\xfa\x90\x00", "audio", "audio/mpeg"),
        (b"\xff\xf1P\x80", "audio", "audio/aac"),
        (b"\xff\xf9P\x80", "audio", "audio/aac"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio", "audio/wav"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "audio", "audio/wav"),
        (b"fLaC\0\0\0\x22", "audio", "audio/flac"),
        (b"OggS\0\x02", "audio", "audio/ogg"),
        (b"\0\0\0\x1cftypM4A ", "audio", "audio/mp4"),
        (b"\0\0\0\x20ftypM4A ", "audio", "audio/mp4"),
        (b"\0\0\0\x18ftypisom", "audio", "audio/mp4"),
        (b"\0\0\0\x18ftypisom", "video", "video/mp4"),
        (b"\x1aE\xdf\xa3\x9f", "audio", "audio/webm"),
        (b"\x1aE\xdf\xa3\x9f", "video", "video/webm"),
        (b"#!AMR\n", "audio", "audio/amr"),
        (b"FORM\0\0\0\x10AIFFCOMM", "audio", "audio/aiff"),
        (b"caff\0\x01", "audio", "audio/x-caf"),
        (b".snd\0\0\0\x18", "audio", "audio/basic"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "image", "image/webp"),
        (b"\0\0\0\x1cftypavif", "image", "image/avif"),
        (b"\xff\xd8\xff\xe0", "image", "image/jpeg"),
    ],
)
def test_the_first_bytes_tell(start: bytes, kind: str, found: str) -> None:
    assert media(kind, data=start + REST)["media_type"] == found


@pytest.mark.parametrize("start", [b"", b"\xff\xfe", b"\xff\xfb\xff\xff", b"RIFF", b"hello", b"\0" * 30])
def test_what_they_do_not_tell_is_not_guessed(start: bytes) -> None:
    assert sniff(base64.b64encode(start).decode()) is None


def test_a_path_on_a_server_is_no_sound() -> None:
    assert media("audio", url="//uploads/talk.wav")["via"] == "url"
