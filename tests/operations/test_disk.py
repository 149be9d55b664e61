"""Files that go out and answers that come in, by way of the disk: nothing is held, nothing half is left (RELIABILITY M1, R3)."""

from __future__ import annotations

import asyncio
import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import AsyncClient, Client, errors
from engine.disk import Source
from tools.large_files import prove

SPEC = {
    "disk": {
        "name": "Disk",
        "base_url": "https://disk.test/v1",
        "hosts": ["files.disk.test"],
        "upload_file": {
            "post": "/files",
            "multipart": {"file": "{{ file }}", "purpose": "batch"},
            "response": {"file": {"id": "id"}},
        },
        "transcription": {"post": "/audio", "binary": "{{ audio.bytes }}", "response": {"text": "text"}},
        "image_edit": {
            "post": "/edits",
            "body": {"image": "{{ image.uri }}"},
            "response": {"image": {"from": "data", "url": "url", "data": "b64"}},
        },
        "download_file": {"get": "/files/{{ id }}", "reply": "binary", "response": {"content": {"data": "body"}}},
        "ocr": {"post": "/ocr", "body": {"document": "{{ document.data }}"}, "response": {"page": {"text": "text"}}},
        "video": {
            "post": "/videos",
            "body": {"prompt": "{{ prompt }}"},
            "job": {
                "id": "id",
                "poll": {"get": "/videos/{{ job.id }}"},
                "state": "state",
                "states": {"done": "done"},
                "every": 0.01,
            },
            "response": {"video": {"url": "url"}},
        },
    }
}


class Server:
    """A provider in memory: `answers` are given in turn, the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self.given(request)

    async def later(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self.given(request)

    def given(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer = answer(request) if callable(answer) else answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def client(server: Server, **options: Any) -> Client:
    return Client(catalog=[SPEC], transport=httpx.MockTransport(server), **options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVE" + os.urandom(600_000))
    return path


def parts(request: httpx.Request) -> bytes:
    return request.content.partition(b"\r\n\r\n")[2].partition(b"\r\n--llmkit")[0]


# --- out ----------------------------------------------------------------------------------------------------------------


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


# --- in -----------------------------------------------------------------------------------------------------------------


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_binary_answer_goes_to_its_file(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    answer = client(Server(httpx.Response(200, content=data))).download_file("disk", "f1", out=tmp_path / "f1.bin")
    assert (tmp_path / "f1.bin").read_bytes() == data
    assert answer.outputs[0].path == str(tmp_path / "f1.bin")
    assert answer.outputs[0].bytes == 300_000
    assert answer.outputs[0].data is None
    assert left(tmp_path) == ["f1.bin"]


def test_without_out_it_is_held_as_ever() -> None:
    answer = client(Server(httpx.Response(200, content=b"abc"))).download_file("disk", "f1")
    assert answer.outputs[0].data == base64.b64encode(b"abc").decode()


class Broken(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield b"x" * 1000
        raise httpx.ReadError("gone")


def test_a_download_that_breaks_begins_anew(tmp_path: Path) -> None:
    server = Server(httpx.Response(200, stream=Broken()), httpx.Response(200, content=b"whole"))
    client(server).download_file("disk", "f1", out=tmp_path / "f1")
    assert (tmp_path / "f1").read_bytes() == b"whole"
    assert len(server.seen) == 2


def test_one_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "f1").write_bytes(b"old")
    server = Server(lambda request: httpx.Response(200, stream=Broken()))
    with pytest.raises(errors.ConnectionError):
        client(server).download_file("disk", "f1", out=str(tmp_path / "f1"))
    assert (tmp_path / "f1").read_bytes() == b"old"
    assert left(tmp_path) == ["f1"]


def test_an_error_in_place_of_a_file_is_the_error(tmp_path: Path) -> None:
    server = Server(httpx.Response(200, json={"error": {"message": "no such file"}}))
    with pytest.raises(errors.Error, match="no such file"):
        client(server, attempts=1).download_file("disk", "f1", out=tmp_path / "f1")
    assert left(tmp_path) == []


def test_a_json_file_is_a_file(tmp_path: Path) -> None:
    client(Server(httpx.Response(200, json={"rows": 3}))).download_file("disk", "f1", out=tmp_path / "f1.json")
    assert (tmp_path / "f1.json").read_bytes() in (b'{"rows": 3}', b'{"rows":3}')


def test_the_limit_of_a_file_can_be_set(tmp_path: Path) -> None:
    server = Server(lambda request: httpx.Response(200, content=b"x" * 5000))
    with pytest.raises(errors.LimitError, match="longer than 1000 bytes"):
        client(server, limits={"file_bytes": 1000}).download_file("disk", "f1", out=tmp_path / "f1")
    assert left(tmp_path) == []


def test_pictures_are_written_from_data_and_from_their_address(tmp_path: Path) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            assert "authorization" not in request.headers
            return httpx.Response(200, content=b"from afar")
        return httpx.Response(
            200, json={"data": [{"b64": base64.b64encode(b"inline").decode()}, {"url": "https://disk.test/p.png"}]}
        )

    answer = client(Server(serve)).image_edit("disk/m", "Paint.", b"\x89PNG\r\n\x1a\n", out=tmp_path / "p.png")
    assert [output.path for output in answer.outputs] == [str(tmp_path / "p.png"), str(tmp_path / "p-2.png")]
    assert [output.bytes for output in answer.outputs] == [6, 9]
    assert (tmp_path / "p.png").read_bytes() == b"inline"
    assert (tmp_path / "p-2.png").read_bytes() == b"from afar"
    assert answer.outputs[1].url == "https://disk.test/p.png"


def test_an_address_elsewhere_is_fetched_without_a_credential(tmp_path: Path) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.host == "cdn.elsewhere.test":
            assert "authorization" not in request.headers
            return httpx.Response(200, content=b"from afar")
        assert request.headers["authorization"] == "Bearer k"
        return httpx.Response(200, json={"data": [{"url": "https://cdn.elsewhere.test/p.png?sig=1"}]})

    spec = {"disk": {**SPEC["disk"], "secrets": {"api_key": "DISK_KEY"}, "auth": {"bearer": "{{ api_key }}"}}}
    made = Client(catalog=[spec], transport=httpx.MockTransport(serve), providers={"disk": {"api_key": "k"}})
    made.image_edit("disk/m", "Paint.", b"\x89PNG\r\n\x1a\n", out=tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes() == b"from afar"


@pytest.mark.parametrize(
    "url", ["http://elsewhere.test/p.png", "https://10.0.0.1/p.png", "https://localhost/p.png", "file:///etc/passwd"]
)
def test_an_address_that_no_provider_should_name_is_refused_and_the_answer_kept(tmp_path: Path, url: str) -> None:
    server = Server({"data": [{"url": url}]})
    with pytest.raises(errors.ConfigError) as caught:
        client(server).image_edit("disk/m", "Paint.", b"\x89PNG\r\n\x1a\n", out=tmp_path / "p.png")
    assert len(server.seen) == 1
    assert left(tmp_path) == []
    assert caught.value.partial.outputs[0].url == url


def test_where_the_credential_goes_along_the_host_is_a_declared_one(tmp_path: Path) -> None:
    server = Server({"data": [{"url": "https://elsewhere.test/p.png"}]})
    edit = {**SPEC["disk"]["image_edit"], "download": {"auth": True}}
    made = Client(catalog=[{"disk": {**SPEC["disk"], "image_edit": edit}}], transport=httpx.MockTransport(server))
    with pytest.raises(errors.ConfigError, match=r"cannot be downloaded: the host elsewhere\.test"):
        made.image_edit("disk/m", "Paint.", b"\x89PNG\r\n\x1a\n", out=tmp_path / "p.png")
    assert len(server.seen) == 1


def test_a_job_is_followed_into_its_file(tmp_path: Path) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(".mp4"):
            return httpx.Response(200, content=b"a film")
        state = "done" if request.method == "GET" else "queued"
        return httpx.Response(200, json={"id": "j1", "state": state, "url": "https://disk.test/v.mp4"})

    made = client(Server(serve))
    made.video("disk/m", "A wave.", out=tmp_path / "one.mp4")
    job = made.video.submit("disk/m", "A wave.")
    job.wait(out=tmp_path / "two.mp4")
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes() == b"a film"


def test_words_are_written_as_words(tmp_path: Path) -> None:
    answer = client(Server({"text": "Grüezi"})).transcription("disk/m", b"abc", out=tmp_path / "t.txt")
    assert answer.text == "Grüezi"
    assert (tmp_path / "t.txt").read_text("utf-8") == "Grüezi"


def test_an_answer_that_holds_nothing_is_not_lost(tmp_path: Path) -> None:
    answer = client(Server({"id": "f1"})).upload_file("disk", b"abc", out=tmp_path / "t")
    assert answer.outputs[0].id == "f1"
    assert "nothing that could be written" in answer.warnings[0]
    assert left(tmp_path) == []


@pytest.mark.parametrize("out", ["", ".", "missing/folder/f", 7])
def test_an_out_that_is_no_place_for_a_file_is_refused_before_anything_is_sent(out: Any) -> None:
    server = Server({})
    with pytest.raises(errors.ConfigError):
        client(server).download_file("disk", "f1", out=out)
    assert not server.seen


def test_the_async_client_writes_and_cleans_up_too(tmp_path: Path) -> None:
    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b"x" * 1000
            await asyncio.sleep(60)

    async def run() -> None:
        answers = [httpx.Response(200, content=b"abc" * 1_000_000), httpx.Response(200, stream=Slow())]
        async with AsyncClient(catalog=[SPEC], transport=httpx.MockTransport(lambda request: answers.pop(0))) as made:
            await made.download_file("disk", "f1", out=tmp_path / "f1")
            task = asyncio.create_task(made.download_file("disk", "f1", out=tmp_path / "f2"))
            await asyncio.sleep(0.1)
            assert len(left(tmp_path)) == 2  # the part of the second
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert (tmp_path / "f1").read_bytes() == b"abc" * 1_000_000
    assert left(tmp_path) == ["f1"]


def test_memory_stays_flat() -> None:
    """64 MB in bounded memory over real sockets; `make large-files` does it with 2 GB in every way."""
    told: list[str] = []
    assert prove(64, ("sync",), ("form",), told=told.append, allowed=16), told
    assert prove(64, ("aiohttp",), ("download",), told=told.append, allowed=16), told


@pytest.mark.parametrize("given", ["/etc/hostname", {"path": "/etc/hostname"}, {"bytes": "/etc/hostname"}, ["/etc/hostname"]])
def test_a_text_never_opens_a_file(given: Any) -> None:
    server = Server({"text": "page"})
    try:
        client(server).ocr("disk/m", given)
    except errors.Error:
        pass
    contents = Path("/etc/hostname").read_bytes().strip()
    assert all(base64.b64encode(contents)[:8] not in sent.content and contents not in sent.content for sent in server.seen)


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
            assert __import__("json").loads(request.content)["audio_url"] == "https://cdn.assemblyai.com/upload/1"
        return httpx.Response(200, json={"id": "t1", "status": "completed", "text": "Good morning."})

    made = Client(transport=httpx.MockTransport(serve), providers={"assemblyai": {"api_key": "k"}})
    assert made.transcription("assemblyai/universal", file).text == "Good morning."
