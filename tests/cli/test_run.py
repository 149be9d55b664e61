"""`llmkit run` against a server on loopback: media in and out, rankings, and a job that is resumed."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from engine.cli.jobs import Progress

SPEC = """
name: Slow
base_url: {url}
auth: {{}}
video:
  post: /videos
  body: {{prompt: "{{{{ prompt }}}}"}}
  job:
    id: id
    poll: {{get: "/videos/{{{{ job.id }}}}"}}
    state: status
    states: {{done: done}}
    progress: percent
    every: 0.01
  response: {{video: {{url: url}}}}
models: {{default: v1}}
"""


class Handler(BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self) -> None:
        Handler.asked += 1
        done = {"id": "j1", "status": "done", "percent": 100, "url": "https://example.com/v.mp4"}
        self.reply(done if Handler.asked % 2 == 0 else {"id": "j1", "status": "running", "percent": 40})

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["content-length"]))
        if self.path.endswith("/audio/speech"):
            self.reply(b"sound of " + json.loads(data)["input"].encode(), "audio/mpeg")
        elif self.path.endswith("/audio/transcriptions"):
            assert b"RIFF" in data and b'filename="a.wav"' in data
            self.reply({"text": "Good morning."})
        elif self.path.endswith("/images/generations"):
            self.reply({"data": [{"b64_json": base64.b64encode(b"png").decode()}] * 2})
        elif self.path.endswith("/rerank"):
            assert json.loads(data)["documents"] == ["a", "b"]
            self.reply({"results": [{"index": 1, "relevance_score": 0.9}]})
        else:
            self.reply({"id": "j1", "status": "queued"})

    def reply(self, value: Any, kind: str = "application/json") -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{found.server_address[1]}"
    found.shutdown()
    found.server_close()


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    return llmkit(capsys, "run", *words)


def llmkit(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def test_a_voice_goes_to_a_file(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "a.mp3"
    code, _, err = run(
        capsys, "speech", "openai-compatible/m", "Good", "morning.", "--output", str(target), "--base-url", f"{server}/v1"
    )
    assert (code, target.read_bytes()) == (0, b"sound of Good morning.") and "wrote" in err


def test_a_voice_without_a_place_gets_a_free_name(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        code, _, err = run(capsys, "speech", "openai-compatible/m", "hi", "--base-url", f"{server}/v1")
        assert code == 0 and "wrote speech-" in err
    assert (tmp_path / "speech-1.mp3").read_bytes() == (tmp_path / "speech-2.mp3").read_bytes() == b"sound of hi"


def test_pictures_are_numbered(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "a.png"
    code, _, _ = run(
        capsys, "image", "openai-compatible/m", "A tiger.", "--param", "n=2", "--output", str(target), "--base-url", f"{server}/v1"
    )
    assert code == 0 and [p.name for p in sorted(tmp_path.glob("*.png"))] == ["a-2.png", "a.png"]


def test_a_sound_is_read_from_its_file(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = tmp_path / "a.wav"
    sound.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    code, out, _ = run(capsys, "transcription", "openai-compatible/m", str(sound), "--base-url", f"{server}/v1")
    assert (code, out) == (0, "Good morning.\n")


def test_documents_follow_the_query(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "rerank", "openai-compatible/m", "Who?", "a", "b", "--base-url", f"{server}/v1")
    assert code == 0 and json.loads(out) == {"index": 1, "score": 0.9}


def test_a_job_is_submitted_and_resumed(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, record = tmp_path / "slow.yaml", tmp_path / "job.json"
    spec.write_text(SPEC.format(url=server))
    code, out, err = run(capsys, "video", "slow/v1", "A fog.", "--catalog", str(spec), "--submit", "--record", str(record))
    assert code == 0 and "submitted j1" in err and json.loads(out)["id"] == "j1" and json.loads(record.read_text())["id"] == "j1"
    code, out, err = run(capsys, "video", "slow/v1", "--catalog", str(spec), "--resume", str(record))
    assert code == 0 and json.loads(out) == {"url": "https://example.com/v.mp4"} and "done 100%" in err


def test_what_was_paid_for_is_shown_though_it_could_not_be_written(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "slow.yaml"
    spec.write_text(SPEC.format(url=server).replace("url: url", "url: id"))  # an id is no address
    code, out, err = run(capsys, "video", "slow/v1", "A fog.", "--catalog", str(spec), "--output", str(tmp_path / "v.mp4"))
    assert code and json.loads(out) == {"url": "j1"} and "cannot be downloaded" in err
    assert not (tmp_path / "v.mp4").exists()


def test_the_store_knows_the_jobs(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "slow.yaml"
    spec.write_text(SPEC.format(url=server))
    more = ("--catalog", str(spec))
    assert "0 jobs" in llmkit(capsys, "jobs")[2]
    code, out, _ = run(capsys, "video", "slow/v1", "A fog.", "--submit", *more)
    key = json.loads(out)["key"]
    code, out, _ = llmkit(capsys, "jobs", "list")
    assert code == 0 and key in out and "submitted" in out and "slow/v1" in out
    assert json.loads(llmkit(capsys, "jobs", "show", key[:6])[1])["record"]["request"] == {"prompt": "A fog."}
    code, out, err = llmkit(capsys, "jobs", "wait", "j1", *more)
    assert code == 0 and json.loads(out) == {"url": "https://example.com/v.mp4"} and "done 100%" in err
    assert json.loads(llmkit(capsys, "jobs", "list", "--status", "done", "--json")[1])[0]["key"] == key
    code, _, err = llmkit(capsys, "jobs", "cancel", key, *more)
    assert code and "cannot be cancelled" in err
    assert llmkit(capsys, "jobs", "forget", key)[0] == 0
    code, _, err = llmkit(capsys, "jobs", "show", key)
    assert code and "there is no job" in err
    assert (tmp_path / "state" / "llmkit" / "jobs.sqlite").stat().st_mode & 0o077 == 0


def test_a_bar_moves_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Progress() as progress:
        for state, part in (("queued", None), ("running", 0.5), ("done\x1b[2J", 1.0)):
            progress({"state": state, "progress": part})
    lines = capsys.readouterr().err.split("\r")
    assert "[############------------] 50% running" in lines[2]
    assert "[########################] 100% done" in lines[3] and lines[3].endswith("\n")
    assert "\x1b" not in lines[3]


def test_what_is_no_operation_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "paint", "openai/gpt-image-1", "x")
    assert code and "image_edit" in err
