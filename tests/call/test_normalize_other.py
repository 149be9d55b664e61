"""Requests of the operations that are no chat (SPEC_LANGUAGE 5)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.call.normalize import normalize
from engine.errors import ConfigError

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "


def test_embedding_inputs() -> None:
    out = normalize("embeddings", {"input": "a", "dimensions": 3})
    assert out["input"] == ["a"] and out["inputs"] == [{"text": "a", "parts": [{"type": "text", "text": "a"}]}]
    assert normalize("embeddings", {"input": [1, 2]})["input"] == [[1, 2]]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    (found,) = normalize("embeddings", {"input": [[{"type": "text", "text": "t"}, image]]})["inputs"]
    assert found["text"] == "t" and found["parts"][1]["uri"] == "data:image/png;base64,AAAA"
    with pytest.raises(ConfigError, match="`input` is missing"):
        normalize("embeddings", {})


@pytest.mark.parametrize(
    "given",
    [
        WAV,
        bytearray(WAV),
        {"bytes": WAV},
        ("a.wav", WAV),
        ("a.wav", WAV, "audio/wav"),
        "data:audio/wav;base64,UklGRiQAAABXQVZFZm10IA==",
        "UklGRiQAAABXQVZFZm10IA==",
        {"data": "UklGRiQAAABXQVZFZm10IA==", "content_type": "audio/wav"},
    ],
)
def test_sounds_of_any_kind_are_parts_with_bytes(given: Any) -> None:
    audio = normalize("transcription", {"audio": given})["audio"]
    assert audio["bytes"] == WAV and audio["size"] == len(WAV)
    assert (audio["type"], audio["media_type"], audio["format"], audio["via"]) == ("audio", "audio/wav", "wav", "data")


def test_media_by_address() -> None:
    audio = normalize("transcription", {"file": "https://a.example/x.mp3"})["audio"]
    assert audio["via"] == "url" and audio["media_type"] == "audio/mpeg" and "bytes" not in audio
    assert normalize("ocr", {"document": "https://a.example/x.pdf"})["document"]["type"] == "document"
    assert [
        p["type"] for p in normalize("image_edit", {"prompt": "p", "image": [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]})["images"]
    ] == [
        "image",
        "image",
    ]
    assert normalize("upload_file", {"file": ("a.jsonl", b"{}")})["file"]["filename"] == "a.jsonl"


def test_other_words_for_fields() -> None:
    assert normalize("speech", {"input": "hi", "voice": "v"}) == {"text": "hi", "voice": "v"}
    assert normalize("speech", {"text": "hi", "response_format": "mp3"})["format"] == "mp3"
    assert normalize("embeddings", {"input": "a", "encoding_format": "base64"})["encoding"] == "base64"
    assert normalize("rerank", {"query": "q", "documents": "d"})["documents"] == ["d"]


def test_sizes_of_images() -> None:
    out = normalize("image", {"prompt": "p", "size": "1024x512"})
    assert (out["width"], out["height"]) == (1024, 512)
    assert normalize("image", {"prompt": "p", "width": 8, "height": 4})["size"] == "8x4"
    assert "width" not in normalize("image", {"prompt": "p", "size": "auto"})
