"""A new user's afternoon: an API that is in no catalog, written as YAML, checked, mistyped, and talked to over a socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.catalog import Catalog
from engine.check import check
from engine.serve.loopback import Loopback

HERE = Path(__file__).parent
LUMEN, BROOK = HERE / "lumen.yaml", HERE / "brook.yaml"


@pytest.mark.parametrize("path", [LUMEN, BROOK], ids=["lumen", "brook"])
def test_the_file_is_good(path: Path) -> None:
    findings = check(Catalog([path]), [("providers", path.stem)])
    assert not findings.errors, "\n".join(map(str, findings.problems))
    assert findings.examples == 3


MISTAKES = [
    ("max_tokens: knobs.length", "max_token: knobs.length", "unknown-parameter", "max_tokens"),
    ("turn.role == 'assistant'", "turn.rol == 'assistant'", "unknown-field", "role"),
    ("{{ tool.description }}", "{{ tools.description }}", "unknown-field", None),
    ("from: said", "from: said[", "bad-path", None),
    ("thinking: {text: note}", "thinkin: {text: note}", "unknown-key", "thinking"),
    ('post: "/converse', 'pots: "/converse', "unknown-key", "post"),
    ("{{ token }}", "{{ tokn }}", "unknown-name", "token"),
    ("vision: true", "video_in: true", "no-evidence", None),
    ("done: stop", "done: halt", "bad-value", None),
    ("E_TIRED: overloaded", "E_TIRED: overload", "bad-value", "overloaded"),
    ("$switch: tool_choice.mode", "$swich: tool_choice.mode", "unknown-directive", "$switch"),
    ("schema('$schema'", "scheme('$schema'", "unknown-filter", "schema"),
    ("path: /converse/lamp-1\n", "path: /convers/lamp-1\n", "example", None),
]


@pytest.mark.parametrize(("good", "bad", "rule", "suggestion"), MISTAKES, ids=[str(m[1])[:30] for m in MISTAKES])
def test_a_mistake_is_shown_where_it_is(tmp_path: Path, good: str, bad: str, rule: str, suggestion: str | None) -> None:
    text = LUMEN.read_text("utf-8")
    assert good in text
    path = tmp_path / "lumen.yaml"
    path.write_text(text.replace(good, bad, 1), "utf-8")
    line = text[: text.index(good)].count("\n") + 1
    findings = check(Catalog([path]), [("providers", "lumen")])
    found = [p for p in findings.problems if p.rule == rule]
    assert found, [str(p) for p in findings.problems]
    if rule != "example":
        assert any(abs(p.mark.line - line) <= 1 for p in found), [str(p) for p in found]
    if suggestion:
        assert any(p.suggestion == suggestion for p in found), [str(p) for p in found]


def test_it_can_be_talked_to_from_its_examples() -> None:
    catalog = Catalog([LUMEN, BROOK])
    with Loopback(catalog) as sim:
        for provider, key in (("lumen", "token"), ("brook", "api_key")):
            client = engine.Client(catalog=[LUMEN, BROOK], providers={provider: {key: "k", "base_url": sim.url(provider)}})
            model = f"{provider}/{catalog.plan(provider).default_model}"
            assert client.chat(model, "Hi").text
            with client.chat.stream(model, "Hi") as stream:
                kinds = [event.kind for event in stream]
            assert "text" in kinds and kinds[-1] == "end"
            assert stream.response.finish_reason in ("stop", "tool_calls")


@pytest.fixture
def lumen_server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A hand-written Lumen: answers with what it heard; faults come under status 200, as its documentation says."""
    heard: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            heard.append({"path": self.path, "token": self.headers["x-lumen-token"], "body": body})
            said = body["dialog"][-1]["say"][0].get("t", "")
            if said == "fail":
                self._send("application/json", json.dumps({"fault": {"code": "E_LONG", "reason": "too much"}}).encode())
            elif body.get("live"):
                frames = [
                    {"ev": "hello", "turn_id": "t"},
                    *({"ev": "tok", "at": 0, "t": w + " "} for w in said.split()),
                    {"ev": "bye", "why": "done"},
                ]
                self._send("text/event-stream", b"".join(b"data: " + json.dumps(f).encode() + b"\n\n" for f in frames))
            else:
                self._send("application/json", json.dumps({"turn_id": "t", "said": [{"t": said}], "why": "done"}).encode())

        def _send(self, kind: str, data: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v2", heard
    server.shutdown()
    server.server_close()


def test_it_can_be_talked_to_over_a_socket(lumen_server: tuple[str, list[dict[str, Any]]]) -> None:
    url, heard = lumen_server
    client = engine.Client(catalog=[LUMEN], providers={"lumen": {"token": "sekrit-token-1", "base_url": url}})
    answer = client.chat("lumen/lamp-1", "one two three", top_p=0.5)
    assert answer.text == "one two three" and answer.provider == "lumen"
    assert any("top_p" in warning for warning in answer.warnings), "a parameter Lumen lacks is not dropped in silence"
    assert heard[-1]["path"] == "/v2/converse/lamp-1" and heard[-1]["token"] == "sekrit-token-1"
    with client.chat.stream("lumen/lamp-1", "four five") as stream:
        assert "".join(e.text for e in stream if e.kind == "text") == "four five "
    with pytest.raises(engine.errors.ContextLengthError) as failure:
        client.chat("lumen/lamp-1", "fail")
    assert "too much" in str(failure.value) and "sekrit" not in str(failure.value)


def test_async_is_the_twin(lumen_server: tuple[str, list[dict[str, Any]]]) -> None:
    import asyncio

    url, _ = lumen_server

    async def talk() -> tuple[str, str]:
        async with engine.AsyncClient(catalog=[LUMEN], providers={"lumen": {"token": "t", "base_url": url}}) as client:
            whole = await client.chat("lumen/lamp-1", "six seven")
            async with client.chat.stream("lumen/lamp-1", "eight nine") as stream:
                text = "".join([e.text or "" async for e in stream if e.kind == "text"])
            return whole.text, text

    assert asyncio.run(talk()) == ("six seven", "eight nine ")
