"""Answers that come in by way of the disk: nothing is held, nothing half is left (RELIABILITY M1, R3)."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import AsyncClient, Client, errors
from tests.operations.disk import SPEC, Server, client
from tools.large_files import prove


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


def test_an_address_that_names_another_is_followed_and_the_key_stays(tmp_path: Path) -> None:
    """A film of Veo wants the key, and its address names another: at the own host it goes along, elsewhere it does not."""
    spec = {**SPEC["disk"], "secrets": {"key": "K"}, "auth": {"bearer": "{{ key }}"}}
    spec["image_edit"] = {**spec["image_edit"], "download": {"auth": True}}
    seen: list[tuple[str, str | None]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append((str(request.url), request.headers.get("authorization")))
        if request.method == "POST":
            return httpx.Response(200, json={"data": [{"url": "https://disk.test/v1/films/1"}]})
        if request.url.path == "/v1/films/1":
            return httpx.Response(302, headers={"location": "/download/films/1"})
        if request.url.host == "disk.test":
            return httpx.Response(307, headers={"location": "https://8.8.8.8/films/1?signed=1"})
        return httpx.Response(200, content=b"film")

    made = Client(catalog=[{"disk": spec}], providers={"disk": {"key": "k"}}, transport=httpx.MockTransport(handle))
    made.image_edit("disk/m", "p", "https://example.com/a.png", out=tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == b"film"
    assert seen[1:] == [
        ("https://disk.test/v1/films/1", "Bearer k"),
        ("https://disk.test/download/films/1", "Bearer k"),
        ("https://8.8.8.8/films/1?signed=1", None),
    ]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://files.elsewhere.test/f", "https only"),
        ("https://10.0.0.7/f", "not public|public"),
        ("https://disk.test/v1/films/1", "more than 3 times"),
        ("https://user:pw@files.elsewhere.test/f", "user info"),
        ("", "redirect"),
    ],
)
def test_an_address_that_leads_astray_is_refused(tmp_path: Path, location: str, message: str) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json={"data": [{"url": "https://disk.test/v1/films/1"}]})
        return httpx.Response(302, headers={"location": location} if location else {})

    made = Client(catalog=[SPEC], transport=httpx.MockTransport(handle), attempts=1)
    with pytest.raises(errors.Error, match=message) as raised:
        made.image_edit("disk/m", "p", "https://example.com/a.png", out=tmp_path / "a.mp4")
    assert raised.value.partial is not None and left(tmp_path) == []


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
