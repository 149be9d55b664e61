"""Voices: lists of several pages, clones from files on disk, ids that an answer does not repeat, and what a wire has no place for."""

from __future__ import annotations

import asyncio
import email.parser
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import AsyncClient, Client
from engine.errors import ConfigError, Error, UnsupportedError

SPEC: dict[str, Any] = {
    "choir": {
        "name": "Choir",
        "base_url": "https://choir.test/v1",
        "voices": {
            "get": "/voices",
            "params": {"language": "lang"},
            "pages": {"after": "next"},
            "response": {
                "voice": {
                    "from": "voices",
                    "id": "id",
                    "name": "name",
                    "languages": "[lang, more[]][]",
                    "gender": "sex",
                    "raw": "@",
                }
            },
        },
        "clone_voice": {
            "post": "/voices",
            "multipart": {"name": "{{ name }}", "id": "{{ id }}"},
            "params": {"samples": {"to": "sample", "max_items": 1}},
            "response": {"voice": {"status": "'ready'"}},
        },
        "delete_voice": {"delete": "/voices/{{ id | quote }}", "reply": "http", "response": {"voice": {"status": "'deleted'"}}},
        "speech": {
            "post": "/speech",
            "body": {"text": "{{ text }}", "voice": "{{ voice }}"},
            "response": {"audio": {"data": "sound"}},
        },
        "models": {"default": "m"},
    }
}
WAV = b"RIFF\0\0\0\0WAVEfmt "


class Server:
    def __init__(self, *answers: Any) -> None:
        self.answers, self.seen = list(answers), []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def client(server: Server, **options: Any) -> Client:
    return Client(catalog=[SPEC], transport=httpx.MockTransport(server), **options)


def form(request: httpx.Request) -> list[tuple[str, str | None, bytes]]:
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parts = email.parser.BytesParser().parsebytes(head + request.content).get_payload()
    return [
        (p.get_param("name", header="content-disposition"), p.get_filename(), p.get_payload(decode=True))
        for p in parts  # type: ignore[union-attr]
    ]


def test_a_list_of_several_pages_is_one() -> None:
    server = Server(
        {"voices": [{"id": "a", "name": "Ann", "lang": "en", "more": ["en", "cy"], "sex": "FEMININE"}], "next": "2"},
        {"voices": [{"id": "b", "sex": "unknown"}], "next": None},
    )
    voices = client(server).voices("choir", language="en").voices
    assert [v.id for v in voices] == ["a", "b"]
    assert (voices[0].languages, voices[0].gender, voices[0].raw["sex"]) == (["en", "cy"], "female", "FEMININE")
    assert (voices[1].languages, voices[1].gender) == (None, None)
    assert [dict(r.url.params) for r in server.seen] == [{"lang": "en"}, {"lang": "en", "after": "2"}]


def test_a_filter_that_a_wire_lacks_is_told() -> None:
    server = Server({"voices": []})
    assert client(server).voices("choir", gender="male").warnings == ["gender was dropped: choir does not take it"]
    with pytest.raises(UnsupportedError):
        client(server, unsupported="error").voices("choir", gender="male")


def test_a_clone_is_sent_from_disk_and_named_as_asked(tmp_path: Path) -> None:
    recording = tmp_path / "ann.wav"
    recording.write_bytes(WAV + b"x" * 5000)
    server = Server({"ok": True})
    made = client(server)
    answer = made.clone_voice("choir", "ann-1", recording)
    assert [(v.id, v.status) for v in answer.voices] == [("ann-1", "ready")]
    assert form(server.seen[0]) == [("name", None, b"ann-1"), ("sample", "ann.wav", recording.read_bytes())]
    assert made.clone_voice("choir", "Ann", [recording], id="own-1").voices[0].id == "own-1"


def test_of_several_recordings_some_wires_take_one_and_say_so() -> None:
    answer = client(Server({})).clone_voice("choir", "Ann", [WAV, WAV + b"2"], description="Warm.")
    assert answer.warnings == [
        "description was dropped: choir does not take it",
        "samples was cut from 2 to 1 items: clone_voice takes no more",
    ]
    told = json.dumps(answer.report.to_dict())
    assert "RIFF" not in told and "UklGR" not in told and '"size": 17' in told


def test_a_clone_without_a_recording_is_no_request() -> None:
    server = Server({})
    with pytest.raises(ConfigError, match="samples"):
        client(server).clone_voice("choir", "Ann")
    with pytest.raises(ConfigError, match="not as a text"):
        client(server).clone_voice("choir", "Ann", ["ann.wav"])
    assert not server.seen


def test_a_clone_is_not_made_twice() -> None:
    """A server that broke off may have made it."""
    server = Server(httpx.Response(502, json={}))
    with pytest.raises(Error) as caught:
        client(server).clone_voice("choir", "Ann", WAV)
    assert len(server.seen) == 1 and caught.value.kind == "ambiguous"


def test_an_empty_answer_to_a_deletion_is_one() -> None:
    server = Server(httpx.Response(204))
    answer = client(server).delete_voice("choir", "a/b")
    assert [(v.id, v.status) for v in answer.voices] == [("a/b", "deleted")]
    assert server.seen[0].url.raw_path == b"/v1/voices/a%2Fb"


def test_the_same_asynchronously() -> None:
    server = Server({"voices": [{"id": "a"}], "next": ""})

    async def run() -> list[Any]:
        async with AsyncClient(catalog=[SPEC], transport=httpx.MockTransport(server)) as made:
            return [v.id for v in (await made.voices("choir")).voices]

    assert asyncio.run(run()) == ["a"]
