"""Batch services of three shapes on an httpx transport: what they are told is kept, and answers are ready after some polls."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx


class Service:
    """One provider's account. `polls` until a batch is ready; `answer(body)` is what the model says of a request, or a
    (status, body); None leaves the row out. `trouble(request)` may raise or answer in the service's place."""

    def __init__(self, polls: int = 2) -> None:
        self.polls = polls
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.answer: Callable[[dict[str, Any]], Any] = said
        self.trouble: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
        self.state = "completed"

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        troubled = self.trouble(request)
        return troubled if troubled is not None else self._handled(request)

    def _handled(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1")
        if path == "/files":
            id = f"file-{len(self.files)}"
            self.files[id] = uploaded(request)
            return httpx.Response(200, json={"id": id, "object": "file"})
        if found := re.fullmatch(r"/files/(.*)/content", path):
            return httpx.Response(200, content=self.files[found[1]], headers={"content-type": "application/octet-stream"})
        if path == "/batches":
            body = json.loads(request.content)
            id = f"batch-{len(self.batches)}"
            self.batches[id] = {"id": id, "status": "validating", **body, "left": self.polls}
            return httpx.Response(200, json=self.batches[id])
        if found := re.fullmatch(r"/batches/(.*)", path):
            return httpx.Response(200, json=self._looked(self.batches[found[1]]))
        return httpx.Response(404, json={"error": {"message": f"nothing at {path}"}})

    def _looked(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch["left"] -= 1
        batch["status"] = "in_progress" if batch["left"] > 0 else self.state
        if self.state == "failed" and batch["left"] <= 0:
            batch["errors"] = {"data": [{"code": "invalid_json_line", "message": "line 1 is not JSON"}]}
        elif batch["left"] <= 0 and "output_file_id" not in batch:
            good, bad = [], []
            for line in map(json.loads, self.files[batch["input_file_id"]].splitlines()):
                assert line["url"] == batch["endpoint"] and line["method"] == "POST"
                answer = self.answer(line["body"])
                if answer is not None:
                    status, body = answer if isinstance(answer, tuple) else (200, answer)
                    made = {"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}, "error": None}
                    (good if status < 300 else bad).append(json.dumps(made))
            batch["output_file_id"] = self._file(reversed(good))  # services answer in any order
            batch["error_file_id"] = self._file(bad) if bad else None
        return batch

    def _file(self, lines: Any) -> str:
        id = f"file-{len(self.files)}"
        self.files[id] = "\n".join(lines).encode() + b"\n"
        return id


@contextmanager
def served(service: Service) -> Iterator[str]:
    """The service on a port of this machine: its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            reply = service.handle(httpx.Request(self.command, f"http://service{self.path}", content=content))
            self.send_response(reply.status_code)
            self.send_header("content-type", reply.headers["content-type"])
            self.send_header("content-length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def said(body: dict[str, Any]) -> dict[str, Any]:
    """A chat completion that repeats the question."""
    return {
        "id": "c-1",
        "object": "chat.completion",
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": f"You said: {body['messages'][-1]['content']}"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }


def uploaded(request: httpx.Request) -> bytes:
    """The file in a form, which must say that it is for a batch."""
    assert b'name="purpose"\r\n\r\nbatch' in request.read()
    return lines_in(request)


def lines_in(request: httpx.Request) -> bytes:
    """The lines in a form."""
    return request.read().partition(b"application/jsonl\r\n\r\n")[2].rpartition(b"\r\n--")[0]
