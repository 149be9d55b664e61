"""`llmkit providers --local`, and what a call says when a server of one's own does not run."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import engine
from engine.catalog import Catalog
from engine.cli import main
from engine.cli.local import answers

SPEC = """
name: {name}
docs: https://example.com
categories: [chat, local]
base_url: {{env: {env}, default: "{url}"}}
auth: {{}}
chat: openai-chat
list_models: openai-models
models: {{default: m}}
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        data = json.dumps({"data": [{"id": "m-1"}, {"id": "m-2"}]}).encode()
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{found.server_address[1]}"
    found.shutdown()
    found.server_close()


@pytest.fixture
def closed() -> str:
    """An address where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_servers_that_answer_are_listed_with_their_models(
    server: str, closed: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here.yaml").write_text(SPEC.format(name="Here", env="HERE_URL", url=f"{closed}/v1"))
    (tmp_path / "odd.yaml").write_text(SPEC.format(name="Odd", env="ODD_URL", url=f"{server}/elsewhere"))
    (tmp_path / "gone.yaml").write_text(SPEC.format(name="Gone", env="GONE_URL", url=f"{closed}/v1"))
    monkeypatch.setenv("HERE_URL", f"{server}/v1")
    assert main(["providers", "--local", "--json", "--catalog", str(tmp_path)]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["here"] == {"id": "here", "name": "Here", "address": f"{server}/v1", "answers": True, "models": ["m-1", "m-2"]}
    assert rows["odd"]["answers"] and not rows["odd"]["models"]
    assert not rows["gone"]["answers"]
    wanted = {"ollama", "lm-studio", "vllm", "tgi", "llamafile", "llama-cpp", "localai", "jan", "xinference"}
    assert wanted <= rows.keys() and all(rows[id]["address"].startswith("http") for id in wanted)


def test_a_port_that_somebody_else_holds_is_no_local_server(server: str, tmp_path: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        threading.Thread(target=lambda: mute.accept()[0].close(), daemon=True).start()
        mute_url = f"http://127.0.0.1:{mute.getsockname()[1]}/v1"
        (tmp_path / "here.yaml").write_text(SPEC.format(name="Here", env="HERE_URL", url=f"{server}/v1"))
        (tmp_path / "mute.yaml").write_text(SPEC.format(name="Mute", env="MUTE_URL", url=mute_url))
        catalog = Catalog([str(tmp_path)])
        assert answers(catalog, "here") and not answers(catalog, "mute") and not answers(catalog, "groq")


def test_where_nothing_listens_the_message_says_where_it_looked(closed: str, tmp_path: Any) -> None:
    (tmp_path / "gone.yaml").write_text(SPEC.format(name="Gone", env="GONE_URL", url=f"{closed}/v1"))
    with engine.Client(catalog=[str(tmp_path)], attempts=1) as client, pytest.raises(engine.errors.ConnectionError) as refused:
        client.chat("gone/m", "hi")
    assert refused.value.message == (
        f"nothing answers at {closed}/v1: start the server, or say where it is with GONE_URL or the setting `base_url`"
    )
    assert "user" not in refused.value.message and refused.value.retryable


def test_filters_work_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["providers", "--region", "eu", "--capability", "tools", "--category", "chat", "--json"]) == 0
    found = {row["id"] for row in json.loads(capsys.readouterr().out)}
    assert {"mistral", "scaleway", "stackit"} <= found and not {"groq", "moonshot", "anyscale"} & found
