"""Files that go out by way of the disk: nothing is held, nothing is sent twice that has changed (RELIABILITY M1, R3)."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import AsyncClient, Client, errors
from engine.disk import Source
from tests.operations.disk import SPEC, Server, client


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVE" + os.urandom(600_000))
    return path


def parts(request: httpx.Request) -> bytes:
    return request.content.partition(b"\r\n\r\n")[2].partition(b"\r\n--llmkit")[0]


def test_a_path_is_sent_as_it_is_with_its_length_known(file: Path) -> None:
    server = Server({"id": "f1"})
    assert client(server).upload_file("disk", file).outputs[0].id == "f1"
    sent = server.seen[0]
    assert int(sent.headers["content-length"]) == len(sent.content) and "transfer-encoding" not in sent.headers
    assert parts(sent) == file.read_bytes()
    assert b'filename="talk.wav"\r\nContent-Type: audio/wav' in sent.content


def test_an_open_file_is_sent_from_where_it_stands(file: Path) -> None:
    server = Server({"text": "hi"})
    with file.open("rb") as opened:
        opened.seek(12)
        assert client(server).transcription("disk/m", opened).text == "hi"
    assert server.seen[0].content == file.read_bytes()[12:]


def test_names_and_types_of_a_file_can_be_given(file: Path) -> None:
    server = Server({"id": "f1"})
    with file.open("rb") as opened:
        client(server).upload_file("disk", {"path": file, "filename": "a.bin", "media_type": "application/x-own"})
        client(server).upload_file("disk", ("b.flac", opened))
        client(server).upload_file("disk", {"filename": "c.wav", "bytes": file})
    assert b'filename="a.bin"\r\nContent-Type: application/x-own' in server.seen[0].content
    assert b'filename="b.flac"\r\nContent-Type: audio/flac' in server.seen[1].content
    assert all(parts(sent) == file.read_bytes() for sent in server.seen)


def test_the_async_client_sends_the_same(file: Path) -> None:
    server = Server({"id": "f1"})

    async def run() -> Any:
        async with AsyncClient(catalog=[SPEC], transport=httpx.MockTransport(server.later)) as made:
            return await made.upload_file("disk", file)

    assert asyncio.run(run()).outputs[0].id == "f1"
    assert parts(server.seen[0]) == file.read_bytes()


def test_a_wire_that_carries_files_in_json_gets_them_so(file: Path) -> None:
    server = Server({"text": "page"})
    client(server).ocr("disk/m", file)
    assert base64.b64decode(__import__("json").loads(server.seen[0].content)["document"]) == file.read_bytes()


def test_a_file_too_large_for_json_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "long.pdf"
    with path.open("wb") as sparse:
        sparse.truncate(50 << 20)
    server = Server({})
    with pytest.raises(errors.LimitError, match=r"long\.pdf has"):
        client(server).ocr("disk/m", path)
    assert not server.seen


def test_a_stream_that_cannot_be_read_twice_is_held() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = io.BytesIO(b"abc")

        def readable(self) -> bool:
            return True

        def read(self, most: int = -1) -> bytes:
            return self.data.read(most)

    server = Server({"text": "hi"})
    client(server).transcription("disk/m", Pipe())
    assert server.seen[0].content == b"abc"


def test_a_retry_sends_the_whole_file_again(file: Path) -> None:
    server = Server(httpx.Response(503, headers={"retry-after": "0"}), {"text": "hi"})
    assert client(server).transcription("disk/m", file).text == "hi"
    assert [sent.content for sent in server.seen] == [file.read_bytes()] * 2


def test_a_file_that_is_another_by_then_is_not_sent_again(file: Path) -> None:
    def change(request: httpx.Request) -> httpx.Response:
        file.write_bytes(b"something else")
        return httpx.Response(503, headers={"retry-after": "0"})

    server = Server(change, {"text": "never"})
    with pytest.raises(errors.ConfigError, match=r"talk\.wav is not the one it was"):
        client(server).transcription("disk/m", file)
    assert len(server.seen) == 1


def test_a_file_that_grows_while_it_is_sent_is_an_error(file: Path) -> None:
    source = Source(file)
    with pytest.raises(Exception, match="changed while it was sent"):
        for _ in source.pieces():
            with file.open("ab") as more:
                more.write(b"x")


@pytest.mark.parametrize(("what", "message"), [("missing.wav", "missing.wav cannot be read"), (".", "is not a file")])
def test_what_is_no_file_is_refused_before_anything_is_sent(tmp_path: Path, what: str, message: str) -> None:
    server = Server({})
    with pytest.raises(errors.ConfigError, match=message) as caught:
        client(server).upload_file("disk", tmp_path / what)
    assert not server.seen
    assert str(tmp_path) not in str(caught.value) or what == "."


def test_a_text_file_is_refused(file: Path) -> None:
    with file.open("r", encoding="latin-1") as opened, pytest.raises(errors.ConfigError, match="not as text"):
        client(Server({"text": ""})).transcription("disk/m", opened)


def test_explain_names_the_file_and_reads_none_of_it(file: Path) -> None:
    body = client(Server({})).upload_file.explain("disk", file).body
    assert "(talk.wav, 600012 bytes)" in body


@pytest.mark.parametrize(
    "given", [str, lambda path: {"path": str(path)}, lambda path: {"bytes": str(path)}, lambda path: [str(path)]]
)
def test_a_text_never_opens_a_file(file: Path, given: Any) -> None:
    server = Server({"text": "page"})
    try:
        client(server).ocr("disk/m", given(file))
    except errors.Error:
        pass
    contents = file.read_bytes()[12:60]
    assert all(contents not in sent.content and base64.b64encode(contents) not in sent.content for sent in server.seen)


@pytest.mark.parametrize("service", ["bedrock", "s3"])
def test_a_signature_covers_a_file_as_it_covers_its_bytes(file: Path, service: str) -> None:
    from engine.call.sign.sigv4 import sign_v4
    from engine.types import HttpRequest

    given = {"service": service, "region": "eu-west-1", "access_key": "AKID", "secret_key": "secret"}
    signed = [HttpRequest("PUT", "https://files.test/a", {}, body) for body in (file.read_bytes(), Source(file))]
    for request in signed:
        sign_v4(request, given, 1767225600.0)
    assert signed[0].headers == signed[1].headers


def test_a_file_that_is_uploaded_before_the_call_is_streamed_too(file: Path) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v2/upload":
            assert request.content == file.read_bytes() and request.headers["content-length"] == str(len(request.content))
            return httpx.Response(200, json={"upload_url": "https://cdn.assemblyai.com/upload/1"})
        if request.method == "POST":
            assert json.loads(request.content)["audio_url"] == "https://cdn.assemblyai.com/upload/1"
        return httpx.Response(200, json={"id": "t1", "status": "completed", "text": "Good morning."})

    made = Client(transport=httpx.MockTransport(serve), providers={"assemblyai": {"api_key": "k"}})
    assert made.transcription("assemblyai/universal", file).text == "Good morning."
