"""What docs/files.md and docs/jobs.md show is what happens."""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

import engine
from engine.cli import main

DOCS = Path(__file__).resolve().parents[1] / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def openai(request: httpx.Request) -> httpx.Response:
    path = request.url.path
    if path.endswith("/transcriptions"):
        assert b"RIFF" in request.content
        return httpx.Response(200, json={"text": "Good morning."})
    if path.endswith("/content"):
        return httpx.Response(200, content=b'{"a": 1}\n')
    if path.endswith("/speech"):
        return httpx.Response(200, content=b"sound", headers={"content-type": "audio/mpeg"})
    if path.endswith("/generations"):
        return httpx.Response(200, json={"data": [{"b64_json": base64.b64encode(b"picture").decode()}]})
    return httpx.Response(200, json={"id": "file-1", "object": "file"})


def test_files(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "talk.wav").write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    (folder / "rows.jsonl").write_bytes(b'{"a": 1}\n')
    made = engine.Client(transport=httpx.MockTransport(openai), providers={"openai": {"api_key": "k"}})
    monkeypatch.setattr(engine, "Client", lambda: made)
    known: dict[str, Any] = {}
    for code in blocks("files.md", "python"):
        exec(code, known)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "Good morning." and out[1] == "lighthouse.png 7" and "estimated" in out[2]
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in ("talk.wav", "rows.jsonl")} == {
        "again.jsonl": b'{"a": 1}\n',
        "morning.mp3": b"sound",
        "lighthouse.png": b"picture",
    }


SECRET = base64.b64encode(b"a secret of the endpoint").decode()


def replicate(request: httpx.Request) -> httpx.Response:
    if request.url.host == "replicate.delivery":
        return httpx.Response(200, content=b"a film")
    done = {"id": "p1", "status": "succeeded", "output": "https://replicate.delivery/a.mp4"}
    return httpx.Response(200, json={"id": "p1", "status": "starting"} if request.method == "POST" else done)


def test_jobs_and_webhooks(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real, settings = engine.Client, {"replicate": {"api_key": "k", "webhook_secret": f"whsec_{SECRET}"}}
    monkeypatch.setattr(engine, "Client", lambda **o: real(transport=httpx.MockTransport(replicate), providers=settings, **o))
    known: dict[str, Any] = {}
    code, hook = blocks("jobs.md", "python")
    exec(code, known)
    assert (folder / "wave.mp4").read_bytes() == b"a film"
    (row,) = known["client"].jobs.list("done")
    assert capsys.readouterr().out.strip() == row["key"]
    exec(hook, known)
    body = json.dumps({"id": "p1", "status": "succeeded", "output": "https://replicate.delivery/a.mp4"})
    at = str(int(time.time()))
    made = base64.b64encode(hmac.digest(base64.b64decode(SECRET), f"m1.{at}.{body}".encode(), "sha256")).decode()
    for _ in range(2):
        known["received"]({"webhook-id": "m1", "webhook-timestamp": at, "webhook-signature": f"v1,{made}"}, body.encode())
    assert capsys.readouterr().out == "succeeded wave.mp4\n"
    with pytest.raises(engine.errors.AuthenticationError):
        known["received"]({"webhook-id": "m2", "webhook-timestamp": at, "webhook-signature": f"v1,{made}"}, body.encode())


def test_a_file_of_your_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (spec,) = blocks("jobs.md", "yaml")
    (folder / "slow-pictures.yaml").write_text(spec)
    assert main(["check", "slow-pictures.yaml"]) == 0, capsys.readouterr().out
    body, at = (
        '{"type": "picture.ready", "picture": {"id": "p1", "status": "ready", "url": "https://api.slow.example/a.png"}}',
        int(time.time()),
    )
    made = engine.Client(catalog=["slow-pictures.yaml"], providers={"slow-pictures": {"api_key": "k", "webhook_secret": "s"}})
    headers = {"X-Slow-Time": str(at), "X-Slow-Signature": hmac.digest(b"s", f"{at}.{body}".encode(), "sha256").hex()}
    delivery = made.webhook("slow-pictures", headers, body)
    assert (delivery.event, delivery.job_id) == ("picture.ready", "p1")
    record = {"operation": "image", "model": "slow-pictures/v1", "id": "p1"}
    assert made.job(record).wait(delivery=delivery).outputs[0].url == "https://api.slow.example/a.png"
