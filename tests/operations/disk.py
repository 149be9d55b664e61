"""A provider in memory whose operations send and answer files; what the tests of both directions share."""

from __future__ import annotations

from typing import Any

import httpx

from engine import Client

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
