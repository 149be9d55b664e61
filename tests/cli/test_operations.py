"""`llmkit embeddings`, `count-tokens` and `models --live` against a server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from engine.cli import main


class Handler(BaseHTTPRequestHandler):
    listed: ClassVar[list[dict[str, Any]]] = [{"id": "m-1", "owned_by": "acme", "context_length": 4096}, {"id": "other"}]

    def do_GET(self) -> None:
        self.reply({"object": "list", "data": self.listed})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/embeddings"):
            data = [{"index": i, "embedding": [float(len(t))]} for i, t in enumerate(body["input"])]
            self.reply({"data": data, "model": body["model"], "usage": {"prompt_tokens": 3, "total_tokens": 3}})
        else:
            self.reply({"input_tokens": len(body["messages"])})

    def reply(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
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


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def test_texts_become_vectors_a_line_each(server: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "texts"
    lines.write_text("three\n\nfour.\n")
    code, out, err = run(
        capsys, "embeddings", "openai-compatible/m", "a", "bb", "--lines", str(lines), "--base-url", f"{server}/v1"
    )
    assert code == 0 and [json.loads(line)["vector"] for line in out.splitlines()] == [[1.0], [2.0], [5.0], [5.0]]
    assert "4 of 1, 3 tokens" in err


def test_the_whole_answer_and_what_would_be_sent(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--base-url", f"{server}/v1", "--dimensions", "2")
    code, out, _ = run(capsys, "embeddings", "openai-compatible/m", "a", "--json", *options)
    assert code == 0 and json.loads(out)["outputs"][0]["vector"] == [1.0]
    code, out, _ = run(capsys, "embeddings", "openai-compatible/m", "a", "--explain", *options)
    assert code == 0 and json.loads(out)["body"] == {"model": "m", "input": ["a"], "dimensions": 2}


def test_tokens_are_counted(server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SOME_KEY", "k")
    options = ("--base-url", server, "--key", "SOME_KEY")
    code, out, _ = run(capsys, "count-tokens", "anthropic/m", "how", "many?", "--system", "s", *options)
    assert (code, out.strip()) == (0, "1")
    code, _, err = run(capsys, "count-tokens", "groq/m", "hi")
    assert code == 0 and "estimated" in err


def test_a_provider_lists_its_models_live(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "models", "openai-compatible", "--live", "--base-url", f"{server}/v1", "--search", "M-")
    assert code == 0 and out.splitlines()[1].split(maxsplit=2) == ["openai-compatible/m-1", "4096", "not in the catalog"]
    assert "1 models" in err
    assert run(capsys, "models", "--live")[0] == 2


def test_what_a_provider_lists_is_merged_over_the_facts_and_filtered(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOME_KEY", "k")
    monkeypatch.setattr(Handler, "listed", [{"id": "gpt-4.1-mini", "context_length": 5000}, {"id": "gpt-9", "owned_by": "openai"}])
    options = ("models", "openai", "--live", "--base-url", f"{server}/v1", "--key", "SOME_KEY")
    code, out, _ = run(capsys, *options, "--json")
    mini, unknown = json.loads(out)
    assert (
        code == 0
        and mini["model"] == "openai/gpt-4.1-mini"
        and unknown == {"model": "openai/gpt-9", "owner": "openai", "default": False}
    )
    assert mini["context"] == 5000 and mini["price"]["output"] == 1.6 and "tools" in mini["capabilities"]
    lines = run(capsys, *options)[1].splitlines()
    assert lines[1].split()[:5] == ["openai/gpt-4.1-mini", "5000", "32768", "0.4", "1.6"] and lines[2].endswith(
        "not in the catalog"
    )
    assert [line.split()[0] for line in run(capsys, *options, "--capability", "tools")[1].splitlines()[1:]] == [
        "openai/gpt-4.1-mini"
    ]
    assert not run(capsys, *options, "--context", "6000")[1].splitlines()[1:]


def test_a_word_that_no_provider_has_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean `tools`?" in run(capsys, "providers", "--capability", "tool")[2]
    code, _, err = run(capsys, "providers", "--region", "brazil")
    assert code == 2 and "there are ae, asia" in err
    assert run(capsys, "providers", "--status", "beta")[0] == 0
    code, out, _ = run(capsys, "providers", "--region", "eu", "--capability", "tools", "--category", "chat")
    assert code == 0 and any(line.startswith("mistral ") for line in out.splitlines())
